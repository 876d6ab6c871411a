"""The `vidsearch` command. Results go to stdout; progress, choices made and warnings to stderr; `main` is the one error exit."""

from __future__ import annotations

import logging
import os
import sys
from enum import StrEnum
from errno import ENOSPC
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer
from typer.exceptions import TyperException

from vidsearch.errors import NotAnIndexError, VidsearchError

if TYPE_CHECKING:
    from vidsearch.engine import Index
    from vidsearch.results import Hits

EXIT_PARTIAL = 3  # answered, but a damaged segment was left out
EXIT_DISK_FULL = 75
EXIT_INTERRUPTED = 130
EXIT_PIPE_CLOSED = 141

IndexOption = Annotated[
    Path | None, typer.Option("--index", help="Index folder. Without it: VIDSEARCH_INDEX, ./shards/index, ./index or .")
]
ModelOption = Annotated[str | None, typer.Option("--model", help="Where the query side finds its weights, if they have moved.")]


class Format(StrEnum):
    """How hits are printed."""

    table = "table"
    jsonl = "jsonl"
    csv = "csv"
    ids = "ids"


def query(
    text: Annotated[str, typer.Argument(help="What the clip shows, in a sentence.")],
    index: IndexOption = None,
    k: Annotated[int, typer.Option("-k", help="Number of clips, 1 to 1000.")] = 10,
    where: Annotated[str | None, typer.Option("--where", help="A filter, as in SQL: \"language = 'en' and aesthetic > 5\".")] = None,
    exclude: Annotated[list[str] | None, typer.Option("--not", help="A sentence to move away from; may be repeated.")] = None,
    output: Annotated[Format, typer.Option("--format", help="For a person, or for a program.")] = Format.table,
    model: ModelOption = None,
) -> None:
    """Find the clips that a sentence describes."""
    found = _open(index, model)
    hits = found.search(text, k=k, where=where, exclude=exclude or ())
    _print_hits(hits, output)


def similar(
    clip_id: Annotated[str, typer.Argument(help="A clip's id, as `query --format ids` prints it.")],
    index: IndexOption = None,
    k: Annotated[int, typer.Option("-k", help="Number of clips, 1 to 1000.")] = 10,
    where: Annotated[str | None, typer.Option("--where", help="A filter, as in SQL.")] = None,
    output: Annotated[Format, typer.Option("--format", help="For a person, or for a program.")] = Format.table,
) -> None:
    """Find the clips that resemble a clip of the index."""
    _print_hits(_open(index, None).search(like=clip_id, k=k, where=where), output)


def info(
    index: Annotated[Path | None, typer.Argument(help="Index folder.")] = None,
    json_output: Annotated[bool, typer.Option("--json", help="One JSON object in place of the tables.")] = False,
) -> None:
    """Describe an index: its rows, model, size and columns."""
    from vidsearch.describe import describe, print_description

    described = describe(_open(index, None))
    if json_output:
        _print_json(described)
    else:
        print_description(described)


def command() -> typer.Typer:
    """Return the whole command: what is here, and what other packages bring under the entry points "vidsearch.commands"."""
    application = typer.Typer(
        name="vidsearch",
        help="Search large video data sets in plain sentences.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
    )
    for function in (query, similar, info):
        application.command()(function)
    for entry in sorted(entry_points(group="vidsearch.commands"), key=lambda entry: entry.name):
        try:
            loaded = entry.load()
        except Exception as error:  # whatever is wrong with one that is mounted, the others must work
            typer.echo(f"warning: the command {entry.name!r} cannot be loaded: {error}", err=True)
            continue
        if isinstance(loaded, typer.Typer):
            application.add_typer(loaded, name=entry.name)
        else:
            application.command(entry.name)(loaded)
    return application


def main() -> None:
    """Run the command; every error ends here, as one line and an exit code."""
    logging.basicConfig(format="warning: %(message)s", level=logging.WARNING)
    try:
        sys.exit(command()(standalone_mode=False) or 0)
    except VidsearchError as error:
        _fail(str(error), error.exit_code)
    except TyperException as error:  # a wrong option or argument; without any, the help
        message = error.format_message()
        _fail(message, error.exit_code) if "\n" not in message else _help(message)
    except (KeyboardInterrupt, typer.Abort):
        _fail("interrupted", EXIT_INTERRUPTED)
    except BrokenPipeError:  # `| head` closed the pipe: end quietly, as other commands do
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(EXIT_PIPE_CLOSED)
    except OSError as error:
        _fail(
            f"{error.strerror or error}: {error.filename}" if error.filename else str(error), EXIT_DISK_FULL if error.errno == ENOSPC else 2
        )


def _help(text: str) -> NoReturn:
    typer.echo(text)
    sys.exit(0)


def _fail(message: str, code: int) -> NoReturn:
    typer.echo(f"error: {message}", err=True)
    sys.exit(code)


def _open(path: Path | None, model: str | None) -> Index:
    from vidsearch.engine import open_index

    chosen = path or default_index()
    opened = open_index(chosen, model=model)
    if path is None:
        typer.echo(f"searching {opened.root}", err=True)
    return opened


def default_index() -> Path:
    """Return the index that a command without `--index` means."""
    from vidsearch.settings import read_settings
    from vidsearch.storage import manifest

    named = read_settings().index
    if named is not None:
        return named
    for candidate in (Path("shards/index"), Path("index"), Path()):
        if manifest.exists(candidate):
            return candidate
    raise NotAnIndexError("no index in ./shards/index, ./index or .; make one with `vidsearch index FOLDER`, or name one with --index")


def _print_hits(hits: Hits, output: Format) -> None:
    for reason in hits.skipped:
        typer.echo(f"warning: {reason}", err=True)
    if output is Format.table:
        from vidsearch.tables import print_hits

        print_hits(hits)
    elif output is Format.jsonl:
        for row in hits.to_json():
            _print_json(row)
    elif output is Format.csv:
        _print_csv(hits)
    else:
        for hit in hits:
            typer.echo(hit.clip_id)
    if hits.skipped:
        sys.exit(EXIT_PARTIAL)


def _print_json(value: object) -> None:
    import json

    typer.echo(json.dumps(value, ensure_ascii=False, default=str))


def _print_csv(hits: Hits) -> None:
    import csv

    rows = hits.to_json()
    if rows:
        writer = csv.DictWriter(sys.stdout, fieldnames=list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)

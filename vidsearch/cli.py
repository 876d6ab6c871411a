"""The `vidsearch` command. Results go to stdout; progress, choices made and warnings to stderr; `main` is the one error exit."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from errno import EDQUOT, ENOSPC
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer
from typer.exceptions import TyperException

from vidsearch.errors import NotAnIndexError, UsageError, VidsearchError

if TYPE_CHECKING:
    from vidsearch.client.remote import RemoteIndex
    from vidsearch.engine import Index

EXIT_PARTIAL = 3  # answered, but a damaged segment was left out
EXIT_DISK_FULL = 75
EXIT_INTERRUPTED = 130
EXIT_PIPE_CLOSED = 141

IndexOption = Annotated[
    Path | None, typer.Option("--index", help="Index folder. Without it: VIDSEARCH_INDEX, ./shards/index, ./index or .")
]
PlaceOption = Annotated[
    str | None, typer.Option("--index", help="Index folder, or where it is served: http://HOST:PORT. Without it: as for other commands.")
]
ModelOption = Annotated[str | None, typer.Option("--model", help="Where the query side finds its weights, if they have moved.")]
StrictOption = Annotated[bool, typer.Option("--strict", help="No answer where a damaged segment would be left out (exit 4).")]


class Format(StrEnum):
    """How hits are printed."""

    table = "table"
    jsonl = "jsonl"
    csv = "csv"
    ids = "ids"


def query(
    text: Annotated[
        list[str] | None, typer.Argument(help='What the clip shows, in a sentence; several with weights: "a dog" "a beach^0.5".')
    ] = None,
    index: PlaceOption = None,
    k: Annotated[int, typer.Option("-k", help="Number of clips, 1 to 1000.")] = 10,
    where: Annotated[str | None, typer.Option("--where", help="A filter, as in SQL: \"language = 'en' and aesthetic > 5\".")] = None,
    exclude: Annotated[list[str] | None, typer.Option("--not", help="A sentence to move away from; may be repeated.")] = None,
    like: Annotated[list[str] | None, typer.Option("--like", help="A clip id, picture, or video (#t=3,9 for a part) to resemble.")] = None,
    vector: Annotated[Path | None, typer.Option("--vector", help="A .npy file with a vector to search by.")] = None,
    up: Annotated[list[str] | None, typer.Option("--up", help="The id of a clip that is right; may be repeated.")] = None,
    down: Annotated[list[str] | None, typer.Option("--down", help="The id of a clip that is wrong; may be repeated.")] = None,
    then: Annotated[list[str] | None, typer.Option("--then", help="What happens later in the same video; may be repeated.")] = None,
    hybrid: Annotated[bool, typer.Option("--hybrid", help='Rank by captions\' words too; "quoted" ones must occur.')] = False,
    hybrid_weight: Annotated[
        float | None, typer.Option("--hybrid-weight", help="Add scores in place of ranks: 1 is vectors alone, 0 words alone.")
    ] = None,
    keyword: Annotated[bool, typer.Option("--keyword", help="Rank by the words of captions alone; no model is needed.")] = False,
    min_score: Annotated[float | None, typer.Option("--min-score", help="Least cosine (with --keyword: BM25).")] = None,
    per_video: Annotated[int | None, typer.Option("--per-video", help="Clips of one source video at most.")] = None,
    dedupe: Annotated[float | None, typer.Option("--dedupe", help="Fold clips as similar as that into the best one, such as 0.95.")] = None,
    diverse: Annotated[bool, typer.Option("--diverse", help="Vary the clips (maximal marginal relevance).")] = False,
    tradeoff: Annotated[float | None, typer.Option("--lambda", help="Of --diverse: 1 is relevance, 0 variety. [default: 0.5]")] = None,
    sort: Annotated[str | None, typer.Option("--sort", help='Show the k best in the order of a column: "aesthetic desc".')] = None,
    group: Annotated[str | None, typer.Option("--group", help='"video": k source videos with their best clips.')] = None,
    cursor: Annotated[str | None, typer.Option("--cursor", help="The next page, as the one before ends with.")] = None,
    recall: Annotated[float, typer.Option("--recall", help="Share of the true nearest clips to find on average.")] = 0.95,
    exact: Annotated[bool, typer.Option("--exact", help="Compare every clip that passes.")] = False,
    explain: Annotated[
        bool, typer.Option("--explain", help="Say on stderr how the answer was found (JSON unless --format table).")
    ] = False,
    queries: Annotated[
        Path | None, typer.Option("--queries", help="A file of queries: a sentence or a JSON object a line; other options count for all.")
    ] = None,
    output: Annotated[Format, typer.Option("--format", help="For a person, or for a program.")] = Format.table,
    strict: StrictOption = False,
    model: ModelOption = None,
) -> None:
    """Find the clips that a sentence describes."""
    from vidsearch import query_cli

    if hybrid and keyword:
        raise UsageError("--hybrid and --keyword exclude each other")
    asked = query_cli.Asked(
        text=text or [],
        like=like or [],
        vector=vector,
        options={
            **{"exclude": exclude, "up": up, "down": down, "then": then, "k": k, "where": where, "cursor": cursor},
            **{
                "mode": "keywords" if keyword else "hybrid" if hybrid or hybrid_weight is not None else None,
                "hybrid_weight": hybrid_weight,
            },
            **{"min_score": min_score, "per_video": per_video, "dedupe": dedupe, "sort": sort, "group": group},
            **{"diverse": query_cli.tradeoff_of(diverse, tradeoff), "recall": recall, "exact": exact},
        },
    )
    asking = asked.questions(queries)
    with opened(index, model, strict=strict) as found:
        skipped = query_cli.print_answers(found, asking, output.value, explain=explain, numbered=queries is not None)
    if skipped:
        sys.exit(EXIT_PARTIAL)


def similar(
    clip_id: Annotated[str, typer.Argument(help="A clip's id, as `query --format ids` prints it.")],
    index: PlaceOption = None,
    k: Annotated[int, typer.Option("-k", help="Number of clips, 1 to 1000.")] = 10,
    where: Annotated[str | None, typer.Option("--where", help="A filter, as in SQL.")] = None,
    output: Annotated[Format, typer.Option("--format", help="For a person, or for a program.")] = Format.table,
    strict: StrictOption = False,
) -> None:
    """Find the clips that resemble a clip of the index."""
    from vidsearch import query_cli
    from vidsearch.query import Query

    question = Query(like=(clip_id,), k=k, where=where)
    with opened(index, None, strict=strict) as found:
        skipped = query_cli.print_answers(found, [question], output.value)
    if skipped:
        sys.exit(EXIT_PARTIAL)


def info(
    index: Annotated[str | None, typer.Argument(help="Index folder, or where it is served: http://HOST:PORT.")] = None,
    json_output: Annotated[bool, typer.Option("--json", help="One JSON object in place of the tables.")] = False,
) -> None:
    """Describe an index: its rows, model, size and columns."""
    from vidsearch.describe import describe, print_description
    from vidsearch.engine import Index

    with opened(index, None) as found:
        described = describe(found) if isinstance(found, Index) else {"index": found.url, **found.info()}
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
        message = f"{error.strerror or error}: {error.filename}" if error.filename else str(error)
        _fail(message, EXIT_DISK_FULL if error.errno in (ENOSPC, EDQUOT) else 2)


def _help(text: str) -> NoReturn:
    typer.echo(text)
    sys.exit(0)


def _fail(message: str, code: int) -> NoReturn:
    typer.echo(f"error: {message}", err=True)
    sys.exit(code)


@contextmanager
def opened(place: str | None, model: str | None, *, strict: bool = False) -> Iterator[Index | RemoteIndex]:
    """Open what `--index` names, a folder or the address of a service, for as long as a block lasts."""
    if place is not None and "://" in place and not place.startswith(("s3://", "gs://")):
        from vidsearch.client.remote import connect

        if model is not None or strict:
            raise UsageError("--model and --strict belong to the service; give them to `vidsearch serve`")
        with connect(place) as remote:
            yield remote
        return
    from vidsearch.engine import open_index

    index = open_index(default_index() if place is None else place, model=model, strict=strict)
    if place is None:
        typer.echo(f"searching {index.root}", err=True)
    yield index


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


def _print_json(value: object) -> None:
    import json

    typer.echo(json.dumps(value, ensure_ascii=False, default=str))

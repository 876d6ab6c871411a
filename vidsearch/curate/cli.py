"""Commands for whoever makes a data set of a corpus: export, replay, diff, dedup, count."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vidsearch.cli import IndexOption, ModelOption, PlaceOption, default_index, opened
from vidsearch.errors import UsageError

if TYPE_CHECKING:
    from vidsearch.curate.export import Exported
    from vidsearch.curate.recipe import Subset
    from vidsearch.engine import Index

EXIT_DIFFERENT = 1
REPORT_S = 5.0

WhereOption = Annotated[str | None, typer.Option("--where", help="A filter, as in SQL: \"language = 'en' and aesthetic > 5\".")]
OutOption = Annotated[Path, typer.Option("-o", "--out", help="The file to write; it must not be there yet.")]
MediaOption = Annotated[Path | None, typer.Option("--media-root", help="Folder of the video files, for webdataset.")]


class ExportFormat(StrEnum):
    """What an export is written as."""

    parquet = "parquet"
    csv = "csv"
    jsonl = "jsonl"
    webdataset = "webdataset"
    ids = "ids"
    internvid = "internvid"


class DiffFormat(StrEnum):
    """How a difference is printed."""

    summary = "summary"
    ids = "ids"
    jsonl = "jsonl"


def export(
    out: Annotated[str, typer.Option("-o", "--out", help="The file to write, which must not be there yet; with --to, the store's place.")],
    text: Annotated[list[str] | None, typer.Argument(help="What the clips show. Without it: all that pass the filter, in order.")] = None,
    form: Annotated[ExportFormat | None, typer.Option("--format", help="Of the file. [default: parquet]")] = None,
    store: Annotated[
        str | None, typer.Option("--to", help="A vector store in place of a file, at --out: qdrant, lancedb or milvus.")
    ] = None,
    collection: Annotated[
        str | None, typer.Option("--collection", help="Of the vector store; it must not be there yet. [default: clips]")
    ] = None,
    index: IndexOption = None,
    where: WhereOption = None,
    top: Annotated[int | None, typer.Option("--top", help="So many of the best.")] = None,
    min_score: Annotated[float | None, typer.Option("--min-score", help="All from this cosine on.")] = None,
    exclude: Annotated[list[str] | None, typer.Option("--not", help="A sentence to move away from; may be repeated.")] = None,
    like: Annotated[list[str] | None, typer.Option("--like", help="A clip id, picture or video to resemble; may be repeated.")] = None,
    vector: Annotated[Path | None, typer.Option("--vector", help="A .npy file with a vector to rank by.")] = None,
    up: Annotated[list[str] | None, typer.Option("--up", help="The id of a clip that is right; may be repeated.")] = None,
    down: Annotated[list[str] | None, typer.Option("--down", help="The id of a clip that is wrong; may be repeated.")] = None,
    per_video: Annotated[int | None, typer.Option("--per-video", help="Clips of one source video at most.")] = None,
    dedupe: Annotated[float | None, typer.Option("--dedupe", help="Fold clips as similar as that into the best one, such as 0.95.")] = None,
    sample: Annotated[int | None, typer.Option("--sample", help="So many of these, drawn at random.")] = None,
    seed: Annotated[int, typer.Option("--seed", help="Of the sample.")] = 0,
    media_root: MediaOption = None,
    model: ModelOption = None,
) -> None:
    """Write a whole subset to a file, with a recipe to make it again, or to a vector store."""
    from vidsearch.curate.recipe import Subset
    from vidsearch.query_cli import Asked

    ranking = {"exclude": exclude, "up": up, "down": down, "min_score": min_score, "per_video": per_video, "dedupe": dedupe}
    if text or like or vector or up:
        (query,) = Asked(text or [], like or [], vector, {**ranking, "where": where}).questions(None)
    elif any(value is not None for value in ranking.values()):
        raise UsageError("these options shape a ranking; give a sentence, --like or --vector to rank by")
    else:
        query = None
    subset = Subset(query, where if query is None else None, top, sample, seed)
    if store is not None:
        if form is not None or media_root is not None:
            raise UsageError("--format and --media-root are for files; a vector store takes all columns")
        _export_to_store(open_corpus(index, model), subset, store, out, collection or "clips")
        return
    if collection is not None:
        raise UsageError("--collection names one of a vector store; say which store with --to")
    path = Path(out)
    _tell(_export(open_corpus(index, model), subset, path, (form or ExportFormat.parquet).value, media_root), path)


def replay(
    recipe: Annotated[Path, typer.Argument(help="FILE.recipe.json, or a Parquet file or an archive from the page, which hold theirs.")],
    out: OutOption,
    index: Annotated[Path | None, typer.Option("--index", help="Index folder. Without it: the one the recipe names.")] = None,
    media_root: MediaOption = None,
    model: ModelOption = None,
) -> None:
    """Make an export again, and say whether it holds the same clips; exit 1 if it does not."""
    from vidsearch.curate.recipe import differences, read_recipe

    known = read_recipe(recipe)
    found = open_corpus(index or Path(str(known.index.get("path"))), model)
    for line in differences(known, found):
        typer.echo(f"note: {line}", err=True)
    done = _export(found, known.subset, out, known.format, media_root)
    _tell(done, out)
    if done.ids_sha256 != known.ids_sha256:
        typer.echo(f"not the same clips: the recipe's export had {known.rows:,}; see which with: vidsearch diff")
        sys.exit(EXIT_DIFFERENT)
    typer.echo(f"the same {known.rows:,} clips in the same order")


def diff(
    a: Annotated[Path, typer.Argument(help="An export, its recipe, or a file with an id a line.")],
    b: Annotated[Path, typer.Argument(help="Another.")],
    output: Annotated[
        DiffFormat, typer.Option("--format", help="ids: < before those only in A, > before those only in B.")
    ] = DiffFormat.summary,
) -> None:
    """Compare two exports by clip id; exit 1 if they differ."""
    from vidsearch.curate.compare_exports import compare_exports

    found = compare_exports(a, b)
    if output is DiffFormat.summary:
        order = "; those in both come in another order" if found.reordered else ""
        typer.echo(f"only in A: {len(found.only_a):,}; only in B: {len(found.only_b):,}; in both: {len(found.both):,}{order}")
    elif output is DiffFormat.ids:
        for mark, names in (("<", found.only_a), (">", found.only_b)):
            for name in names:
                typer.echo(f"{mark} {name}")
    else:
        import json

        for place, names in (("A", found.only_a), ("B", found.only_b), ("both", found.both)):
            for name in names:
                typer.echo(json.dumps({"clip_id": name, "in": place}, ensure_ascii=False))
    if found.only_a or found.only_b:
        sys.exit(EXIT_DIFFERENT)


def dedup(
    index: IndexOption = None,
    threshold: Annotated[float, typer.Option("--threshold", help="Cosine from which two clips count as the same.")] = 0.95,
    write: Annotated[
        str | None, typer.Option("--write", help="A column to write: the id of the clip that stands for each, or null.")
    ] = None,
    seed: Annotated[int, typer.Option("--seed", help="Of the lists that many clips are compared within.")] = 0,
) -> None:
    """Find the near-duplicates of the whole index."""
    from vidsearch.curate.near_duplicates import find_near_duplicates, write_duplicates
    from vidsearch.storage.rewrite import check_name

    found = open_corpus(index, None)
    if write is not None:
        check_name(write, found.manifest, found.segments)
    with progress_line("compared", len(found)) as report:
        duplicates = find_near_duplicates(found, threshold, seed=seed, progress=report)
    spare = len(duplicates.spare)
    typer.echo(
        f"{duplicates.groups:,} groups of near-duplicates with {len(duplicates.members):,} of {len(found):,} clips; {spare:,} could go"
    )
    if write is not None:
        version = write_duplicates(found, duplicates, write)
        typer.echo(f'written to column {write} in version {version}; leave them out with: --where "{write} is null"')


def count(
    text: Annotated[str | None, typer.Argument(help="What the clips show; without it, those that pass the filter are counted.")] = None,
    index: PlaceOption = None,
    where: WhereOption = None,
    min_score: Annotated[float | None, typer.Option("--min-score", help="Count those from this cosine on, exactly.")] = None,
    label: Annotated[int | None, typer.Option("--label", min=20, max=10_000, help="Look at so many clips, drawn by score.")] = None,
    labels: Annotated[
        Path | None, typer.Option("--labels", help="A CSV file for them: written where it is not there, read once it is filled in.")
    ] = None,
    seed: Annotated[int, typer.Option("--seed", help="Of the sample to look at.")] = 0,
    json_output: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
    model: ModelOption = None,
) -> None:
    """Count the clips that pass a filter, or estimate how many show something."""
    from vidsearch.curate.count_cli import print_estimate

    labelling = label is not None or labels is not None
    if labelling and (text is None or min_score is not None):
        raise UsageError("--label and --labels look at clips for a sentence; give one, and leave --min-score out")
    if index is not None and index.startswith(("http://", "https://")):
        if text is not None and min_score is None:
            raise UsageError("an estimate reads the index itself; of a service, count with --min-score or without a sentence")
        with opened(index, model) as found:
            rows = found.count(text, where=where, min_score=min_score).rows
    elif text is not None and min_score is None:
        print_estimate(lambda: open_corpus(index, model), text, where, label, labels, seed=seed, as_json=json_output)
        return
    else:
        rows = open_corpus(index, model).count(text, where=where, min_score=min_score).rows
    typer.echo(f'{{"rows": {rows}}}' if json_output else rows)


def open_corpus(path: str | Path | None, model: str | None) -> Index:
    """Open an index, and warn of what of it is damaged."""
    from vidsearch.engine import open_index

    opened = open_index(default_index() if path is None else path, model=model)
    for reason in opened.skipped:
        typer.echo(f"warning: {reason}", err=True)
    return opened


def _export(index: Index, subset: Subset, out: Path, form: str, media_root: Path | None) -> Exported:
    from vidsearch.curate.recipe import export as write_export

    if media_root is not None and (form != "webdataset" or not media_root.is_dir()):
        raise UsageError(f"--media-root {media_root} must be a folder, and goes with --format webdataset")
    done, _ = write_export(index, subset, out, form, media_root=media_root)
    return done


def _export_to_store(index: Index, subset: Subset, store: str, place: str, collection: str) -> None:
    from vidsearch.curate.store_export import export_to_store
    from vidsearch.settings import read_settings

    done = export_to_store(index, subset, store, place, collection=collection, token=read_settings().store_token)
    typer.echo(f"{done.rows:,} clips written to collection {collection} of {place}; ask it with the inner product (dot)", err=True)


def _tell(done: Exported, out: Path) -> None:
    of = "rows" if "named by their file" in done.media else "videos"
    media = "".join(f", {number:,} {of} {what}" for what, number in sorted(done.media.items(), reverse=True))
    typer.echo(f"{done.rows:,} clips written to {out}{media}; recipe: {out}.recipe.json", err=True)


@contextmanager
def progress_line(word: str, total: int) -> Iterator[Callable[[int], None]]:
    """Give a function that shows on stderr how many rows are done: a line now and then on a terminal, nothing elsewhere."""
    shown = time.monotonic()

    def show(done: int) -> None:
        nonlocal shown
        if sys.stderr.isatty() and time.monotonic() - shown > REPORT_S:
            shown = time.monotonic()
            typer.echo(f"{done:,} of {total:,} clips {word}", err=True)

    yield show

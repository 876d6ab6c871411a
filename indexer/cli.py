"""The `index` and `demo` commands."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vidsearch.errors import InputNotFoundError, UsageError

if TYPE_CHECKING:
    from indexer.summary import Summary

EXIT_INTERRUPTED = 130
QUIET_REPORT_S = 10.0  # without a terminal, a line of progress this often


def index(
    shards: Annotated[
        Path, typer.Argument(help="A folder with videos, or with InternVid rows (.jsonl, .parquet) and the clips they name.")
    ],
    out: Annotated[Path | None, typer.Option("--out", help="Where the index goes. [default: SHARDS/index]")] = None,
    metadata: Annotated[Path | None, typer.Option("--metadata", help="The file of rows, if it lies elsewhere.")] = None,
    videos: Annotated[Path | None, typer.Option("--videos", help="The folder of the videos, if it is another.")] = None,
    model: Annotated[str | None, typer.Option("--model", help="A checkpoint file or a name from `vidsearch models list`.")] = None,
    preset: Annotated[
        str | None, typer.Option("--preset", help="How clips become pixels: eval, demo or vbench (ViCLIP). [default: eval]")
    ] = None,
    precision: Annotated[str, typer.Option("--precision", help="auto, float32 or bfloat16.")] = "auto",
    device: Annotated[str, typer.Option("--device", help="auto, cpu or cuda.")] = "auto",
    decoder: Annotated[str, typer.Option("--decoder", help="pyav or decord.")] = "pyav",
    workers: Annotated[int, typer.Option("--workers", min=1, help="Decode processes.")] = max(1, (os.cpu_count() or 2) - 1),
    index_factory: Annotated[
        str | None, typer.Option("--index-factory", help="A FAISS factory string in place of the sizes chosen here.")
    ] = None,
    seed: Annotated[int, typer.Option("--seed", help="Of the training of the codes.")] = 0,
    vectors: Annotated[
        Path | None,
        typer.Option("--vectors", help="Vectors made elsewhere (.npy, .parquet) in place of videos; SHARDS is then the index folder."),
    ] = None,
    vector_column: Annotated[
        str | None, typer.Option("--vector-column", help="Which column of a Parquet file holds them. [default: vector or embedding]")
    ] = None,
    queries: Annotated[
        Path | None, typer.Option("--queries", help="Vectors of texts such as will be asked (.npy), to train and calibrate --vectors with.")
    ] = None,
) -> None:
    """Index the clips of a folder, or vectors made elsewhere; run it again to add what is new."""
    if vectors is not None:
        _index_vectors(
            vectors,
            out or shards,
            metadata=metadata,
            column=vector_column,
            queries=queries,
            model=model,
            preset=preset,
            factory=index_factory,
            seed=seed,
        )
        return
    if vector_column is not None or queries is not None:
        raise UsageError("--vector-column and --queries go with --vectors FILE")
    from indexer.models import choose_model
    from indexer.pipeline import build
    from indexer.sources import find_sources
    from vidsearch.encoders import load_encoder

    share_cores()
    root = out or shards / "index"
    find_sources(shards, metadata=metadata, videos=videos)  # fail before the model is loaded
    if model is None:
        model, made_with, why = choose_model(root)
        preset = preset or made_with
        typer.echo(why, err=True)
    encoder = load_encoder(model, device=device, precision=precision, preset=preset)
    with _progress() as report, _interruptible():
        summary = build(
            shards,
            root,
            encoder=encoder,
            metadata=metadata,
            videos=videos,
            decoder=decoder,
            workers=workers,
            index_factory=index_factory,
            seed=seed,
            progress=report,
        )
    _finish(summary, root)


def _index_vectors(
    file: Path,
    out: Path,
    *,
    metadata: Path | None,
    column: str | None,
    queries: Path | None,
    model: str | None,
    preset: str | None,
    factory: str | None,
    seed: int,
) -> None:
    from indexer.vectors import build_from_vectors, read_queries
    from vidsearch.encoders import load_encoder
    from vidsearch.storage import manifest as manifests

    share_cores()
    if not file.is_file():  # fail before the model is loaded
        raise InputNotFoundError(f"no file of vectors {file}")
    root = out if manifests.exists(out) or not manifests.exists(out / "index") else out / "index"
    asked = None if queries is None else read_queries(queries)
    encoder = None if model is None else load_encoder(model, device="cpu", precision="float32", preset=preset)
    with _progress() as report, _interruptible():
        summary = build_from_vectors(
            file,
            root,
            metadata=metadata,
            vector_column=column,
            space=None if encoder is None else encoder.space,
            encode_texts=None if encoder is None else encoder.encode_texts,
            queries=asked,
            index_factory=factory,
            seed=seed,
            progress=report,
        )
    _finish(summary, root)


def _finish(summary: Summary, root: Path) -> None:
    print_summary(summary, root)
    if summary.interrupted:
        typer.echo("interrupted; what is counted above is kept, and the same command goes on from there", err=True)
        sys.exit(EXIT_INTERRUPTED)


def share_cores() -> None:
    """Let torch's threads sleep while they wait; call it before torch is loaded. Spinning, they starve the decode processes."""
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def print_summary(summary: Summary, out: Path) -> None:
    """Print what was indexed, what was not and why, and where the time went."""
    from vidsearch.tables import visible

    per_s = summary.indexed / summary.wall_s if summary.wall_s else 0.0
    typer.echo(f"{summary.indexed:,} clips indexed in {summary.wall_s:,.1f} s ({per_s:,.1f} clips/s); {out} holds {summary.rows:,}")
    if summary.already or summary.duplicates:
        typer.echo(f"{summary.already:,} were there already, {summary.duplicates:,} rows were duplicates")
    for reason, number in summary.skipped.most_common():
        examples = summary.examples.get(reason, [])
        typer.echo(f"skipped {number:,}: {reason}" + ("" if examples else " (known from an earlier run; retried when the file changes)"))
        for example in examples:
            typer.echo(f"  {visible(example)}")
        if examples and number > len(examples):
            typer.echo(f"  and {number - len(examples):,} more; all are in {out}/segments/*/quarantine.parquet")
    if summary.left_out:
        typer.echo(f"{summary.left_out:,} video files that no row names were left out")
    spent = f"decoding {summary.decode_s:,.1f} s, embedding {summary.embed_s:,.1f} s, writing {summary.write_s:,.1f} s"
    size = f"{summary.size_bytes / max(1, summary.rows):,.0f} bytes a clip"
    kind = "exact search (few clips: every vector is compared)" if summary.index_kind == "flat" else "IVF-PQ with exact re-ranking"
    typer.echo(f"{spent}; {size}; {kind}")


@contextmanager
def _progress() -> Iterator[Callable[[Summary], None]]:
    """Give a function that shows a summary as it grows: a bar on a terminal, a line now and then elsewhere; both on stderr."""
    if not sys.stderr.isatty():
        yield _line_reporter()
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("clips  {task.fields[rate]}"), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("index", total=None, rate="")
        started = time.monotonic()

        def show(summary: Summary) -> None:
            done = _done(summary)
            bar.update(task, total=summary.planned, completed=done, rate=f"{done / (time.monotonic() - started):.1f}/s")

        yield show


def _line_reporter() -> Callable[[Summary], None]:
    started = shown = time.monotonic()

    def show(summary: Summary) -> None:
        nonlocal shown
        now = time.monotonic()
        if now - shown < QUIET_REPORT_S:
            return
        shown = now
        rate = _done(summary) / (now - started)
        left = f"{(summary.planned - _done(summary)) / rate:,.0f} s left" if rate else "waiting for the first clip"
        typer.echo(f"{_done(summary):,} of {summary.planned:,} clips, {rate:.1f}/s, {left}", err=True)

    return show


def _done(summary: Summary) -> int:
    return min(summary.planned, summary.indexed + summary.failed)


@contextmanager
def _interruptible() -> Iterator[None]:
    """Let SIGTERM end a build as Ctrl-C does: what is embedded gets committed."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)

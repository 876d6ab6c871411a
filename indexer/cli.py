"""The `index` and `demo` commands."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vidsearch.errors import InputNotFoundError, UsageError

if TYPE_CHECKING:
    from indexer.shards import Shard
    from indexer.summary import Summary

EXIT_INTERRUPTED = 130
HOUR_S = 3600.0


class Source(StrEnum):
    """What vectors are made of."""

    videos = "videos"
    captions = "captions"


def index(
    shards: Annotated[
        Path,
        typer.Argument(help="A folder with videos, tar or zip archives of them, or rows (JSON, CSV, Parquet) and the clips they name."),
    ],
    out: Annotated[Path | None, typer.Option("--out", help="Where the index goes. [default: index, in or beside SHARDS]")] = None,
    metadata: Annotated[Path | None, typer.Option("--metadata", help="The file of rows, if it lies elsewhere.")] = None,
    videos: Annotated[Path | None, typer.Option("--videos", help="The folder of the videos, if it is another.")] = None,
    source_of_vectors: Annotated[
        Source, typer.Option("--from", help="captions: rows whose video is not there are indexed by their caption until it is.")
    ] = Source.videos,
    split: Annotated[str, typer.Option("--split", help="How to cut videos that no row describes: scenes, window:5s or none.")] = "scenes",
    max_quarantine: Annotated[
        str | None, typer.Option("--max-quarantine", help="Stop when more of the clips fail than this, such as 5%. [default: never]")
    ] = None,
    model: Annotated[str | None, typer.Option("--model", help="A checkpoint file or a name from `vidsearch models list`.")] = None,
    preset: Annotated[
        str | None, typer.Option("--preset", help="How clips become pixels: eval, demo or vbench (ViCLIP). [default: eval]")
    ] = None,
    precision: Annotated[str, typer.Option("--precision", help="auto, float32 or bfloat16.")] = "auto",
    device: Annotated[str, typer.Option("--device", help="auto, cpu or cuda.")] = "auto",
    decoder: Annotated[str, typer.Option("--decoder", help="pyav or decord.")] = "pyav",
    workers: Annotated[
        int | None, typer.Option("--workers", min=1, help="Decode processes beside each encoder. [default: the cores but one]")
    ] = None,
    index_factory: Annotated[
        str | None, typer.Option("--index-factory", help="A FAISS factory string in place of the sizes chosen here.")
    ] = None,
    seed: Annotated[int, typer.Option("--seed", help="Of the training of the codes.")] = 0,
    grace: Annotated[float, typer.Option("--grace", min=0, help="Hours for which replaced files are kept; 0 if nobody else reads.")] = 24.0,
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
    executor: Annotated[str, typer.Option("--executor", help="local (this process), or ray (a cluster).")] = "local",
    address: Annotated[
        str | None, typer.Option("--address", help="Of a Ray cluster: auto, HOST:PORT or ray://HOST:PORT. [default: Ray on this machine]")
    ] = None,
    shard: Annotated[
        str | None, typer.Option("--shard", help="Do part I/N of the work, from 0/N to N-1/N; `vidsearch commit` joins the parts.")
    ] = None,
    job_clips: Annotated[int | None, typer.Option("--job-clips", help="Clips of a job, with ray or --shard. [default: about 256]")] = None,
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
            grace_s=grace * HOUR_S,
        )
        return
    if vector_column is not None or queries is not None:
        raise UsageError("--vector-column and --queries go with --vectors FILE")
    from indexer.executors.base import Order
    from indexer.live import shown
    from indexer.models import choose_model
    from indexer.shards import build_shard
    from indexer.shots import parse_split
    from indexer.sources import find_sources
    from vidsearch.encoders import load_encoder
    from vidsearch.registry import plugin
    from vidsearch.storage.address import address_of, is_remote

    share_cores()
    part, done_by = _check_executor(executor, address=address, shard=shard, job_clips=job_clips), plugin("indexer.executors", executor)
    if is_remote(shards) and out is None:
        raise UsageError(f"{address_of(shards)}: where is the index to go? Give --out FOLDER, or --out s3://BUCKET/PATH")
    root = out or (shards.parent if shards.is_file() else shards) / "index"
    far = root if is_remote(root) else None
    if far is not None:
        root = copy_of(far, alone=executor == "local" and part is None)
    most = None if max_quarantine is None else parse_share(max_quarantine)
    parse_split(split)  # fail before the model is loaded
    if not (is_remote(shards) or (videos is not None and is_remote(videos))):
        find_sources(shards, metadata=metadata, videos=videos)
    if model is None:
        model, made_with, why = choose_model(root)
        preset = preset or made_with
        typer.echo(why, err=True)
    order = Order(
        shards,
        root,
        model=model,
        preset=preset,
        precision=precision,
        device=device,
        metadata=metadata,
        videos=videos,
        from_captions=source_of_vectors is Source.captions,
        split=split,
        decoder=decoder,
        workers=workers,
        index_factory=index_factory,
        seed=seed,
        max_quarantine=most,
        grace_s=grace * HOUR_S,
        job_clips=job_clips,
        address=address,
    )
    here = "cpu" if executor == "ray" else device  # the driver encodes nothing but texts
    encoder = load_encoder(model, device=here, precision=precision if here == device else "auto", preset=preset)
    with shown() as report, _interruptible():
        summary = done_by.build(order, encoder, report) if part is None else build_shard(order, part, encoder, report)
    _finish(summary, root, part, far)


def copy_of(far: Path, *, alone: bool) -> Path:
    """Return the folder in which an index for object storage is built here, with what is there already."""
    from vidsearch.errors import NotAnIndexError
    from vidsearch.settings import read_settings
    from vidsearch.storage.address import address_of, fetch, folder_of

    if not alone:
        raise UsageError(f"--out {address_of(far)}: parts and clusters write to a disk that all share; upload the index when it is whole")
    cache = read_settings().cache
    try:
        return fetch(far, cache)
    except NotAnIndexError:
        return folder_of(far, cache)


def _check_executor(executor: str, *, address: str | None, shard: str | None, job_clips: int | None) -> Shard | None:
    """Return the part that is asked for; options that do not go together raise UsageError."""
    from indexer.shards import Shard

    if address is not None and executor != "ray":
        raise UsageError(f"--address {address} goes with --executor ray")
    if shard is not None and executor != "local":
        raise UsageError(f"--shard needs no executor: each part is done in one process; leave out --executor {executor}")
    if job_clips is not None and executor == "local" and shard is None:
        raise UsageError(f"--job-clips {job_clips} goes with --executor ray or --shard: one process alone makes no jobs")
    return None if shard is None else Shard.parse(shard)


def parse_share(text: str) -> float:
    """Read a share such as "5%" or "0.05"; anything not within 0 to 1 raises UsageError."""
    try:
        share = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        share = -1.0
    if not 0 <= share <= 1:
        raise UsageError(f"--max-quarantine {text!r} is not a share; give one such as 5% or 0.05")
    return share


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
    grace_s: float,
) -> None:
    from indexer.live import shown
    from indexer.vectors import build_from_vectors, read_queries
    from vidsearch.encoders import load_encoder
    from vidsearch.storage import manifest as manifests

    share_cores()
    if not file.is_file():  # fail before the model is loaded
        raise InputNotFoundError(f"no file of vectors {file}")
    root = out if manifests.exists(out) or not manifests.exists(out / "index") else out / "index"
    asked = None if queries is None else read_queries(queries)
    encoder = None if model is None else load_encoder(model, device="cpu", precision="float32", preset=preset)
    with shown() as report, _interruptible():
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
            grace_s=grace_s,
            progress=report,
        )
    _finish(summary, root)


def _finish(summary: Summary, root: Path, part: Shard | None = None, far: Path | None = None) -> None:
    if part is None:
        print_summary(summary, root)
    else:
        print_done(summary, root, f"part {part.number}/{part.of} is ready")
        typer.echo(f"when all parts are: vidsearch commit {root}")
    if summary.interrupted:
        typer.echo("interrupted; what is counted above is kept, and the same command goes on from there", err=True)
        sys.exit(EXIT_INTERRUPTED)
    if far is not None:
        from vidsearch.storage.address import address_of
        from vidsearch.storage.bucket import upload

        typer.echo(f"{upload(root, far) / 1e6:,.1f} MB uploaded to {address_of(far)}")


def share_cores() -> None:
    """Let torch's threads sleep while they wait; call it before torch is loaded. Spinning, they starve the decode processes."""
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def print_summary(summary: Summary, out: Path) -> None:
    """Print what was indexed, what was not and why, and where the time went."""
    print_done(summary, out, f"{out} holds {summary.rows:,}")
    spent = f"decoding {summary.decode_s:,.1f} s, embedding {summary.embed_s:,.1f} s, writing {summary.write_s:,.1f} s"
    size = f"{summary.size_bytes / max(1, summary.rows):,.0f} bytes a clip"
    kind = "exact search (few clips: every vector is compared)" if summary.index_kind == "flat" else "IVF-PQ with exact re-ranking"
    typer.echo(f"{spent}; {size}; {kind}")


def print_done(summary: Summary, out: Path, state: str) -> None:
    """Print what was indexed, and what was not and why."""
    from vidsearch.storage.quarantine import DELETED
    from vidsearch.tables import visible

    per_s = summary.indexed / summary.wall_s if summary.wall_s else 0.0
    typer.echo(f"{summary.indexed:,} clips indexed in {summary.wall_s:,.1f} s ({per_s:,.1f} clips/s); {state}")
    if summary.by_caption:
        typer.echo(f"{summary.by_caption:,} of them by their caption alone; when a video is there, the same command replaces its vectors")
    if summary.already or summary.duplicates:
        typer.echo(f"{summary.already:,} were there already, {summary.duplicates:,} rows were duplicates")
    for reason, number in summary.skipped.most_common():
        examples = summary.examples.get(reason, [])
        waits = "taken back by `vidsearch quarantine retry`" if reason == DELETED else "retried when the file changes"
        known = f"known from an earlier run; {waits}"
        typer.echo(f"skipped {number:,}: {reason}" + ("" if examples else f" ({known})"))
        for example in examples:
            typer.echo(f"  {visible(example)}")
        if examples and number > len(examples):
            typer.echo(f"  and {number - len(examples):,} more; all of them: vidsearch quarantine --index {out}")
    if summary.left_out:
        typer.echo(f"{summary.left_out:,} video files that no row names were left out")


@contextmanager
def _interruptible() -> Iterator[None]:
    """Let SIGTERM end a build as Ctrl-C does: what is embedded gets committed."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)

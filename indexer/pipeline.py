"""Videos to index: read rows → plan jobs → decode → embed → write segments → fold small segments together.

Decoding runs in worker processes that fill a ring of slots, embedding in a thread, so the slower of the two sets the pace.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from indexer.fold import fold, index_kind
from indexer.jobs import Clip, KnownBad, bad_row_id, plan_work
from indexer.readers.base import BadRow
from indexer.run import Run
from indexer.sources import find_sources, read_rows
from indexer.summary import Summary
from indexer.workers import DecodePool
from vidsearch.encoders.base import Encoder
from vidsearch.engine import Index, open_index
from vidsearch.errors import SpaceMismatchError
from vidsearch.storage import manifest as manifests


def build(
    source: str | Path,
    out: str | Path,
    *,
    encoder: Encoder,
    metadata: str | Path | None = None,
    videos: str | Path | None = None,
    decoder: str = "pyav",
    workers: int = 1,
    index_factory: str | None = None,
    seed: int = 0,
    progress: Callable[[Summary], None] = lambda summary: None,
) -> Summary:
    """Index the clips of a folder that are not indexed yet, and return what was done.

        build("clips/", "shards/index", encoder=vidsearch.load_encoder("ViCLIP-L-14.safetensors"))

    Args:
        source: a folder with video files, or with InternVid rows and the clips they name.
        out: the index folder; made if it is not there.
        encoder: makes the vectors; an index takes those of one model and preset only.
        metadata: the file of rows, when it is not found in `source`.
        videos: the folder of the video files, when it is not `source`.
        decoder: a plug-in of vidsearch.decoders.
        workers: decode processes.
        index_factory: a FAISS factory string in place of the sizes chosen from the number of clips.
        seed: of the template's training.
        progress: called after each clip and each idle moment.

    Raises:
        InputNotFoundError, UsageError: there is nothing to index, or it cannot be read.
        SpaceMismatchError: the index at `out` was made with another model or preset.
    """
    started = time.monotonic()
    root = Path(out)
    sources = find_sources(Path(source), metadata=metadata, videos=videos)
    index = _open_or_create(root, encoder)
    work = plan_work(read_rows(sources), videos=sources.videos, indexed=_indexed(index), quarantined=_quarantined(index))
    run = Run(root, sources.videos, encoder, decoder, progress)
    summary = run.summary
    summary.planned, summary.already, summary.duplicates = work.clips, work.already, work.duplicates
    summary.left_out = sum(1 for video in sources.list_videos() if video not in work.videos) if sources.files else 0
    summary.skipped.update(work.known_bad)
    for row in work.bad:
        run.skip(_bad_record(row))
    for clip in work.missing:
        run.skip(_missing_record(clip))
    try:
        with DecodePool(encoder.preset, workers=workers, decoder=decoder) as pool:
            run.jobs(pool, work.jobs)
    except KeyboardInterrupt:
        summary.interrupted = True
        run.collect()
    finally:
        run.thread.shutdown()
        run.commit()  # whatever went wrong, what was embedded is kept
    if not summary.interrupted:
        timer = time.perf_counter()
        fold(root, index_factory=index_factory, seed=seed, encode_texts=encoder.encode_texts)
        summary.write_s += time.perf_counter() - timer
    final = open_index(root)
    summary.rows, summary.size_bytes, summary.index_kind = len(final), final.size_bytes, index_kind(final)
    summary.wall_s = time.monotonic() - started
    return summary


def _open_or_create(root: Path, encoder: Encoder) -> Index:
    if not manifests.exists(root):
        manifests.create(root, encoder.space)
    index = open_index(root)
    if index.space.id != encoder.space.id:
        raise SpaceMismatchError(
            f"{root} holds vectors of {index.space.model}, preset {index.space.preset.name} (space {index.space.id[:12]}); "
            f"{encoder.space.model}, preset {encoder.preset.name} ({encoder.space.id[:12]}) cannot be added; give --out another folder"
        )
    return index


def _indexed(index: Index) -> set[str]:
    return {name for segment in index.segments for name in segment.read_columns(["clip_id"])["clip_id"].to_pylist()}


def _quarantined(index: Index) -> dict[str, KnownBad]:
    known = {}
    for segment in index.segments:
        for row in segment.quarantine().select(["clip_id", "reason", "size_bytes", "mtime_ns"]).to_pylist():
            name = row.pop("clip_id")
            known[name] = KnownBad(**row)
    return known


def _bad_record(row: BadRow) -> dict[str, Any]:
    place = {"clip_id": bad_row_id(row), "video": row.video}
    return {**place, "reason": row.reason, "detail": row.detail[:500], "size_bytes": 0, "mtime_ns": 0}


def _missing_record(clip: Clip) -> dict[str, Any]:
    place = {"clip_id": clip.id, "video": clip.video, "start_s": None, "end_s": None}
    return {**place, "reason": "NOT_FOUND", "detail": f"no video {clip.video}", "size_bytes": 0, "mtime_ns": 0}

"""Videos to index: read rows → plan jobs → decode → embed → write segments → fold small segments together.

Each stage is a generator or a plain function; `build` joins them. Decoding runs in worker processes and fills a ring of slots while this
process embeds, so the slower of the two sets the pace.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from indexer.fold import fold, index_kind
from indexer.jobs import Job, KnownBad, WorkList, bad_row_id, clip_id, file_state, plan_work
from indexer.readers.base import BadRow, ClipRow
from indexer.rows import clips_table, quarantine_table
from indexer.sources import Sources, find_sources, read_rows
from indexer.workers import ClipFailure, ClipPixels, DecodePool, JobDone, VideoJob
from vidsearch.decoders.base import Span
from vidsearch.encoders.base import Encoder
from vidsearch.engine import Index, open_index
from vidsearch.errors import SpaceMismatchError
from vidsearch.registry import plugin
from vidsearch.storage import manifest as manifests
from vidsearch.storage import segment as segments

SEGMENT_ROWS = 65_536  # a segment is committed when it is this large, or this old:
COMMIT_EVERY_S = 60.0  # so a crash or Ctrl-C costs at most a minute of work
BATCH_CLIPS = {"cpu": 8, "cuda": 64}


@dataclass
class Summary:
    """What a run did; the command prints it, and progress is shown from it while it grows."""

    planned: int = 0
    indexed: int = 0
    already: int = 0
    duplicates: int = 0
    videos_left_out: int = 0
    skipped: Counter[str] = field(default_factory=Counter)
    examples: dict[str, str] = field(default_factory=dict)
    decode_s: float = 0.0
    embed_s: float = 0.0
    write_s: float = 0.0
    wall_s: float = 0.0
    rows: int = 0
    size_bytes: int = 0
    index_kind: str = ""
    interrupted: bool = False


@dataclass
class Pending:
    """Clips embedded but not yet committed."""

    vectors: list[npt.NDArray[np.float16]] = field(default_factory=list)
    rows: list[dict[str, Any]] = field(default_factory=list)
    quarantine: list[dict[str, Any]] = field(default_factory=list)
    since: float = field(default_factory=time.monotonic)


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
        progress: called after each batch and each video.

    Raises:
        InputNotFoundError, UsageError: there is nothing to index, or it cannot be read.
        SpaceMismatchError: the index at `out` was made with another model or preset.
    """
    started = time.monotonic()
    root = Path(out)
    sources = find_sources(Path(source), metadata=metadata, videos=videos)
    index = _open_or_create(root, encoder)
    work = plan_work(read_rows(sources), videos=sources.videos, indexed=_indexed(index), quarantined=_quarantined(index))
    summary = Summary(planned=work.clips, already=work.already, duplicates=work.duplicates, videos_left_out=_left_out(sources, work))
    summary.skipped.update(work.known_bad)
    pending = Pending()
    for row in work.bad:
        _skip(summary, pending, _bad_record(row))
    try:
        with DecodePool(encoder.preset, workers=workers, decoder=decoder) as pool:
            _run(pool, work.jobs, sources.videos, encoder=encoder, decoder=decoder, root=root, pending=pending, summary=summary, progress=progress)
    except KeyboardInterrupt:
        summary.interrupted = True
    _commit(root, pending, encoder.dim, summary)
    if not summary.interrupted:
        timer = time.perf_counter()
        fold(root, index_factory=index_factory, seed=seed)
        summary.write_s += time.perf_counter() - timer
    final = open_index(root)
    summary.rows, summary.size_bytes, summary.index_kind = len(final), folder_bytes(root), index_kind(final)
    summary.wall_s = time.monotonic() - started
    return summary


def folder_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _open_or_create(root: Path, encoder: Encoder) -> Index:
    if not manifests.exists(root):
        manifests.create(root, encoder.space)
    index = open_index(root)
    if index.space.id != encoder.space.id:
        raise SpaceMismatchError(
            f"{root} holds vectors of {index.space.model}, preset {index.space.preset.name} (space {index.space.id[:12]}); {encoder.space.model}, "
            f"preset {encoder.preset.name} (space {encoder.space.id[:12]}) cannot be added; give --out another folder"
        )
    return index


def _indexed(index: Index) -> set[str]:
    return {name for segment in index.segments for name in segment.read_columns(["clip_id"])["clip_id"].to_pylist()}


def _quarantined(index: Index) -> dict[str, KnownBad]:
    known = {}
    for segment in index.segments:
        for row in segment.quarantine().select(["clip_id", "reason", "size_bytes", "mtime_ns"]).to_pylist():
            known[row.pop("clip_id")] = KnownBad(**row)
    return known


def _left_out(sources: Sources, work: WorkList) -> int:
    """Return how many video files lie beside the rows without any row that names them."""
    if not sources.files:
        return 0
    named = {job.video for job in work.jobs}
    return 0 if work.already or not named else sum(1 for video in sources.list_videos() if video not in named)


def _run(
    pool: DecodePool,
    jobs: list[Job],
    videos: Path,
    *,
    encoder: Encoder,
    decoder: str,
    root: Path,
    pending: Pending,
    summary: Summary,
    progress: Callable[[Summary], None],
) -> None:
    batch = Batch(encoder)
    video_jobs = (VideoJob(number, videos / job.video, tuple(Span(c.start_s, c.end_s) for c in job.clips)) for number, job in enumerate(jobs))
    waiting = {}  # job number → clips that have not come yet
    with closing(pool.run(video_jobs)) as results:
        for result in results:
            if isinstance(result, ClipPixels):
                clip = jobs[result.job_id].clips[result.index]
                waiting.setdefault(result.job_id, set(range(len(jobs[result.job_id].clips)))).discard(result.index)
                batch.add(result.pixels, _clip_record(clip, result))
            elif isinstance(result, ClipFailure):
                clip = jobs[result.job_id].clips[result.index]
                waiting.setdefault(result.job_id, set(range(len(jobs[result.job_id].clips)))).discard(result.index)
                _skip(summary, pending, _failed_record(clip, result.reason, result.detail, videos, decoder, attempts=1))
            elif isinstance(result, JobDone):
                summary.decode_s += result.decode_s
                left = waiting.pop(result.job_id, range(len(jobs[result.job_id].clips)))
                for number in left if result.reason else ():
                    clip = jobs[result.job_id].clips[number]
                    _skip(summary, pending, _failed_record(clip, result.reason, result.detail, videos, decoder, attempts=result.attempts))
            if batch.full or (result is None and len(batch)):
                _embed(batch, encoder, pending, summary)
            if len(pending.rows) >= SEGMENT_ROWS or (pending.rows and time.monotonic() - pending.since > COMMIT_EVERY_S):
                _commit(root, pending, encoder.dim, summary)
            progress(summary)
    _embed(batch, encoder, pending, summary)
    progress(summary)


class Batch:
    """Clips waiting to be embedded together, from whatever videos they came."""

    def __init__(self, encoder: Encoder) -> None:
        preset = encoder.preset
        size = BATCH_CLIPS["cuda" if encoder.device.startswith("cuda") else "cpu"]
        self.pixels = np.empty((size, preset.frames, preset.size, preset.size, 3), dtype=np.uint8)
        self.rows: list[dict[str, Any]] = []

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def full(self) -> bool:
        return len(self.rows) == len(self.pixels)

    def add(self, pixels: npt.NDArray[np.uint8], row: dict[str, Any]) -> None:
        self.pixels[len(self.rows)] = pixels
        self.rows.append(row)

    def take(self) -> tuple[npt.NDArray[np.uint8], list[dict[str, Any]]]:
        """Return what is there and start anew; the pixels are valid until the next `add`."""
        rows, self.rows = self.rows, []
        return self.pixels[: len(rows)], rows


def _embed(batch: Batch, encoder: Encoder, pending: Pending, summary: Summary) -> None:
    pixels, rows = batch.take()
    if not rows:
        return
    timer = time.perf_counter()
    vectors = encoder.encode_pixels(pixels)
    summary.embed_s += time.perf_counter() - timer
    good = np.isfinite(vectors).all(axis=1)
    for row, fine in zip(rows, good, strict=True):
        if not fine:
            failure = {"clip_id": row["clip_id"], "video": row["video"], "start_s": row["start_s"], "end_s": row["end_s"]}
            _skip(summary, pending, {**failure, "reason": "NONFINITE_EMBEDDING", "detail": "the model gave NaN or infinity"})
    pending.vectors.append(vectors[good].astype(np.float16))
    pending.rows += [row for row, fine in zip(rows, good, strict=True) if fine]
    summary.indexed += int(good.sum())


def _commit(root: Path, pending: Pending, dim: int, summary: Summary) -> None:
    """Write what is pending as one exact segment and name it in the next manifest; nothing pending, nothing written."""
    if not pending.rows and not pending.quarantine:
        return
    timer = time.perf_counter()
    vectors = np.concatenate([np.zeros((0, dim), dtype=np.float16), *pending.vectors])
    reference = segments.write(
        root,
        vectors=vectors,
        rows=clips_table(pending.rows),
        index_bytes=plugin("vidsearch.indexes", "flat").build(vectors, None),
        quarantine=quarantine_table(pending.quarantine),
        info={"index": "flat"},
    )
    manifests.commit(root, lambda manifest: manifest.with_segments([*manifest.segments, reference]))
    summary.write_s += time.perf_counter() - timer
    pending.__init__()  # type: ignore[misc]


def _clip_record(clip: ClipRow, result: ClipPixels) -> dict[str, Any]:
    end = result.end_s
    core = {"clip_id": clip_id(clip), "video": clip.video, "start_s": clip.start_s, "end_s": end, "duration_s": end - clip.start_s}
    return {**core, **clip.metadata}


def _failed_record(clip: ClipRow, reason: str, detail: str, videos: Path, decoder: str, *, attempts: int) -> dict[str, Any]:
    size, mtime = file_state(videos / clip.video)
    return {
        "clip_id": clip_id(clip),
        "video": clip.video,
        "start_s": clip.start_s,
        "end_s": clip.end_s,
        "reason": reason,
        "detail": detail[:500],
        "size_bytes": size,
        "mtime_ns": mtime,
        "attempts": attempts,
        "decoder": decoder,
    }


def _bad_record(row: BadRow) -> dict[str, Any]:
    return {"clip_id": bad_row_id(row), "video": row.video, "reason": row.reason, "detail": row.detail[:500], "size_bytes": 0, "mtime_ns": 0}


def _skip(summary: Summary, pending: Pending, record: dict[str, Any]) -> None:
    summary.skipped[record["reason"]] += 1
    summary.examples.setdefault(record["reason"], f"{record['video']}: {record['detail']}")
    pending.quarantine.append({**record, "seen_at": datetime.now(UTC)})

"""The middle of a build: clips come decoded, go through the encoder in batches, and are committed as segments."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from indexer.jobs import Clip, Job, file_state
from indexer.rows import clips_table
from indexer.summary import Summary
from indexer.workers import ClipFailure, ClipPixels, DecodePool, JobDone, VideoJob
from vidsearch.encoders.base import Encoder, Vectors
from vidsearch.storage import manifest as manifests
from vidsearch.storage import segment as segments
from vidsearch.storage.quarantine import quarantine_table

SEGMENT_ROWS = 65_536  # a segment is committed when it is this large, or this old:
COMMIT_EVERY_S = 60.0  # so a crash costs at most a minute of work
EXAMPLES = 3  # told of each reason for which clips are skipped


class Run:
    """One build's running state: the batch being filled, the one under way, what is not yet committed, and the counts.

    The encoder runs in a thread of its own, so that this one goes on listening to the decode workers.
    """

    def __init__(self, root: Path, videos: Path, encoder: Encoder, decoder: str, progress: Callable[[Summary], None]) -> None:
        self.root, self.videos, self.encoder, self.decoder, self.progress = root, videos, encoder, decoder, progress
        self.summary = Summary()
        preset = encoder.preset
        shape = (encoder.clips_at_once, preset.frames, preset.size, preset.size, 3)
        self.pixels, self.spare = np.empty(shape, dtype=np.uint8), np.empty(shape, dtype=np.uint8)
        self.batch: list[dict[str, Any]] = []  # rows of the clips in `pixels`
        self.thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="encoder")
        self.under_way: tuple[Future[Vectors], list[dict[str, Any]]] | None = None
        self._start_segment()

    def _start_segment(self) -> None:
        self.vectors: list[npt.NDArray[np.float16]] = []
        self.rows: list[dict[str, Any]] = []
        self.quarantine: list[dict[str, Any]] = []
        self.since = time.monotonic()

    def jobs(self, pool: DecodePool, jobs: list[Job]) -> None:
        """Decode and embed every clip of every job; commit as segments fill or age."""
        video_jobs = (VideoJob(number, self.videos / job.video, job.spans) for number, job in enumerate(jobs))
        left: dict[int, set[int]] = {}  # clips of each job under way that have not come yet
        with closing(pool.run(video_jobs)) as results:
            for result in results:
                if result is None:
                    self._flush_if_idle()
                elif isinstance(result, JobDone):
                    self._finish(jobs[result.job_id], result, left.pop(result.job_id, None))
                elif isinstance(result, ClipPixels | ClipFailure):
                    clips = jobs[result.job_id].clips
                    left.setdefault(result.job_id, set(range(len(clips)))).discard(result.index)
                    self._take(clips[result.index], result)
                if len(self.rows) >= SEGMENT_ROWS or (self.rows and time.monotonic() - self.since > COMMIT_EVERY_S):
                    self.commit()
                self.progress(self.summary)
        self.embed()
        self.collect()
        self.progress(self.summary)

    def _take(self, clip: Clip, result: ClipPixels | ClipFailure) -> None:
        if isinstance(result, ClipFailure):
            self.skip(self._failed_record(clip, result.reason, result.detail))
            return
        self.pixels[len(self.batch)] = result.pixels
        self.batch.append(_clip_record(clip, result.end_s))
        if len(self.batch) == len(self.pixels):
            self.embed()

    def _finish(self, job: Job, done: JobDone, left: set[int] | None) -> None:
        """Count a video; when it failed as a whole, its clips that never came failed with it."""
        self.summary.decode_s += done.decode_s
        if done.reason:
            for number in sorted(range(len(job.clips)) if left is None else left):
                self.skip({**self._failed_record(job.clips[number], done.reason, done.detail), "attempts": done.attempts})

    def _flush_if_idle(self) -> None:
        """Nothing came for a moment: do not keep an encoder that has nothing to do waiting for a full batch."""
        if self.under_way is None or self.under_way[0].done():
            self.embed()

    def embed(self) -> None:
        """Hand the batch to the encoder, once it is done with the one before, and start to fill another."""
        self.collect()
        if self.batch:
            self.under_way = (self.thread.submit(self._encode, self.pixels[: len(self.batch)]), self.batch)
            self.pixels, self.spare = self.spare, self.pixels
            self.batch = []

    def _encode(self, pixels: npt.NDArray[np.uint8]) -> Vectors:
        timer = time.perf_counter()
        vectors = self.encoder.encode_pixels(pixels)
        self.summary.embed_s += time.perf_counter() - timer
        return vectors

    def collect(self) -> None:
        """Take over the vectors of the batch under way."""
        if self.under_way is None:
            return
        future, rows = self.under_way
        vectors = future.result()
        self.under_way = None
        finite: npt.NDArray[np.bool_] = np.all(np.isfinite(vectors), axis=1)
        for row, good in zip(rows, finite, strict=True):
            if good:
                self.rows.append(row)
            else:
                place = {name: row[name] for name in ("clip_id", "video", "start_s", "end_s")}
                self.skip({**place, "reason": "NONFINITE_EMBEDDING", "detail": "the model gave NaN or infinity"})
        self.vectors.append(vectors[finite].astype(np.float16))
        self.summary.indexed += int(finite.sum())

    def commit(self) -> None:
        """Write what is pending as one exact segment and name it in the next manifest; nothing pending, nothing written."""
        if not self.rows and not self.quarantine:
            return
        timer = time.perf_counter()
        vectors = np.concatenate([np.zeros((0, self.encoder.dim), dtype=np.float16), *self.vectors])
        reference = segments.write(
            self.root,
            vectors=vectors,
            rows=clips_table(self.rows),
            index_files={},
            quarantine=quarantine_table(self.quarantine),
            info={"index": "flat"},
        )
        manifests.commit(self.root, lambda manifest: manifest.with_segments([*manifest.segments, reference]))
        self.summary.write_s += time.perf_counter() - timer
        self._start_segment()

    def skip(self, record: dict[str, Any]) -> None:
        """Quarantine one clip or row."""
        self.summary.skipped[record["reason"]] += 1
        self.summary.failed += record.get("start_s") is not None
        examples = self.summary.examples.setdefault(record["reason"], [])
        if len(examples) < EXAMPLES:
            examples.append(f"{record['video']}: {record['detail']}" if record["video"] else record["detail"])
        self.quarantine.append({"decoder": self.decoder, **record, "seen_at": datetime.now(UTC)})

    def _failed_record(self, clip: Clip, reason: str, detail: str) -> dict[str, Any]:
        size, mtime = file_state(self.videos / clip.video)
        place = {"clip_id": clip.id, "video": clip.video, "start_s": clip.start_s, "end_s": clip.end_s}
        return {**place, "reason": reason, "detail": detail[:500], "size_bytes": size, "mtime_ns": mtime, "attempts": 1}


def _clip_record(clip: Clip, end_s: float) -> dict[str, Any]:
    core = {"clip_id": clip.id, "video": clip.video, "start_s": clip.start_s, "end_s": end_s, "duration_s": end_s - clip.start_s}
    return {**core, **clip.metadata}

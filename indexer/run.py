"""The middle of a build: clips come decoded, go through the encoder in batches, and are handed on to be committed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from indexer.decoded import ClipFailure, ClipPixels, JobDone, Result, VideoJob
from indexer.jobs import Clip, Job, bad_rows_in, file_state
from indexer.known import TRANSIENT
from indexer.media import Media
from indexer.part import Sink
from indexer.readers.base import clip_id, clip_key
from indexer.rows import EMBEDDED_FROM, SHOT, SHOTS, clips_table
from indexer.summary import EXAMPLES, Summary
from indexer.workers import DecodePool
from vidsearch.decoders.base import Span
from vidsearch.encoders.base import Encoder, Vectors
from vidsearch.errors import QuarantineLimitError

LIMIT_AFTER = 100  # clips tried, before the share of those that fail says anything

Batch = list[tuple[Clip, float]]  # clips and where each really ends


@dataclass
class _Open:
    """A video that is being decoded."""

    job: Job
    left: set[int]  # clips that have not come
    failed: int = 0


class Run:
    """One build's running state: the batch being filled, the one under way, the videos being decoded, and the counts.

    The encoder runs in a thread of its own, so that this one goes on listening to the decode workers.

    Args:
        commits: takes what is done.
        videos: the folder they lie in.
        are_fresh: asked with a video and the ids of its shots: None for one that need not be indexed, else `Clip.fresh`.
        media: brings the videos there.
        max_quarantine: the share of the clips tried that may fail before the run ends with QuarantineLimitError.
    """

    def __init__(
        self,
        commits: Sink,
        encoder: Encoder,
        summary: Summary,
        *,
        videos: Path,
        decoder: str,
        are_fresh: Callable[[str, Sequence[str]], Sequence[bool | None]],
        progress: Callable[[Summary], None],
        media: Media | None = None,
        max_quarantine: float | None = None,
    ) -> None:
        self._media = media or Media()
        self.commits, self.encoder, self.summary, self.progress = commits, encoder, summary, progress
        self.videos, self.decoder, self._are_fresh, self._max_quarantine = videos, decoder, are_fresh, max_quarantine
        preset = encoder.preset
        shape = (encoder.clips_at_once, preset.frames, preset.size, preset.size, 3)
        self.pixels, self.spare = np.empty(shape, dtype=np.uint8), np.empty(shape, dtype=np.uint8)
        self.batch: Batch = []  # of the clips in `pixels`
        self.thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="encoder")
        self.under_way: tuple[Future[Vectors], Batch] | None = None
        self._open: dict[int, _Open] = {}

    def jobs(self, pool: DecodePool, jobs: Iterable[Job], *, split: str | None = None) -> None:
        """Decode and embed every clip of every job; commit as segments fill or age."""
        idle_s = pool.idle_s
        with closing(pool.run(self._video_jobs(jobs, split))) as results:
            for result in results:
                if result is None:
                    self._flush_if_idle()
                else:
                    self._take(result)
                self.summary.waits["decoding"] += pool.idle_s - idle_s
                idle_s, self.summary.queued = pool.idle_s, pool.queued
                self.commit_if_due()
                check_limit(self.summary, self._max_quarantine)
                self.progress(self.summary)
        self.embed()
        self.collect()
        self.progress(self.summary)

    def _video_jobs(self, jobs: Iterable[Job], split: str | None) -> Iterator[VideoJob]:
        for number, job in enumerate(self._media.ahead(jobs)):
            self._open[number] = _Open(job, set(range(len(job.clips))))
            path = self.videos / job.video
            if job.uncut is None:
                yield VideoJob(number, path, job.spans)
            else:
                yield VideoJob(number, path, split=split, skip=self._skip_of(number))

    def _skip_of(self, number: int) -> Callable[[Sequence[Span]], set[int]]:
        """Return what names a video's clips when its spans are found, and says which of them are done."""

        def skip(spans: Sequence[Span]) -> set[int]:
            opened = self._open[number]
            clips = [_shot(opened.job, place, len(spans), span) for place, span in enumerate(spans)]
            fresh = self._are_fresh(opened.job.video, [clip.id for clip in clips])
            done = {place for place, is_fresh in enumerate(fresh) if is_fresh is None}
            opened.job = replace(opened.job, clips=tuple(replace(clip, fresh=bool(f)) for clip, f in zip(clips, fresh, strict=True)))
            opened.left = set(range(len(clips))) - done
            self.summary.planned += len(opened.left)
            self.summary.already += len(done)
            self.summary.uncut -= 1
            return done

        return skip

    def _take(self, result: Result) -> None:
        opened = self._open[result.job_id]
        if isinstance(result, JobDone):
            self._finish(self._open.pop(result.job_id), result)
        elif isinstance(result, ClipFailure):
            opened.left.discard(result.index)
            opened.failed += 1
            self._fail(opened.job.clips[result.index], result.reason, result.detail)
        elif isinstance(result, ClipPixels):
            opened.left.discard(result.index)
            self.pixels[len(self.batch)] = result.pixels
            self.batch.append((opened.job.clips[result.index], result.end_s))
            if len(self.batch) == len(self.pixels):
                self.embed()

    def _finish(self, opened: _Open, done: JobDone) -> None:
        """Count a video; when it failed as a whole, its clips that never came failed with it."""
        self.summary.decode_s += done.decode_s
        clips, uncut = opened.job.clips, opened.job.uncut
        if done.reason:
            for number in sorted(opened.left):
                self._fail(clips[number], done.reason, done.detail, attempts=done.attempts)
        if uncut is not None and not clips:
            self.summary.uncut -= 1
            self.summary.planned += 1
            self._fail(replace(uncut, planned=False), done.reason, done.detail, attempts=done.attempts)
        elif uncut is not None and opened.failed + len(opened.left) * bool(done.reason) == len(clips):  # no row will tell of it
            self._note(replace(uncut, planned=False), "DECODE_ERROR", f"none of its {len(clips)} shots can be had")
        self._media.release(opened.job.video)

    def _flush_if_idle(self) -> None:
        """Nothing came for a moment: do not keep an encoder that has nothing to do waiting for a full batch."""
        if self.under_way is None or self.under_way[0].done():
            self.embed()

    def embed(self) -> None:
        """Hand the batch to the encoder, once it is done with the one before, and start to fill another."""
        finished = self._wait()
        if self.batch:
            self.under_way = (self.thread.submit(self._encode, self.pixels, len(self.batch)), self.batch)
            self.pixels, self.spare = self.spare, self.pixels
            self.batch = []
        self._take_over(finished)

    def _encode(self, pixels: npt.NDArray[np.uint8], count: int) -> Vectors:
        """Return the vectors of the first clips, each the same to the last bit whatever clips are encoded with it.

        The sums of a matrix product depend on the matrices' shape, and on several processor threads on a row's place in them: a GPU is
        given full batches always, a processor, which gains little from more, one clip at a time.
        """
        timer = time.perf_counter()
        if self.encoder.device.startswith("cuda"):
            vectors = self.encoder.encode_pixels(pixels)[:count]
        else:
            vectors = np.concatenate([self.encoder.encode_pixels(pixels[place : place + 1]) for place in range(count)])
        self.summary.embed_s += time.perf_counter() - timer
        return vectors

    def collect(self) -> None:
        """Take over the vectors of the batch under way."""
        self._take_over(self._wait())

    def _wait(self) -> tuple[Vectors, Batch] | None:
        if self.under_way is None:
            return None
        timer = time.perf_counter()
        future, batch = self.under_way
        vectors = future.result()
        self.under_way = None
        self.summary.waits["embedding"] += time.perf_counter() - timer
        return vectors, batch

    def _take_over(self, finished: tuple[Vectors, Batch] | None) -> None:
        if finished is None:
            return
        vectors, batch = finished
        finite: npt.NDArray[np.bool_] = np.all(np.isfinite(vectors), axis=1)
        good = [clip for clip, is_good in zip(batch, finite.tolist(), strict=True) if is_good]
        for (clip, end_s), is_good in zip(batch, finite.tolist(), strict=True):
            if not is_good:
                self._fail(replace(clip, end_s=end_s), "NONFINITE_EMBEDDING", "the model gave NaN or infinity")
        if good:
            table = clips_table([_record(clip, end_s) for clip, end_s in good])
            ids = [[clip.id for clip, _ in good if clip.fresh and clip.planned is planned] for planned in (True, False)]
            old = not all(clip.fresh for clip, _ in good)
            self.commits.add(table, vectors[finite].astype(np.float16), planned=ids[0], unplanned=ids[1], replacing=old)
            self.summary.indexed += len(good)

    def commit_if_due(self) -> None:
        timer = time.perf_counter()
        self.commits.commit_if_due()
        self.summary.waits["writing"] += time.perf_counter() - timer

    def _fail(self, clip: Clip, reason: str, detail: str, *, attempts: int = 1) -> None:
        """Quarantine a clip that cannot be decoded."""
        self.summary.failed += 1
        self._note(clip, reason, detail, attempts=clip.tries + 1 if reason in TRANSIENT else attempts)

    def _note(self, clip: Clip, reason: str, detail: str, *, attempts: int = 1) -> None:
        """Quarantine a clip with the state of its file: until that changes, trying again would end the same way."""
        size, mtime = file_state(self.videos / clip.video)
        entry = {**_place(clip), "reason": reason, "detail": detail, "size_bytes": size, "mtime_ns": mtime, "attempts": attempts}
        self._skip(entry, fresh=clip.fresh, planned=clip.planned)

    def quarantine(self, tables: Iterable[pa.Table]) -> None:
        """Quarantine rows that wait because they are wrong, or because their video is not there."""
        for table in tables:
            for row in bad_rows_in(table):
                place = {"clip_id": row.clip.id, "video": row.clip.video}
                self._skip({**place, "reason": row.reason, "detail": row.detail}, fresh=row.clip.fresh, planned=True)
                self.commit_if_due()
            self.progress(self.summary)

    def _skip(self, entry: dict[str, Any], *, fresh: bool, planned: bool) -> None:
        """Pass on a quarantine entry; the first of each reason are told."""
        self.summary.skipped[entry["reason"]] += 1
        examples = self.summary.examples.setdefault(entry["reason"], [])
        if len(examples) < EXAMPLES:
            examples.append(f"{entry['video']}: {entry['detail']}" if entry["video"] else entry["detail"])
        same = {"decoder": self.decoder, "size_bytes": 0, "mtime_ns": 0, "seen_at": datetime.now(UTC)}
        self.commits.skip({**same, **entry, "detail": entry["detail"][:500]}, planned=fresh and planned, unplanned=fresh and not planned)


def check_limit(summary: Summary, most: float | None) -> None:
    """Raise QuarantineLimitError when more of what was tried has failed than may."""
    tried = summary.failed + summary.indexed
    if most is not None and tried >= LIMIT_AFTER and summary.failed > most * tried:
        reason, number = summary.skipped.most_common(1)[0]
        raise QuarantineLimitError(
            f"{summary.failed:,} of the first {tried:,} clips cannot be decoded, more than {most:.3g} of them; "
            f"most often {reason} ({number:,}); see `vidsearch quarantine list`, or raise --max-quarantine"
        )


def _shot(job: Job, place: int, count: int, span: Span) -> Clip:
    """Return the clip of one shot of a video."""
    name = clip_id(clip_key(job.video, span.start_s, span.end_s))
    metadata = job.uncut.metadata if job.uncut else {}
    return Clip(name, job.video, True, span.start_s, span.end_s, {**metadata, SHOT: place, SHOTS: count}, planned=False)


def _place(clip: Clip) -> dict[str, Any]:
    return {"clip_id": clip.id, "video": clip.video, "start_s": clip.start_s, "end_s": clip.end_s}


def _record(clip: Clip, end_s: float) -> dict[str, Any]:
    core = {**_place(clip), "end_s": end_s, "duration_s": end_s - clip.start_s}
    return {**core, "caption": None, **clip.metadata, EMBEDDED_FROM: "video"}

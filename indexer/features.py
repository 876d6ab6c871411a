"""Clips → rows of numbers, each clip once: what was measured before is read from a file, the rest is decoded and measured.

    store = FeatureStore(folder / "….sqlite")
    measured = measure(clips, encoder.preset, encoder.encode_pixels, store=store)   # measured.rows (n, dim) float32

Evaluations and scores stand on it. A run that is stopped keeps what it has measured, and the next one goes on from there.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from indexer.decoded import ClipFailure, ClipPixels, JobDone, VideoJob
from indexer.workers import DecodePool
from vidsearch.archives.members import stat_media
from vidsearch.config import Preset, Space
from vidsearch.decoders.base import Span
from vidsearch.encoders.base import Pixels

Rows = npt.NDArray[np.float32]  # (n, width)
Measure = Callable[[Pixels], Rows]  # (n, frames, size, size, 3) uint8 RGB → (n, width) float32

READ_AT_ONCE = 500  # keys in one question to the store
SLOTS, RING_BYTES = 64, 512 << 20  # clips between the decode processes and here, and what they take at most: some presets take many frames


@dataclass(frozen=True)
class ClipSource:
    """Where a clip lies: a video file, or a member of an archive, and seconds in it, half-open; `end_s` None is the video's end."""

    path: Path
    start_s: float = 0.0
    end_s: float | None = None


@dataclass(frozen=True)
class Measured:
    """What is known of some clips.

    Attributes:
        rows: (n, width) float32, a row a clip in their order; zeros where it failed; width 0 if all did.
        failures: by position in the clips asked for, why there is no row: a reason of the quarantine and a sentence.
        cached: how many came from the store.
    """

    rows: Rows
    failures: dict[int, str] = field(default_factory=dict)
    cached: int = 0


@dataclass(frozen=True)
class Progress:
    """How far a measurement is, in clips."""

    done: int
    total: int
    cached: int


class FeatureStore:
    """Rows by clip in one SQLite file, which survives a kill at any moment and may be shared by several processes."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._connection = sqlite3.connect(path, timeout=60)
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute("CREATE TABLE IF NOT EXISTS features (clip TEXT PRIMARY KEY, row BLOB NOT NULL) WITHOUT ROWID")

    def close(self) -> None:
        self._connection.close()

    def read(self, keys: Sequence[str]) -> dict[str, Rows]:
        """Return the rows that are there, each (width,) float32."""
        found: dict[str, Rows] = {}
        for start in range(0, len(keys), READ_AT_ONCE):
            some = keys[start : start + READ_AT_ONCE]
            marks = ",".join("?" * len(some))
            for key, row in self._connection.execute(f"SELECT clip, row FROM features WHERE clip IN ({marks})", some):
                found[key] = np.frombuffer(row, dtype="<f4").astype(np.float32)
        return found

    def write(self, rows: dict[str, Rows]) -> None:
        """Keep rows, durably."""
        with self._connection:
            values = [(key, row.astype("<f4").tobytes()) for key, row in rows.items()]
            self._connection.executemany("INSERT OR REPLACE INTO features VALUES (?, ?)", values)


class Model(Protocol):
    """What makes rows of clips: an encoder, or another network of the same parts."""

    space: Space
    device: str


def store_of(folder: Path, encoder: Model, *, what: str = "clips") -> FeatureStore:
    """Open the store of one model, preset, device and kind of measurement: nothing of another is ever taken for its own."""
    made_by = "|".join([what, encoder.space.id, str(getattr(encoder, "precision", "")), encoder.device.partition(":")[0]])
    return FeatureStore(folder / f"{encoder.space.model.replace('/', '-')}-{hashlib.sha256(made_by.encode()).hexdigest()[:16]}.sqlite")


def measure(
    clips: Sequence[ClipSource],
    preset: Preset,
    of_pixels: Measure,
    *,
    store: FeatureStore | None = None,
    batch: int = 8,
    workers: int = 1,
    decoder: str = "pyav",
    progress: Callable[[Progress], None] = lambda progress: None,
) -> Measured:
    """Return a row for each clip: of the store, or decoded in processes that can be killed and measured in batches.

    Args:
        clips: where they lie; the same one may come twice.
        preset: how frames are chosen and resized.
        of_pixels: measures a batch, such as `Encoder.encode_pixels`.
        store: keeps what is measured; None keeps nothing.
        batch: clips measured together.
        workers: decode processes.
        decoder: a plug-in of vidsearch.decoders.
        progress: called after each batch.
    """
    keys = [_key(clip) for clip in clips]
    known = {} if store is None else store.read(list(dict.fromkeys(keys)))
    cached = sum(key in known for key in keys)
    failed: dict[str, str] = {}
    missing = {key: clip for key, clip in zip(keys, clips, strict=True) if key not in known}
    progress(Progress(cached, len(clips), cached))
    if missing:
        slots = max(2 * workers, min(SLOTS, RING_BYTES // (preset.frames * preset.size**2 * 3)))
        with DecodePool(preset, workers=workers, decoder=decoder, slots=slots) as pool:
            for rows in _batches(_decoded(pool, missing, failed), of_pixels, batch):
                known.update(rows)
                if store is not None:
                    store.write(rows)
                progress(Progress(sum(key in known or key in failed for key in keys), len(clips), cached))
    width = len(next(iter(known.values()), np.zeros(0)))
    table = np.zeros((len(clips), width), dtype=np.float32)
    for place, key in enumerate(keys):
        if key in known:
            table[place] = known[key]
    return Measured(table, {place: failed[key] for place, key in enumerate(keys) if key in failed}, cached)


def _key(clip: ClipSource) -> str:
    """Name a clip by its file, the state of that, and its times: a file that changes is another clip."""
    try:
        status = stat_media(clip.path)
        state = f"{status.st_size}|{status.st_mtime_ns}"
    except OSError:
        state = "missing"
    return hashlib.sha256(f"{clip.path.absolute()}|{state}|{clip.start_s!r}|{clip.end_s!r}".encode(errors="surrogatepass")).hexdigest()


def _decoded(pool: DecodePool, clips: dict[str, ClipSource], failed: dict[str, str]) -> Iterator[tuple[str, Pixels]]:
    """Yield each clip's pixels, valid until the next is asked for; note those that cannot be had."""
    videos = [
        (path, list(group)) for path, group in groupby(sorted(clips, key=lambda key: clips[key].path), key=lambda key: clips[key].path)
    ]
    left = {number: dict(enumerate(keys)) for number, (_, keys) in enumerate(videos)}
    jobs = (
        VideoJob(number, path, tuple(Span(clips[key].start_s, clips[key].end_s) for key in keys))
        for number, (path, keys) in enumerate(videos)
    )
    with closing(pool.run(jobs)) as results:
        for result in results:
            if isinstance(result, ClipPixels):
                yield left[result.job_id].pop(result.index), result.pixels
            elif isinstance(result, ClipFailure):
                failed[left[result.job_id].pop(result.index)] = f"{result.reason}: {result.detail}"
            elif isinstance(result, JobDone):
                failed.update((key, f"{result.reason}: {result.detail}") for key in left.pop(result.job_id).values())


def _batches(decoded: Iterator[tuple[str, Pixels]], of_pixels: Measure, batch: int) -> Iterator[dict[str, Rows]]:
    """Yield the rows of the clips, so many at a time."""
    waiting: list[tuple[str, Pixels]] = []
    for key, pixels in decoded:
        waiting.append((key, pixels.copy()))
        if len(waiting) == batch:
            yield _rows(waiting, of_pixels)
            waiting = []
    if waiting:
        yield _rows(waiting, of_pixels)


def _rows(waiting: Sequence[tuple[str, Pixels]], of_pixels: Measure) -> dict[str, Rows]:
    rows = of_pixels(np.stack([pixels for _, pixels in waiting]))
    return {key: row for (key, _), row in zip(waiting, rows, strict=True)}

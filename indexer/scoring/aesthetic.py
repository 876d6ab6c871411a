"""Aesthetic scores of clips: frames → CLIP features of length one → a head → one number a clip.

    internvid  the greatest of 4 frames                    InternVid, arXiv 2307.06942, appendix
    vbench     the mean of the frames, divided by 10       Vchitect/VBench, aesthetic_quality.py; without antialias, as there
    single     the middle frame                            LAION's predictors, which know pictures

Frames are the middles of equal parts of the clip. VBench takes every frame: so does "vbench" where a clip has no more than are asked for.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from indexer.features import ClipSource, FeatureStore, Measure, Measured, Progress, measure, store_of
from indexer.scoring.aesthetic_head import Head
from vidsearch.archives.inside import resolve_inside
from vidsearch.archives.members import exists
from vidsearch.config import Preset
from vidsearch.corpus import Corpus, Rows
from vidsearch.encoders.base import Encoder, Pixels
from vidsearch.errors import InputNotFoundError, UsageError

CLIPS_AT_ONCE = 16_384  # so that memory stays flat
FRAMES_AT_ONCE = 64
VBENCH_FRAMES = 32
LOOKED_FOR = 200  # videos, before a model is loaded
EXAMPLES = 3

Scores = npt.NDArray[np.float32]  # (rows of the index,), NaN where there is none


@dataclass(frozen=True)
class Aggregate:
    """How a clip's frames become one score.

    Attributes:
        name: "internvid", "vbench" or "single".
        frames: taken of a clip.
        words: for a person.
        of: scores (n, frames), NaN where a short clip has no such frame → (n,).
    """

    name: str
    frames: int
    words: str
    of: Callable[[npt.NDArray[np.float32]], npt.NDArray[np.float32]]

    def preset(self, own: Preset) -> Preset:
        """Return how clips become pixels, given the model's own preprocessing."""
        wanted = replace(own, frames=self.frames, sampling="middle")
        if self.name != "vbench":
            return wanted
        return replace(wanted, filter="bicubic", antialias=False, fit="crop", resize_side=own.size)


def choose_aggregate(name: str, frames: int | None = None) -> Aggregate:
    """Return one of the three; the number of frames may be chosen for "vbench" alone."""
    known = {
        "internvid": Aggregate("internvid", 4, "greatest of 4 frames", lambda scores: np.nanmax(scores, axis=1)),
        "vbench": Aggregate(
            "vbench",
            frames or VBENCH_FRAMES,
            f"mean of up to {frames or VBENCH_FRAMES} frames / 10",
            lambda scores: np.nanmean(scores, axis=1) / np.float32(10),
        ),
        "single": Aggregate("single", 1, "the middle frame", lambda scores: scores[:, 0]),
    }
    if name not in known:
        raise UsageError(f"unknown aggregate {name!r}; choose from {', '.join(known)}")
    if frames is not None and name != "vbench":
        raise UsageError(f"--frames goes with vbench; {name} takes {known[name].frames}")
    return known[name]


@dataclass
class Scored:
    """What was scored.

    Attributes:
        scores: NaN where there is none.
        clips, cached: how many were asked for, and how many of these had been measured before.
        failures, examples: by reason, how many could not be had, and the first of them.
    """

    scores: Scores
    clips: int = 0
    cached: int = 0
    failures: Counter[str] = field(default_factory=Counter)
    examples: list[str] = field(default_factory=list)

    def fail(self, reason: str, story: str) -> None:
        """Count a clip that could not be had."""
        self.failures[reason] += 1
        if len(self.examples) < EXAMPLES:
            self.examples.append(story)


def score_aesthetic(
    corpus: Corpus,
    rows: Rows,
    videos: Path,
    *,
    encoder: Encoder,
    head: Head,
    aggregate: Aggregate,
    cache: Path | None = None,
    workers: int = 1,
    progress: Callable[[int], None] = lambda done: None,
) -> Scored:
    """Return the scores of some rows' clips; what was measured before is read from the cache, and a stopped run loses nothing.

    Args:
        rows: their numbers.
        videos: the folder that the column `video` is relative to.
        cache: folder of the store; None keeps nothing.
        progress: called with the number of clips done.
    """
    preset = aggregate.preset(encoder.preset)
    store = None if cache is None else open_store(cache, encoder, head, preset)
    scorer, batch = frame_scorer(encoder, head), max(1, FRAMES_AT_ONCE // preset.frames)
    found = Scored(np.full(corpus.slots, np.nan, dtype=np.float32), clips=len(rows))
    try:
        for start in range(0, len(rows), CLIPS_AT_ONCE):

            def told(done: Progress, before: int = start) -> None:
                progress(before + done.done)

            part, clips = _sources(corpus, rows[start : start + CLIPS_AT_ONCE], videos, found)
            measured = measure(clips, preset, scorer, store=store, batch=batch, workers=workers, progress=told)
            _take_over(found, part, clips, measured, aggregate)
    finally:
        if store is not None:
            store.close()
    return found


def frame_scorer(encoder: Encoder, head: Head) -> Measure:
    """Return what makes of clips (n, frames, size, size, 3) the scores (n, frames) of their frames, NaN for the repeats of a last one.

    A clip of fewer frames than are asked for comes with its last one repeated, which is not to count again.
    """

    def scores(pixels: Pixels) -> npt.NDArray[np.float32]:
        clips, frames = pixels.shape[:2]
        features = encoder.encode_pixels(pixels.reshape(clips * frames, 1, *pixels.shape[2:]))  # each frame a clip: unit rows
        found = head(features).reshape(clips, frames)
        found[_repeats(pixels)] = np.nan
        return found

    return scores


def find_videos(corpus: Corpus, rows: Rows, videos: Path) -> None:
    """Look for some of the videos, and refuse a folder that has none of them."""
    if not videos.is_dir():
        raise InputNotFoundError(f"no folder {videos}; name that of the videos with --videos DIR")
    looked_for = rows[np.unique(np.linspace(0, len(rows) - 1, min(LOOKED_FOR, len(rows))).astype(np.int64))]
    names = [str(row["video"] or "") for row in corpus.take(looked_for, ["video"])]
    if not any(names):
        raise UsageError(f"the clips of {corpus.root} name no video, so they cannot be looked at")
    if not any(_is_there(videos, name) for name in names):
        named = next(name for name in names if name)
        raise InputNotFoundError(f"none of the videos is in {videos}, such as {named}; name their folder with --videos DIR")


def open_store(cache: Path, encoder: Encoder, head: Head, preset: Preset) -> FeatureStore:
    """Open the store of a model, a head, and a choice of frames."""
    return store_of(cache, encoder, what=f"aesthetic|{head.sha256}|{sorted(asdict(preset).items())}")


def _take_over(found: Scored, rows: Rows, clips: list[ClipSource], measured: Measured, aggregate: Aggregate) -> None:
    good = np.ones(len(rows), dtype=np.bool_)
    for place, why in measured.failures.items():
        good[place] = False
        found.fail(why.partition(":")[0], f"{clips[place].path.name}: {why}")
    if good.any():
        found.scores[rows[good]] = aggregate.of(measured.rows[good])
    found.cached += measured.cached


def _sources(corpus: Corpus, rows: Rows, videos: Path, found: Scored) -> tuple[Rows, list[ClipSource]]:
    """Return where clips lie, and the rows of those that lie somewhere in the folder; the others have failed."""
    root = videos.resolve()
    clips, kept = [], []
    for number, row in zip(rows.tolist(), corpus.take(rows, ["clip_id", "video", "start_s", "end_s"]), strict=True):
        video, start, end = str(row["video"] or ""), float(row["start_s"] or 0.0), float(row["end_s"] or 0.0)
        path = _resolve(root, video)
        if path is None:
            found.fail("PATH_ESCAPE" if video else "NO_VIDEO", f"clip {row['clip_id']}: {video or 'no video is named'}")
            continue
        kept.append(number)
        clips.append(ClipSource(path, start, end if end > start else None))
    return np.array(kept, dtype=np.int64), clips


def _resolve(root: Path, video: str) -> Path | None:
    try:
        return resolve_inside(root, video)
    except (OSError, ValueError, RuntimeError):  # a name no file can have; a circle of links
        return None


def _is_there(videos: Path, name: str) -> bool:
    path = _resolve(videos.resolve(), name)
    return path is not None and exists(path)


def _repeats(pixels: Pixels) -> npt.NDArray[np.bool_]:
    """Return (n, frames) which frames at the end are the same, to the pixel, as the one before."""
    same = (pixels[:, 1:] == pixels[:, :-1]).all(axis=(2, 3, 4))
    trailing = np.logical_and.accumulate(same[:, ::-1], axis=1)[:, ::-1]
    return np.concatenate([np.zeros((len(pixels), 1), np.bool_), trailing], axis=1)

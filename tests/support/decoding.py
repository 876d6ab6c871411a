"""Decode pools of a decoder that misbehaves, and what their runs say."""

from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path

from indexer.workers import ClipPixels, DecodePool, JobDone, SpansFound, VideoJob
from vidsearch.config import Preset
from vidsearch.decoders.base import Span

PRESET = Preset("test", size=16, frames=4)
DOUBLE = "tests.support.misbehaving"
FOUR = tuple(Span(float(second), second + 1.0) for second in range(4))


class Outcome:
    """What a run said about each job, clip by clip."""

    def __init__(self) -> None:
        self.spans: dict[int, tuple[Span, ...]] = {}
        self.last_clip_at: dict[int, float] = {}  # seconds, by the monotonic clock
        self.done_at: dict[int, float] = {}
        self.clips: dict[tuple[int, int], int] = {}  # what the pixels show
        self.failures: dict[tuple[int, int], str] = {}
        self.done: dict[int, JobDone] = {}


def run(pool: DecodePool, jobs: Iterable[VideoJob]) -> Outcome:
    """Run jobs to their end; see that nothing is said twice, or after the last word."""
    outcome = Outcome()
    for result in pool.run(jobs):
        if result is None:
            continue
        assert result.job_id not in outcome.done
        if isinstance(result, JobDone):
            outcome.done[result.job_id] = result
            outcome.done_at[result.job_id] = time.monotonic()
            continue
        outcome.last_clip_at[result.job_id] = time.monotonic()
        if isinstance(result, SpansFound):
            assert result.job_id not in outcome.spans
            outcome.spans[result.job_id] = result.spans
            continue
        place = result.job_id, result.index
        assert place not in outcome.clips
        assert place not in outcome.failures
        if isinstance(result, ClipPixels):
            assert result.pixels.shape == (4, 16, 16, 3)
            outcome.clips[place] = int(result.pixels.mean())
        else:
            outcome.failures[place] = result.reason
    return outcome


def pretend(tmp_path: Path, *names: str) -> list[VideoJob]:
    return [VideoJob(number, tmp_path / f"{name}.mp4", FOUR) for number, name in enumerate(names)]


def double(**settings: float) -> DecodePool:
    return DecodePool(PRESET, **{"workers": 1, "decoder": DOUBLE, "slots": 4, "timeout_s": 20.0, **settings})  # type: ignore[arg-type]

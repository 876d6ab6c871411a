"""Pure: which frames a clip is made of, told from the times of a stretch of video before anything is decoded."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from vidsearch.decoders.base import DecodedClip, Frame, Span

REORDER_LIMIT = 16  # frames that may be decoded before a frame and shown after it: the largest buffer of H.264 and HEVC
_SMALLEST_GAP_S = 0.05  # less than that missing at a video's end is no loss
_GRACE = Fraction(1, 1_000_000)  # a frame at 1.04 s belongs to a clip from 1.04 s on, whatever binary floats make of it


@dataclass(frozen=True)
class Clock:
    """A stream's clock: its ticks are `time_base` seconds long, and `zero` (seconds) is the video's first instant."""

    time_base: Fraction
    zero: Fraction

    def ticks(self, time_s: float) -> int:
        """Return the first tick that is not before an instant."""
        return math.ceil((Fraction(time_s) + self.zero - _GRACE) / self.time_base)

    def seconds(self, ticks: int) -> float:
        return float(ticks * self.time_base - self.zero)


@dataclass(frozen=True)
class Ending:
    """Where a stretch ends that ran into the end of the file, in ticks.

    Attributes:
        real: where the last frame that is there ends.
        claimed: where the header says the video ends; never before `real`.
        gap: the distance between frames there.
    """

    real: int
    claimed: int
    gap: int

    @property
    def truncated(self) -> bool:
        return self.claimed - self.real > self.gap


@dataclass(frozen=True)
class Stretch:
    """Consecutive frames from a keyframe on.

    Attributes:
        pts: (n,) int64 presentation times in the order of decoding, ticks.
        keys: positions of keyframes; the first is 0.
        shown: (m,) positions of the frames that a viewer sees, in order of time.
        breaks: ticks at which a part of the file could not be read, so that nobody knows how many frames were there.
        ending: None when the file goes on.
    """

    pts: npt.NDArray[np.int64]
    keys: Sequence[int]
    shown: npt.NDArray[np.int64]
    breaks: Sequence[int]
    ending: Ending | None

    @cached_property
    def times(self) -> npt.NDArray[np.int64]:
        """The times of the frames shown, sorted, ticks."""
        return self.pts[self.shown]

    def key_of(self, position: int) -> int:
        """Return the position of the keyframe to start from for a frame: the last before it that is not shown after it."""
        number = bisect_right(self.keys, position) - 1
        while number > 0 and self.pts[self.keys[number]] > self.pts[position]:
            number -= 1
        return self.keys[number]


class Problem(NamedTuple):
    """Why a frame is not there."""

    reason: str
    detail: str


@dataclass
class Clip:
    """A clip that waits for its frames.

    Attributes:
        positions: of the frames wanted, in the stretch; a short clip has its last one more than once.
        frames: those that came, by position.
    """

    index: int
    positions: tuple[int, ...]
    times_s: tuple[float, ...]
    end_s: float
    frames: dict[int, Frame] = field(default_factory=dict)

    @property
    def complete(self) -> bool:
        return len(self.frames) == len(set(self.positions))

    def decoded(self) -> DecodedClip:
        """Return the clip with its frames, or a failure if they do not have one size."""
        frames = [self.frames[position] for position in self.positions]
        if len({frame.shape for frame in frames}) > 1:
            return failed(self.index, "DECODE_ERROR", "the picture's size changes inside the clip")
        return DecodedClip(self.index, np.stack(frames), self.times_s, self.end_s)


def failed(index: int, reason: str, detail: str) -> DecodedClip:
    return DecodedClip(index, None, reason=reason, detail=detail)


@dataclass(frozen=True)
class Cover:
    """A range of ticks with the spans that lie in it; `end` None is the end of the video."""

    start: int
    end: int | None
    spans: tuple[tuple[int, Span], ...]


def covers(spans: Iterable[tuple[int, Span]], clock: Clock, *, reach_s: float) -> list[Cover]:
    """Group spans, given with their indices, so that each stretch is read once; those nearer than `reach_s` to each other share one."""
    groups: list[Cover] = []
    for index, span in sorted(spans, key=lambda item: item[1].start_s):
        start, end = clock.ticks(span.start_s), None if span.end_s is None else clock.ticks(span.end_s)
        last = groups[-1] if groups else None
        if last is None or (last.end is not None and start > last.end + reach_s / clock.time_base):
            groups.append(Cover(start, end, ((index, span),)))
        else:
            end = None if last.end is None or end is None else max(last.end, end)
            groups[-1] = Cover(last.start, end, (*last.spans, (index, span)))
    return groups


def sort_out(spans: Sequence[Span]) -> tuple[list[tuple[int, Span]], list[DecodedClip]]:
    """Return the spans that can be read, with their indices, and the failures of the others."""
    good: list[tuple[int, Span]] = []
    bad: list[DecodedClip] = []
    for index, span in enumerate(spans):
        end_s = math.inf if span.end_s is None else span.end_s
        if math.isfinite(span.start_s) and span.start_s < end_s:
            good.append((index, Span(span.start_s, None if end_s == math.inf else end_s)))
        else:
            bad.append(failed(index, "SPAN_EMPTY", f"the clip's end, {end_s} s, is not after its start, {span.start_s} s"))
    return good, bad


def settle(index: int, span: Span, stretch: Stretch, clock: Clock, choose: Callable[[int], Sequence[int]]) -> Clip | DecodedClip:
    """Choose a span's frames among those of a stretch that covers it, or say why it cannot be read."""
    start, end = clock.ticks(span.start_s), None if span.end_s is None else clock.ticks(span.end_s)
    if stretch.ending is not None and (problem := _past_the_end(start, end, stretch.ending, clock)):
        return failed(index, *problem)
    if any(start <= tick and (end is None or tick < end) for tick in stretch.breaks):
        return failed(index, "DECODE_ERROR", "a part of the file inside the clip cannot be read")
    first = int(np.searchsorted(stretch.times, start))
    last = len(stretch.times) if end is None else int(np.searchsorted(stretch.times, end))
    if last <= first:
        return failed(index, "SPAN_EMPTY", f"no frame lies between {span.start_s:.3f} s and {_name(span.end_s)}")
    positions = tuple(int(stretch.shown[first + rank]) for rank in choose(last - first))
    end_s = math.inf if span.end_s is None else span.end_s
    if stretch.ending is not None:
        end_s = min(end_s, clock.seconds(stretch.ending.real))
    return Clip(index, positions, tuple(clock.seconds(int(stretch.pts[position])) for position in positions), end_s)


def find_ending(times: npt.NDArray[np.int64], last_length: int, claimed: int | None, other_end: int, clock: Clock) -> Ending:
    """Judge the end of a file.

    Args:
        times: of the frames that are there, sorted, ticks.
        last_length: how long the last one is shown, 0 where the file does not say.
        claimed: where the header says the video ends.
        other_end: where sound ends that is there. A header may count it in; a file that was cut off has lost it too.
    """
    gap = int(_SMALLEST_GAP_S / clock.time_base)
    if len(times) > 1:
        gap = max(gap, int(np.diff(times[-REORDER_LIMIT - 1 :]).max()))
    real = int(times[-1]) + (last_length or gap) if len(times) else clock.ticks(0.0)
    truncated = claimed is not None and claimed - max(real, other_end) > gap
    return Ending(real, claimed if claimed is not None and truncated else real, gap)


def _past_the_end(start: int, end: int | None, ending: Ending, clock: Clock) -> Problem | None:
    """Return what is wrong with a clip of the last stretch, if it needs what is not there."""
    real_s, claimed_s = clock.seconds(ending.real), clock.seconds(ending.claimed)
    if ending.truncated and start < ending.claimed and (end is None or end > ending.real + ending.gap):
        return Problem("SHORT_DECODE", f"the file holds {real_s:.2f} s of the {claimed_s:.2f} s that its header claims")
    if start >= ending.real:
        return Problem("SPAN_PAST_END", f"the clip starts at {clock.seconds(start):.3f} s, the video ends at {real_s:.3f} s")
    return None


def _name(end_s: float | None) -> str:
    return "the end" if end_s is None else f"{end_s:.3f} s"

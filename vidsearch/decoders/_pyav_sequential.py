"""Read the frames of clips by decoding a video from its start, twice: first to count frames, then to keep those wanted.

For what `_pyav_gops` cannot know from packets: those that hold two frames or none or half of one, or that carry no time or only that of
their decoding. Slower, as exact. Frames are known by their number, since the times on them may be missing or out of order (AVI).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain

import av
import numpy as np

from vidsearch.decoders._pyav_source import Convert, Source
from vidsearch.decoders._timeline import REORDER_LIMIT, Cover, Problem, Stretch, find_ending
from vidsearch.decoders.base import Frame
from vidsearch.errors import DecodeError


def scan(source: Source, cover: Cover) -> Stretch:
    """Decode up to the end of a range and return the times of all frames before it."""
    times: list[int] = []
    breaks: list[int] = []
    later = length = 0
    for frame, time in decoded(source):
        tick = time if time is not None else times[-1] + length if times else source.clock.ticks(0.0)
        if frame is None:
            breaks.append(tick)
            continue
        times.append(tick)
        length = frame.duration or length
        later += cover.end is not None and tick >= cover.end
        if later > REORDER_LIMIT:
            break
    pts = np.sort(np.array(times, dtype=np.int64))  # the n-th frame that comes out is the n-th shown
    if source.container.format.name == "avi" and len(pts):  # what it calls times lags behind by the frames that are reordered
        pts += source.clock.ticks(0.0) - pts[0]
    ending = None
    if source.ended:
        ending = find_ending(pts, length, source.claimed_end(), source.clock.ticks(source.other_end_s), source.clock)
    return Stretch(pts, [0], np.arange(len(pts)), breaks, ending)


def fetch(source: Source, stretch: Stretch, wanted: Sequence[int], convert: Convert) -> Iterator[tuple[int, Frame | Problem]]:
    """Decode the frames numbered `wanted`, ascending; yield each with its number, or why it cannot be had."""
    left = list(reversed(wanted))
    number = -1
    damaged_at: int | None = None  # a tick; damage lasts until a keyframe that is shown after it
    for frame, time in decoded(source):
        if not left:
            return
        number += frame is not None
        tick = time if time is not None else int(stretch.pts[max(number, 0)])
        if frame is None or frame.is_corrupt:
            damaged_at = tick
        elif damaged_at is not None and frame.key_frame and tick > damaged_at:
            damaged_at = None
        if frame is not None and number == left[-1]:
            yield left.pop(), _outcome(frame, damaged_at is not None, convert)
    for missing in reversed(left):
        yield missing, Problem("SHORT_DECODE", f"frame {missing} did not come out of the decoder")


def _outcome(frame: av.VideoFrame, damaged: bool, convert: Convert) -> Frame | Problem:
    if damaged:
        return Problem("DECODE_ERROR", f"the frame at {frame.time or 0.0:.3f} s, or one that it is made from, is damaged")
    try:
        return convert(frame)
    except DecodeError as error:
        return Problem(error.reason, error.detail)


def decoded(source: Source) -> Iterator[tuple[av.VideoFrame | None, int | None]]:
    """Yield the video's frames in the order they are shown with their times; in place of what is damaged, None and its time."""
    source.rewind()
    for packet in chain(source.packets, [None]):
        frames = source.decode(packet)
        if source.damaged or frames is None or (packet is not None and packet.is_corrupt):
            source.damaged = False
            yield None, None if packet is None else packet.pts
        for frame in frames or ():
            yield frame, frame.pts

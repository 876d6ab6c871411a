"""Cut a video that nobody has described into clips: at its shots, or into windows of one length.

Boundaries are whole milliseconds, since a clip's name holds its times to the millisecond. Cuts are looked for in thumbnails by
PySceneDetect, which is imported, with OpenCV, in a decode process only, and only when shots are asked for.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Literal

import numpy as np

from vidsearch.decoders.base import Decoder, Frame, Length, Span, nothing
from vidsearch.errors import UsageError
from vidsearch.extras import require

LONGEST_S = 10.0  # of a part of a shot
SHORTEST_S = 0.5  # what is shorter is joined to what comes before it
WINDOW_S = (0.5, 3600.0)  # least and most


@dataclass(frozen=True)
class Split:
    """How to cut a video; `window_s` is set for windows only."""

    kind: Literal["scenes", "window", "none"]
    window_s: float = 0.0


def parse_split(text: str) -> Split:
    """Read "scenes", "none", or a window such as "window:5s" or "window:2.5s".

    Raises:
        UsageError: it is none of these.
    """
    if text == "scenes":
        return Split("scenes")
    if text == "none":
        return Split("none")
    least, most = WINDOW_S
    if (window := re.fullmatch(r"window:(\d+(?:\.\d+)?)s", text)) and least <= float(window[1]) <= most:
        return Split("window", float(window[1]))
    raise UsageError(f"cannot split by {text!r}; choose scenes, none, or a window of {least:g} to {most:g} seconds such as window:5s")


def find_spans(decoder: Decoder, path: Path, split: Split, alive: Callable[[], None] = nothing) -> list[Span]:
    """Return the clips of a video, in order; of a file that lost its end, the last one is what is missing.

    Raises:
        DecodeError: the video cannot be read.
        MissingExtraError: PySceneDetect or OpenCV is not installed.
    """
    if split.kind == "none":
        return [Span()]
    length = decoder.read_length(path, alive=alive)
    if split.kind == "window":
        spans = cut_evenly(length.end_s, split.window_s)
    else:
        spans = cut_at(find_cuts(decoder.read_thumbnails(path, alive=alive)), length.end_s)
    return [*spans, Span(spans[-1].end_s or 0.0, None)] if _is_truncated(length) else spans


def find_cuts(thumbnails: Iterable[tuple[float, Frame]]) -> list[float]:
    """Return the times of those thumbnails, given with their times in order, that begin a new shot."""
    detector_module, common = require("scenedetect.detectors"), require("scenedetect.common")
    require("cv2").setNumThreads(1)
    detector = detector_module.AdaptiveDetector(min_scene_len=0)  # short shots are joined afterwards
    times_s: list[float] = []
    cuts: list[float] = []
    for number, (time_s, picture) in enumerate(thumbnails):
        times_s.append(time_s)
        found = detector.process_frame(common.FrameTimecode(number, fps=25.0), np.ascontiguousarray(picture[..., ::-1]))
        cuts.extend(times_s[cut.frame_num] for cut in found)
    return cuts


def cut_at(cuts_s: Iterable[float], end_s: float) -> list[Span]:
    """Return the shots between cuts, from 0 to the video's end, without gap or overlap.

    Those under SHORTEST_S are joined to the one before, the first to the one after; those over LONGEST_S are divided evenly.
    """
    end = _end_ms(end_s)
    bounds = [0]
    for cut in sorted({_floor_ms(cut_s) for cut_s in cuts_s}):
        if cut - bounds[-1] >= SHORTEST_S * 1000 and end - cut >= SHORTEST_S * 1000:
            bounds.append(cut)
    parts = [0]
    for start, stop in pairwise([*bounds, end]):
        count = math.ceil((stop - start) / (LONGEST_S * 1000))
        parts.extend(start + (stop - start) * part // count for part in range(1, count + 1))
    return _spans(parts)


def cut_evenly(end_s: float, window_s: float) -> list[Span]:
    """Return windows of one length, without gap or overlap; a rest under SHORTEST_S belongs to the last of them."""
    end, step = _end_ms(end_s), round(window_s * 1000)
    starts = [start for start in range(0, end, step) if start == 0 or end - start >= SHORTEST_S * 1000]
    return _spans([*starts, end])


def _spans(bounds_ms: Sequence[int]) -> list[Span]:
    return [Span(start / 1000, stop / 1000) for start, stop in pairwise(bounds_ms)]


def _floor_ms(time_s: float) -> int:
    """Return the millisecond that a frame belongs to: rounded up, the first frame of a shot would fall into the shot before."""
    return math.floor(time_s * 1000 + 1e-3)


def _end_ms(end_s: float) -> int:
    return max(1, math.ceil(end_s * 1000 - 1e-3))


def _is_truncated(length: Length) -> bool:
    return length.claimed_s > length.end_s

"""One frame of a clip as a JPEG. Runs in a process of its own, see `vidsearch.playback._video_child`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from vidsearch.archives.inside import resolve_inside
from vidsearch.decoders.base import Frame, Span
from vidsearch.decoders.pyav import open_decoder
from vidsearch.errors import DecodeError
from vidsearch.playback._opening import open_video

QUALITY = 80
_NEAR_S = 1.0  # of the middle of a long clip, of which no more is read


def poster(job: dict[str, Any]) -> dict[str, Any]:
    """Write the frame at the middle of a clip, upright, or the nearest that can be decoded.

    Args:
        job: {"root", "video": the file below it, "start_s", "end_s": the clip, "width": pixels, "to": path to write}
    """
    failure = DecodeError("SPAN_EMPTY", "no frame lies in the clip")
    with open_video(Path(job["root"]), job["video"]) as file:
        path = _path_of(file, Path(job["root"]), job["video"])
        for span, choose in _tries(job["start_s"], job["end_s"]):
            (clip,) = open_decoder().read_clips(path, [span], choose=choose, transform=_scaled_to(job["width"]))
            if clip.frames is not None:
                Image.fromarray(clip.frames[0]).save(job["to"], "JPEG", quality=QUALITY, optimize=True)
                return {}
            failure = DecodeError(clip.reason, clip.detail)
    raise failure


def _tries(start_s: float, end_s: float) -> Iterator[tuple[Span, Callable[[int], Sequence[int]]]]:
    """Yield where to look for the frame: at the middle, then anywhere, then at the start of what may be cut off or damaged."""
    middle_s = (start_s + end_s) / 2
    whole = Span(start_s, end_s)
    near = Span(max(start_s, middle_s - _NEAR_S), min(end_s, middle_s + _NEAR_S))
    yield near, _middle
    if near != whole:
        yield whole, _middle
    yield Span(start_s, min(end_s, start_s + _NEAR_S)), _first
    yield Span(0.0, _NEAR_S), _first


def _middle(available: int) -> list[int]:
    return [available // 2]


def _first(available: int) -> list[int]:
    del available
    return [0]


def _scaled_to(width: int) -> Callable[[Frame], Frame]:
    """Return what makes a frame that wide, in steps of whole pixels first: a large picture is read once, not filtered throughout."""
    import numpy as np

    def scaled(frame: Frame) -> Frame:
        height = max(1, round(frame.shape[0] * width / frame.shape[1]))
        return np.asarray(Image.fromarray(frame).resize((width, min(height, 3 * width)), Image.Resampling.LANCZOS, reducing_gap=2.0))

    return scaled


def _path_of(file: Any, root: Path, video: str) -> Path:
    """Return a path by which the decoder opens what was opened and checked, not what has that name by then; Linux has one."""
    try:
        path = Path(f"/proc/self/fd/{file.fileno()}")
        if sys.platform == "linux" and path.exists():
            return path
    except OSError:  # a member of an archive has no descriptor of its own
        pass
    found = resolve_inside(root, video)
    if found is None:
        raise DecodeError("PATH_ESCAPE", "its path leads out of the folder")
    return found

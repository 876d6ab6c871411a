"""Decode with PyAV (FFmpeg): exact frames, decoding only what they need, and a reason for each clip that cannot be had.

Three private files do the work: `_pyav_source` opens a file safely, `_pyav_gops` reads one group of pictures at a time, and
`_pyav_sequential` reads what only decoding from the start gets right. `_timeline` is the arithmetic of which frames a clip is made of.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import av
import av.error
import numpy as np
from av.sidedata.sidedata import SideDataContainer
from av.video.reformatter import VideoReformatter

from vidsearch.decoders import _pyav_gops as gops
from vidsearch.decoders import _pyav_sequential as sequential
from vidsearch.decoders import _pyav_survey as survey
from vidsearch.decoders._files import check_file, has_changed
from vidsearch.decoders._pyav_source import READ_ON_S, Convert, Source
from vidsearch.decoders._timeline import REORDER_LIMIT, Clip, Problem, Stretch, covers, failed, settle, sort_out
from vidsearch.decoders.base import MAX_FRAMES_PER_S, DecodedClip, Decoder, Frame, Length, Span, nothing
from vidsearch.errors import DecodeError

_CHANGED = "the file was replaced or written to while it was read"

Choose = Callable[[int], Sequence[int]]
Fetch = Callable[[Source, Stretch, Sequence[int], Convert], Iterator[tuple[int, Frame | Problem]]]


def open_decoder() -> Decoder:
    return PyAVDecoder()


class PyAVDecoder(Decoder):
    """Frames identical to the bit to those of a full decode with `frame.to_ndarray(format="rgb24")`, on one thread."""

    name = "pyav"

    def read_clips(
        self,
        path: Path,
        spans: Sequence[Span],
        *,
        choose: Choose,
        transform: Callable[[Frame], Frame],
        alive: Callable[[], None] = nothing,
    ) -> Iterator[DecodedClip]:
        before = check_file(path)
        convert = _RgbConverter(transform)
        try:
            with Source(path, alive) as source:
                for clip in _read(source, spans, choose, convert):
                    # whatever came of it: times of one file and frames of another can look like a sound clip
                    yield failed(clip.index, "CHANGED_DURING_READ", _CHANGED) if has_changed(path, before) else clip
        except MemoryError as error:
            raise DecodeError("DECODER_OOM", f"{path} needs more memory than a worker may have") from error
        except DecodeError as error:
            if has_changed(path, before):
                raise DecodeError("CHANGED_DURING_READ", f"{path}: {_CHANGED}") from error
            raise

    def read_length(self, path: Path, *, alive: Callable[[], None] = nothing) -> Length:
        check_file(path)
        with Source(path, alive) as source:
            return survey.measure(source)

    def read_thumbnails(self, path: Path, *, alive: Callable[[], None] = nothing) -> Iterator[tuple[float, Frame]]:
        check_file(path)
        with Source(path, alive) as source:
            yield from survey.thumbnails(source)


def _read(source: Source, spans: Sequence[Span], choose: Choose, convert: Convert) -> Iterator[DecodedClip]:
    left, bad = sort_out(spans)
    yield from bad
    if gops.suits(source):
        ahead = deque(covers(left, source.clock, reach_s=READ_ON_S if source.seekable else math.inf))
        while ahead and (stretch := gops.scan(source, ahead[0])):
            yield from _clips(source, stretch, ahead.popleft().spans, gops.fetch, choose, convert)
        left = [item for cover in ahead for item in cover.spans]
    for cover in covers(left, source.clock, reach_s=math.inf):
        yield from _clips(source, sequential.scan(source, cover), cover.spans, sequential.fetch, choose, convert)


def _clips(
    source: Source,
    stretch: Stretch,
    spans: Sequence[tuple[int, Span]],
    fetch: Fetch,
    choose: Choose,
    convert: Convert,
) -> Iterator[DecodedClip]:
    """Choose the frames of the spans of one stretch, fetch them, and yield each clip once its last frame is there."""
    if not len(stretch.shown) and stretch.ending is not None and not stretch.ending.truncated:
        raise DecodeError("ZERO_DURATION", "its video stream holds no frame")
    _check_rate(stretch, source)
    waiting: dict[int, list[Clip]] = {}
    for index, span in spans:
        clip = settle(index, span, stretch, source.clock, choose)
        if isinstance(clip, DecodedClip):
            yield clip
            continue
        for position in set(clip.positions):
            waiting.setdefault(position, []).append(clip)
    lost: set[int] = set()
    for position, outcome in fetch(source, stretch, sorted(waiting), convert) if waiting else ():
        for clip in waiting.pop(position):
            if clip.index in lost:
                continue
            if isinstance(outcome, Problem):
                lost.add(clip.index)
                yield failed(clip.index, *outcome)
                continue
            clip.frames[position] = outcome
            if clip.complete:
                yield clip.decoded()


def _check_rate(stretch: Stretch, source: Source) -> None:
    """Refuse a file that gives no frame rate: FFmpeg then makes up times, by which no clip can be found."""
    count = len(stretch.times)
    length_s = float((stretch.times[-1] - stretch.times[0]) * source.clock.time_base) if count else 0.0
    if count > REORDER_LIMIT and count > length_s * MAX_FRAMES_PER_S:
        raise DecodeError("ZERO_DURATION", f"{count} frames in {length_s:.3f} s: the file does not say how long a frame is shown")


class _RgbConverter:
    """Turns decoded frames into RGB, upright, and hands them to a transform."""

    def __init__(self, transform: Callable[[Frame], Frame]) -> None:
        self._transform = transform
        self._reformatter = VideoReformatter()  # keeps swscale's tables from frame to frame

    def __call__(self, frame: av.VideoFrame) -> Frame:
        try:
            rgb = self._reformatter.reformat(frame, format="rgb24", threads=1)
        except av.error.FFmpegError as error:
            raise DecodeError("DECODE_ERROR", f"frames of the format {frame.format.name} cannot be turned into RGB") from error
        return self._transform(_upright(np.asarray(rgb.to_ndarray(), dtype=np.uint8), frame))


def _upright(picture: Frame, frame: av.VideoFrame) -> Frame:
    """Turn and mirror a picture as its display matrix says, where that is by right angles.

    The matrix (a b u / c d v / x y w, 16.16 fixed point) sends the point (x, y) to (ax + cy, bx + dy): ISO/IEC 14496-12, 6.2.2.
    """
    try:
        # frame.side_data is the same, but frame and container would then keep each other until the next garbage collection
        matrix = SideDataContainer(frame).get("DISPLAYMATRIX")  # type: ignore[call-arg]
    except ValueError:  # PyAV stumbles over data of a kind it does not know, such as a camera's EXIF; it still tells turns
        return np.ascontiguousarray(np.rot90(picture, frame.rotation // 90))
    if matrix is None:
        return picture
    a, b, _, c, d = (int(value) for value in np.frombuffer(matrix, dtype=np.int32)[:5])
    if a == d == 0 and b and c:
        picture, across, down = picture.transpose(1, 0, 2), c, b
    elif b == c == 0 and a and d:
        across, down = a, d
    else:
        return picture
    return np.ascontiguousarray(picture[:: -1 if down < 0 else 1, :: -1 if across < 0 else 1])

"""Look over a whole video: how long it is, and what it looks like from afar, for cutting it into shots."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

import av
import av.error
import numpy as np
from av.video.reformatter import VideoReformatter

from vidsearch.decoders import _pyav_gops as gops
from vidsearch.decoders import _pyav_sequential as sequential
from vidsearch.decoders._pyav_source import Source
from vidsearch.decoders._timeline import Cover, Stretch
from vidsearch.decoders.base import THUMBNAIL, Frame, Length
from vidsearch.errors import DecodeError


def measure(source: Source) -> Length:
    """Return how long a video is: by the times of its packets where these are known, else by decoding it."""
    stretch = _scan(source)
    if stretch.ending is None or not len(stretch.shown):
        raise DecodeError("ZERO_DURATION", "its video stream holds no frame")
    return Length(source.clock.seconds(stretch.ending.real), source.clock.seconds(stretch.ending.claimed))


def thumbnails(source: Source) -> Iterator[tuple[float, Frame]]:
    """Yield frames with their times, in order; those that no other refers to may be left out, for they cost half of the decoding."""
    reformatter = VideoReformatter()
    for frame, tick in _frames(source):
        time_s = source.clock.seconds(tick)
        if time_s >= 0 and not frame.is_corrupt and (picture := _shrink(frame, reformatter)) is not None:
            yield time_s, picture


def _scan(source: Source) -> Stretch:
    whole = Cover(source.clock.ticks(0.0), None, ())
    stretch = gops.scan(source, whole) if gops.suits(source) else None
    return stretch if stretch is not None else sequential.scan(source, whole)


def _frames(source: Source) -> Iterator[tuple[av.VideoFrame, int]]:
    """Decode from the start; yield frames with their ticks."""
    if not gops.suits(source):  # the times on its frames are not to be trusted, but those of a first pass, by number
        frames = (frame for frame, _ in sequential.decoded(source) if frame is not None)
        yield from zip(frames, map(int, _scan(source).pts), strict=False)
        return
    source.rewind()
    source.context.skip_frame = "NONREF" if gops.may_skip(source) else "DEFAULT"
    for packet in chain(source.packets, [None]):
        for frame in source.decode(packet) or ():
            if frame.pts is not None:
                yield frame, frame.pts


def _shrink(frame: av.VideoFrame, reformatter: VideoReformatter) -> Frame | None:
    """Return a frame as a thumbnail, as it lies in the file; None if its format cannot be turned into RGB."""
    width, height = THUMBNAIL
    try:
        small = reformatter.reformat(frame, width=width, height=height, format="rgb24", interpolation="AREA", threads=1)
    except av.error.FFmpegError:
        return None
    return np.asarray(small.to_ndarray(), dtype=np.uint8)

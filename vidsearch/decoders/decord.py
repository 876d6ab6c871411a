"""Decode with decord 0.6.0, for comparison and for machines that have nothing else. PyAV is the default for good reasons.

decord bundles FFmpeg 4.1 and was last released in 2021. What it is known to get wrong, each a named test in tests/contracts:

* it returns other frames than those asked for after seeking to a keyframe that is not a clean start (open GOP in H.264 and HEVC, intra
  refresh, temporal layers, MPEG-4 with B frames) and in fragmented MP4;
* it has no AV1 and no times of AVI with B frames, and cannot open Matroska without cues or a file whose last few per cent are missing;
* damaged frames are returned as if they were sound;
* on MPEG-TS it hangs for ever, without using the processor and holding the GIL; and it would follow a script that names other files.
  So only files that begin like MP4, Matroska or AVI are given to it;
* its times are float32, so they are taken to the millisecond.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from vidsearch.decoders._files import check_file
from vidsearch.decoders._timeline import Clip, Clock, Ending, Stretch, failed, settle, sort_out
from vidsearch.decoders.base import MAX_PIXELS, MAX_SECONDS, DecodedClip, Decoder, Frame, Span, nothing
from vidsearch.errors import DecodeError
from vidsearch.extras import require

_CLOCK = Clock(Fraction(1, 1000), Fraction(0))
_MP4_BOXES = (b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide")


def open_decoder() -> Decoder:
    return DecordDecoder()


class DecordDecoder(Decoder):
    """One seek per frame, on one thread."""

    name = "decord"

    def __init__(self) -> None:
        self._decord = require("decord")
        self._decord.logging.set_level(self._decord.logging.QUIET)

    def read_clips(
        self,
        path: Path,
        spans: Sequence[Span],
        *,
        choose: Callable[[int], Sequence[int]],
        transform: Callable[[Frame], Frame],
        alive: Callable[[], None] = nothing,
    ) -> Iterator[DecodedClip]:
        check_file(path)
        if not path.is_file():
            raise DecodeError("FORMAT_NOT_ALLOWED", f"{path} lies in an archive, and decord reads none in place; pyav does")
        _check_format(path)
        good, bad = sort_out(spans)
        yield from bad
        reader = self._open(path)
        stretch = _stretch(reader)
        for index, span in sorted(good, key=lambda item: item[1].start_s):
            clip = settle(index, span, stretch, _CLOCK, choose)
            yield clip if isinstance(clip, DecodedClip) else self._decode(reader, clip, transform)
            alive()

    def _open(self, path: Path) -> Any:
        try:
            reader = self._decord.VideoReader(str(path.absolute()), ctx=self._decord.cpu(0), num_threads=1)
        except (self._decord.DECORDError, RuntimeError) as error:
            kind = "NO_VIDEO_STREAM" if "cannot find video stream" in str(error) else "OPEN_FAILED"
            raise DecodeError(kind, f"{path}: {_last_line(error)}") from error
        if not len(reader):
            raise DecodeError("ZERO_DURATION", f"{path}: its video stream holds no frame")
        return reader

    def _decode(self, reader: Any, clip: Clip, transform: Callable[[Frame], Frame]) -> DecodedClip:
        try:
            for position in clip.positions:
                if position not in clip.frames:
                    clip.frames[position] = transform(reader[position].asnumpy())
        except (self._decord.DECORDError, IndexError) as error:
            return failed(clip.index, "DECODE_ERROR", _last_line(error))
        return clip.decoded()


def _check_format(path: Path) -> None:
    with path.open("rb") as file:
        head = file.read(12)
    if head[4:8] not in _MP4_BOXES and head[:4] != b"\x1aE\xdf\xa3" and (head[:4], head[8:]) != (b"RIFF", b"AVI "):
        raise DecodeError("FORMAT_NOT_ALLOWED", f"{path} is not MP4, Matroska or AVI; decord is given no other file, pyav reads more")


def _stretch(reader: Any) -> Stretch:
    times = np.asarray(reader.get_frame_timestamp(range(len(reader))), dtype=np.float64)  # (n, 2): start and end, seconds
    if not np.isfinite(times).all() or np.abs(times).max() > MAX_SECONDS:
        raise DecodeError("OPEN_FAILED", "decord finds no usable times in it")
    height, width = reader[0].shape[:2]
    if height * width > MAX_PIXELS:
        raise DecodeError("DIMENSIONS_TOO_LARGE", f"{width} x {height} pixels; at most {MAX_PIXELS:,} are decoded")
    pts = np.rint(times[:, 0] / float(_CLOCK.time_base)).astype(np.int64)
    order = np.argsort(pts, kind="stable")
    end = round(float(times[:, 1].max()) / float(_CLOCK.time_base))
    if len(pts) > 1:  # some formats give frames no length
        end = max(end, int(pts.max() + np.median(np.diff(pts[order]))))
    return Stretch(pts, [0], order, [], Ending(end, end, 0))


def _last_line(error: Exception) -> str:
    return str(error).strip().splitlines()[-1] if str(error).strip() else type(error).__name__

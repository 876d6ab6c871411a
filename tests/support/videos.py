"""Test videos made with PyAV: every frame shows its own number as bars, so that a returned frame is known from its pixels."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt

Frame = npt.NDArray[np.uint8]  # (height, width, 3) RGB
BITS = 10  # frames are numbered 0..1023
TIME_BASE = Fraction(1, 90_000)  # the finest that every container here keeps


def numbered_frame(number: int, width: int, height: int) -> Frame:
    """Return a picture whose upper two thirds hold `number` as black and white bars; below, a texture moves."""
    bits = np.array([number >> bit & 1 for bit in reversed(range(BITS))], dtype=np.uint8)
    picture = np.empty((height, width, 3), dtype=np.uint8)
    picture[:] = (bits[np.arange(width) * BITS // width] * 200 + 28)[None, :, None]
    floor = height * 2 // 3
    y, x = np.mgrid[floor:height, 0:width]
    texture = 128 + 90 * np.sin((x + 3 * number) / 7) * np.cos((y - number) / 5)
    picture[floor:] = np.stack([texture, 255 - texture, np.roll(texture, number, axis=1)], axis=2)
    return picture


def read_number(picture: Frame) -> int:
    """Read the number off a picture of `numbered_frame`, at any size."""
    height, width = picture.shape[:2]
    row = picture[height // 4 : height // 2].mean(axis=(0, 2))
    bars = [row[round((bar + 0.3) * width / BITS) : round((bar + 0.7) * width / BITS)].mean() for bar in range(BITS)]
    return sum(int(bright > 128) << (BITS - 1 - bar) for bar, bright in enumerate(bars))


def write_video(
    path: Path,
    *,
    frames: int = 50,
    width: int = 96,
    height: int = 64,
    codec: str = "libx264",
    fps: int = 25,
    pix_fmt: str = "yuv420p",
    options: Mapping[str, str] | None = None,
    container_options: Mapping[str, str] | None = None,
    times_s: Sequence[float] | None = None,
    rotation: int = 0,
) -> Path:
    """Encode `frames` numbered frames and return `path`.

    Args:
        times_s: presentation times, for a variable frame rate or a start that is not 0; else frame / fps.
        rotation: degrees counter-clockwise that the file tells a player to turn the picture by; the pictures are stored turned back.
    """
    times_s = times_s or [number / fps for number in range(frames)]
    with av.open(str(path), "w", container_options=dict(container_options or {})) as container:
        stream = container.add_stream(codec, rate=fps, options=dict(options or {}))
        turns = rotation // 90
        stream.width, stream.height = (height, width) if turns % 2 else (width, height)
        stream.pix_fmt = pix_fmt
        stream.codec_context.thread_count = 1
        if codec != "mpeg4":  # it allows no denominator above 65535, and its container here is AVI: one tick a frame
            stream.codec_context.time_base = TIME_BASE
        if rotation:
            stream.set_display_rotation(rotation)
        for number, time_s in enumerate(times_s):
            picture = np.rot90(numbered_frame(number, width, height), -turns)
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
            frame.pts, frame.time_base = (number, Fraction(1, fps)) if codec == "mpeg4" else (round(time_s * 90_000), TIME_BASE)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def cut_without_encoding(source: Path, target: Path, start_s: float) -> Path:
    """Copy packets as `ffmpeg -ss START -c copy` does: from the keyframe before, which an edit list then hides."""
    with av.open(str(source)) as read, av.open(str(target), "w") as write:
        stream = read.streams.video[0]
        copy = write.add_stream_from_template(stream)
        start = round(start_s / stream.time_base)
        read.seek(start, stream=stream)
        for packet in read.demux(stream):
            if packet.size:
                packet.pts, packet.dts = packet.pts - start, packet.dts - start
                packet.stream = copy
                write.mux(packet)
    return target


def copy_packets(
    source: Path, target: Path, *, keep: Sequence[int] | None = None, container_options: Mapping[str, str] | None = None
) -> Path:
    """Copy a video's packets into another container: all, or those at the positions `keep`."""
    with av.open(str(source)) as read, av.open(str(target), "w", container_options=dict(container_options or {})) as write:
        stream = read.streams.video[0]
        copy = write.add_stream_from_template(stream)
        for position, packet in enumerate(read.demux(stream)):
            if packet.size and (keep is None or position in keep):
                packet.stream = copy
                write.mux(packet)
    return target


def truncate(source: Path, target: Path, share: float) -> Path:
    """Copy the first `share` of a file's bytes."""
    data = source.read_bytes()
    target.write_bytes(data[: int(len(data) * share)])
    return target


def punch_hole(source: Path, target: Path, *, start: float, length: int) -> Path:
    """Copy a file with `length` bytes from the position `start` (a share of the file) on zeroed."""
    data = bytearray(source.read_bytes())
    first = int(len(data) * start)
    data[first : first + length] = bytes(length)
    target.write_bytes(data)
    return target


def flip_bits(source: Path, target: Path, *, seed: int, count: int, first: int = 0) -> Path:
    """Copy a file with `count` random bits turned over, none before byte `first`."""
    data = bytearray(source.read_bytes())
    random_bits = random.Random(seed)
    for _ in range(count):
        data[random_bits.randrange(first, len(data))] ^= 1 << random_bits.randrange(8)
    target.write_bytes(data)
    return target

"""Test videos made with PyAV: every frame shows its own number as bars, so that a returned frame is known from its pixels."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt

Frame = npt.NDArray[np.uint8]  # (height, width, 3) RGB
BITS = 10  # frames are numbered 0..1023

os.environ.setdefault("SVT_LOG", "0")  # the AV1 encoder is talkative


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
    picture_of: Callable[[int, int, int], Frame] = numbered_frame,
) -> Path:
    """Encode `frames` frames and return `path`.

    Args:
        times_s: presentation times, for a variable frame rate or a start that is not 0; else frame / fps.
        rotation: degrees counter-clockwise that the file tells a player to turn the picture by; the pictures are stored turned back.
        picture_of: what a frame shows, given its number, width and height.
    """
    times_s = times_s or [number / fps for number in range(frames)]
    with av.open(str(path), "w", container_options=dict(container_options or {})) as container:
        stream = container.add_stream(codec, rate=fps, options=dict(options or {}))
        turns = rotation // 90
        stream.width, stream.height = (height, width) if turns % 2 else (width, height)
        stream.pix_fmt = pix_fmt
        stream.codec_context.thread_count = 1
        ticks = fps if codec.startswith("mpeg") else 90_000  # a second; MPEG encoders take no finer clock than that of their frames
        stream.codec_context.time_base = Fraction(1, ticks)
        if rotation:
            stream.set_display_rotation(rotation)
        for number, time_s in enumerate(times_s):
            picture = np.rot90(picture_of(number, width, height), -turns)
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
            frame.pts, frame.time_base = round(time_s * ticks), Fraction(1, ticks)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    if codec == "libsvtav1" and hasattr(os, "sched_setscheduler"):  # as root it makes this thread a real-time one, and all it will start
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
    return path


@dataclass(frozen=True)
class Recipe:
    """A kind of video that decoders get wrong: how to write one, and what is in it.

    Attributes:
        write: makes the file at a path, in a folder of its own.
        times_s: presentation time of each frame, seconds from the first instant.
        numbers: what the frames show, in order of time.
    """

    suffix: str
    write: Callable[[Path], Path]
    times_s: tuple[float, ...]
    numbers: tuple[int, ...]

    def between(self, start_s: float, end_s: float) -> list[int]:
        """Return the numbers of the frames of a clip."""
        return [number for time_s, number in zip(self.times_s, self.numbers, strict=True) if start_s - 1e-6 <= time_s < end_s - 1e-6]


FRAMES, FPS = 50, 25
STEADY = tuple(number / FPS for number in range(FRAMES))
UNEVEN = tuple(number / FPS + number // 10 * 0.32 for number in range(FRAMES))
X264 = {"g": "12", "bf": "3", "preset": "faster"}
X265 = "log-level=0:pools=1:frame-threads=1:scenecut=0:keyint=12:min-keyint=12"
VPX = {"g": "12", "deadline": "realtime", "cpu-used": "8"}


def _recipe(suffix: str, times_s: tuple[float, ...] = STEADY, **settings: object) -> Recipe:
    def write(path: Path) -> Path:
        return write_video(path, frames=len(times_s), **{"options": X264, "fps": FPS, "times_s": times_s, **settings})  # type: ignore[arg-type]

    return Recipe(suffix, write, tuple(time_s - times_s[0] for time_s in times_s), tuple(range(len(times_s))))


def _copied(suffix: str, **container_options: str) -> Recipe:
    def write(path: Path) -> Path:
        source = write_video(path.with_name("source.mp4"), frames=FRAMES, options=X264)
        return copy_packets(source, path, container_options=container_options)

    return Recipe(suffix, write, STEADY, tuple(range(FRAMES)))


def _cut(path: Path) -> Path:
    return cut_without_encoding(write_video(path.with_name("source.mp4"), frames=FRAMES, options=X264), path, 0.72)


RECIPES = {
    "h264": _recipe(".mp4"),
    "h264 open gop": _recipe(".mp4", options={**X264, "x264-params": "open-gop=1:scenecut=0"}),
    "h264 intra refresh": _recipe(".mp4", options={"g": "12", "bf": "0", "x264-params": "intra-refresh=1:scenecut=0"}),
    "h264 interlaced": _recipe(".mp4", options={**X264, "x264-params": "interlaced=1"}),
    "h264 one gop": _recipe(".mp4", options={"g": "999", "bf": "3", "x264-params": "scenecut=0"}),
    "hevc open gop": _recipe(".mp4", codec="libx265", options={"x265-params": X265}),
    "hevc closed gop": _recipe(".mp4", codec="libx265", options={"x265-params": X265 + ":open-gop=0"}),
    "hevc temporal layers": _recipe(".mp4", codec="libx265", options={"x265-params": X265 + ":temporal-layers=3"}),
    "vp8": _recipe(".webm", codec="libvpx", options={**VPX, "b": "400k"}),
    "vp9": _recipe(".webm", codec="libvpx-vp9", options=VPX),
    "vp9 alt-ref": _recipe(".webm", codec="libvpx-vp9", options={"g": "25", "cpu-used": "8", "auto-alt-ref": "1", "lag-in-frames": "16"}),
    "vp9 alpha": _recipe(".webm", codec="libvpx-vp9", pix_fmt="yuva420p", options={**VPX, "auto-alt-ref": "0"}),
    "av1": _recipe(".mp4", codec="libsvtav1", options={"g": "12", "preset": "12", "svtav1-params": "lp=1"}),
    "mpeg4 avi": _recipe(".avi", codec="mpeg4", options={"g": "12", "bf": "2", "b": "2M"}),
    "mpeg4 mp4": _recipe(".mp4", codec="mpeg4", options={"g": "12", "bf": "2", "b": "2M"}),
    "mpeg2 mpg": _recipe(".mpg", codec="mpeg2video", options={"g": "12", "bf": "2", "b": "2M"}),
    "mjpeg avi": _recipe(".avi", codec="mjpeg", pix_fmt="yuvj420p", options={}),
    "png alpha": _recipe(".mov", codec="png", pix_fmt="rgba", options={}),
    "gif": _recipe(".gif", codec="gif", pix_fmt="rgb8", options={}),
    "mpegts": _copied(".ts"),
    "mkv": _copied(".mkv"),
    "mkv without cues": _copied(".mkv", live="1"),
    "fragmented mp4": _copied(".mp4", movflags="frag_keyframe+empty_moov+default_base_moof"),
    "flv": _copied(".flv"),
    "variable rate": _recipe(".mp4", UNEVEN),
    "variable rate mkv": _recipe(".mkv", UNEVEN),
    "start offset": _recipe(".mp4", tuple(3600 + time_s for time_s in STEADY)),
    "start offset mkv": _recipe(".mkv", tuple(3600 + time_s for time_s in STEADY)),
    "start offset ts": _recipe(".ts", tuple(3600 + time_s for time_s in STEADY)),
    "rotated 90": _recipe(".mp4", rotation=90),
    "rotated 180": _recipe(".mp4", rotation=180),
    "rotated 270": _recipe(".mp4", rotation=270),
    "one frame": _recipe(".mp4", (0.0,)),
    "odd size": _recipe(".mp4", width=97, height=63, pix_fmt="yuv444p"),
    "10 bit": _recipe(".mp4", pix_fmt="yuv420p10le"),
    "gray": _recipe(".mp4", pix_fmt="gray"),
    "cut inside a gop": Recipe(".mp4", _cut, STEADY[:32], tuple(range(18, 50))),
}


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

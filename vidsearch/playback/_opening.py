"""Videos below the media root, read with PyAV: nothing but files, no format that names other files, and packets from a key frame on."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from typing import IO, Any

import av
import av.error

from vidsearch.archives.inside import open_inside
from vidsearch.decoders._pyav_source import FORMATS
from vidsearch.decoders.base import MAX_PIXELS
from vidsearch.errors import DecodeError

GRACE_S = 1e-4
MOST_FPS = 240  # more is no frame rate but a clock's
_STEPS_BACK_S = (0, 2, 8, 32)  # an index of decode times can overshoot the presentation time asked for

av.logging.set_level(None)


def open_video(root: Path, video: str) -> IO[bytes]:
    """Open a file below a folder.

    Raises:
        DecodeError: it is not there, or not to be read.
    """
    found = open_inside(root, video)
    if isinstance(found, str):
        raise DecodeError("NOT_FOUND" if found == "missing" else "PATH_ESCAPE", f"the video is {found}")
    return found


def open_container(file: IO[bytes]) -> Any:
    """Return a container to read; its streams may be decoded on one thread.

    Raises:
        DecodeError: it is no video, or of a kind that is not read.
    """
    options = {"format_whitelist": FORMATS, "protocol_whitelist": "file", "max_pixels": str(MAX_PIXELS)}
    try:
        container = av.open(file, options=options, metadata_errors="replace")
    except (av.error.FFmpegError, OSError, ValueError) as error:
        raise DecodeError("OPEN_FAILED", f"{type(error).__name__}") from error
    video = container.streams.best("video")
    if video is None or video.codec_context is None:
        container.close()
        raise DecodeError("NO_VIDEO_STREAM", "it holds no video that can be decoded")
    for stream in container.streams:
        if stream.codec_context is not None:
            stream.codec_context.thread_count = 1
    if video.codec_context.width * video.codec_context.height > MAX_PIXELS:
        container.close()
        raise DecodeError("DIMENSIONS_TOO_LARGE", f"more than {MAX_PIXELS:,} pixels")
    return container


def streams_of(container: Any) -> tuple[Any, Any]:
    """Return the video's stream and that of its sound, None where there is none that can be decoded."""
    audio = container.streams.best("audio")
    return container.streams.best("video"), audio if audio is not None and audio.codec_context is not None else None


def zero_of(container: Any) -> Fraction:
    return Fraction(container.start_time or 0, av.time_base)


def packets_from_key(streams: list[Any], container: Any, time_s: float) -> Iterator[Any]:
    """Yield packets of streams from the last key frame of the first on that is shown at a time or earlier, else from its first."""
    video = streams[0]
    tick = math.floor((time_s + GRACE_S) / video.time_base)
    for step_s in (*_STEPS_BACK_S, None):
        with suppress(av.error.FFmpegError):  # nothing there to seek to
            if step_s is None:
                container.seek(0)
            else:
                container.seek(tick - int(step_s / video.time_base), stream=video)
        packets = (packet for packet in container.demux(streams) if packet.size)
        pictures = (packet for packet in packets if packet.stream_index == video.index)
        key = next((packet for packet in pictures if packet.is_keyframe and packet.pts is not None), None)
        if key is not None and (key.pts <= tick or step_s is None):
            yield key
            yield from packets
            return


def decoded(stream: Any, packet: Any) -> list[Any]:
    """Return the frames that come of a packet, None drains; of a damaged one none."""
    try:
        frames: list[Any] = stream.codec_context.decode(packet)
    except MemoryError:  # FFmpeg's is both
        raise
    except av.error.FFmpegError:
        return []
    return frames

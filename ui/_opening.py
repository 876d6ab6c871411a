"""Videos below the media root, opened with PyAV: nothing but files, and no format that names other files."""

from __future__ import annotations

from pathlib import Path
from typing import IO, Any

import av
import av.error

from vidsearch.archives.inside import open_inside
from vidsearch.decoders._pyav_source import FORMATS
from vidsearch.decoders.base import MAX_PIXELS
from vidsearch.errors import DecodeError

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

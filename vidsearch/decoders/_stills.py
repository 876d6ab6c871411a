"""Pictures, read with PyAV: JPEG, PNG, WebP, BMP and the first picture of a GIF, by their first bytes and never by their name."""

from __future__ import annotations

from pathlib import Path

import av
import av.error
import numpy as np

from vidsearch.decoders._files import check_file, open_member
from vidsearch.decoders.base import MAX_PIXELS, Frame
from vidsearch.errors import DecodeError

FORMATS = {b"\xff\xd8\xff": "jpeg_pipe", b"\x89PNG\r\n\x1a\n": "png_pipe", b"BM": "bmp_pipe", b"GIF8": "gif"}


def is_still(path: Path) -> bool:
    """Whether a file is a picture of a known kind."""
    check_file(path)
    return _format(path) is not None


def read_still(path: Path) -> Frame:
    """Return a picture (height, width, 3) uint8 RGB, the right way up."""
    check_file(path)
    try:
        options = {"protocol_whitelist": "file", "max_pixels": str(MAX_PIXELS)}
        file = open_member(path) or f"file:{path}"
        with av.open(file, format=_format(path), options=options, metadata_errors="replace") as container:
            for frame in container.decode(video=0):
                # a camera's turn by right angles; PyAV reads no mirroring where there is EXIF beside it
                return np.ascontiguousarray(np.rot90(frame.to_ndarray(format="rgb24"), frame.rotation // 90))
    except MemoryError as error:
        raise DecodeError("DECODER_OOM", f"{path} needs too much memory") from error
    except (av.error.FFmpegError, OSError, IndexError) as error:
        raise DecodeError("OPEN_FAILED", f"{path} cannot be read as a picture") from error
    raise DecodeError("DECODE_ERROR", f"{path} holds no picture")


def _format(path: Path) -> str | None:
    with open_member(path) or path.open("rb") as file:
        head = file.read(16)
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "webp_pipe"
    return next((name for magic, name in FORMATS.items() if head.startswith(magic)), None)

"""Pictures and videos that were dropped into the page, kept under the hash of what is in them."""

from __future__ import annotations

import hashlib
import os
import re
from contextlib import suppress
from pathlib import Path

from vidsearch.errors import DecodeError, QueryError, UsageError
from vidsearch.extras import require
from vidsearch.settings import read_settings

MAX_BYTES = 64_000_000
MAX_KEPT_BYTES = 1_000_000_000
NAME = re.compile(r"[0-9a-f]{16}\.[a-z0-9]{1,5}")
_SUFFIX = re.compile(r"\.[a-z0-9]{1,5}")


def uploads_folder() -> Path:
    """Return where they are kept."""
    return read_settings().cache / "uploads"


def keep(path: Path, *, folder: Path | None = None) -> str:
    """Keep a copy of a file that was dropped in, for its owner alone; return its name, the same for the same bytes.

    The oldest are removed as soon as all together take more than MAX_KEPT_BYTES.

    Args:
        path: the file.
        folder: where to; `uploads_folder` without it.

    Raises:
        UsageError: it is too large, or no picture or video.
    """
    size = path.stat().st_size
    if size > MAX_BYTES:
        raise UsageError(f"{path.name:.60} has {size / 1e6:.0f} MB; a picture or video to search with may have {MAX_BYTES / 1e6:.0f} MB")
    data = path.read_bytes()
    suffix = path.suffix.lower() if _SUFFIX.fullmatch(path.suffix.lower()) else ".bin"
    name = hashlib.sha256(data).hexdigest()[:16] + suffix
    folder = folder or uploads_folder()
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    kept = folder / name
    if not kept.exists():
        _check_opens(path)
        _write(kept, data)
    os.utime(kept)
    _remove_oldest(folder, spare=kept)
    return name


def path_of(name: str, *, folder: Path | None = None) -> Path:
    """Return where an upload is kept.

    Raises:
        QueryError: it is not there, or that is no name of one.
    """
    if not NAME.fullmatch(name):
        raise QueryError(f"{name!r:.60} is no name of a file that was dropped in")
    path = (folder or uploads_folder()) / name
    if not path.is_file():
        raise QueryError("the picture or video of this link is not kept here any more; drop it in again")
    return path


def _check_opens(path: Path) -> None:
    require("av")
    from vidsearch.decoders._stills import is_still, read_still
    from vidsearch.decoders.base import Span
    from vidsearch.decoders.pyav import open_decoder

    try:
        if is_still(path):
            read_still(path)
            return
        (clip,) = open_decoder().read_clips(
            path, [Span(0.0, None)], choose=lambda available: range(min(1, available)), transform=lambda frame: frame
        )
        if clip.frames is None:
            raise DecodeError(clip.reason, clip.detail)
    except DecodeError as error:
        kinds = "a JPEG, PNG, WebP, GIF or BMP, or a video such as MP4"
        raise UsageError(f"{path.name:.60} is no picture or video this reads; drop in {kinds} ({error.reason})") from error


def _write(path: Path, data: bytes) -> None:
    """Write a file that has its name only when it is whole."""
    temporary = path.with_name(f".{path.name}.{os.urandom(4).hex()}")
    try:
        with os.fdopen(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as file:
            file.write(data)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _remove_oldest(folder: Path, *, spare: Path) -> None:
    found = []
    for path in folder.iterdir():
        with suppress(FileNotFoundError):  # another process may be at it
            found.append((path.stat().st_mtime, path.stat().st_size, path))
    total = sum(size for _, size, _ in found)
    for _, size, path in sorted(found):
        if total > MAX_KEPT_BYTES and path != spare:
            path.unlink(missing_ok=True)
            total -= size

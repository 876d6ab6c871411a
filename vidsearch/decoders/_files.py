"""What is checked of a file before any decoder's native code sees it. A path may lead into an archive: `shards/00000.tar/key.mp4`."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import BinaryIO, NamedTuple

from vidsearch.archives import members
from vidsearch.errors import DecodeError


class FileState(NamedTuple):
    """Enough to see that a file, or the archive that holds it, was replaced or written to while it was read."""

    inode: int
    size_bytes: int
    modified_ns: int


def check_file(path: Path) -> FileState:
    """Return the state of a regular file (a link to one will do), or raise DecodeError: a FIFO or a device would block for ever."""
    try:
        found = path.stat()
    except FileNotFoundError as error:
        raise DecodeError("NOT_FOUND", f"{path}: {error.strerror}") from error
    except NotADirectoryError:
        return _check_member(path)
    except (OSError, ValueError) as error:  # no permission, a loop of links, a NUL in the name
        raise DecodeError("OPEN_FAILED", f"{path}: {error}") from error
    if not stat.S_ISREG(found.st_mode):
        raise DecodeError("NOT_REGULAR_FILE", f"{path} is not a regular file")
    if found.st_size == 0:
        raise DecodeError("EMPTY", f"{path} holds no bytes")
    if not os.access(path, os.R_OK):
        raise DecodeError("OPEN_FAILED", f"{path} cannot be read: permission denied")
    return FileState(found.st_ino, found.st_size, found.st_mtime_ns)


def _check_member(path: Path) -> FileState:
    archive, member = members.find(path)
    if member.size_bytes == 0:
        raise DecodeError("EMPTY", f"{path} holds no bytes")
    return check_file(archive)


def open_member(path: Path) -> BinaryIO | None:
    """Open what `check_file` has found if it lies in an archive; None for a file of its own, which libraries open best themselves."""
    return None if path.is_file() else members.open_member(path)


def has_changed(path: Path, before: FileState) -> bool:
    """Whether a file is no longer what it was."""
    try:
        return check_file(path) != before
    except DecodeError:
        return True

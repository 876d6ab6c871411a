"""What is checked of a file before any decoder's native code sees it."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import NamedTuple

from vidsearch.errors import DecodeError


class FileState(NamedTuple):
    """Enough to see that a file was replaced or written to while it was read."""

    inode: int
    size_bytes: int
    modified_ns: int


def check_file(path: Path) -> FileState:
    """Return the state of a regular file (a link to one will do), or raise DecodeError: a FIFO or a device would block for ever."""
    try:
        found = path.stat()
    except (FileNotFoundError, NotADirectoryError) as error:
        raise DecodeError("NOT_FOUND", f"{path}: {error.strerror}") from error
    except (OSError, ValueError) as error:  # no permission, a loop of links, a NUL in the name
        raise DecodeError("OPEN_FAILED", f"{path}: {error}") from error
    if not stat.S_ISREG(found.st_mode):
        raise DecodeError("NOT_REGULAR_FILE", f"{path} is not a regular file")
    if found.st_size == 0:
        raise DecodeError("EMPTY", f"{path} holds no bytes")
    if not os.access(path, os.R_OK):
        raise DecodeError("OPEN_FAILED", f"{path} cannot be read: permission denied")
    return FileState(found.st_ino, found.st_size, found.st_mtime_ns)


def has_changed(path: Path, before: FileState) -> bool:
    """Whether a file is no longer what it was."""
    try:
        return check_file(path) != before
    except DecodeError:
        return True

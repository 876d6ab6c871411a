"""Files below a folder that may not be left, whatever a path or a link in it says."""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path
from typing import IO

from vidsearch.archives.members import open_member, split
from vidsearch.errors import DecodeError


def open_inside(root: Path, video: str) -> IO[bytes] | str:
    """Open a file below a folder, or return why not: "missing", or "refused" when its path or a link leads out of the folder.

    Args:
        root: the folder, resolved.
        video: relative to it; it may lie in an archive there.
    """
    try:
        path = resolve_inside(root, video)
        if path is None:
            return "refused" if video else "missing"
        if split(path):
            return open_member(path)
        file = os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC), "rb")
    except (OSError, ValueError, RuntimeError, DecodeError):  # a name no file can have; a circle of links; no such member
        return "missing"
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        return "missing"
    if not _lies_inside(file, root):
        file.close()
        return "refused"
    return file


def resolve_inside(root: Path, video: str) -> Path | None:
    """Return the path of a file below a folder without any links in it; None where it leads out of the folder, or none is named.

    Raises:
        OSError, ValueError, RuntimeError: a name no file can have; a circle of links.
    """
    path = (root / video).resolve()
    return path if video and path.is_relative_to(root) else None


def _lies_inside(file: IO[bytes], root: Path) -> bool:
    """Whether what was opened lies below the folder, though a folder in between may have become a link meanwhile; Linux can tell."""
    if sys.platform != "linux":
        return True
    try:
        return Path(f"/proc/self/fd/{file.fileno()}").readlink().is_relative_to(root)
    except OSError:  # no /proc here
        return True

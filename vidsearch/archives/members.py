"""Files inside archives by paths that go through them: `shards/00000.tar/key.mp4`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import BinaryIO

from vidsearch.archives.archive import READERS, Archive, Table
from vidsearch.archives.entries import Member
from vidsearch.errors import DecodeError

__all__ = ["READERS", "exists", "find", "is_archive", "is_member", "open_member", "read_table", "split", "stat_media"]


def is_archive(path: Path) -> bool:
    """Whether a path is a regular file with the suffix of an archive whose members can be read in place."""
    return path.suffix.lower() in READERS and path.is_file()


def split(path: Path) -> tuple[Path, str] | None:
    """Return the archive that a path leads through and the member's name in it; None for any other path."""
    for parent in path.parents:
        if is_archive(parent):
            return parent, path.relative_to(parent).as_posix()
    return None


def read_table(archive: Path) -> Table:
    """Return an archive's table, as `Archive.table` does."""
    with Archive(archive) as opened:
        return opened.table()


def stat_media(path: Path) -> os.stat_result:
    """Return the status of a file, or of the archive that a path leads through; raises OSError as `Path.stat` does."""
    try:
        return path.stat()
    except NotADirectoryError:
        place = split(path)
        if place is None:
            raise
        return place[0].stat()


def exists(path: Path) -> bool:
    """Whether there is a file or folder of that path, on disk or in an archive."""
    return path.exists() or is_member(path)


def is_member(path: Path) -> bool:
    """Whether a path leads to a file in an archive."""
    try:
        find(path)
    except DecodeError:
        return False
    return True


def find(path: Path) -> tuple[Path, Member]:
    """Return the archive that a path leads through and the member that it names.

    Raises:
        DecodeError: NOT_FOUND, or the reason why the archive or that member is not read.
    """
    archive, name = _place(path)
    with Archive(archive) as opened:
        return archive, _member(opened, path, name)


def open_member(path: Path) -> BinaryIO:
    """Open a file inside an archive, as `Archive.open` does.

    Raises:
        DecodeError: it is not there, or cannot be read.
    """
    archive, name = _place(path)
    with Archive(archive) as opened:
        return opened.open(_member(opened, path, name))


def _place(path: Path) -> tuple[Path, str]:
    place = split(path)
    if place is None:
        raise DecodeError("NOT_FOUND", f"{path}: no such file")
    return place


def _member(archive: Archive, path: Path, name: str) -> Member:
    table = archive.table()
    if name in table.members:
        return table.members[name]
    for refused in table.refused:
        if refused.name == name:
            raise DecodeError(refused.reason, f"{path}: {refused.detail}")
    raise DecodeError("NOT_FOUND", f"{path}: the archive holds no {name}")

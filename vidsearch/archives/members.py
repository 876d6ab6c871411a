"""Finding and opening files inside archives, by paths that go through them; nothing is ever written to disk."""

from __future__ import annotations

import io
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO

from vidsearch.archives import _tar, _zip
from vidsearch.archives.entries import DEFLATED, Member, Reader, Refused
from vidsearch.errors import DecodeError

READERS = {".tar": _tar.read_entries, ".zip": _zip.read_entries}
MAX_UNPACKED_BYTES = 512 << 20  # of a packed member, which is held in memory while it is read
TABLES_KEPT = 4
_BUFFER_BYTES = 1 << 16


@dataclass(frozen=True)
class Table:
    """The files of an archive.

    Attributes:
        members: those that can be read, by name, in the archive's order; of several with one name, the first.
        refused: what cannot, and why.
    """

    members: dict[str, Member] = field(default_factory=dict)
    refused: list[Refused] = field(default_factory=list)

    def __repr__(self) -> str:
        return f"Table({len(self.members)} members, {len(self.refused)} refused)"


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
    """Return an archive's table; that of the last few is kept while they do not change.

    Raises:
        DecodeError: the file cannot be opened.
    """
    with _Archive(archive) as opened:
        return _cached(str(archive), opened.state)


def iterate(archive: Path) -> Iterator[Member | Refused]:
    """Yield an archive's entries as they are found, for who does not want them all."""
    with _Archive(archive) as opened:
        yield from READERS[archive.suffix.lower()](opened.reader)


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
    place = split(path)
    if place is None:
        raise DecodeError("NOT_FOUND", f"{path}: no such file")
    archive, name = place
    table = read_table(archive)
    if name in table.members:
        return archive, table.members[name]
    for refused in table.refused:
        if refused.name == name:
            raise DecodeError(refused.reason, f"{path}: {refused.detail}")
    raise DecodeError("NOT_FOUND", f"{path}: {archive.name} holds no {name}")


def open_member(path: Path) -> BinaryIO:
    """Open a file inside an archive for reading; it can be sought in, and cannot be seen beyond.

    Raises:
        DecodeError: it is not there, or cannot be read; MEMBER_TOO_LARGE if it would have to be unpacked and is too large for that.
    """
    archive, member = find(path)
    opened = _Archive(archive)
    try:
        offset = member.offset if archive.suffix.lower() == ".tar" else _zip.data_offset(opened.reader, member)
        if member.method != DEFLATED:
            return io.BufferedReader(_Window(opened.take(), offset, member.size_bytes), _BUFFER_BYTES)
        if member.size_bytes > MAX_UNPACKED_BYTES:
            limit = f"at most {MAX_UNPACKED_BYTES:,} are unpacked in memory; store it as it is (zip -0)"
            raise DecodeError("MEMBER_TOO_LARGE", f"{path}: {member.size_bytes:,} bytes; {limit}")
        return io.BytesIO(_zip.unpack(opened.reader, member, offset))
    except DecodeError as error:
        raise DecodeError(error.reason, error.detail if str(path) in error.detail else f"{path}: {error.detail}") from error
    finally:
        opened.close()


class _Archive:
    """An archive file that was looked at after it was opened: it is a regular one, whatever lay there before."""

    def __init__(self, path: Path) -> None:
        try:
            self._descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            raise DecodeError("OPEN_FAILED", f"{path}: {error.strerror}") from error
        found = os.fstat(self._descriptor)
        if not stat.S_ISREG(found.st_mode):
            self.close()
            raise DecodeError("NOT_REGULAR_FILE", f"{path} is not a regular file")
        self.state = found.st_ino, found.st_size, found.st_mtime_ns
        self.reader = Reader(self._descriptor, found.st_size)

    def __enter__(self) -> _Archive:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def take(self) -> int:
        """Return a descriptor of the file that is the caller's to close."""
        return os.dup(self._descriptor)

    def close(self) -> None:
        os.close(self._descriptor)


class _Window(io.RawIOBase):
    """A stretch of a file as a file of its own, with its own position."""

    def __init__(self, descriptor: int, offset: int, size_bytes: int) -> None:
        self._descriptor, self._offset, self._size, self._position = descriptor, offset, size_bytes, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        length = max(0, min(len(buffer), self._size - self._position))
        got = os.preadv(self._descriptor, [memoryview(buffer)[:length]], self._offset + self._position) if length else 0
        self._position += got
        return got

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = (0, self._position, self._size)[whence]
        if base + offset < 0:
            raise ValueError(f"a place before the start of the file: {base + offset}")
        self._position = base + offset
        return self._position

    def close(self) -> None:
        if not self.closed:
            os.close(self._descriptor)
        super().close()


@lru_cache(maxsize=TABLES_KEPT)
def _cached(archive: str, state: tuple[int, int, int]) -> Table:
    """Read a table; `state` is part of the key, so that a changed file is read again."""
    table = Table()
    for entry in iterate(Path(archive)):
        if isinstance(entry, Refused):
            table.refused.append(entry)
        elif entry.name in table.members:
            table.refused.append(Refused(entry.name, "DUPLICATE_MEMBER", "the archive holds a second file of this name; the first is read"))
        else:
            table.members[entry.name] = entry
    return table

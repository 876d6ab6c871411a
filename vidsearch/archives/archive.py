"""An archive opened for reading: its table, and its members as files. Nothing is ever written to disk."""

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


class Archive:
    """An archive file, looked at after it was opened: it is a regular one, whatever lay there before. A context manager.

    Raises:
        DecodeError: it cannot be opened, or is no regular file.
    """

    def __init__(self, path: Path) -> None:
        self._path, self._suffix = path, path.suffix.lower()
        try:
            self._descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            raise DecodeError("OPEN_FAILED", f"{path}: {error.strerror}") from error
        found = os.fstat(self._descriptor)
        if not stat.S_ISREG(found.st_mode):
            self.close()
            raise DecodeError("NOT_REGULAR_FILE", f"{path} is not a regular file")
        self._state = found.st_ino, found.st_size, found.st_mtime_ns
        self._reader = Reader(self._descriptor, found.st_size)

    def __enter__(self) -> Archive:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        os.close(self._descriptor)

    def entries(self) -> Iterator[Member | Refused]:
        """Yield the entries as they are found, for who does not want them all."""
        return READERS[self._suffix](self._reader)

    def table(self) -> Table:
        """Return the table; those of the last few archives are kept while these do not change."""
        return _cached(str(self._path), self._state)

    def open(self, member: Member) -> BinaryIO:
        """Open a member for reading; it can be sought in, and cannot be seen beyond. It outlives this object.

        Raises:
            DecodeError: it cannot be read; MEMBER_TOO_LARGE if it would have to be unpacked and is too large for that.
        """
        try:
            offset = member.offset if self._suffix == ".tar" else _zip.data_offset(self._reader, member)
            if member.method != DEFLATED:
                return io.BufferedReader(_Window(os.dup(self._descriptor), offset, member.size_bytes), _BUFFER_BYTES)
            if member.size_bytes > MAX_UNPACKED_BYTES:
                limit = f"at most {MAX_UNPACKED_BYTES:,} are unpacked in memory; store it as it is (zip -0)"
                raise DecodeError("MEMBER_TOO_LARGE", f"{member.size_bytes:,} bytes; {limit}")
            return io.BytesIO(_zip.unpack(self._reader, member, offset))
        except DecodeError as error:
            raise DecodeError(error.reason, f"{self._path}/{member.name}: {error.detail}") from error


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
    with Archive(Path(archive)) as opened:
        for entry in opened.entries():
            if isinstance(entry, Refused):
                table.refused.append(entry)
            elif entry.name in table.members:
                again = "the archive holds a second file of this name; the first is read"
                table.refused.append(Refused(entry.name, "DUPLICATE_MEMBER", again))
            else:
                table.members[entry.name] = entry
    return table

"""What a table of an archive's entries is made of, and bytes read at a place without moving anybody's position."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import NamedTuple

MAX_ENTRIES = 2_000_000  # of one archive; a table of them takes about 500 MB
STORED, DEFLATED = 0, 8  # as zip numbers them


class Member(NamedTuple):
    """A regular file in an archive.

    Attributes:
        name: its path in the archive, without "." and empty parts.
        offset: where its bytes begin; in a zip file, the header before them.
        size_bytes: unpacked.
        packed_bytes: as it lies in the archive.
        method: STORED or DEFLATED.
        crc: CRC-32 of what is unpacked, for DEFLATED.
    """

    name: str
    offset: int
    size_bytes: int
    packed_bytes: int
    method: int = STORED
    crc: int = 0


class Refused(NamedTuple):
    """An entry, or with the name "" the rest of an archive, that is not read, with a reason of the quarantine."""

    name: str
    reason: str
    detail: str


@dataclass(frozen=True)
class Reader:
    """An open archive."""

    descriptor: int
    size_bytes: int

    def at(self, offset: int, length: int) -> bytes:
        """Return up to `length` bytes from a place on; fewer at the end of the file."""
        return os.pread(self.descriptor, length, offset) if 0 <= offset < self.size_bytes else b""


def inner_path(name: str) -> str | None:
    """Return an entry's name as a path below the archive, or None where it leads out of it or is none."""
    parts = [part for part in name.split("/") if part not in ("", ".")]
    return None if not parts or ".." in parts or name.startswith("/") or "\0" in name else "/".join(parts)


def member_or_refused(member: Member) -> Member | Refused:
    """Give a member its clean name, or refuse it."""
    written = member.name.encode(errors="backslashreplace").decode()
    if written != member.name:
        return Refused(written, "METADATA_INVALID", "its name is not UTF-8")
    name = inner_path(written)
    if name is None:
        return Refused(member.name, "PATH_ESCAPE", "its name leads out of the archive")
    return member._replace(name=name)

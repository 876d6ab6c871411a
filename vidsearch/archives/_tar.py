"""The entries of a tar file, from its headers alone: POSIX ustar and pax (IEEE Std 1003.1, "pax"), and GNU tar's long names and sizes.

The standard library's tarfile is not used because it takes as much memory as an extended header claims, and twice the time.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

from vidsearch.archives.entries import MAX_ENTRIES, Member, Reader, Refused, member_or_refused

BLOCK_BYTES = 512
MAX_EXTENSION_BYTES = 1 << 20  # of a long name or of extended attributes
_REGULAR = b"0\0" + b"7"  # a plain file, as of old, and "contiguous"
_LINKS = {b"1": "a hard link", b"2": "a symbolic link", b"3": "a device", b"4": "a device", b"6": "a pipe"}
_FOLDER = b"5"
_GNU_NAME, _GNU_LINK, _GNU_SPARSE = b"L", b"K", b"S"
_PAX, _PAX_GLOBAL, _PAX_SUN = b"x", b"g", b"X"


def read_entries(archive: Reader) -> Iterator[Member | Refused]:
    """Yield the entries in order; where the file is cut off or damaged, what is wrong with the rest."""
    position = 0
    known: dict[str, str] = {}  # what extended headers say of the entry that follows
    for_all: dict[str, str] = {}
    for _ in range(MAX_ENTRIES):
        header = archive.at(position, BLOCK_BYTES)
        if header.count(0) == BLOCK_BYTES:
            return
        problem = _problem(header, position)
        if problem:
            yield Refused("", "OPEN_FAILED", problem)
            return
        kind, data = header[156:157], position + BLOCK_BYTES
        size = _size(header, known)
        if size is None:
            yield Refused(_name(header, known), "OPEN_FAILED", f"the entry at byte {position:,} has an impossible size")
            return
        if kind in (_GNU_NAME, _GNU_LINK, _PAX, _PAX_GLOBAL, _PAX_SUN):
            if size > MAX_EXTENSION_BYTES:
                yield Refused("", "OPEN_FAILED", f"the header at byte {position:,} is {size:,} bytes long; at most {MAX_EXTENSION_BYTES:,}")
                return
            (for_all if kind == _PAX_GLOBAL else known).update(_extension(kind, archive.at(data, size)))
        else:
            said = {**for_all, **known}
            entry = _entry(kind, _name(header, said), data, size, said, archive.size_bytes)
            known = {}
            if entry is not None:
                yield entry
        has_data = kind not in _LINKS and kind != _FOLDER
        position = data + (-(-size // BLOCK_BYTES) * BLOCK_BYTES if has_data else 0)
        if kind == _GNU_SPARSE:
            position += _sparse_headers(archive, header, data)
    yield Refused("", "OPEN_FAILED", f"it has more than {MAX_ENTRIES:,} entries; the rest is not read")


def _problem(header: bytes, position: int) -> str:
    if len(header) < BLOCK_BYTES:
        return f"it is cut off at byte {position + len(header):,}: the mark of its end is missing"
    with suppress(ValueError):
        if _octal(header[148:156]) in _checksums(header):
            return ""
    return f"no header of an entry at byte {position:,}; what follows is not read"


def _checksums(header: bytes) -> tuple[int, int]:
    """Return the sum of a header's bytes, its own sum taken as spaces; and with bytes from 128 on negative, as some old programs wrote."""
    counted = header[:148] + b" " * 8 + header[156:]
    total = sum(counted)
    high = 0 if counted.isascii() else sum(byte > 127 for byte in counted)
    return total, total - 256 * high


def _entry(kind: bytes, name: str, data: int, size: int, said: dict[str, str], archive_bytes: int) -> Member | Refused | None:
    if kind == _FOLDER or (kind == b"\0" and name.endswith("/")):
        return None
    if kind in _LINKS:
        return Refused(name, "NOT_REGULAR_FILE", f"it is {_LINKS[kind]} in the archive; links and devices are not followed")
    if kind == _GNU_SPARSE or any(key.startswith("GNU.sparse.") for key in said):
        return Refused(
            said.get("GNU.sparse.name", name), "FORMAT_NOT_ALLOWED", "it is stored with holes (sparse); pack it again without --sparse"
        )
    if kind not in _REGULAR:
        return None
    if data + size > archive_bytes:
        there = max(0, archive_bytes - data)
        return Refused(name, "OPEN_FAILED", f"the archive is cut off: {there:,} of the {size:,} bytes of this file are there")
    return member_or_refused(Member(name, data, size, size))


def _name(header: bytes, said: dict[str, str]) -> str:
    if "path" in said:
        return said["path"]
    name = _text(header[:100])
    prefix = _text(header[345:500]) if header[257:263] == b"ustar\0" else ""  # GNU keeps times there
    return f"{prefix}/{name}" if prefix else name


def _size(header: bytes, said: dict[str, str]) -> int | None:
    """Return how many bytes follow a header; None where that is no number."""
    try:
        size = int(said["size"]) if "size" in said else _octal(header[124:136])
    except ValueError:
        return None
    return size if 0 <= size < 1 << 62 else None


def _octal(field: bytes) -> int:
    """Read a number: octal digits, or as GNU writes large ones, big-endian after a byte 128 (255 begins a negative one)."""
    if field[0] & 0x80:
        return int.from_bytes(field[1:], "big") if field[0] == 0x80 else -1
    return int(field.split(b"\0", 1)[0].strip() or b"0", 8)


def _extension(kind: bytes, data: bytes) -> dict[str, str]:
    if kind == _GNU_LINK:
        return {}
    if kind == _GNU_NAME:
        return {"path": _text(data)}
    return dict(_pax_records(data))


def _pax_records(data: bytes) -> Iterator[tuple[str, str]]:
    """Yield what records "LENGTH KEY=VALUE\\n" say; a malformed one ends them."""
    position = 0
    while position < len(data):
        digits = data[position : position + 20].split(b" ", 1)[0]
        if not digits.isdigit() or int(digits) <= len(digits) + 1:
            return
        key, equals, value = data[position + len(digits) + 1 : position + int(digits) - 1].partition(b"=")
        if not equals:
            return
        yield key.decode(errors="surrogateescape"), value.decode(errors="surrogateescape")
        position += int(digits)


def _sparse_headers(archive: Reader, header: bytes, data: int) -> int:
    """Return the length of the blocks that go on with an old GNU sparse map, which stand between a header and its data."""
    length = 0
    more = header[482]
    while more and length < MAX_EXTENSION_BYTES:
        block = archive.at(data + length, BLOCK_BYTES)
        length += BLOCK_BYTES
        more = block[504] if len(block) == BLOCK_BYTES else 0
    return length


def _text(field: bytes) -> str:
    return field.split(b"\0", 1)[0].decode(errors="surrogateescape")

"""The files of a zip archive, from the directory at its end: PKWARE's APPNOTE 6.3.10, sections 4.3 (layout) and 4.5.3 (ZIP64).

The standard library's zipfile is not used because it takes as much memory as a directory claims, and reads stored files through a
checksum that makes every seek a read.
"""

from __future__ import annotations

import stat
import struct
import zlib
from collections.abc import Iterator

from vidsearch.archives.entries import DEFLATED, MAX_ENTRIES, STORED, Member, Reader, Refused, member_or_refused
from vidsearch.errors import DecodeError

MAX_DIRECTORY_BYTES = 1 << 28
_END = struct.Struct("<4s4H2LH")  # signature, disk, directory's disk, entries here, entries, bytes, offset, comment
_LOCATOR = struct.Struct("<4sLQL")  # signature, disk, offset of the ZIP64 end, disks
_END_64 = struct.Struct("<4sQ2H2L4Q")  # …, entries here, entries, bytes, offset
_ENTRY = struct.Struct("<4s4B4H3L5H2L")
_LOCAL = struct.Struct("<4s5H3L2H")
_COMMENT_BYTES = 0xFFFF
_FULL = 0xFFFFFFFF  # the real number stands in the ZIP64 field
_ENCRYPTED, _UTF8 = 0x1, 0x800
_UNIX = 3
_CHUNK_BYTES = 1 << 20


def read_entries(archive: Reader) -> Iterator[Member | Refused]:
    """Yield the entries in the directory's order, or what is wrong with it."""
    place = _directory(archive)
    if isinstance(place, str):
        yield Refused("", "OPEN_FAILED", place)
        return
    offset, length = place
    directory = archive.at(offset, length)
    position = 0
    for _ in range(MAX_ENTRIES):
        if position == length:
            return
        if length - position < _ENTRY.size or directory[position : position + 4] != b"PK\1\2":
            yield Refused("", "OPEN_FAILED", f"its directory is damaged at byte {offset + position:,}; what follows is not read")
            return
        fields = _ENTRY.unpack_from(directory, position)
        name_end = position + _ENTRY.size + fields[12]
        extra_end = name_end + fields[13]
        entry = _entry(fields, directory[position + _ENTRY.size : name_end], directory[name_end:extra_end])
        if entry is not None:
            yield entry
        position = extra_end + fields[14]
    yield Refused("", "OPEN_FAILED", f"it has more than {MAX_ENTRIES:,} entries; the rest is not read")


def data_offset(archive: Reader, member: Member) -> int:
    """Return where a member's bytes begin, past its own header.

    Raises:
        DecodeError: there is no such header, or the bytes are not all there.
    """
    header = archive.at(member.offset, _LOCAL.size)
    if len(header) < _LOCAL.size or header[:4] != b"PK\3\4":
        raise DecodeError("OPEN_FAILED", f"the archive holds no file at byte {member.offset:,}, where its directory names one")
    *_, name_bytes, extra_bytes = _LOCAL.unpack(header)
    offset = member.offset + _LOCAL.size + name_bytes + extra_bytes
    if offset + member.packed_bytes > archive.size_bytes:
        raise DecodeError("OPEN_FAILED", "the archive does not hold all the bytes that its directory claims for it")
    return int(offset)


def unpack(archive: Reader, member: Member, offset: int) -> bytes:
    """Return the bytes of a deflated member, checked.

    Raises:
        DecodeError: they are not what the directory promises.
    """
    inflate = zlib.decompressobj(-zlib.MAX_WBITS)
    data = bytearray()
    end = offset + member.packed_bytes
    try:
        while offset < end and not inflate.eof and len(data) <= member.size_bytes:
            packed = archive.at(offset, min(_CHUNK_BYTES, end - offset))
            offset += len(packed)
            data += inflate.decompress(packed, member.size_bytes + 1 - len(data))
            if not packed:
                break
    except zlib.error as error:
        raise DecodeError("OPEN_FAILED", f"it is damaged in the archive: {error}") from error
    if len(data) != member.size_bytes or zlib.crc32(data) != member.crc:
        raise DecodeError("OPEN_FAILED", "it is damaged in the archive: other bytes than its checksum promises")
    return bytes(data)


def _directory(archive: Reader) -> tuple[int, int] | str:
    """Return (offset, length) of the directory, or what is wrong."""
    tail_at = max(0, archive.size_bytes - _END.size - _COMMENT_BYTES)
    tail = archive.at(tail_at, archive.size_bytes - tail_at)
    end_in_tail = tail.rfind(b"PK\5\6")
    if end_in_tail < 0 or end_in_tail + _END.size > len(tail):
        return "it is no zip file, or cut off: the directory that one has at its end is missing (zip -FF may save what is there)"
    end = tail_at + end_in_tail
    _, disk, _, _, entries, length, offset, _ = _END.unpack_from(tail, end_in_tail)
    if disk not in (0, 0xFFFF):
        return "it is one part of a zip file in several; join them first: zip -s 0 PART.zip --out WHOLE.zip"
    if _FULL in (length, offset) or entries == 0xFFFF:
        locator = archive.at(end - _LOCATOR.size, _LOCATOR.size)
        if locator[:4] == b"PK\6\7":
            end = _LOCATOR.unpack(locator)[2]
            record = archive.at(end, _END_64.size)
            if len(record) < _END_64.size or record[:4] != b"PK\6\6":
                return f"its directory is damaged: no ZIP64 record at byte {end:,}"
            *_, length, offset = _END_64.unpack(record)
    if offset + length > end:
        return "its directory is damaged: it does not lie where its end says"
    if length > MAX_DIRECTORY_BYTES:
        return f"its directory is {length:,} bytes long; at most {MAX_DIRECTORY_BYTES:,} are read"
    return offset, length


def _entry(fields: tuple[int, ...], raw_name: bytes, extra: bytes) -> Member | Refused | None:
    # signature, version, system, 2 versions needed, flags, method, time, date, CRC-32, packed, size, 3 lengths, disk, 2 attributes, offset
    _, _, system, _, _, flags, method, _, _, crc, packed, size, _, _, _, _, _, attributes, offset = fields
    name = raw_name.decode("utf-8", errors="surrogateescape") if flags & _UTF8 else _old_name(raw_name)
    mode = attributes >> 16 if system == _UNIX else 0
    if name.endswith("/"):
        return None
    if mode and stat.S_IFMT(mode) not in (0, stat.S_IFREG):
        return Refused(name, "NOT_REGULAR_FILE", "it is a link or a device in the archive; they are not followed")
    if flags & _ENCRYPTED:
        return Refused(name, "OPEN_FAILED", "it is encrypted; unpack the archive with its password and pack it again without")
    if method not in (STORED, DEFLATED):
        return Refused(name, "FORMAT_NOT_ALLOWED", f"it is packed by method {method}; only stored (0) and deflated (8) files are read")
    sizes = _wide([size, packed, offset], extra)
    if sizes is None:
        return Refused(name, "OPEN_FAILED", "its entry lacks the ZIP64 field that holds its size")
    size, packed, offset = sizes
    if method == STORED and size != packed:
        return Refused(name, "OPEN_FAILED", f"its entry claims {size:,} bytes stored as {packed:,}")
    return member_or_refused(Member(name, offset, size, packed, method, crc))


def _old_name(raw: bytes) -> str:
    """Decode a name not marked as UTF-8: it is, if it can be; else code page 437, which can hold any bytes."""
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("cp437")


def _wide(numbers: list[int], extra: bytes) -> tuple[int, int, int] | None:
    """Replace numbers (size, packed size, offset) that do not fit by those of the ZIP64 field, in that order; None if it lacks them."""
    missing = [place for place, number in enumerate(numbers) if number == _FULL]
    position = 0
    while missing and position + 4 <= len(extra):
        kind, length = struct.unpack_from("<2H", extra, position)
        if kind == 1 and length >= 8 * len(missing) and position + 4 + 8 * len(missing) <= len(extra):
            for place, number in zip(missing, struct.unpack_from(f"<{len(missing)}Q", extra, position + 4), strict=True):
                numbers[place] = number
            missing = []
        position += 4 + length
    return None if missing else (numbers[0], numbers[1], numbers[2])

"""The bytes of a file of rows, decompressed, a few megabytes at a time."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa

COMPRESSIONS = {".gz": "gzip", ".zst": "zstd"}
CHUNK_BYTES = 1 << 22
PIECES = 64
BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class CutShort(Exception):
    """A file ends, or is damaged, before its end; what came before stands."""


def format_of(path: Path) -> tuple[str, str | None]:
    """Return the suffix that names the format and the compression: `rows.jsonl.gz` is (".jsonl", "gzip")."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    compression = COMPRESSIONS.get(suffixes[-1]) if suffixes else None
    if compression is not None:
        suffixes.pop()
    return (suffixes[-1] if suffixes else "", compression)


def read_chunks(path: Path, size_bytes: int = CHUNK_BYTES) -> Iterator[bytes]:
    """Yield the decompressed bytes without a byte order mark.

    Raises:
        CutShort: the compressed stream is damaged, or ends too early; raised after what came before.
    """
    compression = format_of(path)[1]
    first = True
    with pa.input_stream(str(path), compression=compression) as stream:
        while True:
            pieces: list[bytes] = []
            damage = None
            try:
                for _ in range(1 if compression is None else PIECES):  # a read that fails gives nothing of its bytes
                    pieces.append(stream.read(size_bytes if compression is None else -(-size_bytes // PIECES)))
            except OSError as error:
                damage = error
            chunk = b"".join(pieces)
            if chunk:
                yield chunk.removeprefix(BYTE_ORDER_MARK) if first else chunk
                first = False
            if damage is not None:
                raise CutShort(f"the compressed data is damaged or cut short, rows just before it may be wrong ({damage})") from damage
            if not chunk:
                return

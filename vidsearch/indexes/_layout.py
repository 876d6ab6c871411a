"""The bytes of the two kinds of index.faiss we write, checked before FAISS parses them.

FAISS parses whatever type a file names, and one of them, inverted lists on disk, names a further file that FAISS then opens. So the
few fields before the data are read here first. Source: faiss/impl/index_write.cpp.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from vidsearch.errors import IndexCorruptError

INNER_PRODUCT = 0  # faiss.METRIC_INNER_PRODUCT
QT_FP16 = 4  # faiss.ScalarQuantizer.QT_fp16
MAX_DIM = 65_536

_HEADER = struct.Struct("<4siqqqBi")  # type, dim, rows, two unused, trained, metric
_SIZE = struct.Struct("<Q")


@dataclass(frozen=True)
class IvfPqLayout:
    """What an IVF-PQ index says of itself."""

    dim: int
    rows: int
    lists: int
    code_bytes: int


def check_flat(data: bytes, *, dim: int, rows: int) -> None:
    """Refuse anything but a half-float scalar quantizer over that many vectors, by inner product."""
    fields = _Fields(data)
    found_dim, found_rows = fields.header(b"IxSQ", "a flat index of half floats")
    if (found_dim, found_rows) != (dim, rows):
        raise IndexCorruptError(f"index.faiss: holds {found_rows} x {found_dim} vectors instead of {rows} x {dim}")
    kind = fields.take(12)[0]  # then how ranges were found, which half floats have none of
    sizes = (fields.size(), fields.size(), fields.size(), fields.size())  # dimension, bytes a code, trained values, bytes of codes
    fields.expect(kind == QT_FP16 and sizes == (dim, 2 * dim, 0, 2 * dim * rows), "its codes are not half floats")
    fields.expect(fields.left == 2 * dim * rows, "it is cut short, or something follows it")


def check_ivfpq(data: bytes) -> IvfPqLayout:
    """Refuse anything but IVF-PQ of 8-bit residual codes over a flat quantizer, by inner product, lists in memory, and nothing behind."""
    fields = _Fields(data)
    dim, rows = fields.header(b"IwPQ", "an IVF-PQ index")
    lists, _ = fields.size(), fields.size()
    quantizer_dim, centroids = fields.header(b"IxFI", "a flat quantizer")
    fields.expect(quantizer_dim == dim and centroids == lists, "its quantizer does not fit")
    fields.skip(4 * fields.size(limit=lists * dim), exactly=4 * lists * dim)
    fields.expect(fields.byte() == 0 and fields.size() == 0, "it has a direct map")
    fields.expect(fields.byte() == 1, "its codes are not of residuals")
    code_bytes = fields.size(limit=dim)
    pq_dim, parts, bits = fields.size(), fields.size(), fields.size()
    fields.expect(pq_dim == dim and parts == code_bytes > 0 and bits == 8 and dim % parts == 0, "it is not of 8-bit codes")
    fields.skip(4 * fields.size(limit=256 * dim), exactly=4 * 256 * dim)
    fields.expect(fields.take(4) == b"ilar", "its inverted lists are not arrays")
    fields.expect(fields.size() == lists and fields.size() == code_bytes, "its inverted lists do not fit")
    fields.skip(sum(fields.list_sizes(lists)) * (code_bytes + 8), exactly=rows * (code_bytes + 8))
    fields.expect(fields.left == 0, "something follows it")
    return IvfPqLayout(dim, rows, lists, code_bytes)


class _Fields:
    """Reads one field after another; what does not fit raises IndexCorruptError."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    @property
    def left(self) -> int:
        return len(self._data) - self._at

    def take(self, count: int) -> bytes:
        self.expect(count <= self.left, "it is cut short")
        self._at += count
        return bytes(self._data[self._at - count : self._at])

    def byte(self) -> int:
        return self.take(1)[0]

    def size(self, *, limit: int | None = None) -> int:
        value: int = _SIZE.unpack(self.take(8))[0]
        self.expect(limit is None or value <= limit, "a length in it is impossible")
        return value

    def skip(self, count: int, *, exactly: int) -> None:
        self.expect(count == exactly, "a length in it does not fit")
        self.expect(count <= self.left, "it is cut short")
        self._at += count

    def header(self, kind: bytes, name: str) -> tuple[int, int]:
        found, dim, rows, _, _, trained, metric = _HEADER.unpack(self.take(_HEADER.size))
        self.expect(found == kind, f"not {name} (type {found!r})")
        self.expect(0 < dim <= MAX_DIM and rows >= 0 and trained == 1, "its header does not fit")
        self.expect(metric == INNER_PRODUCT, f"its metric is {metric}, not inner product")
        return dim, rows

    def list_sizes(self, lists: int) -> tuple[int, ...]:
        """Return the lengths of the inverted lists: all of them, or those that are not empty as (list, length) pairs."""
        kind, count = self.take(4), self.size(limit=2 * lists)
        values = struct.unpack(f"<{count}Q", self.take(8 * count))
        if kind == b"full":
            self.expect(count == lists, "its inverted lists do not fit")
            return values
        self.expect(kind == b"sprs" and count % 2 == 0 and all(number < lists for number in values[::2]), "its inverted lists do not fit")
        return values[1::2]

    def expect(self, fits: bool, complaint: str) -> None:
        if not fits:
            raise IndexCorruptError(f"index.faiss: {complaint}")

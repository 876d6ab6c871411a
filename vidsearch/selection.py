"""Which rows of one segment pass a filter: a few row numbers, or a bitmap; each form made of the other when it is asked for."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

WORD_ROWS = 32  # a word of the bitmap is a block of the codes

Words = npt.NDArray[np.uint32]  # (ceil(rows / 32),): bit i % 32 of word i // 32 is row i, bits beyond the last row are 0
Ids = npt.NDArray[np.uint32]  # (count,), ascending
Mask = npt.NDArray[np.bool_]  # (rows,)


class Selection:
    """The rows of one segment that pass.

    Attributes:
        rows: of the segment.
        count: that pass.
    """

    __slots__ = ("_ids", "_words", "count", "rows")

    def __init__(self, rows: int, count: int, *, words: Words | None = None, ids: Ids | None = None) -> None:
        self.rows, self.count, self._words, self._ids = rows, count, words, ids

    def __repr__(self) -> str:
        return f"Selection({self.count} of {self.rows})"

    @classmethod
    def of_words(cls, rows: int, words: Words) -> Selection:
        """Make one of a bitmap, whose bits beyond the last row must be 0."""
        return cls(rows, int(np.bitwise_count(words).sum(dtype=np.int64)), words=words)

    @classmethod
    def of_ids(cls, rows: int, ids: npt.NDArray[np.integer]) -> Selection:
        """Make one of ascending row numbers, each once."""
        return cls(rows, len(ids), ids=np.ascontiguousarray(ids, dtype=np.uint32))

    @classmethod
    def of_mask(cls, mask: Mask) -> Selection:
        padded = np.zeros(-(-len(mask) // WORD_ROWS) * WORD_ROWS, dtype=np.bool_)
        padded[: len(mask)] = mask
        return cls.of_words(len(mask), np.packbits(padded, bitorder="little").view("<u4"))

    @property
    def everything(self) -> bool:
        return self.count == self.rows

    @property
    def words(self) -> Words:
        """The bitmap."""
        if self._words is None:
            ids = self._ids
            bits = np.zeros(-(-self.rows // WORD_ROWS) * WORD_ROWS, dtype=np.bool_)
            bits[slice(0, self.rows) if ids is None else ids] = True
            self._words = np.packbits(bits, bitorder="little").view("<u4")
        return self._words

    @property
    def ids(self) -> Ids:
        """The row numbers, ascending."""
        if self._ids is None:
            self._ids = np.arange(self.rows, dtype=np.uint32) if self._words is None else _set_bits(self._words)
        return self._ids

    @property
    def mask(self) -> Mask:
        if self._words is None and self._ids is not None:
            mask = np.zeros(self.rows, dtype=np.bool_)
            mask[self._ids] = True
            return mask
        return np.unpackbits(self.words.view(np.uint8), count=self.rows, bitorder="little").view(np.bool_)


def everything(rows: int) -> Selection:
    """Return all rows of a segment."""
    return Selection(rows, rows)


def _set_bits(words: Words) -> Ids:
    """Return the numbers of the bits that are set; only words that have any are unpacked."""
    filled = np.flatnonzero(words)
    bits = np.unpackbits(words[filled].view(np.uint8), bitorder="little").reshape(-1, WORD_ROWS)
    word, bit = np.nonzero(bits)
    return (filled[word] * WORD_ROWS + bit).astype(np.uint32)

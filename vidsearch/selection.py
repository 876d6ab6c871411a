"""Which rows of one segment pass a filter: a few row numbers, or a bitmap; each form made of the other when it is asked for."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

WORD_ROWS = 32  # a word of the bitmap is a block of the codes
LISTED_SHARE = 64  # two lists are united as a list up to that part of the rows; a bitmap of more costs less than sorting them

_ONE = np.uint32(1)

Words = npt.NDArray[np.uint32]  # (ceil(rows / 32),): bit i % 32 of word i // 32 is row i, bits beyond the last row are 0
Ids = npt.NDArray[np.uint32]  # (count,), ascending
Mask = npt.NDArray[np.bool_]  # (rows,)


class Selection:
    """The rows of one segment that pass; `&`, `|` and `~` make others of the same segment.

    Attributes:
        rows: of the segment.
    """

    __slots__ = ("_count", "_ids", "_words", "rows")

    def __init__(self, rows: int, count: int | None = None, *, words: Words | None = None, ids: Ids | None = None) -> None:
        self.rows, self._count, self._words, self._ids = rows, count, words, ids

    def __repr__(self) -> str:
        return f"Selection({self.count} of {self.rows})"

    @classmethod
    def of_words(cls, rows: int, words: Words, *, count: int | None = None) -> Selection:
        """Make one of a bitmap, whose bits beyond the last row must be 0; they are counted when that is asked for."""
        return cls(rows, count, words=words)

    @classmethod
    def of_ids(cls, rows: int, ids: npt.NDArray[np.integer]) -> Selection:
        """Make one of ascending row numbers, each once."""
        return cls(rows, len(ids), ids=np.ascontiguousarray(ids, dtype=np.uint32))

    @classmethod
    def of_mask(cls, mask: Mask) -> Selection:
        return cls.of_words(len(mask), pack(mask))

    @property
    def count(self) -> int:
        """How many pass."""
        if self._count is None:
            self._count = self.rows if self._words is None else count_bits(self._words)
        return self._count

    @property
    def everything(self) -> bool:
        return self.count == self.rows

    @property
    def listed(self) -> bool:
        """Whether the row numbers are at hand, as they are where few pass."""
        return self._ids is not None

    @property
    def words(self) -> Words:
        """The bitmap."""
        if self._words is None:
            self._words = full(self.rows) if self._ids is None else with_bits(np.zeros(word_count(self.rows), np.uint32), self._ids)
        return self._words

    @property
    def ids(self) -> Ids:
        """The row numbers, ascending."""
        if self._ids is None:
            self._ids = np.arange(self.rows, dtype=np.uint32) if self._words is None else _set_bits(self._words)
        return self._ids

    @property
    def mask(self) -> Mask:
        return np.unpackbits(self.words.view(np.uint8), count=self.rows, bitorder="little").view(np.bool_)

    def __and__(self, other: Selection) -> Selection:
        if self._untold or other._untold:
            return other if self._untold else self
        if self._words is not None and other._words is not None:
            return Selection.of_words(self.rows, np.bitwise_and(self._words, other._words))
        few, many = (self, other) if other._ids is None or (self._ids is not None and len(self._ids) <= len(other._ids)) else (other, self)
        if many._words is None:
            return Selection.of_ids(self.rows, few.ids[_are_in(few.ids, many.ids)])
        return Selection.of_ids(self.rows, few.ids[has_bits(many._words, few.ids)])

    def __or__(self, other: Selection) -> Selection:
        if self._untold or other._count == 0:
            return self
        if other._untold or self._count == 0:
            return other
        if self._words is not None and other._words is not None:
            return Selection.of_words(self.rows, np.bitwise_or(self._words, other._words))
        few, many = (self, other) if other._ids is None or (self._ids is not None and len(self._ids) <= len(other._ids)) else (other, self)
        if many._words is None and len(few.ids) + len(many.ids) <= self.rows // LISTED_SHARE:
            return Selection.of_ids(self.rows, np.sort(np.concatenate([few.ids[~_are_in(few.ids, many.ids)], many.ids])))
        words = many.words
        return Selection.of_words(self.rows, with_bits(words.copy(), few.ids[~has_bits(words, few.ids)]))

    def __invert__(self) -> Selection:
        if self._untold or self._count == 0:
            return nothing(self.rows) if self._untold else everything(self.rows)
        count = None if self._count is None else self.rows - self._count
        if self._words is None:
            return Selection.of_words(self.rows, without_bits(full(self.rows), self.ids), count=count)
        words = np.bitwise_not(self._words)
        if self.rows % WORD_ROWS:
            words[-1] &= (1 << self.rows % WORD_ROWS) - 1
        return Selection.of_words(self.rows, words, count=count)

    @property
    def _untold(self) -> bool:
        """Whether neither form is there, so that all rows pass."""
        return self._words is None and self._ids is None


def everything(rows: int) -> Selection:
    """Return all rows of a segment."""
    return Selection(rows, rows)


def nothing(rows: int) -> Selection:
    """Return no row of a segment."""
    return Selection(rows, 0, ids=np.zeros(0, np.uint32))


def word_count(rows: int) -> int:
    return -(-rows // WORD_ROWS)


def full(rows: int) -> Words:
    """Return the bitmap of all rows."""
    words = np.full(word_count(rows), 0xFFFFFFFF, dtype=np.uint32)
    if rows % WORD_ROWS:
        words[-1] = (1 << rows % WORD_ROWS) - 1
    return words


def pack(mask: Mask) -> Words:
    """Return the bitmap of a mask."""
    padded = np.zeros(word_count(len(mask)) * 4, dtype=np.uint8)
    packed = np.packbits(mask, bitorder="little")
    padded[: len(packed)] = packed
    return padded.view("<u4")


def count_bits(words: Words) -> int:
    even = len(words) // 2 * 2  # words of 64 bits are counted in half the time
    count = int(np.bitwise_count(words[:even].view(np.uint64)).sum(dtype=np.uint32))
    return count + int(words[-1]).bit_count() if len(words) > even else count


def has_bits(words: Words, ids: Ids) -> Mask:
    """Return which rows of a list a bitmap has, (len(ids),) bool."""
    found: Mask = (words[ids >> 5] >> (ids & 31)) & 1 != 0
    return found


def with_bits(words: Words, ids: Ids) -> Words:
    """Set bits of a bitmap that are 0, each once, in place."""
    np.add.at(words, (ids >> 5).astype(np.intp), _ONE << (ids & 31))  # `bitwise_or.at` takes ten times as long
    return words


def without_bits(words: Words, ids: Ids) -> Words:
    """Clear bits of a bitmap that are 1, each once, in place."""
    np.subtract.at(words, (ids >> 5).astype(np.intp), _ONE << (ids & 31))
    return words


def _are_in(ids: Ids, others: Ids) -> Mask:
    """Return which rows of a list are in another, (len(ids),) bool; NumPy's set functions import numpy.ma, 0.1 s of a cold query."""
    if not len(others):
        return np.zeros(len(ids), dtype=np.bool_)
    found: Mask = others[np.minimum(others.searchsorted(ids), len(others) - 1)] == ids
    return found


def _set_bits(words: Words) -> Ids:
    """Return the numbers of the bits that are set; where they are few, only words that have any are unpacked."""
    filled = np.flatnonzero(words)
    if len(filled) * 8 > len(words):
        return np.flatnonzero(np.unpackbits(words.view(np.uint8), bitorder="little").view(np.bool_)).astype(np.uint32)
    bits = np.unpackbits(words[filled].view(np.uint8), bitorder="little").reshape(-1, WORD_ROWS)
    word, bit = np.nonzero(bits)
    return (filled[word] * WORD_ROWS + bit).astype(np.uint32)

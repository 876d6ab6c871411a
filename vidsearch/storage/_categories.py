"""Columns of few distinct texts, and of truth values: a code a row, and for each value the rows that have it."""

from __future__ import annotations

from collections.abc import Collection
from functools import cached_property
from itertools import pairwise
from typing import Any, Literal

import numpy as np
import pyarrow as pa
from pyarrow import types

from vidsearch.selection import Ids, Selection, Words, everything, has_bits, nothing, pack, with_bits, word_count
from vidsearch.storage._column import Array, Column, Encoded, Rows
from vidsearch.storage._wanted import Wanted

MAX_VALUES = 4096
COMMON_SHARE = 32  # a value of at least that part of the rows has a bitmap: no more than its list would take


def encode(codes: Array, values: list[str]) -> Encoded:
    """Encode codes (n,), len(values) meaning null.

    The lists of all rare values stand one after another in `postings`, that of code c from starts[c] to starts[c + 1].
    """
    codes = codes.astype("<u1" if len(values) < 256 else "<u2")
    counts = np.bincount(codes, minlength=len(values) + 1).astype("<i8")
    common = (counts > 0) & (counts * COMMON_SHARE >= len(codes))
    order = np.argsort(codes, kind="stable").astype("<u4")
    listed = np.where(common, 0, counts)
    texts = [value.encode() for value in values]
    bitmaps = [pack(codes == code) for code in np.flatnonzero(common)]
    arrays = {
        "codes": codes,
        "ends": np.cumsum([0, *map(len, texts)], dtype="<i8"),
        "texts": np.frombuffer(b"".join(texts), dtype=np.uint8),
        "counts": counts,
        "starts": np.cumsum([0, *listed], dtype="<i8"),
        "postings": order[~common[codes[order]]],
        "bitmaps": np.array(bitmaps, dtype="<u4").reshape(len(bitmaps), word_count(len(codes))),
    }
    return Encoded("category", arrays)


class Category(Column):
    """A column of few values; code len(values) stands for null."""

    kind: Literal["category"] = "category"

    @cached_property
    def values(self) -> tuple[Any, ...]:
        """The distinct values, ascending."""
        ends = self.parts.array("ends", "<i8", (None,)).tolist()
        data = self.parts.array("texts", "|u1", (None,)).tobytes()
        if len(ends) > MAX_VALUES + 1 or not ends or ends[0] or ends[-1] != len(data) or ends != sorted(ends):
            raise self.parts.damaged("the ends of its values")
        try:
            texts = [data[start:end].decode() for start, end in pairwise(ends)]
        except UnicodeDecodeError as error:
            raise self.parts.damaged(error) from error
        return tuple(text == "true" for text in texts) if types.is_boolean(self.type) else tuple(texts)

    @cached_property
    def code_of(self) -> dict[Any, int]:
        return {value: code for code, value in enumerate(self.values)}

    @cached_property
    def answers(self) -> dict[Any, frozenset[int]]:
        """Which codes met a condition that was asked before, for whoever asks it again."""
        return {}

    @cached_property
    def counts(self) -> list[int]:
        """Rows of each code."""
        counts: list[int] = self.parts.array("counts", "<i8", (len(self.values) + 1,)).tolist()
        if min(counts) < 0 or sum(counts) != self.rows:
            raise self.parts.damaged("its counts")
        return counts

    @cached_property
    def codes(self) -> Array:
        """(rows,) uint8 or uint16: the place of each row's value in `values`, len(values) for null."""
        return self._codes_of(slice(None))

    @property
    def null_code(self) -> int:
        return len(self.values)

    @property
    def nulls(self) -> Selection:
        return self.rows_with((self.null_code,))

    def total(self, codes: Collection[int]) -> int:
        return sum(self.counts[code] for code in codes)

    def rows_with(self, codes: Collection[int]) -> Selection:
        """Return the rows that have one of some codes."""
        if len(codes) == 1:
            return self._rows_of_code(*codes)
        total = self.total(codes)
        if total in (0, self.rows):
            return everything(self.rows) if total else nothing(self.rows)
        if self._cost(codes) * 2 > self._whole_cost:
            return ~self.rows_with(set(range(len(self.counts))).difference(codes))
        present = [code for code in codes if self.counts[code]]
        common = [self._bitmap(code) for code in present if code in self._bitmaps]
        rare = [self._posting(code) for code in present if code not in self._bitmaps]
        if not common:
            return self.checked_ids(np.sort(np.concatenate(rare)))
        words = common[0].copy()
        for bitmap in common[1:]:
            np.bitwise_or(words, bitmap, out=words)
        for posting in rare:
            with_bits(words, self.checked_ids(posting).ids)
        return self.checked(words, count=total)

    def _rows_of_code(self, code: int) -> Selection:
        count = self.counts[code]
        if count in (0, self.rows):
            return everything(self.rows) if count else nothing(self.rows)
        place = self._bitmaps.get(code)
        return self.checked_ids(self._posting(code)) if place is None else self.checked(self._bitmap_rows[place], count=count)

    def _cost(self, codes: Collection[int]) -> int:
        """Return about how many bytes must be touched to unite the rows of some codes."""
        return sum(self.rows // 8 if code in self._bitmaps else 4 * self.counts[code] for code in codes)

    @cached_property
    def _whole_cost(self) -> int:
        return self._cost(range(len(self.counts)))

    def has(self, codes: Collection[int], rows: Ids) -> Array:
        """Return which of some rows have one of some codes, (m,) bool."""
        wanted = np.zeros(len(self.counts), dtype=np.bool_)
        wanted[list(codes)] = True
        return wanted[self._codes_of(rows)]

    def rows_of(self, text: str) -> Selection:
        """Return the rows that have a value."""
        code = self.code_of.get(text)
        return nothing(self.rows) if code is None else self.rows_with((code,))

    def find(self, wanted: Wanted) -> Array:
        """Return the first row of each text, (m,) int64, -1 where no row has it."""
        rows = np.full(len(wanted), -1, dtype=np.int64)
        for place, text in enumerate(wanted.texts):
            code = self.code_of.get(text)
            if code is not None and self.counts[code]:
                rows[place] = self.rows_with((code,)).ids[0]
        return rows

    def tally(self, selection: Selection) -> dict[Any, int]:
        """Return how many selected rows have each value, None among them; values that none has are left out."""
        if selection.everything:
            found = self.counts
        elif selection.listed:
            found = np.bincount(self._codes_of(selection.ids), minlength=len(self.counts)).tolist()
        else:
            hits = np.cumsum([0, *has_bits(selection.words, self.checked_ids(self._postings).ids)])[self._starts]
            found = np.diff(hits).tolist()
            for code in self._bitmaps:
                found[code] = (self.checked(self._bitmap(code)) & selection).count
        return {value: count for value, count in zip((*self.values, None), found, strict=True) if count}

    def cells(self, rows: Rows) -> list[Any]:
        values = (*self.values, None)
        return [values[code] for code in self._codes_of(rows).tolist()]

    def arrow(self, rows: Rows | None = None) -> pa.Array:
        codes = self._codes_of(slice(None) if rows is None else rows)
        validity = pa.py_buffer(pack(codes != self.null_code)) if self.counts[self.null_code] else None
        if types.is_boolean(self.type):
            truths = np.array([*self.values, False])[codes]
            return pa.Array.from_buffers(pa.bool_(), len(codes), [validity, pa.py_buffer(pack(truths))])
        indices = pa.Array.from_buffers(pa.int16(), len(codes), [validity, pa.py_buffer(codes.astype("<i2"))])
        texts = [self.parts.array("ends", "<i8", (None,)), self.parts.array("texts", "|u1", (None,))]
        values = pa.Array.from_buffers(pa.large_string(), len(self.values), [None, *map(pa.py_buffer, texts)])
        return pa.DictionaryArray.from_arrays(indices, values)

    def _codes_of(self, rows: Rows | slice) -> Array:
        codes: Array = self._codes[rows]
        if len(codes) and int(codes.max()) > self.null_code:
            raise self.parts.damaged(f"code {codes.max()} of {self.null_code + 1}")
        return codes

    def _bitmap(self, code: int) -> Words:
        words: Words = self._bitmap_rows[self._bitmaps[code]]
        return words

    def _posting(self, code: int) -> Ids:
        ids: Ids = self._postings[self._starts[code] : self._starts[code + 1]]
        return ids

    @cached_property
    def _codes(self) -> Array:
        return self.parts.array("codes", ("|u1", "<u2"), (self.rows,))

    @cached_property
    def _bitmap_rows(self) -> Array:
        return self.parts.array("bitmaps", "<u4", (len(self._bitmaps), word_count(self.rows)))

    @cached_property
    def _bitmaps(self) -> dict[int, int]:
        """The place in `bitmaps` of each code that has one."""
        common = [code for code, count in enumerate(self.counts) if count and count * COMMON_SHARE >= self.rows]
        return {code: place for place, code in enumerate(common)}

    @cached_property
    def _postings(self) -> Array:
        return self.parts.ids("postings")

    @cached_property
    def _starts(self) -> list[int]:
        starts: list[int] = self.parts.array("starts", "<i8", (len(self.counts) + 1,)).tolist()
        lengths = [0 if code in self._bitmaps else count for code, count in enumerate(self.counts)]
        if np.diff(starts).tolist() != lengths or starts[0] or starts[-1] != len(self._postings):
            raise self.parts.damaged("the starts of its lists")
        return starts

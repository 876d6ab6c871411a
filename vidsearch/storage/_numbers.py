"""Columns of numbers, dates and times: the raw values, the rows in ascending order of them, and bitmaps that make wide ranges cheap.

`above` has a bitmap for each `step` places of the order: that of the rows from that place on. So any range of places is the difference of
two bitmaps, mended with at most half a step of single rows at either end.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from functools import cached_property
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyarrow import types

from vidsearch.selection import WORD_ROWS, Ids, Selection, Words, everything, has_bits, nothing, pack, with_bits, without_bits, word_count
from vidsearch.storage._column import Array, Column, Encoded, Rows, valid_mask, valid_words

STEPS = 128  # bitmaps a column: 16 bytes a row
SMALLEST_STEP = 256
SAMPLED = 16  # places to a sample of the order: a cache line of row numbers

_DTYPES = {
    pa.uint8(): "|u1",
    pa.int8(): "|i1",
    pa.uint16(): "<u2",
    pa.int16(): "<i2",
    pa.uint32(): "<u4",
    pa.int32(): "<i4",
    pa.uint64(): "<u8",
    pa.int64(): "<i8",
    pa.float16(): "<f2",
    pa.float32(): "<f4",
    pa.float64(): "<f8",
    pa.date32(): "<i4",
    pa.date64(): "<i8",
}


def dtype_of(column_type: pa.DataType) -> str | None:
    """Return how the values of a type are stored, None where it is no number or time."""
    return "<i8" if types.is_timestamp(column_type) else _DTYPES.get(column_type)


def encode(column: pa.Array, dtype: str) -> Encoded:
    """Encode numbers or times (n,)."""
    data = column.buffers()[1]
    values = np.zeros(0, dtype) if data is None else np.frombuffer(data, dtype, count=column.offset + len(column))[column.offset :]
    valid = valid_mask(column)
    known = np.flatnonzero(valid & ~np.isnan(values) if values.dtype.kind == "f" else valid)
    order = known[np.argsort(values[known], kind="stable")].astype("<u4")
    step = max(SMALLEST_STEP, -(-len(order) // STEPS))
    arrays = {
        "values": np.where(valid, values, np.array(np.nan if values.dtype.kind == "f" else 0, dtype)),
        "order": order,
        "samples": values[order[::SAMPLED]],
        "above": _above(order, len(values), step),
    }
    return Encoded("number", arrays | valid_words(column), {"step": step})


def _above(order: Array, rows: int, step: int) -> Array:
    starts = range(0, len(order), step)
    above = np.zeros((len(starts), word_count(rows)), dtype="<u4")
    mask = np.zeros(rows, dtype=np.bool_)
    for number in reversed(range(len(starts))):
        mask[order[starts[number] : starts[number] + step]] = True
        above[number] = pack(mask)
    return above


class Number(Column):
    """A column of numbers, dates or times; NaN and null have no place in the order."""

    kind: Literal["number"] = "number"

    @cached_property
    def values(self) -> Array:
        """(rows,) as stored: whole days, or whole units of time since 1970; where there is no value, NaN or, among whole numbers, 0."""
        return self.parts.array("values", dtype_of(self.type) or "", (self.rows,))

    @cached_property
    def places(self) -> int:
        """Rows with a place in the order."""
        return len(self._order)

    @property
    def nulls(self) -> Selection:
        return ~self.spans([(0, self.places)])

    def place(self, value: Any, *, after: bool) -> int:
        """Return the first place of the order whose value is at least a value, or above it if `after`."""
        if self.values.dtype.kind != "f":
            value = self.values.dtype.type(value)  # of another type, a search would convert all samples
        sample = int(self._samples.searchsorted(value, side="right" if after else "left"))
        first, last = max(0, (sample - 1) * SAMPLED), min(sample * SAMPLED, self.places)
        try:
            return (bisect_right if after else bisect_left)(self._order, value, first, last, key=self.values.__getitem__)
        except IndexError as error:
            raise self.parts.damaged(error) from error

    def spans(self, spans: Sequence[tuple[int, int]]) -> Selection:
        """Return the rows of some spans of places, each from its first to before its second; ascending, none touching the next."""
        total = sum(stop - start for start, stop in spans)
        if total in (0, self.rows):
            return everything(self.rows) if total else nothing(self.rows)
        if total == self.places:
            return self.checked(self._above[0], count=total)
        if total <= self._step:
            return self.checked_ids(np.sort(np.concatenate([self._order[start:stop] for start, stop in spans])))
        words = self._bitmap(spans)
        if self.rows % WORD_ROWS:
            words[-1] &= (1 << self.rows % WORD_ROWS) - 1  # where the order names a row twice, sums carry over
        return Selection.of_words(self.rows, words, count=total)

    def _bitmap(self, spans: Sequence[tuple[int, int]]) -> Words:
        edges = [0, *(place for span in spans for place in span), self.places]
        gaps = list(zip(edges[::2], edges[1::2], strict=True))
        if sum(stop - start for start, stop in gaps) <= self._step:
            words: Words = self._above[0].copy()
            for start, stop in gaps:
                self._mend(words, stop, start)
            return words
        wide = [self._wide(start, stop) for start, stop in spans if stop - start > self._step]
        words = wide.pop() if wide else np.zeros(word_count(self.rows), dtype=np.uint32)
        for other in wide:
            np.bitwise_or(words, other, out=words)
        for start, stop in spans:
            if stop - start <= self._step:
                self._mend(words, start, stop)
        return words

    def _wide(self, start: int, stop: int) -> Words:
        first, last = (start + self._step // 2) // self._step, (stop + self._step // 2) // self._step
        if last == len(self._above) or stop == self.places:
            last = len(self._above)
        words: Words = self._above[first].copy() if last == len(self._above) else np.bitwise_xor(self._above[first], self._above[last])
        self._mend(words, start, first * self._step)
        self._mend(words, min(last * self._step, self.places), stop)
        return words

    def known(self, rows: Ids) -> npt.NDArray[np.bool_]:
        """Return which of some rows have a place in the order, (m,) bool."""
        if self.places in (0, self.rows):
            return np.full(len(rows), self.places > 0)
        return has_bits(self._above[0], rows)

    def cells(self, rows: Rows) -> list[Any]:
        if types.is_temporal(self.type):
            cells: list[Any] = self.arrow(rows).to_pylist()
            return cells
        return self.without_nulls(rows, self.values[rows].tolist())

    def arrow(self, rows: Rows | None = None) -> pa.Array:
        values = self.values if rows is None else self.values[rows]
        return pa.Array.from_buffers(self.type, len(values), [self.validity(rows), pa.py_buffer(values)])

    def _mend(self, words: Words, start: int, stop: int) -> None:
        """Add the rows of some places to a bitmap; where `stop` comes before `start`, take those between out."""
        ids = self._order[min(start, stop) : max(start, stop)]
        if len(ids) and int(ids.max()) >= self.rows:
            raise self.parts.damaged(f"row {ids.max()} of {self.rows}")
        (with_bits if start < stop else without_bits)(words, ids)

    @cached_property
    def _order(self) -> Array:
        return self.parts.ids("order")

    @cached_property
    def _samples(self) -> Array:
        return self.parts.array("samples", dtype_of(self.type) or "", (-(-self.places // SAMPLED),))

    @cached_property
    def _step(self) -> int:
        step = self.parts.number("step")
        if step < 1 or len(self._order) > self.rows:
            raise self.parts.damaged(f"its order has {len(self._order)} places in steps of {step}")
        return step

    @cached_property
    def _above(self) -> Array:
        return self.parts.array("above", "<u4", (-(-self.places // self._step), word_count(self.rows)))

"""Columns of numbers, dates and times: the raw values, the rows in ascending order of them, and bitmaps that make wide ranges cheap.

`above` has a bitmap for each `step` places of the order: that of the rows from that place on. So any range of places is the difference of
two bitmaps, mended with at most half a step of single rows at either end.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from functools import cached_property
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyarrow import types

from vidsearch.selection import Ids, Selection, Words, everything, has_bits, nothing, pack, with_bits, without_bits, word_count
from vidsearch.storage._column import Array, Column, Encoded, Rows, valid_mask, valid_words

STEPS = 128  # bitmaps a column: 16 bytes a row
SMALLEST_STEP = 256

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
    arrays = {"values": np.where(valid, values, np.zeros(1, dtype)), "order": order, "above": _above(order, len(values), step)}
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
        """(rows,) as stored: whole days, or whole units of time since 1970; anything where there is no value."""
        return self.parts.array("values", dtype_of(self.type) or "", (self.rows,))

    @cached_property
    def places(self) -> int:
        """Rows with a place in the order."""
        return len(self._order)

    @property
    def nulls(self) -> Selection:
        return ~self.between(0, self.places)

    def place(self, value: Any, *, after: bool) -> int:
        """Return the first place of the order whose value is at least a value, or above it if `after`; 20 looks at a million rows."""
        try:
            return (bisect_right if after else bisect_left)(self._order, value, key=self.values.__getitem__)
        except IndexError as error:
            raise self.parts.damaged(error) from error

    def between(self, start: int, stop: int) -> Selection:
        """Return the rows of the places from `start` to before `stop`."""
        if stop - start in (0, self.rows):
            return everything(self.rows) if stop > start else nothing(self.rows)
        if stop - start <= self._step:
            return self.checked_ids(np.sort(self._order[start:stop]))
        if start == 0 and stop == self.places:
            return self.checked(self._above[0], count=stop)
        first, last = (start + self._step // 2) // self._step, (stop + self._step // 2) // self._step
        if last == len(self._above) or stop == self.places:
            words, last = self._above[first].copy(), len(self._above)
        else:
            words = np.bitwise_xor(self._above[first], self._above[last])
        self._mend(words, start, first * self._step)
        self._mend(words, min(last * self._step, self.places), stop)
        return self.checked(words, count=stop - start)

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
    def _step(self) -> int:
        step = self.parts.number("step")
        if step < 1 or len(self._order) > self.rows:
            raise self.parts.damaged(f"its order has {len(self._order)} places in steps of {step}")
        return step

    @cached_property
    def _above(self) -> Array:
        return self.parts.array("above", "<u4", (-(-self.places // self._step), word_count(self.rows)))

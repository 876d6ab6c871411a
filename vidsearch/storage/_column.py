"""One column of a segment: a few named arrays, mapped from columns.bin and each looked at when it is first needed."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from vidsearch.errors import IndexCorruptError
from vidsearch.selection import Selection, Words, has_bits, nothing, pack, word_count

Array = npt.NDArray[Any]
Rows = npt.NDArray[np.integer]  # (m,) row numbers of the segment
DTYPES = ("|u1", "|i1", "<u2", "<i2", "<f2", "<u4", "<i4", "<f4", "<u8", "<i8", "<f8")


@dataclass(frozen=True)
class Encoded:
    """A column as it goes to the disk.

    Attributes:
        kind: which class reads it.
        arrays: its parts by name.
        numbers: what else its reader must know.
    """

    kind: str
    arrays: dict[str, Array] = field(default_factory=dict)
    numbers: dict[str, int] = field(default_factory=dict)


class Parts:
    """The arrays of one column, as the directory in SEGMENT.json has them.

    Attributes:
        place: the file and the column, for messages.
        kind: which class reads them.
    """

    def __init__(self, path: Path, name: str, data: memoryview, entry: Mapping[str, Any]) -> None:
        self.place = f"{path}: column {name}"
        self._data = data
        try:
            self.kind, self._arrays, self._numbers = str(entry["kind"]), dict(entry["arrays"]), dict(entry["numbers"])
        except (KeyError, TypeError, ValueError) as error:
            raise self.damaged(f"its entry in the directory: {error!r}") from error

    def has(self, part: str) -> bool:
        return part in self._arrays

    def number(self, name: str) -> int:
        return int(self._numbers[name])

    def array(self, part: str, dtypes: str | Sequence[str], shape: tuple[int | None, ...]) -> Array:
        """Return one array, read-only; None in the shape stands for any length."""
        try:
            offset, dtype, found = self._arrays[part]
            fits = len(found) == len(shape) and all(want in (None, length) for want, length in zip(shape, found, strict=True))
            if not fits or dtype not in DTYPES or dtype not in ((dtypes,) if isinstance(dtypes, str) else dtypes):
                raise IndexCorruptError(f"{self.place}: {part} is {dtype}{found} instead of {dtypes}{list(shape)}")
            count = int(np.prod(found, dtype=np.int64))
            values = np.frombuffer(self._data, dtype=dtype, count=count, offset=offset) if count else np.zeros(0, dtype)
        except (KeyError, TypeError, ValueError) as error:
            raise IndexCorruptError(f"{self.place}: {part} does not lie within the file ({error})") from error
        return values.reshape(found)

    def ids(self, part: str) -> Array:
        return self.array(part, "<u4", (None,))

    def damaged(self, complaint: object) -> IndexCorruptError:
        return IndexCorruptError(f"{self.place}: damaged ({complaint})")


class Column(ABC):
    """A column of `rows` values; `type` is that of the table it was written from."""

    def __init__(self, parts: Parts, column_type: pa.DataType, rows: int) -> None:
        self.parts, self.type, self.rows = parts, column_type, rows

    @abstractmethod
    def cells(self, rows: Rows) -> list[Any]:
        """Return the values of some rows, in their order, as plain Python values."""

    @abstractmethod
    def arrow(self, rows: Rows | None = None) -> pa.Array:
        """Return the values of some rows, or of all, as an array: of this type, or of one that holds the same values."""

    @property
    def nulls(self) -> Selection:
        """The rows without a value."""
        return nothing(self.rows) if self.valid is None else ~self.checked(self.valid)

    @cached_property
    def valid(self) -> Words | None:
        """The rows with a value, as Arrow has them; None where all have one."""
        return self.parts.array("valid", "<u4", (word_count(self.rows),)) if self.parts.has("valid") else None

    def checked(self, words: Words, *, count: int | None = None) -> Selection:
        """Return a bitmap of the file as a selection: bits beyond the last row would lead readers astray."""
        if self.rows % 32 and int(words[-1]) >> self.rows % 32:
            raise self.parts.damaged("a bitmap names rows that are not there")
        return Selection.of_words(self.rows, words, count=count)

    def checked_ids(self, ids: Array) -> Selection:
        """Return a list of the file as a selection."""
        if len(ids) and int(np.maximum.reduce(ids)) >= self.rows:
            raise self.parts.damaged(f"row {ids.max()} of {self.rows}")
        return Selection.of_ids(self.rows, ids)

    def validity(self, rows: Rows | None) -> pa.Buffer | None:
        """Return Arrow's validity bitmap of some rows, or of all."""
        if self.valid is None:
            return None
        words = self.valid if rows is None else pack(has_bits(self.valid, rows.astype(np.uint32)))
        return pa.py_buffer(words)

    def without_nulls(self, rows: Rows, cells: list[Any]) -> list[Any]:
        """Put None into the places of rows that have no value."""
        if self.valid is None:
            return cells
        known = has_bits(self.valid, rows.astype(np.uint32)).tolist()
        return [cell if there else None for cell, there in zip(cells, known, strict=True)]


def valid_words(column: pa.Array) -> dict[str, Array]:
    """Return the part `valid` of an array, if it has nulls."""
    return {"valid": pack(valid_mask(column))} if column.null_count else {}


def valid_mask(column: pa.Array) -> npt.NDArray[np.bool_]:
    """Return which values are there, (n,) bool."""
    validity = column.buffers()[0]
    if column.null_count == 0 or validity is None:
        return np.ones(len(column), dtype=np.bool_)
    bits = np.unpackbits(np.frombuffer(validity, dtype=np.uint8), bitorder="little", count=column.offset + len(column))
    return bits[column.offset :].view(np.bool_)

"""Columns of many distinct texts: their bytes one after another, and a table from a text's hash to its rows."""

from __future__ import annotations

from functools import cached_property
from itertools import count
from typing import Any, Literal

import numpy as np
import pyarrow as pa

from vidsearch.selection import Selection, nothing
from vidsearch.storage._column import Array, Column, Encoded, Rows, valid_mask, valid_words
from vidsearch.storage._wanted import Hashes, Wanted, hash_texts

GATHERED_SHARE = 16  # a smaller part of the texts is gathered one by one, so that the others need not be read from the disk


def encode(column: pa.Array, codes: Array, dictionary: pa.Array) -> Encoded:
    """Encode texts.

    Args:
        column: (n,) large_string.
        codes: (n,) into the dictionary, len(dictionary) where there is no text.
        dictionary: the distinct texts.
    """
    offsets = np.frombuffer(column.buffers()[1], dtype="<i8", count=column.offset + len(column) + 1)[column.offset :]
    data = column.buffers()[2]
    texts = np.frombuffer(data or b"", dtype=np.uint8)[offsets[0] : offsets[-1]]
    hashes, seed = _injective_hashes(dictionary)
    known = np.flatnonzero(valid_mask(column))
    hashed = hashes[codes[known]]
    order = np.argsort(hashed, kind="stable")
    arrays = {"ends": offsets - offsets[0], "texts": texts, "hashes": hashed[order], "hashed": known[order].astype("<u4")}
    return Encoded("text", arrays | valid_words(column), {"seed": seed})


def _injective_hashes(dictionary: pa.Array) -> tuple[Hashes, int]:
    """Return a hash for each text, no two the same, and the seed that gives them: the first that does."""
    texts = [text.encode() for text in dictionary.to_pylist()]
    for seed in count():
        hashes = hash_texts(texts, seed)
        if len(np.unique(hashes)) == len(texts):
            return hashes, seed
    raise AssertionError  # `count` does not end


class Text(Column):
    """A column of texts."""

    kind: Literal["text"] = "text"

    def rows_of(self, text: str) -> Selection:
        """Return the rows that have a text; as no two texts of the column share a hash, one row tells for all."""
        encoded = text.encode(errors="surrogatepass")
        wanted = hash_texts((encoded,), self._seed)[0]
        start, stop = self._hashes.searchsorted(wanted), self._hashes.searchsorted(wanted, side="right")
        if start == stop:
            return nothing(self.rows)
        found = self.checked_ids(self._hashed[start:stop])
        row = int(found.ids[0])
        first, last = int(self._ends[row]), int(self._ends[row + 1])
        same = last - first == len(encoded) and first >= 0 and self._texts[first:last].tobytes() == encoded
        return found if same else nothing(self.rows)

    def find(self, wanted: Wanted) -> Array:
        """Return the first row of each text, (m,) int64, -1 where no row has it."""
        rows = np.full(len(wanted), -1, dtype=np.int64)
        if not len(self._hashes) or not len(wanted):
            return rows
        order, hashes = wanted.hashes(self._seed)
        places = np.minimum(self._hashes.searchsorted(hashes), len(self._hashes) - 1)
        hits = np.flatnonzero(self._hashes[places] == hashes)
        found = self._hashed[places[hits]]
        if len(found) and int(found.max()) >= self.rows:
            raise self.parts.damaged(f"row {found.max()} of {self.rows}")
        texts = [wanted.encoded[place] for place in order[hits].tolist()]
        same = [slice_ == text for slice_, text in zip(self._slices(found), texts, strict=True)]
        rows[order[hits][same]] = found[same]
        return rows

    def groups(self, selection: Selection) -> tuple[Rows, Array]:
        """Return for each distinct text of the selected rows one row of the column that has it, and how many of the selected do: (m,) each.

        Rows of one text stand together in the table of hashes, so no text is looked at.
        """
        rows = self._hashed
        if not len(rows):
            return rows, np.zeros(0, np.int64)
        if int(rows.max()) >= self.rows or len(rows) != len(self._hashes):
            raise self.parts.damaged(f"row {rows.max()} of {self.rows}")
        starts = np.flatnonzero(np.append(True, self._hashes[1:] != self._hashes[:-1]))
        if selection.everything:
            return rows[starts], np.diff(starts, append=len(rows))
        counts = np.add.reduceat(selection.mask[rows], starts, dtype=np.int64)
        return rows[starts[counts > 0]], counts[counts > 0]

    def cells(self, rows: Rows) -> list[Any]:
        try:
            texts = [str(text, "utf-8") for text in self._slices(rows)]
        except UnicodeDecodeError as error:
            raise self.parts.damaged(error) from error
        return self.without_nulls(rows, texts)

    def _slices(self, rows: Rows) -> list[memoryview]:
        """Return the bytes of some texts."""
        starts, stops, size = self._ends[:-1][rows].tolist(), self._ends[1:][rows].tolist(), len(self._texts)
        if any(not 0 <= start <= stop <= size for start, stop in zip(starts, stops, strict=True)):
            raise self.parts.damaged("a text that ends before it starts, or beyond the last")
        view = self._texts.data
        return [view[start:stop] for start, stop in zip(starts, stops, strict=True)]

    def arrow(self, rows: Rows | None = None) -> pa.Array:
        """Return a large_string array."""
        if rows is None:
            return self._all
        if len(rows) * GATHERED_SHARE < self.rows and "_all" not in self.__dict__:
            slices = self._slices(rows)
            ends = np.cumsum([0, *map(len, slices)], dtype="<i8")
            return self._array(len(rows), self.validity(rows), ends, np.frombuffer(b"".join(slices), dtype=np.uint8))
        indices = pa.Array.from_buffers(pa.uint32(), len(rows), [None, pa.py_buffer(rows.astype("<u4"))])
        return self._all.take(indices)

    @cached_property
    def _all(self) -> pa.Array:
        return self._array(self.rows, self.validity(None), self._ends, self._texts)

    def _array(self, rows: int, validity: pa.Buffer | None, ends: Array, texts: Array) -> pa.Array:
        try:
            array = pa.Array.from_buffers(pa.large_string(), rows, [validity, pa.py_buffer(ends), pa.py_buffer(texts)])
            array.validate(full=True)  # every offset and every byte, once: what follows trusts them
        except pa.ArrowInvalid as error:
            raise self.parts.damaged(error) from error
        return array

    @cached_property
    def _ends(self) -> Array:
        return self.parts.array("ends", "<i8", (self.rows + 1,))

    @cached_property
    def _texts(self) -> Array:
        return self.parts.array("texts", "|u1", (None,))

    @cached_property
    def _hashes(self) -> Array:
        return self.parts.array("hashes", "<u8", (None,))

    @cached_property
    def _seed(self) -> int:
        return self.parts.number("seed")

    @cached_property
    def _hashed(self) -> Array:
        return self.parts.array("hashed", "<u4", (len(self._hashes),))

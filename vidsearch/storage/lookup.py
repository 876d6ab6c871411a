"""Many texts looked up at once: which rows hold them. A thousand cost a thousand lookups in each segment, however many rows it has."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import numpy.typing as npt

from vidsearch.storage._categories import Category
from vidsearch.storage._texts import Text
from vidsearch.storage._wanted import Wanted
from vidsearch.storage.segment import Segment

Rows = npt.NDArray[np.int64]  # (m,)


def find(segments: Iterable[Segment], column: str, texts: Sequence[str]) -> Iterator[Rows]:
    """Yield, for each segment, the first row that holds each text, (len(texts),) int64, -1 where none does; exact, not by hash alone."""
    wanted = Wanted(texts)
    for segment in segments:
        found = segment.columns.get(column)
        yield found.find(wanted) if isinstance(found, Category | Text) else np.full(len(texts), -1, dtype=np.int64)


def holds(segment: Segment, column: str, value: str, rows: Rows) -> npt.NDArray[np.bool_]:
    """Return which of some rows have a value in a column of few values, (m,) bool; in any other column, none."""
    found = segment.columns.get(column)
    if not isinstance(found, Category) or value not in found.code_of:
        return np.zeros(len(rows), dtype=np.bool_)
    return found.has((found.code_of[value],), rows.astype(np.uint32))

"""A column as a byte or two for each row: which of its values, or which bin of its histogram. Any set of rows is then counted in a pass.

Coding a column of a million rows takes some tens of milliseconds, once; counting half of them takes one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from threading import Lock
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyarrow import types

from ui.filtering.choices import YEARS, canonical, kind_of
from vidsearch.corpus import Corpus
from vidsearch.evaluation.bins import DAY_S, core, number_edges, time_edges
from vidsearch.filters.tree import Value
from vidsearch.selection import Mask

FEW_VALUES = 12  # whole numbers and dates of no more values are listed, not binned
NEAR = 10_000  # from the least to the greatest of them
SAMPLE = 50_000  # values whose quantiles are taken
HUGE = 1e305  # numbers beyond lie in no bin, as infinity does

_TICKS = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}  # a second

Codes = npt.NDArray[np.unsignedinteger]
Counts = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Coded:
    """A column of all rows.

    Attributes:
        codes: (slots,) uint8 or uint16: a place in `values` or a bin; then one for the missing, and one for what lies in no bin.
        values: the distinct ones; () where there are bins.
        edges: (bins + 1,) ascending; seconds since 1970 for times. () where there are values.
        totals: (values or bins + 2,) of the rows that are not deleted.
    """

    codes: Codes
    values: tuple[Value, ...]
    edges: tuple[float, ...]
    totals: Counts

    @property
    def missing(self) -> int:
        """The code of rows without a value."""
        return len(self.totals) - 2

    @property
    def varies(self) -> bool:
        """Whether not all rows have the same."""
        return int(np.count_nonzero(self.totals)) > 1

    def count(self, rows: npt.NDArray[np.integer]) -> Counts:
        """Return how many of some rows have each code."""
        return np.bincount(self.codes[rows], minlength=len(self.totals))


class Coding:
    """The coded columns of an index, each coded when it is first asked for."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._known: WeakKeyDictionary[Corpus, tuple[Sequence[str], dict[str, Coded | None]]] = WeakKeyDictionary()

    def of(self, corpus: Corpus, column: str) -> Coded | None:
        """Return a column; None where it has too many distinct texts, or values of a type that is not counted."""
        with self._lock:
            skipped, known = self._known.get(corpus, ((), {}))
            if corpus not in self._known or skipped != corpus.skipped:
                known = {}
                self._known[corpus] = corpus.skipped, known
            if column not in known:
                known[column] = _coded(corpus, column)
            return known[column]


def _coded(corpus: Corpus, name: str) -> Coded | None:
    kinds = {
        column.kind for segment in corpus.segments if (column := segment.columns.get(name)) is not None and not types.is_null(column.type)
    }
    if kinds == {"category"}:
        codes, values = _categories(corpus, name)
        return _counted(corpus, codes, values)
    return _numbers(corpus, name) if kinds == {"number"} else None


def _counted(corpus: Corpus, codes: Codes, values: tuple[Value, ...], edges: tuple[float, ...] = ()) -> Coded:
    length = (len(edges) - 1 if edges else len(values)) + 2
    return Coded(codes, values, edges, np.bincount(codes[corpus.alive_mask], minlength=length))


def _categories(corpus: Corpus, name: str) -> tuple[Codes, tuple[Value, ...]]:
    """Return the codes of few texts or truth values, the same in all segments."""
    columns = [segment.columns.get(name) for segment in corpus.segments]
    values = sorted({value for column in columns if column is not None and column.kind == "category" for value in column.values})
    places = {value: place for place, value in enumerate(values)}
    dtype = np.uint8 if len(values) + 2 <= 256 else np.uint16
    parts = []
    for column, segment in zip(columns, corpus.segments, strict=True):
        if column is None or column.kind != "category":
            parts.append(np.full(segment.rows, len(values), dtype))
        else:
            own = np.array([*(places[value] for value in column.values), len(values)], dtype)
            parts.append(own[column.codes])
    return np.concatenate(parts), tuple(values)


def _numbers(corpus: Corpus, name: str) -> Coded | None:
    """Code numbers, dates and times: the values themselves where they are few and whole, else bins."""
    column_type = corpus.schema.field(name).type
    values, known = _raw(corpus, name, column_type)
    inside = known & _writable(values, column_type)
    seen = values[inside & corpus.alive_mask]
    if not len(seen):
        return None
    few = None if values.dtype.kind == "f" or types.is_timestamp(column_type) else _few(seen)
    edges = () if few is not None else _edges(seen, column_type)
    limits = np.array([_ticks(edge, column_type) for edge in edges[1:-1]], values.dtype) if few is None else few[1:]
    length = len(edges) - 1 if few is None else len(few)
    codes = np.searchsorted(limits, values, side="right").astype(np.uint8)
    codes[~inside] = length + 1
    codes[~known] = length
    return _counted(corpus, codes, () if few is None else tuple(_written(value, column_type) for value in few.tolist()), edges)


def _raw(corpus: Corpus, name: str, column_type: pa.DataType) -> tuple[npt.NDArray[Any], Mask]:
    """Return a column of numbers (slots,) as it is stored, and which are there; halves as singles."""
    dtype = np.dtype(np.int64 if kind_of(column_type) == "time" else column_type.to_pandas_dtype())
    values, known = [np.zeros(0, dtype)], [np.zeros(0, np.bool_)]
    for segment in corpus.segments:
        column = segment.columns.get(name)
        if column is None or column.kind != "number":
            values.append(np.zeros(segment.rows, dtype))
            known.append(np.zeros(segment.rows, np.bool_))
        else:
            values.append(_scaled(column.values, column.type, column_type).astype(dtype, copy=False))
            known.append((~column.nulls).mask)
    joined = np.concatenate(values)
    return joined.astype(np.float32) if joined.dtype == np.float16 else joined, np.concatenate(known)


def _scaled(values: npt.NDArray[Any], own: pa.DataType, wanted: pa.DataType) -> npt.NDArray[Any]:
    """Return times of one unit in another, finer one."""
    if own == wanted or kind_of(wanted) != "time":
        return values
    (ticks, seconds), (wanted_ticks, wanted_seconds) = _rate(own), _rate(wanted)
    return values.astype(np.int64) * (wanted_ticks * seconds // (ticks * wanted_seconds))


def _rate(column_type: pa.DataType) -> tuple[int, int]:
    """Return how many whole units a column of times counts in how many seconds."""
    if types.is_date32(column_type):
        return 1, DAY_S
    return _TICKS["ms" if types.is_date64(column_type) else column_type.unit], 1


def _ticks(edge: float, column_type: pa.DataType) -> float:
    if kind_of(column_type) != "time":
        return edge
    ticks, seconds = _rate(column_type)
    return int(edge) * ticks // seconds


def _writable(values: npt.NDArray[Any], column_type: pa.DataType) -> Mask:
    """Return which values a filter can name: no infinity, no year beyond 9999."""
    if kind_of(column_type) == "time":
        limits, (ticks, seconds) = np.iinfo(np.int64), _rate(column_type)
        first, last = (min(max(year * ticks // seconds, limits.min), limits.max) for year in YEARS)
        return np.asarray((values >= first) & (values < last))
    return np.asarray(np.abs(values) < HUGE if values.dtype == np.float64 else np.isfinite(values))


def _few(seen: npt.NDArray[Any]) -> npt.NDArray[Any] | None:
    """Return the distinct whole numbers in ascending order, None if they are many or far apart."""
    least = int(seen.min())
    if int(seen.max()) - least > NEAR:
        return None
    places = np.flatnonzero(np.bincount((seen.astype(np.uint64) - np.uint64(least % 2**64)).astype(np.intp)))  # modulo 2**64, that is exact
    return np.array([least + place for place in places.tolist()], seen.dtype) if len(places) <= FEW_VALUES else None


def _edges(seen: npt.NDArray[Any], column_type: pa.DataType) -> tuple[float, ...]:
    least, greatest, sample = seen.min().item(), seen.max().item(), seen[:: -(-len(seen) // SAMPLE)]
    if kind_of(column_type) == "time":
        ticks, seconds = _rate(column_type)
        least, greatest = least * seconds // ticks, greatest * seconds // ticks
        inner = core(least, greatest, sample.astype(np.float64) * (seconds / ticks))
        edges = time_edges(least, greatest, inner, shortest_s=DAY_S if types.is_date(column_type) else 1)
        return tuple(float(min(max(edge, YEARS[0]), YEARS[1])) for edge in edges)
    whole = types.is_integer(column_type)
    edges = number_edges(least, greatest, core(least, greatest, sample), whole=whole)
    return tuple(sorted({edge if whole else float(canonical(edge, column_type)) for edge in edges}))


def _written(value: int, column_type: pa.DataType) -> Value:
    """Return a whole number, or a date, as a filter has it."""
    if kind_of(column_type) != "time":
        return value
    ticks, seconds = _rate(column_type)
    return str(np.datetime64(value * seconds // ticks, "s").astype("datetime64[D]"))

"""Filters of chosen selectivity to measure an index under: real ones of its columns, else row numbers drawn at random."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from pyarrow import types

from vidsearch.corpus import Corpus
from vidsearch.evaluation import counting
from vidsearch.selection import Selection

SELECTIVITIES = (1.0, 0.3, 0.1, 0.03, 0.01, 0.001)
NEAR = 1.5  # a filter will do whose share of rows is within that factor of the one wanted
FEWEST = 10  # rows: of fewer there is nothing to find
VALUES = 200  # of a column are considered
PLAIN = ("language", "type", "aesthetic", "umt_score", "duration_s")  # names that need no quotes, as no word of SQL is among them
ASKED_FIRST = ("aesthetic", "umt_score", "duration_s")  # columns of numbers that people cut by


@dataclass(frozen=True)
class RowFilter:
    """Which rows may be found.

    Attributes:
        name: the filter as it is asked, "no filter", or that the rows were drawn.
        wanted: share of the rows that was looked for.
        selections: the rows of each segment.
        share: of the rows that pass.
    """

    name: str
    wanted: float
    selections: Sequence[Selection] = field(repr=False)
    share: float

    @property
    def rows(self) -> int:
        return sum(selection.count for selection in self.selections)


def row_filters(index: Corpus, selectivities: Sequence[float] = SELECTIVITIES, *, seed: int = 0) -> list[RowFilter]:
    """Return a filter for each share of the rows, as long as ten rows pass: a value of a column that so many rows have, else a range of a
    column of numbers, else rows drawn at random.
    """
    rows = len(index)
    filters = []
    for wanted in selectivities:
        if wanted >= 1:
            filters.append(RowFilter("no filter", wanted, index.select(None), 1.0))
        elif wanted * rows >= FEWEST:
            filters.append(_real(index, wanted) or _drawn(index, wanted, seed))
    return filters


def _real(index: Corpus, wanted: float) -> RowFilter | None:
    """Return the filter of a column that comes nearest to a share, None where none comes near; rather a value than a range."""
    for asked in (_values(index, wanted), _ranges(index, wanted)):
        near = []
        for where in asked:
            selections = index.select(where)
            share = sum(selection.count for selection in selections) / len(index)
            if share and _apart(share, wanted) <= NEAR:
                near.append(RowFilter(where, wanted, selections, share))
        if near:
            return min(near, key=lambda one: _apart(one.share, wanted))
    return None


def _apart(share: float, wanted: float) -> float:
    return max(share / wanted, wanted / share)


def _values(index: Corpus, wanted: float) -> Iterator[str]:
    """Yield the filter for the value whose share comes nearest, of each column of few values."""
    for name in index.schema.names:
        columns = [column for segment in index.segments if (column := segment.columns.get(name)) is not None]
        if any(column.kind != "category" for column in columns) or types.is_boolean(index.schema.field(name).type):
            continue
        counts = index.value_counts(name, index.select(None))
        shares = {value: count / len(index) for value, count in list(counts.items())[:VALUES] if isinstance(value, str)}
        if shares:
            value = min(shares, key=lambda value: _apart(shares[value], wanted))
            yield f"{_quoted(name)} = '{value.replace(chr(39), 2 * chr(39))}'"


def _ranges(index: Corpus, wanted: float) -> Iterator[str]:
    """Yield the filter for the greatest values of the first column of numbers that has such a share."""
    for name in (*ASKED_FIRST, *index.schema.names):
        if name in index.schema.names and types.is_floating(index.schema.field(name).type) and name not in ("start_s", "end_s"):
            values = counting.numbers(index, index.select(None), name)
            if len(values) > len(index) * wanted:
                place = len(values) - max(1, round(wanted * len(index)))
                limit = np.partition(values, place)[place]
                yield f"{_quoted(name)} >= {float(limit):.9g}"
                return


def _drawn(index: Corpus, wanted: float, seed: int) -> RowFilter:
    alive = np.flatnonzero(index.alive_mask)
    rows = np.random.default_rng(seed).choice(alive, size=max(FEWEST, round(wanted * len(alive))), replace=False)
    return RowFilter(f"{wanted:g} of the rows, drawn", wanted, index.narrow(index.select(None), np.sort(rows)), len(rows) / len(alive))


def _quoted(name: str) -> str:
    escaped = name.replace('"', '""')
    return name if name in PLAIN else f'"{escaped}"'

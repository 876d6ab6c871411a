"""Rows in the order of a column, from the mapped columns of the segments: the first 10,000 of a million take 0.1 s."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import types

from vidsearch.answers.page import column_of
from vidsearch.corpus import Corpus, Rows
from vidsearch.curate.scan import row_blocks
from vidsearch.errors import QueryError
from vidsearch.selection import Selection
from vidsearch.storage._categories import Category

Values: TypeAlias = "pa.Array | pa.ChunkedArray"


def by_column(corpus: Corpus, rows: Rows, sort: tuple[str, bool], most: int) -> Rows:
    """Return the places (n,) of the first `most` of some rows in the order of a column.

    Rows without a value, or with NaN, come last; those of equal value as they were given.

    Args:
        corpus: what they are rows of.
        rows: (m,) row numbers, in any order.
        sort: the column, and whether it falls, as `Query.order` has them.
        most: places wanted.

    Raises:
        QueryError: no such column, or one whose values have no order.
    """
    name = column_of(corpus, sort[0])
    if not len(rows) or not most:
        return np.zeros(0, np.int64)
    keys = [("value", "descending" if sort[1] else "ascending"), ("place", "ascending")]
    try:
        table = pa.table({"value": _keys(corpus, name, rows), "place": np.arange(len(rows))})
        places = pc.select_k_unstable(table, k=min(most, len(rows)), sort_keys=keys)
    except (NotImplementedError, pa.ArrowTypeError, pa.ArrowInvalid) as error:
        raise QueryError(f"column {name} holds {corpus.schema.field(name).type}, which has no order to sort by") from error
    return np.frombuffer(places.buffers()[1], np.uint64, len(places)).astype(np.int64)


def first_rows(corpus: Corpus, selections: Sequence[Selection], most: int) -> Rows:
    """Return the numbers of the first rows that pass."""
    rows, missing = [np.zeros(0, np.int64)], most
    for block in row_blocks(corpus, selections, rows=max(1, most)):
        rows.append(block[:missing])
        missing -= len(rows[-1])
        if not missing:
            break
    return np.concatenate(rows)


def _keys(corpus: Corpus, name: str, rows: Rows) -> Values:
    """Return for each row a value that sorts as its column does, of one type for all segments."""
    owner = np.searchsorted(corpus.offsets, rows, side="right") - 1
    ranks = _ranks(corpus, name)
    kind = pa.int32() if ranks is not None else corpus.schema.field(name).type
    parts, places = [], []
    for number in sorted(set(owner.tolist())):
        mine = np.flatnonzero(owner == number)
        segment, own = corpus.segments[number], rows[mine] - corpus.offsets[number]
        column = segment.columns.get(name)
        everything = len(own) == segment.rows and bool((own == np.arange(len(own))).all())
        values = pa.nulls(len(own), kind) if column is None else column.arrow(None if everything else own)
        if ranks is not None and column is not None:
            values = pa.array([ranks[value] for value in column.values], pa.int32()).take(values.indices)
        parts.append(_plain(values, kind))
        places.append(mine)
    keys = parts[0] if len(parts) == 1 else pa.chunked_array([chunk for part in parts for chunk in _chunks(part)])
    given = np.concatenate(places)
    return keys if bool((given == np.arange(len(given))).all()) else keys.take(pa.array(np.argsort(given)))


def _ranks(corpus: Corpus, name: str) -> dict[object, int] | None:
    """Return the place of each text among those of all segments; None where some segment holds more than few of them."""
    columns = [segment.columns[name] for segment in corpus.segments if name in segment.columns]
    if types.is_boolean(corpus.schema.field(name).type) or not all(isinstance(column, Category) for column in columns):
        return None
    values = sorted({value for column in columns if isinstance(column, Category) for value in column.values})
    return {value: rank for rank, value in enumerate(values)}


def _plain(values: Values, kind: pa.DataType) -> Values:
    """Return values of the kind, or of one that sorts as it does."""
    if types.is_dictionary(values.type):
        values = values.cast(values.type.value_type)
    if types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind):
        return values.cast(pa.large_string())
    if types.is_boolean(kind):
        return values.cast(pa.uint8())
    return values.cast(kind)


def _chunks(values: Values) -> list[pa.Array]:
    return list(values.chunks) if isinstance(values, pa.ChunkedArray) else [values]

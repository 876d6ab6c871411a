"""The columns that every clip has, for rows that may lack any of them."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from indexer.readers.base import ID_DIGITS, clip_id, clip_key
from indexer.rows import CORE_SCHEMA


def with_core(table: pa.Table, vectors: npt.NDArray[Any], *, first: int) -> pa.Table:
    """Return rows with the columns that every clip has, in their places: made of what is there, else "" and 0.

    Args:
        table: (n rows) any columns.
        vectors: (n, dim) as they were read.
        first: number of the first row in its file.
    """
    start = _numbers(table, "start_s", 0.0)
    end = pc.coalesce(_numbers(table, "end_s"), pc.add(start, _numbers(table, "duration_s", 0.0)))
    texts = {name: _texts(table, name) for name in ("clip_id", "video", "youtube_id", "caption")}
    core = {
        "clip_id": _clip_ids(texts, start, _numbers(table, "end_s"), vectors, first),
        "video": pc.coalesce(texts["video"], texts["youtube_id"], pa.scalar("")),
        "start_s": start,
        "end_s": end,
        "duration_s": pc.subtract(end, start),
        "caption": texts["caption"],
    }
    others = {name: table[name] for name in table.column_names if name not in core}
    return pa.table({**core, **others}, schema=pa.schema([*CORE_SCHEMA, *(pa.field(name, column.type) for name, column in others.items())]))


def _texts(table: pa.Table, name: str) -> pa.ChunkedArray:
    return table[name] if name in table.column_names else pa.chunked_array([pa.nulls(table.num_rows, pa.string())])


def _numbers(table: pa.Table, name: str, default: float | None = None) -> pa.ChunkedArray:
    """Return a column of numbers; what is missing, NaN or infinite is the default."""
    if name not in table.column_names:
        return pa.chunked_array([pa.array([default] * table.num_rows, pa.float64())])
    column = table[name]
    return pc.if_else(pc.fill_null(pc.is_finite(column), False), column, pa.scalar(default, pa.float64()))


def _clip_ids(
    texts: dict[str, pa.ChunkedArray], start: pa.ChunkedArray, end: pa.ChunkedArray, vectors: npt.NDArray[Any], first: int
) -> pa.Array:
    names = texts["clip_id"].to_pylist()
    sources = pc.coalesce(texts["youtube_id"], texts["video"]).to_pylist()
    starts, ends = start.to_pylist(), end.to_pylist()
    for place, name in enumerate(names):
        if not name and sources[place] and ends[place] is not None:
            names[place] = clip_id(clip_key(sources[place], starts[place], ends[place]))
        elif not name:
            names[place] = hashlib.sha256(b"%d|" % (first + place) + vectors[place].tobytes()).hexdigest()[:ID_DIGITS]
    return pa.array(names, pa.string())

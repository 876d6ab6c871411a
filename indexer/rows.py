"""What a segment's Parquet files hold: typed rows of clips, and the quarantine."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pyarrow as pa

EMBEDDED_FROM = "embedded_from"  # the column that says what a row's vector was made of: "video", or "caption" until the video is there
SHOT, SHOTS = "shot", "shots"  # columns of clips that were cut out of a video here: which, from 0, of how many

CORE_SCHEMA = pa.schema(
    [
        pa.field("clip_id", pa.string(), nullable=False),
        pa.field("video", pa.string(), nullable=False),
        pa.field("start_s", pa.float64(), nullable=False),
        pa.field("end_s", pa.float64(), nullable=False),
        pa.field("duration_s", pa.float64(), nullable=False),
        pa.field("caption", pa.string()),
    ]
)
KNOWN_TYPES = {
    "youtube_id": pa.string(),
    "source_start_s": pa.float64(),
    "source_end_s": pa.float64(),
    "language": pa.string(),
    "type": pa.string(),
    "aesthetic": pa.float32(),
    "umt_score": pa.float32(),
    "clip_score": pa.float32(),
    EMBEDDED_FROM: pa.string(),
    SHOT: pa.int32(),
    SHOTS: pa.int32(),
}


def clips_table(rows: Sequence[Mapping[str, Any]]) -> pa.Table:
    """Return rows as a table: the core columns, then all others that any row has, each with one type."""
    return table_of(rows, CORE_SCHEMA)


def table_of(rows: Sequence[Mapping[str, Any]], first: pa.Schema) -> pa.Table:
    """Return rows as a table: the columns of `first`, then all others that any row has, each with one type."""
    extra = dict.fromkeys(name for row in rows for name in row if name not in first.names)
    columns = [pa.array([row.get(field.name) for row in rows], field.type) for field in first]
    fields = list(first)
    for name in extra:
        column = _column(name, [row.get(name) for row in rows])
        fields.append(pa.field(name, column.type))
        columns.append(column)
    return pa.Table.from_arrays(columns, schema=pa.schema(fields))


def concatenate(tables: Iterable[pa.Table]) -> pa.Table:
    """Return tables with unlike columns as one: a column that one lacks is null there; unlike types meet as text.

    The type of a column that holds nothing does not count: it was guessed.
    """
    tables = list(tables)
    try:
        return pa.concat_tables(tables, promote_options="permissive")
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        tables = [_without_guesses(table, tables) for table in tables]
        return pa.concat_tables([_texts_where_unlike(table, tables) for table in tables], promote_options="permissive")


def _column(name: str, values: list[Any]) -> pa.Array:
    if name in KNOWN_TYPES:
        return pa.array(values, KNOWN_TYPES[name])
    kinds = {type(value) for value in values if value is not None}
    if kinds <= {bool} or kinds <= {str}:
        return pa.array(values, pa.bool_() if kinds == {bool} else pa.string())
    if kinds <= {int, float}:
        try:
            return pa.array(values, pa.int64() if kinds == {int} else pa.float64())
        except (OverflowError, pa.ArrowInvalid):
            pass
    return pa.array([_text(value) for value in values], pa.string())


def _text(value: Any) -> str | None:
    return value if value is None or isinstance(value, str) else json.dumps(value)


def _without_guesses(table: pa.Table, tables: list[pa.Table]) -> pa.Table:
    """Return a table whose columns that hold nothing have no type, where another table's holds something."""
    for number, field in enumerate(table.schema):
        if 0 < table.num_rows == table.column(number).null_count and any(_holds(other, field.name) for other in tables):
            table = table.set_column(number, pa.field(field.name, pa.null()), pa.nulls(table.num_rows))
    return table


def _holds(table: pa.Table, name: str) -> bool:
    return name in table.schema.names and table[name].null_count < table.num_rows


def _texts_where_unlike(table: pa.Table, tables: list[pa.Table]) -> pa.Table:
    for number, field in enumerate(table.schema):
        others = {other.schema.field(field.name).type for other in tables if field.name in other.schema.names} - {pa.null()}
        if len(others) > 1:
            table = table.set_column(number, pa.field(field.name, pa.string()), table.column(number).cast(pa.string()))
    return table

"""Rows of metadata that people bring beside their vectors: Parquet and JSON lines, a block at a time, each column of one type throughout.

Columns may have InternVid's names; they get those of the index. The five that every clip has may all be missing.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from indexer.readers.internvid import COLUMN_OF, parse_seconds
from indexer.rows import KNOWN_TYPES, clips_table
from vidsearch.errors import InputNotFoundError, UsageError

CORE = {"path": "video", "start": "start_s", "end": "end_s"}
TYPES = {
    **KNOWN_TYPES,
    **dict.fromkeys(("clip_id", "video", "caption"), pa.string()),
    **dict.fromkeys(("start_s", "end_s", "duration_s"), pa.float64()),
}
SECONDS = ("start_s", "end_s")
LOOKED_AT_ONCE = 8192


@dataclass(frozen=True)
class Rows:
    """Consecutive rows of a file.

    Attributes:
        table: (n rows) under the index's names and types.
        wrong: what is the matter with lines that are no row, by their place in the block; all their columns are null.
    """

    table: pa.Table
    wrong: dict[int, str] = field(default_factory=dict)


@dataclass(frozen=True)
class ParquetRows:
    """The columns of a Parquet file, but for those left out."""

    path: Path
    count: int
    columns: tuple[str, ...]

    def blocks(self, rows: int) -> Iterator[Rows]:
        """Yield the rows in order, at most `rows` at a time."""
        with pq.ParquetFile(self.path) as file:
            for batch in file.iter_batches(rows, columns=list(self.columns), use_threads=False):
                yield Rows(_typed(pa.table(batch), self.path))


@dataclass(frozen=True)
class JsonRows:
    """A file of JSON objects, a line each; empty lines are none."""

    path: Path
    count: int
    schema: pa.Schema

    def blocks(self, rows: int) -> Iterator[Rows]:
        """Yield the rows in order, at most `rows` at a time."""
        for block in _json_blocks(self.path, rows):
            table = block.table
            absent = [field for field in self.schema if field.name not in table.schema.names]
            for column in absent:
                table = table.append_column(column, pa.nulls(table.num_rows, column.type))
            yield Rows(table.select(self.schema.names).cast(self.schema), block.wrong)


RowFile = ParquetRows | JsonRows


def open_rows(path: Path, *, without: str | None = None) -> RowFile:
    """Look into a file of rows; JSON lines are read through once, to count them and to find the type of each column.

    Args:
        path: .parquet or .jsonl.
        without: a column of the Parquet file to leave out.
    """
    if not path.is_file():
        raise InputNotFoundError(f"no metadata file {path}")
    if path.suffix not in (".parquet", ".jsonl"):
        raise UsageError(f"metadata file {path.name} has the suffix {path.suffix!r}; choose from .parquet, .jsonl")
    if path.suffix == ".jsonl":
        count, schema = _survey(path)
        return JsonRows(path, count, schema)
    try:
        with pq.ParquetFile(path) as file:
            _typed(file.schema_arrow.empty_table(), path)
            names = tuple(name for name in file.schema_arrow.names if name != without)
            return ParquetRows(path, file.metadata.num_rows, names)
    except (pa.ArrowException, OSError) as error:
        raise UsageError(f"{path} is not a whole Parquet file: {error}") from error


def _typed(table: pa.Table, path: Path) -> pa.Table:
    """Return a table under the index's names and types; of columns that would get the same name the first stays."""
    columns: dict[str, Any] = {}
    for name, column in zip(table.column_names, table.columns, strict=True):
        known = _known(name)
        if known not in columns:
            try:
                columns[known] = _column(known, column)
            except (pa.ArrowException, ValueError) as error:
                raise UsageError(f"{path.name}: column {name!r} cannot be read as {TYPES.get(known, pa.string())}: {error}") from error
    if not columns:  # a table without columns has no rows
        return pa.table({"caption": pa.nulls(table.num_rows, pa.string())})
    return pa.table(columns)


def _known(name: str) -> str:
    """Return what the index calls a column."""
    known = COLUMN_OF.get(name.lower())
    return name if known is None else CORE.get(known, known)


def _column(name: str, column: pa.ChunkedArray) -> pa.ChunkedArray:
    kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    if pa.types.is_nested(kind) or pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        texts = [None if value is None else json.dumps(value, ensure_ascii=False, default=str) for value in column.to_pylist()]
        return pa.chunked_array([pa.array(texts, pa.string())])
    text = pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind) or pa.types.is_null(kind)
    if name in SECONDS and text:
        return pa.chunked_array([pa.array([parse_seconds(value) for value in column.to_pylist()], pa.float64())])
    return pc.cast(column, TYPES.get(name, pa.string() if text else kind), safe=False)


def _survey(path: Path) -> tuple[int, pa.Schema]:
    """Return the number of rows and every column with a type that all its values have; text where they have none in common."""
    count = 0
    types: dict[str, pa.DataType] = {}
    for block in _json_blocks(path, LOOKED_AT_ONCE):
        count += block.table.num_rows
        for name, column in zip(block.table.column_names, block.table.columns, strict=True):
            if column.null_count < len(column):
                types[name] = _common(types.get(name, column.type), column.type)
            else:
                types.setdefault(name, pa.null())
    return count, pa.schema([(name, TYPES.get(name, pa.string() if pa.types.is_null(kind) else kind)) for name, kind in types.items()])


def _common(one: pa.DataType, other: pa.DataType) -> pa.DataType:
    if one == other or pa.types.is_null(one):
        return other
    return pa.float64() if {one, other} == {pa.int64(), pa.float64()} else pa.string()


def _json_blocks(path: Path, rows: int) -> Iterator[Rows]:
    with path.open(encoding="utf-8-sig", errors="replace") as file:
        lines = (line for line in file if line.strip())
        while block := list(islice(lines, rows)):
            wrong: dict[int, str] = {}
            records = []
            for place, line in enumerate(block):
                try:
                    records.append(_record(line))
                except (ValueError, TypeError, RecursionError) as error:
                    wrong[place] = f"no row: {error}"
                    records.append({})
            yield Rows(clips_table(records), wrong)


def _record(line: str) -> dict[str, Any]:
    """Return one line's values under the index's names; no JSON object, or a time or score that is none, raises ValueError."""
    values = json.loads(line)
    if "\\ud" in line.lower():  # half a surrogate pair is no text
        values = json.loads(json.dumps(values, ensure_ascii=False).encode("utf-8", "replace"))
    if not isinstance(values, dict):
        raise ValueError("not a JSON object")
    record: dict[str, Any] = {}
    for name, value in values.items():
        known = _known(name)
        if value is not None:
            record.setdefault(known, _value(known, value))
    return record


def _value(name: str, value: Any) -> Any:
    if name in SECONDS:
        return parse_seconds(value)
    kind = TYPES.get(name)
    if kind is None or isinstance(value, bool):
        return value
    if pa.types.is_floating(kind):
        return None if value == "" else float(value)
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)

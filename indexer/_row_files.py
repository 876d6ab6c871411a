"""Rows of metadata that people bring beside their vectors: Parquet and JSON lines, a block at a time, each column of one type throughout.

Columns may have InternVid's names; they get those of the index. The five that every clip has may all be missing.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from indexer.readers._times import parse_seconds
from indexer.readers._values import COLUMN_OF
from indexer.rows import KNOWN_TYPES, clips_table
from vidsearch.errors import InputNotFoundError, UsageError

CORE = {"path": "video", "start": "start_s", "end": "end_s"}
TYPES = {
    **KNOWN_TYPES,
    **dict.fromkeys(("clip_id", "video", "caption"), pa.string()),
    **dict.fromkeys(("start_s", "end_s", "duration_s"), pa.float64()),
}
SECONDS = ("start_s", "end_s")


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


@lru_cache(maxsize=4096)
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
    """Return the number of rows and every column with a type that all its values have; text where they have none in common.

    The types are those of a table of examples: of each column one value of each kind, of whole numbers the largest.
    """
    count = 0
    examples: dict[str, dict[type, Any]] = {}
    for record, _ in _records(path):
        count += 1
        for name, value in record.items():
            kinds = examples.setdefault(name, {})
            kind = type(value)
            if kind not in kinds or (kind is int and abs(value) > abs(kinds[int])):
                kinds[kind] = value
    longest = max((len(kinds) for kinds in examples.values()), default=0)
    columns = {name: [*kinds.values()] for name, kinds in examples.items()}
    table = clips_table([{name: values[place] for name, values in columns.items() if place < len(values)} for place in range(longest)])
    return count, pa.schema([(field.name, field.type) for field in table.schema])  # the core ones may be null here


def _json_blocks(path: Path, rows: int) -> Iterator[Rows]:
    records = _records(path)
    while block := list(islice(records, rows)):
        wrong = {place: fault for place, (_, fault) in enumerate(block) if fault}
        yield Rows(clips_table([record for record, _ in block]), wrong)


def _records(path: Path) -> Iterator[tuple[dict[str, Any], str]]:
    """Yield each line's values under the index's names; for one that is no row none, and what is the matter with it."""
    with path.open(encoding="utf-8-sig", errors="replace") as file:
        for line in file:
            if line.strip():
                try:
                    yield _record(line), ""
                except (ValueError, TypeError, RecursionError) as error:
                    yield {}, f"no row: {error}"


def _record(line: str) -> dict[str, Any]:
    values = json.loads(line)
    if "\\u" in line:  # half a surrogate pair is no text
        values = json.loads(json.dumps(values, ensure_ascii=False).encode("utf-8", "replace"))
    if not isinstance(values, dict):
        raise ValueError("not a JSON object")
    record: dict[str, Any] = {}
    for name, value in values.items():
        if value is not None:
            known = _known(name)
            convert = CONVERTED.get(known)
            record.setdefault(known, value if convert is None else convert(value))
    return record


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _as_number(value: Any) -> float | None:
    return None if value == "" else float(value)


CONVERTED: dict[str, Callable[[Any], Any]] = {name: _as_number if pa.types.is_floating(kind) else _as_text for name, kind in TYPES.items()}
CONVERTED |= dict.fromkeys(SECONDS, parse_seconds)

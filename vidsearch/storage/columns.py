"""columns.bin: the rows of a segment once more, in mapped arrays that filters and late fetching need not decode.

Which arrays there are stands in SEGMENT.json, so its seal vouches for it. FORMAT.md says what each holds.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
import pyarrow as pa
from pyarrow import types

from vidsearch.errors import IndexCorruptError, UsageError
from vidsearch.selection import Selection, everything
from vidsearch.storage import _categories, _numbers, _texts, files
from vidsearch.storage._categories import MAX_VALUES, Category
from vidsearch.storage._column import Array, Column, Encoded, Parts, Rows, valid_mask, valid_words
from vidsearch.storage._numbers import Number
from vidsearch.storage._rows_file import RowsFile
from vidsearch.storage._texts import Text
from vidsearch.storage.files import Digest
from vidsearch.storage.seal import JSON

ALIGNMENT = 64  # bytes: a cache line


def write(path: Path, table: pa.Table) -> tuple[Digest, dict[str, JSON]]:
    """Write columns.bin durably; return its digest and its directory."""
    if len(set(table.column_names)) < table.num_columns:
        raise UsageError(f"two columns have the same name; the names are {', '.join(table.column_names)}")
    entries: dict[str, JSON] = {}
    with files.create(path) as writer:
        for name in table.column_names:
            encoded = _encode(name, table.column(name))
            arrays: dict[str, JSON] = {}
            for part, array in encoded.arrays.items():
                writer.write(bytes(-writer.tell() % ALIGNMENT))
                arrays[part] = [writer.tell(), array.dtype.str, list(array.shape)]
                writer.write(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
            entries[name] = {"kind": encoded.kind, "arrays": arrays, "numbers": dict(encoded.numbers)}
    return writer.digest, {"schema": base64.b64encode(table.schema.serialize()).decode(), "entries": entries}


def _encode(name: str, chunks: pa.ChunkedArray) -> Encoded:
    column = chunks.combine_chunks()
    value_type = column.type.value_type if types.is_dictionary(column.type) else column.type
    if types.is_string(value_type) or types.is_large_string(value_type) or types.is_string_view(value_type):
        return _encode_texts(name, column)
    if types.is_boolean(column.type):
        return _categories.encode(_truth_codes(column), ["false", "true"])
    dtype = _numbers.dtype_of(column.type)
    if dtype:
        return _numbers.encode(column, dtype)
    return Encoded("other", {} if types.is_null(column.type) else valid_words(column))


def _truth_codes(column: pa.Array) -> Array:
    """Return 0 for false, 1 for true, 2 for null."""
    bits = np.unpackbits(np.frombuffer(column.buffers()[1] or b"", np.uint8), bitorder="little", count=column.offset + len(column))
    return np.where(valid_mask(column), bits[column.offset :], np.uint8(2))


def _encode_texts(name: str, column: pa.Array) -> Encoded:
    if types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    column = column.cast(pa.large_string())
    try:
        column.validate(full=True)
    except pa.ArrowInvalid as error:
        raise UsageError(f"column {name} holds text that is not UTF-8 ({error})") from error
    encoded = column.dictionary_encode()
    codes = np.where(
        valid_mask(column), np.frombuffer(encoded.indices.buffers()[1] or b"", "<i4", count=len(column)), len(encoded.dictionary)
    )
    if len(encoded.dictionary) > MAX_VALUES:
        return _texts.encode(column, codes, encoded.dictionary)
    values = encoded.dictionary.to_pylist()
    ascending = sorted(range(len(values)), key=values.__getitem__)
    place = np.empty(len(values) + 1, dtype=np.int64)
    place[[*ascending, len(values)]] = np.arange(len(values) + 1)
    return _categories.encode(place[codes], [values[code] for code in ascending])


class Other(Column):
    """A column of a type that columns.bin does not know: only whether there is a value; the rest is read from rows.parquet."""

    kind: Literal["other"] = "other"

    def __init__(self, parts: Parts, column_type: pa.DataType, rows: int, name: str, rows_file: RowsFile) -> None:
        super().__init__(parts, column_type, rows)
        self._name, self._rows_file = name, rows_file

    @property
    def nulls(self) -> Selection:
        return everything(self.rows) if types.is_null(self.type) else super().nulls

    def cells(self, rows: Rows) -> list[Any]:
        cells: list[Any] = self._rows_file.take(self._name, rows).to_pylist()
        return cells

    def arrow(self, rows: Rows | None = None) -> pa.ChunkedArray:
        return self._rows_file.read(self._name) if rows is None else self._rows_file.take(self._name, rows)


AnyColumn: TypeAlias = "Category | Number | Text | Other"


class Columns(Mapping[str, AnyColumn]):
    """The columns of a segment by name, each opened when it is first asked for.

    Attributes:
        schema: their names and types, as they were written.
        rows: of the segment.
    """

    def __init__(self, path: Path, directory: Mapping[str, Any], data: memoryview, rows: int, rows_file: RowsFile) -> None:
        self._path, self._entries, self._data, self._rows_file = path, directory["entries"], data, rows_file
        self.rows = rows
        self._opened: dict[str, AnyColumn] = {}
        try:
            self.schema: pa.Schema = pa.ipc.read_schema(pa.py_buffer(base64.b64decode(directory["schema"])))
        except (KeyError, ValueError, TypeError, pa.ArrowException) as error:
            raise IndexCorruptError(f"{path}: its schema cannot be read ({error})") from error
        if set(self.schema.names) != set(self._entries):
            raise IndexCorruptError(f"{path}: its directory is not that of its schema")

    def __getitem__(self, name: str) -> AnyColumn:
        column = self._opened.get(name)
        if column is None:
            column = self._opened[name] = self._open(name)
        return column

    def get(self, name: str, default: Any = None) -> Any:  # Mapping's own raises and catches a KeyError where there is none
        return self[name] if name in self._entries else default

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(self.schema.names)

    def __len__(self) -> int:
        return len(self._entries)

    def _open(self, name: str) -> AnyColumn:
        column_type = self.schema.field(name).type
        parts = Parts(self._path, name, self._data, self._entries[name])
        kinds: dict[str, type[Category | Number | Text]] = {"category": Category, "number": Number, "text": Text}
        if parts.kind in kinds:
            return kinds[parts.kind](parts, column_type, self.rows)
        return Other(parts, column_type, self.rows, name, self._rows_file)

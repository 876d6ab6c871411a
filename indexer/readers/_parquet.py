"""Parquet files of rows; what the footer promises is checked before anything is read."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from indexer.readers._raw import MAX_COLUMNS, Raw, no_rows
from vidsearch.errors import UsageError

BATCH_ROWS = 16_384
MAX_GROUP_BYTES = 2 << 30  # decompressed, of the columns that are kept
MAX_EXPANSION = 10_000  # bytes out of one byte in: a column of one repeated value can reach some thousands

logger = logging.getLogger(__name__)


def read_parquet(path: Path) -> Iterator[Raw]:
    """Yield the rows of a file; columns of bytes are left out with a warning, and damage costs the row group it is in.

    Raises:
        UsageError: it is no whole Parquet file, or its footer promises more than fits.
    """
    number = 0
    with open_parquet(path) as file:
        columns = _kept(file, path)
        _check_sizes(file, path, columns)
        for groups, end in _groups(file):
            try:
                for batch in file.iter_batches(BATCH_ROWS, row_groups=groups, columns=columns, use_threads=False):
                    table = pa.table({name: _plain(column) for name, column in zip(columns, batch.columns, strict=True)})
                    rows = np.arange(number, number + batch.num_rows)
                    yield Raw(table, rows + 1, rows)
                    number += batch.num_rows
            except (pa.ArrowException, OSError) as error:
                yield no_rows((number + 1, f"this row up to row {end} are missing: the data is damaged ({str(error).splitlines()[0]})"))
            number = end


def _groups(file: pq.ParquetFile) -> Iterator[tuple[list[int], int]]:
    """Yield row groups to read together, small ones several at a time, and the number of rows up to their end."""
    groups: list[int] = []
    first = end = 0
    for group in range(file.metadata.num_row_groups):
        groups.append(group)
        end += file.metadata.row_group(group).num_rows
        if end - first >= BATCH_ROWS or group == file.metadata.num_row_groups - 1:
            yield groups, end
            groups, first = [], end


def open_parquet(path: Path) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(path)
    except (pa.ArrowException, OSError) as error:
        raise UsageError(f"{path} is not a whole Parquet file: {str(error).splitlines()[0]}") from error


def _kept(file: pq.ParquetFile, path: Path) -> list[str]:
    schema = file.schema_arrow
    if len(schema) > MAX_COLUMNS:
        raise UsageError(f"{path} has {len(schema)} columns; at most {MAX_COLUMNS}")
    repeated = {name for name in schema.names if schema.names.count(name) > 1}
    if repeated:
        raise UsageError(f"{path}: column {min(repeated)!r} is there twice; rename one")
    left_out = [field.name for field in schema if _is_bytes(field.type)]
    if left_out:
        logger.warning("%s: columns of bytes are left out: %s", path.name, ", ".join(left_out))
    return [name for name in schema.names if name not in left_out]


def _check_sizes(file: pq.ParquetFile, path: Path, columns: list[str]) -> None:
    """Refuse a footer whose row groups are larger than memory, or than their bytes in the file can hold."""
    size_bytes, kept = path.stat().st_size, set(columns)
    for number in range(file.metadata.num_row_groups):
        group = file.metadata.row_group(number)
        chunks = [group.column(place) for place in range(group.num_columns)]
        wanted = [chunk for chunk in chunks if chunk.path_in_schema.partition(".")[0] in kept]
        out, packed = sum(chunk.total_uncompressed_size for chunk in wanted), sum(chunk.total_compressed_size for chunk in wanted)
        if out > MAX_GROUP_BYTES:
            raise UsageError(f"{path}: row group {number} takes {out:,} bytes; at most {MAX_GROUP_BYTES:,}: write smaller row groups")
        if min(out, packed, group.num_rows) < 0 or packed > size_bytes or out > packed * MAX_EXPANSION or group.num_rows > 8 * (out + 64):
            told = f"{group.num_rows:,} rows and {out:,} bytes in {packed:,} bytes of a file of {size_bytes:,}"
            raise UsageError(f"{path}: its footer is wrong: row group {number} would hold {told}")


def _plain(column: pa.Array) -> pa.Array:
    """Return a column as text, int64, float64, bool or null."""
    kind = column.type
    if pa.types.is_dictionary(kind):
        return _plain(column.dictionary_decode())
    if isinstance(column, pa.ExtensionArray):
        return _plain(column.storage)
    if pa.types.is_boolean(kind) or pa.types.is_null(kind) or kind == pa.string():
        return column
    if pa.types.is_integer(kind):
        return pc.cast(column, pa.int64() if kind != pa.uint64() or (pc.max(column).as_py() or 0) < 1 << 63 else pa.string())
    if pa.types.is_floating(kind):
        return pc.cast(column, pa.float64())
    if pa.types.is_duration(kind) or pa.types.is_time(kind):  # how pandas keeps timestamps of clips
        ticks = pc.cast(column, pa.int64() if kind.bit_width == 64 else pa.int32())
        return pc.divide(pc.cast(ticks, pa.float64()), {"s": 1.0, "ms": 1e3, "us": 1e6, "ns": 1e9}[kind.unit])
    if pa.types.is_nested(kind):
        texts = [None if value is None else json.dumps(value, ensure_ascii=False, default=str) for value in column.to_pylist()]
        return pa.array(texts, pa.string())
    return pc.cast(column, pa.string())


def _is_bytes(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        return _is_bytes(kind.value_type)
    tests = (pa.types.is_binary, pa.types.is_large_binary, pa.types.is_fixed_size_binary, pa.types.is_binary_view)
    return any(test(kind) for test in tests)

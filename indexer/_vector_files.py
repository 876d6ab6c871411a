"""Files of vectors that people bring: .npy and Parquet, read a block at a time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from vidsearch.errors import InputNotFoundError, UsageError

NAMES = ("vector", "embedding")  # of the column of vectors, where several could be it
DIM_LIMIT = 65_536

Floats = npt.NDArray[Any]  # (n, dim) float16, float32 or float64


@dataclass(frozen=True)
class Block:
    """Consecutive vectors of a file.

    Attributes:
        values: (n, dim) of the file's own type.
        wrong: what is the matter with rows that hold no vector of that length, by their place in the block; their values are NaN.
    """

    values: Floats
    wrong: dict[int, str] = field(default_factory=dict)


@dataclass(frozen=True)
class NpyVectors:
    """A two-dimensional .npy file."""

    path: Path
    rows: int
    dim: int

    def blocks(self, rows: int) -> Iterator[Block]:
        """Yield the vectors in order, at most `rows` at a time."""
        for start in range(0, self.rows, rows):
            yield Block(np.array(_map(self.path)[start : start + rows]))  # mapped anew, so that pages already read do not add up


@dataclass(frozen=True)
class ParquetVectors:
    """A column of lists of numbers in a Parquet file."""

    path: Path
    rows: int
    dim: int
    column: str

    def blocks(self, rows: int) -> Iterator[Block]:
        """Yield the vectors in order, at most `rows` at a time."""
        with pq.ParquetFile(self.path) as file:
            for batch in file.iter_batches(rows, columns=[self.column], use_threads=False):
                yield _block(batch.column(0), self.dim)


VectorFile = NpyVectors | ParquetVectors


def open_vectors(path: Path, column: str | None = None) -> VectorFile:
    """Look into a file of vectors without reading them.

    Args:
        path: .npy, or Parquet with a column of lists.
        column: of the Parquet file; None takes `vector` or `embedding`, or the only column of lists of numbers.

    Raises:
        InputNotFoundError, UsageError: there is no such file or column, or it holds something else.
    """
    if not path.is_file():
        raise InputNotFoundError(f"no file of vectors {path}")
    if path.suffix not in (".npy", ".parquet"):
        raise UsageError(f"vectors {path.name} have the suffix {path.suffix!r}; choose from .npy, .parquet")
    if path.suffix == ".npy" and column is not None:
        raise UsageError(f"{path.name} has no columns; leave --vector-column {column!r} out")
    opened: VectorFile = _open_npy(path) if path.suffix == ".npy" else _open_parquet(path, column)
    if not 1 <= opened.dim <= DIM_LIMIT:
        raise UsageError(f"{path.name}: vectors of {opened.dim:,} numbers; 1 to {DIM_LIMIT:,} are possible")
    return opened


def _open_npy(path: Path) -> NpyVectors:
    array = _map(path)
    if array.ndim != 2 or array.dtype.kind != "f" or array.dtype.itemsize > 8:
        raise UsageError(f"{path.name}: {array.dtype} of shape {array.shape}; float16, float32 or float64 of shape (rows, dim) is needed")
    return NpyVectors(path, *array.shape)


def _map(path: Path) -> Floats:
    try:
        array: Floats = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise UsageError(f"{path} is not a whole .npy file: {error}") from error
    return array


def _open_parquet(path: Path, column: str | None) -> ParquetVectors:
    try:
        with pq.ParquetFile(path) as file:
            name = _choose(path, file.schema_arrow, column)
            return ParquetVectors(path, file.metadata.num_rows, _dim(file, name), name)
    except (pa.ArrowException, OSError) as error:
        raise UsageError(f"{path} is not a whole Parquet file: {error}") from error


def is_vector(kind: pa.DataType) -> bool:
    """Whether a column of that type can hold vectors."""
    lists = pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    return bool(lists and pa.types.is_floating(kind.value_type))


def _choose(path: Path, schema: pa.Schema, column: str | None) -> str:
    candidates = [field.name for field in schema if is_vector(field.type)]
    if column is not None:
        if column in candidates:
            return column
        what = f"is {schema.field(column).type}" if column in schema.names else "is not there"
        raise UsageError(f"{path.name}: column {column!r} {what}; columns of vectors: {', '.join(candidates) or 'none'}")
    for name in candidates if len(candidates) == 1 else NAMES:
        if name in candidates:
            return name
    which = f"several: {', '.join(candidates)}; choose with --vector-column" if candidates else "none"
    raise UsageError(f"{path.name}: a column with lists of float16, float32 or float64 is needed; there are {which}")


def _dim(file: pq.ParquetFile, name: str) -> int:
    """Return the length of the first vector."""
    kind = file.schema_arrow.field(name).type
    if pa.types.is_fixed_size_list(kind):
        return int(kind.list_size)
    for batch in file.iter_batches(256, columns=[name], use_threads=False):
        lengths = pc.list_value_length(batch.column(0)).drop_null()
        if len(lengths):
            return int(lengths[0].as_py())
    raise UsageError(f"column {name!r} holds no vector")


def _block(column: pa.Array, dim: int) -> Block:
    lengths = pc.fill_null(pc.list_value_length(column), -1).to_numpy(zero_copy_only=False).astype(np.int64)
    flat = column.flatten().to_numpy(zero_copy_only=False)  # lists that are null have no part in it
    fits = lengths == dim
    if fits.all():
        return Block(flat.reshape(len(column), dim))
    values = np.full((len(column), dim), np.nan, dtype=flat.dtype)
    values[fits] = flat[np.repeat(fits, np.maximum(lengths, 0))].reshape(-1, dim)
    return Block(values, {int(row): _fault(int(lengths[row]), dim) for row in np.flatnonzero(~fits)})


def _fault(length: int, dim: int) -> str:
    return "no vector" if length < 0 else f"{length:,} numbers instead of {dim:,}"

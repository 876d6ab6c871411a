"""Python values as Arrow ones, made from buffers: `pa.scalar` and `pa.array` import pandas where it is installed, which takes 0.5 s."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyarrow import types


def array(values: Sequence[Any] | npt.NDArray[Any], value_type: pa.DataType) -> pa.Array:
    """Return text, truth values or numbers as an array; a number too large for a floating type is infinite there."""
    if types.is_string(value_type) or types.is_large_string(value_type):
        encoded = [str(value).encode() for value in values]
        ends = np.cumsum([0, *map(len, encoded)], dtype=np.int64 if types.is_large_string(value_type) else np.int32)
        return pa.Array.from_buffers(value_type, len(values), [None, pa.py_buffer(ends), pa.py_buffer(b"".join(encoded))])
    if types.is_boolean(value_type):
        bits = np.packbits(np.asarray(values, dtype=np.bool_), bitorder="little")
        return pa.Array.from_buffers(value_type, len(values), [None, pa.py_buffer(bits)])
    with np.errstate(over="ignore"):
        numbers = np.array(values, dtype={"float": "float32", "double": "float64"}.get(str(value_type), str(value_type)))
    return pa.Array.from_buffers(value_type, len(values), [None, pa.py_buffer(numbers)])


def scalar(value: Any, value_type: pa.DataType) -> pa.Scalar:
    return array((value,), value_type)[0]


def null(value_type: pa.DataType) -> pa.Scalar:
    return pa.nulls(1, value_type)[0]


def truths(column: pa.Array | pa.ChunkedArray) -> npt.NDArray[np.bool_]:
    """Return a column of truth values without nulls as (n,) bool."""
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    as_bytes = column.cast(pa.uint8())
    return (
        np.frombuffer(as_bytes.buffers()[1], dtype=np.bool_, count=len(as_bytes), offset=as_bytes.offset)
        if len(as_bytes)
        else np.zeros(0, np.bool_)
    )

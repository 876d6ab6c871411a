"""Rows as a file holds them: columns under the file's own names, not yet under those of the index."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

MAX_COLUMNS = 256


@dataclass(frozen=True)
class Raw:
    """Consecutive rows of a file.

    Attributes:
        table: (n rows) columns of text, int64, float64, bool or null; anything nested is JSON text.
        numbers: (n,) the line of each row, or its number in a file without lines; from 1.
        rows: (n,) the place of each row in the file, from 0, broken ones counted too.
        faults: rows that are not in the table, as (number, what is wrong with them).
    """

    table: pa.Table
    numbers: npt.NDArray[np.int64]
    rows: npt.NDArray[np.int64]
    faults: list[tuple[int, str]] = field(default_factory=list)


def no_rows(*faults: tuple[int, str]) -> Raw:
    return Raw(pa.table({}), np.zeros(0, np.int64), np.zeros(0, np.int64), list(faults))


def column_of(values: Sequence[Any]) -> pa.Array:
    """Return Python values as a column; unlike ones meet as text, of which what was no text is JSON."""
    kinds = {type(value) for value in values} - {type(None)}
    try:
        if not kinds:
            return pa.nulls(len(values))
        if kinds <= {int, float}:
            return pa.array(values, pa.int64() if kinds == {int} else pa.float64())
        if kinds in ({str}, {bool}):
            return pa.array(values, pa.string() if kinds == {str} else pa.bool_())
    except (OverflowError, UnicodeEncodeError, pa.ArrowInvalid):
        pass  # an integer beyond 64 bits, or half a surrogate pair
    return pa.array([None if value is None else as_text(value) for value in values], pa.string())


def as_text(value: Any) -> str:
    """Return a text as UTF-8 can hold it, and any other value as JSON."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return text.encode(errors="replace").decode()

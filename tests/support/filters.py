"""Random filters, and tables of every type of column to ask them of."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
from hypothesis import strategies as st

from vidsearch.filters.tree import And, Compare, Constant, Filter, IsNull, Like, Not, OneOf, Or

TEXTS = ("language", "caption", "video", "wide", "view")
VALUES: dict[str, list[Any]] = {
    "language": ["en", "de", "fr", "", "EN", "e", "it's"],
    "caption": ["a dog", "", "dog", "100% dog_", "it's", "z", "é"],
    "aesthetic": [5, 5.1, 0, -0.0, 0.1, 1e300, -3],
    "score": [1, 2.5, 0.1, 2**53, 5.0, -1e300],
    "half": [1, 2, 0.5, 65504, -1],
    "year": [2020, 0, -1, 5, 5.5, 2**31, -(2**31), 1e30, 10**25],
    "big": [0, 2**63, 2**64, 2**53 + 1, -1, 5.5],
    "is_short": [True, False],
    "day": ["2024-01-31", "1970-01-01", "0001-01-01", "9999-12-31"],
    "nothing": [1, "x"],
}
MORE_VALUES: dict[str, list[Any]] = {
    **VALUES,
    "video": ["a dog", "v5", "v17", "", "é", "dog"],
    "wide": ["a dog", "x1", "x2", ""],
    "view": ["x1", "", "dog"],
    "small": [0, 127, -128, 128, 0.5, -3],
    "seen_at": ["2024-01-31", "2024-01-31T00:00:00.000001", "2024-01-31T02:00:00+02:00", "1969-12-31T23:59:59"],
    "local": ["2024-01-31", "2024-01-31T00:00:00.5", "1970-01-01"],
    "price": [0, 1.5, -2, 3],
    "tags": [],
    "missing": [1],
}
PATTERNS = st.text(alphabet="adog %_\\'é1", max_size=6).map(
    lambda pattern: pattern + "\\" if (len(pattern) - len(pattern.rstrip("\\"))) % 2 else pattern
)


def trees(values: dict[str, list[Any]], *, max_leaves: int = 8) -> st.SearchStrategy[Filter]:
    """Draw filters over some columns, each compared with some values."""
    leaves = st.sampled_from(sorted(values)).flatmap(lambda column: _leaf(column, values[column])) | st.builds(Constant, st.booleans())
    return st.recursive(
        leaves,
        lambda inner: st.builds(Not, inner) | st.builds(And, st.tuples(inner, inner)) | st.builds(Or, st.tuples(inner, inner, inner)),
        max_leaves=max_leaves,
    )


def _leaf(column: str, values: list[Any]) -> st.SearchStrategy[Filter]:
    if not values:
        return st.just(IsNull(column))
    operators = st.sampled_from(["=", "!="] if column == "is_short" else ["=", "!=", "<", "<=", ">", ">="])
    value = st.sampled_from(values)
    leaves: list[st.SearchStrategy[Filter]] = [
        st.builds(Compare, st.just(column), operators, value),
        st.builds(OneOf, st.just(column), st.lists(value, min_size=1, max_size=3).map(tuple)),
        st.just(IsNull(column)),
    ]
    if column in TEXTS:
        leaves.append(st.builds(Like, st.just(column), PATTERNS, st.booleans()))
    return st.one_of(*leaves)


def table(rows: int, seed: int, *, null_share: float = 0.3) -> pa.Table:
    """Return random rows with a column of each type, nulls and NaN among them."""
    rng = np.random.default_rng(seed)

    def drawn(values: list[Any], column_type: pa.DataType) -> pa.Array:
        picked = [values[n] for n in rng.integers(0, len(values), rows)]
        return pa.array([None if rng.random() < null_share else value for value in picked], column_type)

    moments = [datetime(2024, 1, 31, 0, 0, 0, n, tzinfo=UTC) for n in (0, 1, 2)] + [datetime(1969, 12, 31, 23, 59, 59, tzinfo=UTC)]
    floats = [5.1, 0.1, float("nan"), -0.0, 0.0, float("inf"), -float("inf"), 5.0, *rng.normal(0, 3, 6)]
    return pa.table(
        {
            "language": drawn(["en", "de", "fr", "", "EN"], pa.string()).dictionary_encode(),
            "caption": drawn(["a dog", "A DOG\nruns", "100% dog_", "", "naïve é", "back\\slash", "it's", "dog", "z" * 50], pa.string()),
            "video": drawn([f"v{n}" for n in range(20)] + ["a dog", "é"], pa.string()),
            "wide": drawn([f"x{n}" for n in range(6)] + [""], pa.large_string()),
            "view": drawn([f"x{n}" for n in range(6)] + [""], pa.string_view()),
            "aesthetic": drawn(floats, pa.float32()),
            "score": drawn([*floats, 2.0**53, 1e300], pa.float64()),
            "half": drawn([np.float16(n) for n in (1, 2, 3, np.nan, 0.5, -1, 0, 65504)], pa.float16()),
            "year": drawn([2020, 2021, 0, -1, 2**31 - 1, -(2**31), 5, 6], pa.int32()),
            "small": drawn([0, 127, -128, 5, -3], pa.int8()),
            "big": drawn([0, 1, 2**63, 2**64 - 1, 5, 2**53 + 1], pa.uint64()),
            "is_short": drawn([True, False], pa.bool_()),
            "day": drawn([date(2024, 1, 31), date(1969, 12, 31), date(1, 1, 1), date(9999, 12, 31)], pa.date32()),
            "seen_at": drawn(moments, pa.timestamp("us", "UTC")),
            "local": drawn([datetime(2024, 1, 31), datetime(2024, 1, 31, 0, 0, 1), datetime(1970, 1, 1)], pa.timestamp("s")),
            "nothing": pa.nulls(rows),
            "tags": drawn([["a"], [], ["a", "b"]], pa.list_(pa.string())),
            "price": drawn([Decimal(n) for n in range(-3, 4)], pa.decimal128(10, 2)),
        }
    )

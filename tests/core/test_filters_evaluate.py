"""Filters against a naive oracle: Python over rows, one at a time, in three values."""

from __future__ import annotations

import math
import re
import subprocess
import sys
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from support.filters import VALUES, trees

from vidsearch.errors import FilterError
from vidsearch.filters.evaluate import evaluate
from vidsearch.filters.parse import parse
from vidsearch.filters.tree import And, Compare, Constant, Filter, IsNull, Like, Not, OneOf, Or

TABLE = pa.table(
    {
        "language": pa.array(["en", "de", None, "en", "fr", "EN", "de", "", None]).dictionary_encode(),
        "caption": ["a dog", "A DOG\nruns", None, "100% dog_", "", "naïve é", "back\\slash", "it's", "dog"],
        "aesthetic": pa.array([5.1, math.nan, None, -0.0, 0.0, 0.1, math.inf, 5.0, -math.inf], pa.float32()),
        "score": pa.array([1.0, 2.5, math.nan, None, 2**53, -0.0, 1e300, 5, 0.1], pa.float64()),
        "half": pa.array(np.array([1, 2, 3, np.nan, 0.5, -1, 0, 65504, 4], np.float16)),
        "year": pa.array([2020, 2021, None, 0, -1, 2**31 - 1, -(2**31), 5, 6], pa.int32()),
        "big": pa.array([0, 1, 2**63, 2**64 - 1, None, 5, 6, 7, 2**53 + 1], pa.uint64()),
        "is_short": [True, False, None, True, True, False, False, None, True],
        "day": [date(2024, 1, 31), date(1969, 12, 31), None, date(2024, 2, 1), date(1, 1, 1), date(9999, 12, 31), *[date(2000, 1, 1)] * 3],
        "seen_at": pa.array([datetime(2024, 1, 31, 12, 0, 0, 500, tzinfo=UTC), None, *[datetime(2024, 1, 31, tzinfo=UTC)] * 7]),
        "local": pa.array([datetime(2024, 1, 31, 12), None, *[datetime(1969, 12, 31, 23, 59, 59)] * 7], pa.timestamp("ns")),
        "nothing": pa.nulls(9),
        "tags": [["a"], [], None, ["a"], ["a"], ["a"], ["a"], ["a"], ["a"]],
        "price": pa.array([None, *(Decimal(n) for n in range(8))], pa.decimal128(10, 2)),
    }
)


def matching(text: str, table: pa.Table = TABLE) -> list[int]:
    found = evaluate(parse(text, TABLE.schema), table)
    assert found.dtype == np.bool_
    assert found.shape == (table.num_rows,)
    return np.flatnonzero(found).tolist()


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("language = 'en'", [0, 3]),
        ("language != 'en'", [1, 4, 5, 6, 7]),
        ("not language = 'en'", [1, 4, 5, 6, 7]),
        ("language < 'en'", [1, 5, 6, 7]),
        ("language in ('en', 'fr', 'xx')", [0, 3, 4]),
        ("language not in ('en', 'fr')", [1, 5, 6, 7]),
        ("language ilike 'e_'", [0, 3, 5]),
        ("language is null", [2, 8]),
        ("language is not null and language != ''", [0, 1, 3, 4, 5, 6]),
        ("caption = 'it''s'", [7]),
        ("caption like '%dog%'", [0, 3, 8]),
        ("caption not like '%dog%'", [1, 4, 5, 6, 7]),
        ("caption ilike '%dog%'", [0, 1, 3, 8]),
        ("caption ilike 'a dog_runs'", [1]),
        ("caption like '%\\%%'", [3]),
        ("caption like '%dog\\_'", [3]),
        ("caption like 'back\\\\slash'", [6]),
        ("caption ilike '%Ï%É'", [5]),
        ("caption like '\\a%'", [0]),
        ("caption like '%\\g'", [0, 8]),
        ("caption like ''", [4]),
        ("aesthetic > 5", [0, 6]),
        ("aesthetic >= 5.1", [0, 6]),
        ("aesthetic = 5.1", [0]),
        ("aesthetic = 0.1", [5]),
        ("aesthetic = 0", [3, 4]),
        ("aesthetic in (-0.0)", [3, 4]),
        ("aesthetic != 0", [0, 5, 6, 7, 8]),
        ("not aesthetic > 5", [3, 4, 5, 7, 8]),
        ("aesthetic > 1e300", []),
        ("aesthetic < -1e300", []),
        ("aesthetic is null", [1, 2]),
        ("score = 9007199254740993", [4]),
        ("score > 1e299", [6]),
        ("half >= 1", [0, 1, 2, 7, 8]),
        ("not half >= 1", [4, 5, 6]),
        ("year > 5.5", [0, 1, 5, 8]),
        ("year >= 5.5", [0, 1, 5, 8]),
        ("year < 5.5", [3, 4, 6, 7]),
        ("year <= -0.5", [4, 6]),
        ("year = 5.5", []),
        ("year != 5.5", [0, 1, 3, 4, 5, 6, 7, 8]),
        ("year in (5.5, 6, 2020.0)", [0, 8]),
        ("year not in (5.5, 6)", [0, 1, 3, 4, 5, 6, 7]),
        ("year < 1e300", [0, 1, 3, 4, 5, 6, 7, 8]),
        ("year > 9223372036854775808", []),
        ("year != 9223372036854775808", [0, 1, 3, 4, 5, 6, 7, 8]),
        ("year >= -99999999999999999999", [0, 1, 3, 4, 5, 6, 7, 8]),
        ("year <= -2147483648", [6]),
        ("year between 5 and 2020", [0, 7, 8]),
        ("year not between 5 and 2020", [1, 3, 4, 5, 6]),
        ("big = 9223372036854775808", [2]),
        ("big > 9223372036854775807", [2, 3]),
        ("big = 18446744073709551615", [3]),
        ("big = 9007199254740993", [8]),
        ("big >= -1", [0, 1, 2, 3, 5, 6, 7, 8]),
        ("is_short", [0, 3, 4, 8]),
        ("not is_short", [1, 5, 6]),
        ("is_short in (true, false)", [0, 1, 3, 4, 5, 6, 8]),
        ("day = '2024-01-31'", [0]),
        ("day > '2024-01-31'", [3, 5]),
        ("day < '1970-01-01'", [1, 4]),
        ("day in ('2000-01-01', '0001-01-01')", [4, 6, 7, 8]),
        ("seen_at > '2024-01-31T12:00:00'", [0]),
        ("seen_at = '2024-01-31T12:00:00.000500Z'", [0]),
        ("seen_at = '2024-01-31T02:00:00+02:00'", [2, 3, 4, 5, 6, 7, 8]),
        ("seen_at < '9999-12-31'", [0, 2, 3, 4, 5, 6, 7, 8]),
        ("local < '1970-01-01'", [2, 3, 4, 5, 6, 7, 8]),
        ("local = '2024-01-31T14:00:00+02:00'", [0]),
        ("nothing = 1", []),
        ("not nothing = 1", []),
        ("nothing like 'x' or nothing in ('x')", []),
        ("nothing is null", [0, 1, 2, 3, 4, 5, 6, 7, 8]),
        ("tags is null", [2]),
        ("price > 5.5", [7, 8]),
        ("true", [0, 1, 2, 3, 4, 5, 6, 7, 8]),
        ("false", []),
        ("not false and year = 5", [7]),
        ("is_short or year = 5", [0, 3, 4, 7, 8]),
        ("is_short and not year = 5", [0, 3, 4, 8]),
        ("not (is_short and year > 0)", [1, 3, 4, 5, 6]),
        ("language = 'en' and caption like '%dog%' and aesthetic >= 0", [0, 3]),
    ],
)
def test_rows_that_match(text: str, rows: list[int]) -> None:
    assert matching(text) == rows
    several = pa.concat_tables([TABLE.slice(0, 2), TABLE.slice(2, 0), TABLE.slice(2)])
    assert matching(text, several) == rows
    assert matching(text, TABLE.slice(1)) == [row - 1 for row in rows if row]
    assert matching(text, TABLE.slice(0, 0)) == []


def test_dictionaries_of_several_chunks_and_with_nulls_inside_are_read_right() -> None:
    parts = [
        pa.DictionaryArray.from_arrays(pa.array(codes, pa.int8()), pa.array(values))
        for codes, values in (([0, 1, None], ["en", None]), ([0], ["de"]))
    ]
    table = pa.table({"language": pa.chunked_array(parts)})
    assert matching("language != 'xx'", table) == [0, 3]
    assert matching("language is not null", table) == [0, 3]
    views = pa.table({"language": pa.array(["en", None, "den"], pa.string_view())})
    assert matching("language like '%en' and language != 'x' and language in ('en', 'den')", views) == [0, 2]


def test_a_column_the_table_lacks_is_null() -> None:
    table = TABLE.select(["year"])
    assert matching("caption = 'x' or year = 5", table) == [7]
    assert matching("not caption = 'x'", table) == []
    assert matching("caption is null and year = 5", table) == [7]


def test_another_type_than_the_filter_was_parsed_for_is_refused() -> None:
    with pytest.raises(FilterError, match="column year is string: it cannot be compared with 5"):
        matching("year = 5", pa.table({"year": ["5"]}))
    with pytest.raises(FilterError, match="column language is int64: it cannot be compared with text 'en'"):
        matching("language in ('en')", pa.table({"language": [5]}))


def test_a_time_that_the_column_cannot_hold_is_refused() -> None:
    with pytest.raises(FilterError, match=r"column local is timestamp\[ns\]"):
        matching("local < '9999-12-31'")


def test_many_terms_do_not_end_the_process() -> None:
    """PyArrow's own filter expressions end in a stack overflow at some 10,000 terms."""
    assert matching(" or ".join(f"year = {n}" for n in range(64))) == [3, 7, 8]
    deep = Or(tuple(Compare("year", "=", n) for n in range(3_000)))
    assert np.flatnonzero(evaluate(deep, TABLE)).tolist() == [0, 1, 3, 7, 8]


def test_hostile_patterns_take_linear_time() -> None:
    table = pa.table({"caption": ["a" * 1_000_000 + "b"] * 2})
    assert matching("caption like '" + "%a" * 120 + "'", table) == []
    assert matching("caption like '(a+)+$'", table) == []


# The oracle: a random tree, its text, and its truth row by row.


def truth(node: Filter, row: dict[str, Any]) -> bool | None:
    match node:
        case Constant(value):
            return value
        case Not(term):
            inner = truth(term, row)
            return None if inner is None else not inner
        case And(terms):
            known = [truth(term, row) for term in terms]
            return False if False in known else None if None in known else True
        case Or(terms):
            known = [truth(term, row) for term in terms]
            return True if True in known else None if None in known else False
        case IsNull(column):
            return row[column] is None
        case Like(column, pattern, ignore_case):
            return None if row[column] is None else like(pattern, row[column], ignore_case)
        case Compare(column, operator, value):
            return compare(column, row[column], operator, value)
        case OneOf(column, values):
            return None if row[column] is None else any(compare(column, row[column], "=", value) for value in values)
    raise TypeError(node)


def compare(column: str, cell: Any, operator: str, value: Any) -> bool | None:
    if cell is None:
        return None
    if column in ("aesthetic", "half"):
        with np.errstate(over="ignore"):
            value = float(np.float32(value))
    elif column == "score":
        value = float(value)
    elif column == "day":
        value = date.fromisoformat(value)
    return {"=": cell == value, "!=": cell != value, "<": cell < value, "<=": cell <= value, ">": cell > value, ">=": cell >= value}[
        operator
    ]


def like(pattern: str, text: str, ignore_case: bool) -> bool:
    parts = re.findall(r"\\(.)|(%)|(_)|(.)", pattern, re.S)
    wild = "".join(".*" if percent else "." if low else re.escape(escaped or plain) for escaped, percent, low, plain in parts)
    return re.fullmatch(wild, text, re.S | (re.I if ignore_case else 0)) is not None


def _rows() -> list[dict[str, Any]]:
    rows = TABLE.select(sorted(VALUES)).to_pylist()
    return [{name: None if isinstance(cell, float) and math.isnan(cell) else cell for name, cell in row.items()} for row in rows]


ROWS = _rows()


@settings(max_examples=150, deadline=None)
@given(trees(VALUES))
def test_random_filters_match_what_the_oracle_matches(tree: Filter) -> None:
    expected = [number for number, row in enumerate(ROWS) if truth(tree, row) is True]
    assert matching(str(tree)) == expected  # through its text, so that parsing is held to the same answer
    assert np.flatnonzero(evaluate(tree, TABLE)).tolist() == expected
    inverse = [number for number, row in enumerate(ROWS) if truth(tree, row) is False]
    assert matching(f"not ({tree})") == inverse


def test_a_filter_costs_no_import_of_pandas() -> None:
    code = """
import sys, pyarrow as pa
from vidsearch.filters.parse import parse
from vidsearch.filters.evaluate import evaluate
types = {"a": pa.string(), "b": pa.float32(), "d": pa.date32(), "n": pa.int8()}
table = pa.Table.from_batches([pa.RecordBatch.from_arrays([pa.nulls(3, t) for t in types.values()], names=list(types))])
text = "a = 'x' or b > 1 or a in ('y') or a like 'x%' or d > '2024-01-01' or n < 1e9 or a is null and true"
print(evaluate(parse(text, table.schema), table).tolist(), "pandas" in sys.modules)
"""
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[True, True, True] False"

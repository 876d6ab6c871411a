"""A filter's tree → the rows of a table that match, through PyArrow's kernels (its LIKE and regular expressions are RE2's: linear time)."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import reduce
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import types

from vidsearch.errors import FilterError
from vidsearch.filters._kinds import check_value, kind_of, moment
from vidsearch.filters._values import array, null, scalar, truths
from vidsearch.filters.tree import And, Compare, Constant, Filter, IsNull, Like, Not, OneOf, Operator, Or, Value

Column = Any  # pa.Array or pa.ChunkedArray of the table's length

_KERNELS: dict[Operator, Callable[..., Column]] = {
    "=": pc.equal,
    "!=": pc.not_equal,
    "<": pc.less,
    "<=": pc.less_equal,
    ">": pc.greater,
    ">=": pc.greater_equal,
}


def evaluate(condition: Filter, table: pa.Table) -> npt.NDArray[np.bool_]:
    """Return which rows match, (n,) bool.

    Null and NaN are unknown: no comparison with them matches, nor does `not` of one. A number is compared exactly with whole columns, and
    rounded to the precision of floating ones. A column that the table lacks is null throughout.

    Raises:
        FilterError: a column's type is not the one the filter was parsed for.
    """
    return truths(pc.coalesce(_truth(condition, table), scalar(False, pa.bool_())))


def _truth(node: Filter, table: pa.Table) -> Column:
    """Return true, false or null for each row."""
    match node:
        case And(terms):
            return reduce(pc.and_kleene, (_truth(term, table) for term in terms))
        case Or(terms):
            return reduce(pc.or_kleene, (_truth(term, table) for term in terms))
        case Not(term):
            return pc.invert(_truth(term, table))
        case Constant(value):
            return array(np.full(table.num_rows, value), pa.bool_())
        case IsNull(name):
            return pc.is_null(_column(name, table))
        case Compare(name, comparison, value):
            return _on_values(_column(name, table), lambda column: _compare(name, column, comparison, value))
        case OneOf(name, values):
            return _on_values(_column(name, table), lambda column: _one_of(name, column, values))
        case Like(name, pattern, ignore_case):
            return _on_values(_column(name, table), lambda column: _like(name, column, pattern, ignore_case))
    raise TypeError(f"{type(node).__name__} is not a filter")


def _column(name: str, table: pa.Table) -> Column:
    """Return a column, NaN as null; all null where there is none."""
    if name not in table.column_names:
        return pa.nulls(table.num_rows)
    column = table.column(name)
    return _on_values(column, _without_nan) if types.is_floating(_value_type(column)) else column


def _value_type(column: Column) -> pa.DataType:
    return column.type.value_type if types.is_dictionary(column.type) else column.type


def _without_nan(column: Column) -> Column:
    if types.is_float16(column.type):
        column = column.cast(pa.float32())  # no kernel compares halves
    return pc.if_else(pc.is_nan(column), null(column.type), column)


def _on_values(column: Column, function: Callable[[Column], Column]) -> Column:
    """Apply a function of each row's value; once a value where the column is dictionary-encoded."""
    if not types.is_dictionary(column.type):
        return function(column)
    if isinstance(column, pa.ChunkedArray):
        parts = [_on_values(chunk, function) for chunk in column.chunks]
        return pa.chunked_array(parts) if parts else function(pa.chunked_array([], column.type.value_type))
    return pc.take(function(column.dictionary), column.indices)


def _compare(name: str, column: Column, comparison: Operator, value: Value) -> Column:
    check_value(name, column.type, value, ordered=comparison not in ("=", "!="))
    if types.is_null(column.type):
        return column.cast(pa.bool_())
    if types.is_integer(column.type):
        return _compare_whole(column, comparison, value)
    if types.is_decimal(column.type):
        column = column.cast(pa.float64())
    column = _plain_text(column)
    wanted = moment(name, column.type, str(value)) if kind_of(column.type) == "time" else scalar(value, column.type)
    try:
        return _KERNELS[comparison](column, wanted)
    except pa.ArrowInvalid as error:  # a time outside what the column's unit can hold
        raise FilterError(f"column {name} is {column.type}: it cannot be compared with {value!r} ({error})") from error


def _compare_whole(column: Column, comparison: Operator, value: Any) -> Column:
    """Compare a column of integers with any number, exactly."""
    lowest, highest = _range(column.type)
    if comparison in ("=", "!="):
        if value != math.floor(value) or not lowest <= value <= highest:
            return _where_known(column, comparison == "!=")
        bound = int(value)
    else:
        bound = math.ceil(value) if comparison in ("<", ">=") else math.floor(value)
        if bound > highest:
            return _where_known(column, comparison in ("<", "<="))
        if bound < lowest:
            return _where_known(column, comparison in (">", ">="))
    return _KERNELS[comparison](column, scalar(bound, column.type))


def _range(integer: pa.DataType) -> tuple[int, int]:
    bits = integer.bit_width
    return (-(1 << bits - 1), (1 << bits - 1) - 1) if types.is_signed_integer(integer) else (0, (1 << bits) - 1)


def _where_known(column: Column, truth: bool) -> Column:
    return pc.if_else(pc.is_valid(column), scalar(truth, pa.bool_()), null(pa.bool_()))


def _one_of(name: str, column: Column, values: tuple[Value, ...]) -> Column:
    if kind_of(column.type) != "text":
        return reduce(pc.or_kleene, (_compare(name, column, "=", value) for value in values))
    for value in values:
        check_value(name, column.type, value, ordered=False)
    column = _plain_text(column)
    found = pc.is_in(column, value_set=array(values, column.type))
    return pc.if_else(pc.is_valid(column), found, null(pa.bool_()))


def _like(name: str, column: Column, pattern: str, ignore_case: bool) -> Column:
    check_value(name, column.type, pattern, ordered=True)
    if types.is_null(column.type):
        return column.cast(pa.bool_())
    column = _plain_text(column)
    if "\\" not in pattern:
        return pc.match_like(column, pattern, ignore_case=ignore_case)
    return pc.match_substring_regex(column, _regex(pattern), ignore_case=ignore_case)  # match_like takes some backslashes as they are


def _regex(pattern: str) -> str:
    """Return a LIKE pattern as a regular expression of RE2."""
    parts, rest = [], iter(pattern)
    for character in rest:
        wild = {"%": ".*", "_": "."}.get(character)
        parts.append(wild or f"\\x{{{ord(next(rest) if character == chr(92) else character):x}}}")
    return "(?s)\\A" + "".join(parts) + "\\z"


def _plain_text(column: Column) -> Column:
    return column.cast(pa.large_string()) if types.is_string_view(column.type) else column

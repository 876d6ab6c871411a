"""Sets of numbers as ranges of the number line: what comparisons with a column of numbers or times ask for.

x > 5 and x <= 8     ----(=====]----    inside: no, cuts: after 5, after 8
x != 5               ====)  (=======    inside: yes, cuts: before 5, after 5
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from operator import and_, or_
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import types

from vidsearch.filters._kinds import check_value, kind_of, moment
from vidsearch.filters.tree import Compare, OneOf, Operator, Value

TICKS = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}  # a second

Cut = tuple[Any, bool]  # a value, and whether the cut lies after it rather than before


@dataclass(frozen=True)
class Ranges:
    """A set of numbers.

    Attributes:
        inside: whether it holds what lies before the first cut.
        cuts: where it ends and begins, in turn; ascending.
    """

    inside: bool
    cuts: tuple[Cut, ...] = ()

    def __invert__(self) -> Ranges:
        return Ranges(not self.inside, self.cuts)

    def __and__(self, other: Ranges) -> Ranges:
        return _combine(self, other, and_)

    def __or__(self, other: Ranges) -> Ranges:
        return _combine(self, other, or_)

    @property
    def pairs(self) -> list[tuple[Cut | None, Cut | None]]:
        """Where each range begins and ends; None where it does not."""
        edges = [*([None] if self.inside else []), *self.cuts]
        edges += [None] * (len(edges) % 2)
        return list(zip(edges[::2], edges[1::2], strict=True))


EMPTY, ALL = Ranges(inside=False), Ranges(inside=True)


def _combine(one: Ranges, other: Ranges, operator: Callable[[bool, bool], bool]) -> Ranges:
    """Walk the cuts of both upwards, and keep those where what the operator says changes."""
    here, there = set(one.cuts), set(other.cuts)
    in_one, in_other = one.inside, other.inside
    inside = now = operator(in_one, in_other)
    cuts = []
    for cut in sorted(here | there):
        in_one, in_other = in_one ^ (cut in here), in_other ^ (cut in there)
        if operator(in_one, in_other) != now:
            cuts.append(cut)
            now = not now
    return Ranges(inside, tuple(cuts))


@lru_cache(maxsize=1024)  # a filter is asked of many segments
def ranges_of(node: Compare | OneOf, column_type: pa.DataType) -> Ranges:
    """Return which values of a column of numbers or times a comparison wants, in the column's own units and precision.

    Raises:
        FilterError: a value of another type.
    """
    if isinstance(node, Compare):
        return _ranges(node.column, column_type, node.operator, node.value)
    points = {cut for value in node.values for cut in _ranges(node.column, column_type, "=", value).cuts}
    return Ranges(False, tuple(sorted(points)))


def _ranges(name: str, column_type: pa.DataType, operator: Operator, value: Value) -> Ranges:
    check_value(name, column_type, value, ordered=operator not in ("=", "!="))
    if operator == "!=":
        return ~_ranges(name, column_type, "=", value)
    if kind_of(column_type) == "time":
        return _whole_ranges(np.dtype(np.int64), operator, _ticks(name, column_type, str(value)))
    dtype = np.dtype({"halffloat": "float32", "float": "float32", "double": "float64"}.get(str(column_type), str(column_type)))
    if dtype.kind != "f":
        return _whole_ranges(dtype, operator, value)
    with np.errstate(over="ignore"):
        return _around(operator, np.array(value, dtype=dtype)[()])  # halves are compared in single precision


def _whole_ranges(dtype: np.dtype[Any], operator: Operator, value: Any) -> Ranges:
    """Compare whole numbers with any number, exactly."""
    if operator == "=" and value != math.floor(value):
        return EMPTY
    bound = math.ceil(value) if operator in ("<", ">=") else math.floor(value)
    limits = np.iinfo(dtype)
    if limits.min <= bound <= limits.max:
        return _around(operator, bound)
    above = bound > limits.max
    return ALL if operator != "=" and above == (operator in ("<", "<=")) else EMPTY


def _around(operator: Operator, value: Any) -> Ranges:
    if operator == "=":
        return Ranges(False, ((value, False), (value, True)))
    return Ranges(operator in ("<", "<="), ((value, operator in ("<=", ">")),))


def _ticks(name: str, column_type: pa.DataType, text: str) -> int | Fraction:
    """Return a date or time in the column's units since 1970."""
    at = moment(name, column_type, text)
    if types.is_date(column_type):
        return int(at.value)
    return Fraction(at.value * TICKS[column_type.unit], TICKS[at.type.unit])

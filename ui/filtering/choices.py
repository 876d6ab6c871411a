"""What a person chose of one column: some values, a range, or either; the part of a filter that a facet shows and changes.

language in ('en', 'de')                 aesthetic >= 4.5 and aesthetic < 6
language = 'en' or language is null      (duration_s >= 2 and duration_s < 8) or duration_s is null
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from functools import reduce
from operator import and_
from typing import Literal

import numpy as np
import pyarrow as pa
from pyarrow import types

from ui.filtering.labels import heading, shown
from vidsearch.filters.tree import And, Compare, Filter, IsNull, OneOf, Or, Value

SHOWN_VALUES = 4  # in a chip
BEYOND = 1e39  # what is infinite in single precision
YEARS = (-62_135_596_800, 253_402_300_800)  # seconds since 1970 of the years that can be written, 1 to 9999

Kind = Literal["number", "time", "other"]


@dataclass(frozen=True)
class Bound:
    """One end of a range, and whether it belongs to it."""

    value: Value
    inside: bool


@dataclass(frozen=True)
class Choice:
    """Some values of a column, and what lies between two bounds.

    Attributes:
        column: as the schema spells it.
        values: None stands for the missing ones.
        low, high: of the range; there is none where both are None.
    """

    column: str
    values: tuple[Value | None, ...] = ()
    low: Bound | None = None
    high: Bound | None = None

    @property
    def ranges(self) -> bool:
        return self.low is not None or self.high is not None

    @property
    def ends(self) -> tuple[Value | None, Value | None]:
        """From which to which value, None where it is open; a single value is both."""
        known = [value for value in self.values if value is not None]
        if len(known) == 1 and not self.ranges:
            return known[0], known[0]
        return (None if self.low is None else self.low.value), (None if self.high is None else self.high.value)

    @property
    def empty(self) -> bool:
        """Whether nothing is chosen, which no filter says."""
        return not self.values and not self.ranges

    def has(self, value: Value | None) -> bool:
        """Return whether rows of a value pass."""
        return value in self.values or (value is not None and self.ranges and _at_least(value, self.low) and _at_most(value, self.high))

    def __and__(self, other: Choice) -> Choice:
        """Return what both have."""
        values = [value for value in self.values if other.has(value)]
        values += [value for value in other.values if self.has(value) and value not in values]
        low, high = (_higher(self.low, other.low), _lower(self.high, other.high)) if self.ranges and other.ranges else (None, None)
        return Choice(self.column, tuple(values), low, high)

    def toggled(self, value: Value | None) -> Choice:
        """Return it with a value more, or less if it is there."""
        kept = tuple(one for one in self.values if one != value)
        return replace(self, values=kept if value in self.values else (*kept, value))

    @property
    def filter(self) -> Filter:
        """The condition that says so."""
        known = tuple(value for value in self.values if value is not None)
        bounds: list[Filter] = []
        if self.low:
            bounds.append(Compare(self.column, ">=" if self.low.inside else ">", self.low.value))
        if self.high:
            bounds.append(Compare(self.column, "<=" if self.high.inside else "<", self.high.value))
        parts: list[Filter] = [And(tuple(bounds)) if len(bounds) > 1 else bounds[0]] if bounds else []
        if known:
            parts.append(OneOf(self.column, known) if len(known) > 1 else Compare(self.column, "=", known[0]))
        if None in self.values:
            parts.append(IsNull(self.column))
        return parts[0] if len(parts) == 1 else Or(tuple(parts))

    @property
    def label(self) -> str:
        """What a chip says: `language: en, de`, `duration: 2 s and more`."""
        ranges = [_range_label(self.column, self.low, self.high)] if self.ranges else []
        values = [shown(self.column, value) for value in self.values[:SHOWN_VALUES]]
        more = len(self.values) - SHOWN_VALUES
        return f"{heading(self.column)}: {', '.join([*ranges, *values])}" + (f" and {more} more" if more > 0 else "")


def read(condition: Filter, schema: pa.Schema) -> Choice | None:
    """Return a condition as a choice of one column, None where it says something else."""
    if len(condition.columns) != 1:
        return None
    (column,) = condition.columns
    parts = [_part(part, schema.field(column).type) for part in (condition.terms if isinstance(condition, Or) else (condition,))]
    known = [part for part in parts if part is not None]
    ranges = [part for part in known if part.ranges] or [Choice(column)]
    if len(known) < len(parts) or len(ranges) > 1:
        return None
    values = dict.fromkeys(value for part in known for value in part.values)
    return replace(ranges[0], values=tuple(values))


def kind_of(column_type: pa.DataType) -> Kind:
    """Return whether a column has ranges, and of what."""
    if types.is_integer(column_type) or types.is_floating(column_type) or types.is_decimal(column_type):
        return "number"
    return "time" if types.is_date(column_type) or types.is_timestamp(column_type) else "other"


def canonical(value: Value, column_type: pa.DataType) -> Value:
    """Return the one way in which a value of a column is written here, so that equal ones are the same; times compare as their texts do."""
    if isinstance(value, bool):
        return value
    if isinstance(value, str):
        return _time(value, column_type) if kind_of(column_type) == "time" else value
    if types.is_float32(column_type) or types.is_float16(column_type):  # halves are compared in single precision
        with np.errstate(over="ignore"):
            single = np.float32(value)
        value = float(str(single)) if np.isfinite(single) else math.copysign(BEYOND, value)
    elif not types.is_integer(column_type) and kind_of(column_type) == "number":
        value = float(value)
    whole = isinstance(value, float) and value.is_integer() and (types.is_integer(column_type) or abs(value) < 2**53)
    return int(value) if whole else value


def _part(part: Filter, column_type: pa.DataType) -> Choice | None:
    match part:
        case IsNull(column):
            return Choice(column, (None,))
        case Compare(column, "=", value):
            return Choice(column, (canonical(value, column_type),))
        case OneOf(column, values):
            return Choice(column, tuple(dict.fromkeys(canonical(value, column_type) for value in values)))
        case Compare(column, ">" | ">=" as operator, value) if kind_of(column_type) != "other":
            return Choice(column, low=Bound(canonical(value, column_type), operator == ">="))
        case Compare(column, "<" | "<=" as operator, value) if kind_of(column_type) != "other":
            return Choice(column, high=Bound(canonical(value, column_type), operator == "<="))
        case And(terms):
            inner = [_part(term, column_type) for term in terms]
            bounds = [choice for choice in inner if choice is not None and choice.ranges and not choice.values]
            return reduce(and_, bounds) if len(bounds) == len(terms) else None
    return None


def _time(text: str, column_type: pa.DataType) -> str:
    """Return a date, or a time of UTC; midnight as its date."""
    try:
        if types.is_date(column_type):
            return date.fromisoformat(text).isoformat()
        at = datetime.fromisoformat(text)
        return (at.astimezone(UTC).replace(tzinfo=None) if at.tzinfo else at).isoformat().removesuffix("T00:00:00")
    except (ValueError, OverflowError):  # at the ends of the calendar
        return text


def _at_least(value: Value, low: Bound | None) -> bool:
    return low is None or value > low.value or (low.inside and value == low.value)  # type: ignore[operator]


def _at_most(value: Value, high: Bound | None) -> bool:
    return high is None or value < high.value or (high.inside and value == high.value)  # type: ignore[operator]


def _higher(one: Bound | None, other: Bound | None) -> Bound | None:
    if one is None or other is None:
        return one or other
    return other if _at_least(other.value, Bound(one.value, one.inside and not other.inside)) else one


def _lower(one: Bound | None, other: Bound | None) -> Bound | None:
    if one is None or other is None:
        return one or other
    return other if _at_most(other.value, Bound(one.value, one.inside and not other.inside)) else one


def _range_label(column: str, low: Bound | None, high: Bound | None) -> str:
    from_ = "" if low is None else shown(column, low.value)
    to = "" if high is None else shown(column, high.value)
    if low and high:
        if low == high:
            return from_
        return f"{from_} to {to}" if low.inside else f"above {from_} to {to}"
    if low:
        return f"{from_} and more" if low.inside else f"above {from_}"
    return f"up to {to}" if high and high.inside else f"below {to}"

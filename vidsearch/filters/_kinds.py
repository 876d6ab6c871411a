"""Which column types a filter can compare, and with what."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Literal

import pyarrow as pa
from pyarrow import types

from vidsearch.errors import FilterError
from vidsearch.filters._values import scalar
from vidsearch.filters.tree import Value

Kind = Literal["text", "number", "boolean", "time", "empty", "other"]

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

WANTED = {
    "text": "give text in single quotes, 'like this'",
    "number": "give a number",
    "boolean": "give true or false, with = or !=",
    "time": "give a date or time in single quotes, '2024-01-31' or '2024-01-31T12:30:00'",
    "other": "ask `is null` or `is not null`",
}


def kind_of(column_type: pa.DataType) -> Kind:
    """Return what a column is to a filter; "empty" is one of nulls only, "other" can only be null or not."""
    if types.is_dictionary(column_type):
        return kind_of(column_type.value_type)
    if types.is_string(column_type) or types.is_large_string(column_type) or types.is_string_view(column_type):
        return "text"
    if types.is_integer(column_type) or types.is_floating(column_type) or types.is_decimal(column_type):
        return "number"
    if types.is_date(column_type) or types.is_timestamp(column_type):
        return "time"
    return "boolean" if types.is_boolean(column_type) else "empty" if types.is_null(column_type) else "other"


def check_value(column: str, column_type: pa.DataType, value: Value, *, ordered: bool) -> None:
    """Refuse a comparison of unlike types.

    Args:
        column, column_type: as the schema has them.
        value: what the column is compared with.
        ordered: by <, <=, > or >=, which truth values do not have.
    """
    kind = kind_of(column_type)
    fits = {
        "text": isinstance(value, str),
        "number": isinstance(value, int | float) and not isinstance(value, bool),
        "boolean": isinstance(value, bool) and not ordered,
        "time": isinstance(value, str),
        "empty": True,
        "other": False,
    }
    if not fits[kind]:
        shown = f"text {value!r}" if isinstance(value, str) else f"{str(value).lower()}"
        plain_type = column_type.value_type if types.is_dictionary(column_type) else column_type
        raise FilterError(f"column {column} is {plain_type}: it cannot be compared with {shown}; {WANTED[kind]}")
    if kind == "time":
        moment(column, column_type, str(value))


def moment(column: str, column_type: pa.DataType, text: str) -> pa.Scalar:
    """Return an ISO 8601 date or time as a value comparable with the column; without a zone it is read as UTC where the column has one."""
    try:
        if types.is_date(column_type):
            return scalar((date.fromisoformat(text) - EPOCH.date()).days, pa.int32()).cast(pa.date32()).cast(column_type)
        at = datetime.fromisoformat(text)
        if column_type.tz is not None:
            at = at if at.tzinfo else at.replace(tzinfo=UTC)
        elif at.tzinfo:
            at = at.astimezone(UTC).replace(tzinfo=None)
        microseconds = (at - (EPOCH if at.tzinfo else EPOCH.replace(tzinfo=None))) // timedelta(microseconds=1)
        precise = pa.timestamp("ns" if column_type.unit == "ns" else "us", column_type.tz)
        return scalar(microseconds, pa.int64()).cast(pa.timestamp("us", column_type.tz)).cast(precise)
    except (ValueError, OverflowError, pa.ArrowInvalid) as error:
        raise FilterError(
            f"column {column} is {column_type}: {text!r} is not a date or time it can hold; {WANTED['time']} ({error})"
        ) from error

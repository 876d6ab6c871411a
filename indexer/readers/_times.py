"""Times of clips: timestamps in, seconds and the parts of keys out, for whole columns at once."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

TIMESTAMP = re.compile(r"(\d{1,4})[:_-](\d{1,2})[:_-](\d{1,2}(?:\.\d{1,9})?)", re.ASCII)
PLAIN_LENGTH = 12  # "HH:MM:SS.mmm"
DIGITS = np.array([0, 1, 3, 4, 6, 7, 9, 10, 11])
WEIGHTS = np.array([36_000_000, 3_600_000, 600_000, 60_000, 10_000, 1_000, 100, 10, 1])  # milliseconds
MAX_S = 1e7

Seconds = npt.NDArray[np.float64]


def parse_seconds(value: Any) -> float | None:
    """Return seconds of "HH:MM:SS.mmm" or of a number; anything else raises ValueError."""
    if value is None or value == "":
        return None
    if isinstance(value, str) and (match := TIMESTAMP.fullmatch(value.strip())):
        return milliseconds(*match.groups()) / 1000
    try:
        seconds = float(value)
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f"time {_short(value)} is neither HH:MM:SS.mmm nor seconds") from None
    if not 0 <= seconds < MAX_S:
        raise ValueError(f"time {_short(value)} is not within 0 to 10,000,000 seconds")
    return seconds


def milliseconds(hours: str, minutes: str, seconds: str) -> int:
    return round((int(hours) * 3600 + int(minutes) * 60 + float(seconds)) * 1000)


def parse_times(column: pa.Array) -> tuple[Seconds, dict[int, str]]:
    """Return the seconds of a column, (rows,) with NaN for null, and what is wrong with the values that are no time, by row."""
    seconds = np.full(len(column), np.nan)
    kind = column.type
    if pa.types.is_integer(kind) or pa.types.is_floating(kind):
        column = pc.cast(column, pa.float64(), safe=False)
        seconds[:] = pc.fill_null(column, np.nan).to_numpy(zero_copy_only=False)
        odd = np.flatnonzero(~(seconds >= 0) | (seconds >= MAX_S))
        odd = odd[pc.is_valid(column).to_numpy(zero_copy_only=False)[odd]]
    elif pa.types.is_string(kind):
        plain = np.flatnonzero(pc.fill_null(pc.equal(pc.binary_length(column), PLAIN_LENGTH), False).to_numpy(zero_copy_only=False))
        good, values = _parse_plain(fixed_bytes(column if len(plain) == len(column) else column.take(pa.array(plain)), PLAIN_LENGTH))
        seconds[plain[good]] = values[good]
        rest = np.ones(len(column), np.bool_)
        rest[plain[good]] = False
        odd = np.flatnonzero(rest)
    else:
        odd = np.arange(len(column))
    wrong: dict[int, str] = {}
    for row in odd.tolist():
        try:
            value = parse_seconds(column[row].as_py())
            seconds[row] = np.nan if value is None else value
        except ValueError as error:
            seconds[row] = np.nan
            wrong[row] = str(error)
    return seconds, wrong


def fixed_bytes(texts: pa.Array, length: int) -> npt.NDArray[np.uint8]:
    """Return texts of `length` bytes each, none of them null, as (rows, length) bytes."""
    if not len(texts):
        return np.empty((0, length), np.uint8)
    _, offsets, data = texts.buffers()
    first = np.frombuffer(offsets, np.int32, count=1, offset=4 * texts.offset)[0]
    return np.frombuffer(data, np.uint8, count=len(texts) * length, offset=int(first)).reshape(-1, length)


def key_parts(seconds: Seconds) -> pa.Array:
    """Return seconds as `clip_key` writes them, "190.567"; null for NaN."""
    whole = np.rint(seconds * 1000)
    null = np.isnan(seconds)
    exact = null | (whole / 1000 == seconds)
    counted = np.where(null, 0, whole).astype(np.int64)
    parts = pc.binary_join_element_wise(
        pc.cast(pa.array(counted // 1000), pa.string()),
        pc.utf8_lpad(pc.cast(pa.array(counted % 1000), pa.string()), 3, padding="0"),
        ".",
    )
    if not exact.all():  # Python rounds what lies between two milliseconds
        texts = [f"{value:.3f}" for value in seconds[~exact].tolist()]
        parts = pc.replace_with_mask(parts, pa.array(~exact), pa.array(texts, pa.string()))
    return pc.if_else(pa.array(null), pa.scalar(None, pa.string()), parts)


def _parse_plain(texts: npt.NDArray[np.uint8]) -> tuple[npt.NDArray[np.bool_], Seconds]:
    """Return which of the texts, (rows, 12) bytes, are "HH:MM:SS.mmm", and their seconds."""
    digits = texts[:, DIGITS] - np.uint8(ord("0"))  # what is less wraps round to a large one
    good = (digits <= 9).all(axis=1) & (texts[:, 8] == ord("."))
    for place in (2, 5):
        good &= np.isin(texts[:, place], np.frombuffer(b":_-", np.uint8))
    return good, (digits @ WEIGHTS) / 1000


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."

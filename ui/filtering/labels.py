"""Columns and their values as a person reads them."""

from __future__ import annotations

import numpy as np

from vidsearch.filters.tree import Value

LONGEST = 60  # characters of a value

_KNOWN = {"umt_score": "UMT score", "clip_score": "CLIP score", "embedded_from": "embedded from"}
_SECONDS = "_s"  # ends the name of every column of seconds


def heading(column: str) -> str:
    """Return what a column is called: `duration_s` is "duration"."""
    return _KNOWN.get(column) or column.removesuffix(_SECONDS).replace("_", " ").strip() or column


def unit(column: str) -> str:
    """Return the unit of a column's numbers, "" where it has none."""
    return "s" if column.endswith(_SECONDS) and len(column) > len(_SECONDS) else ""


def shown(column: str, value: Value | None) -> str:
    """Return one value: "missing" for none, `2 s` for seconds."""
    if value is None:
        return "missing"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, str):
        text = "".join(character if character.isprintable() else " " for character in value)
        return (text if len(text) <= LONGEST else text[: LONGEST - 1] + "…") if text.strip() else "(empty)"
    return f"{number(value)} {unit(column)}".rstrip()


def edge(end: float, *, time: bool) -> str:
    """Return an end of a range as one may type it: a number, or a date or time for seconds since 1970."""
    if not time:
        return f"{end:.12g}"
    return str(np.datetime64(int(end), "s")).removesuffix("T00:00:00")


def number(value: int | float) -> str:
    """Return a number without noise: 4.5, 12,000, 1e+20."""
    if isinstance(value, int) or value.is_integer():
        return str(int(value)) if abs(value) < 10_000 else f"{int(value):,}" if abs(value) < 1e15 else f"{value:.6g}"
    return f"{value:.6g}"

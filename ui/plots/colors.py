"""A column → one byte a point, and the legend that says what the bytes mean."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from pyarrow import types

from ui.filtering.labels import shown
from vidsearch.corpus import Corpus, Rows

NAMED = 7  # Okabe and Ito's palette for all kinds of colour vision has seven hues besides black
OTHER, MISSING = 7, 255
STEPS = 255  # of a scale of numbers, codes 0 to 254
ENDS = (0.02, 0.98)  # of the values lie within the scale; the few outside take the colours of its ends

Codes = npt.NDArray[np.uint8]


def colors_of(corpus: Corpus, rows: Rows, column: str) -> tuple[Codes, dict[str, Any]]:
    """Return a code for each row and the legend, ready for JSON.

    The legend is {"kind": "values", "entries": [{"label", "value", "count", "code"}]}, the most frequent first, then all others and what is
    missing, whose value is None; or {"kind": "numbers", "low", "high", "missing"}, labels of both ends of the scale of codes.
    """
    cells = [row[column] for row in corpus.take(rows, [column])]
    column_type = corpus.schema.field(column).type
    if types.is_integer(column_type) or types.is_floating(column_type):
        return _scale(np.array([np.nan if cell is None else cell for cell in cells], dtype=np.float64), column)
    return _palette(cells, column)


def _scale(values: npt.NDArray[np.float64], column: str) -> tuple[Codes, dict[str, Any]]:
    known = np.isfinite(values)
    codes = np.full(len(values), MISSING, np.uint8)
    low, high = (float(end) for end in np.quantile(values[known], ENDS)) if known.any() else (0.0, 0.0)
    places = (values[known] - low) / (high - low) * (STEPS - 1) if high > low else np.zeros(int(known.sum()))
    codes[known] = np.clip(np.round(places), 0, STEPS - 1)
    ends = {name: shown(column, float(f"{end:.3g}")) for name, end in (("low", low), ("high", high))}
    return codes, {"kind": "numbers", **ends, "missing": int((~known).sum())}


def _palette(cells: Sequence[Any], column: str) -> tuple[Codes, dict[str, Any]]:
    values = [cell if cell is None or isinstance(cell, bool | str) else str(cell) for cell in cells]
    counts = Counter(values)
    missing = counts.pop(None, 0)
    ranked = counts.most_common()
    code_of: dict[Any, int] = {None: MISSING} | {value: place for place, (value, _) in enumerate(ranked[:NAMED])}
    codes = np.array([code_of.get(value, OTHER) for value in values], dtype=np.uint8)
    entries: list[dict[str, Any]] = [
        {"label": shown(column, value), "value": value, "count": count, "code": place}
        for place, (value, count) in enumerate(ranked[:NAMED])
    ]
    others = sum(count for _, count in ranked[NAMED:])
    if others:
        entries.append({"label": f"{len(ranked) - NAMED:,} more", "value": None, "count": others, "code": OTHER})
    if missing:
        entries.append({"label": "missing", "value": None, "count": missing, "code": MISSING})
    return codes, {"kind": "values", "entries": entries}

"""Counts → plotly figures as plain dicts, each bar with the action that a click on it means.

Colours of text and background are the page's. What a data set says is text: plotly reads some HTML in it, so it is escaped here.
"""

from __future__ import annotations

import html
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

BINS = 24  # about so many bars in a histogram
NAMED = 12  # values of a column with a bar of their own
LABEL = 30  # characters of a value that are shown
TAIL = 0.005  # share of the values at either end that may go into an open bar
_NICE = (1, 2, 2.5, 5, 10)

Action = dict[str, Any] | None
Figure = dict[str, Any]


@dataclass(frozen=True)
class Bins:
    """A histogram.

    Attributes:
        edges: (bins + 1,) of half-open intervals.
        counts: (bins,) values in each.
        open_low, open_high: the first, the last interval has no end on that side.
    """

    edges: tuple[float, ...]
    counts: tuple[int, ...]
    open_low: bool = False
    open_high: bool = False


def bins_of(values: npt.NDArray[Any]) -> Bins:
    """Count values in intervals of a round width, about BINS of them; the few far outside share an open interval at either end.

    Args:
        values: (n,) numbers without NaN.
    """
    values = values[np.isfinite(values)] if values.dtype.kind == "f" else values
    if not len(values):
        return Bins((), ())
    whole = values.dtype.kind in "iu"
    least, low, high, most = (float(value) for value in np.quantile(values, (0, TAIL, 1 - TAIL, 1), method="nearest"))
    open_low, open_high = low - least > high - low, most - high > high - low
    start, stop = low if open_low else least, high if open_high else most
    step = _step((stop - start) / BINS, whole=whole)
    first = math.floor(start / step)
    digits = max(0, 2 - math.floor(math.log10(step)))
    edges = [round(step * (first + place), digits) for place in range(math.floor(stop / step) - first + 2)]
    while edges[-1] <= stop:  # a quotient that rounding took down
        edges.append(round(edges[-1] + step, digits))
    inner = np.array(edges[1:-1]).astype(values.dtype if not whole else np.float64)
    counts = np.bincount(np.searchsorted(inner, values, side="right"), minlength=len(edges) - 1)
    return Bins(tuple(edges), tuple(counts.tolist()), open_low, open_high)


def _step(least: float, *, whole: bool) -> float:
    """Return a round width of at least that much."""
    if least <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(least))
    step = next(power * nice for nice in _NICE if power * nice >= least * (1 - 1e-9))
    return max(1.0, math.ceil(step)) if whole else step


def histogram(name: str, title: str, bins: Bins, *, column: str | None, unit: str = "", note: str = "", missing: int = 0) -> Figure:
    """Return a chart of a histogram; a click on a bar narrows `column` to its interval."""
    spans = [span_text(bins, place, unit) for place in range(len(bins.counts))]
    actions = [_range(column, bins, place) for place in range(len(bins.counts))]
    middles = [(low + high) / 2 for low, high in zip(bins.edges, bins.edges[1:], strict=False)]
    trace = {"x": middles, "y": list(bins.counts), "width": [bins.edges[1] - bins.edges[0]] * len(middles) if middles else []}
    chart = _chart(name, title, spans, bins.counts, actions, trace, note)
    chart["missing"] = missing
    return chart


def span_text(bins: Bins, place: int, unit: str = "") -> str:
    low, high = f"{bins.edges[place]:g}", f"{bins.edges[place + 1]:g}"
    after = f" {unit}" if unit else ""
    if bins.open_low and place == 0:
        return f"below {high}{after}"
    return f"{low}{after} and more" if bins.open_high and place == len(bins.counts) - 1 else f"{low} to {high}{after}"


def _range(column: str | None, bins: Bins, place: int) -> Action:
    if column is None:
        return None
    low = None if bins.open_low and place == 0 else bins.edges[place]
    high = None if bins.open_high and place == len(bins.counts) - 1 else bins.edges[place + 1]
    return {"kind": "range", "column": column, "low": low, "high": high}


def bars(name: str, title: str, counts: Mapping[Any, int], *, column: str | None, note: str = "", most: int = NAMED) -> Figure:
    """Return a chart of the most frequent values, the rest together; a click on a bar asks for its value.

    Args:
        counts: of each value, most first; None counts what has no value, which is told apart and gets no bar.
    """
    known = [(value, count) for value, count in counts.items() if value is not None]
    shown, rest = known[:most], known[most:]
    labels = [str(value) for value, _ in shown]
    actions: list[Action] = [None if column is None else {"kind": "toggle", "column": column, "value": value} for value, _ in shown]
    numbers = [count for _, count in shown]
    if rest:
        labels, actions, numbers = [*labels, f"{len(rest):,} more"], [*actions, None], [*numbers, sum(count for _, count in rest)]
    chart = _chart(name, title, labels, numbers, actions, {"orientation": "h", "x": numbers, "y": _distinct(labels)}, note)
    chart["figure"]["layout"]["yaxis"] = {"type": "category", "autorange": "reversed"}
    chart["missing"] = counts.get(None, 0)
    return chart


def steps(name: str, title: str, labels: Sequence[str], counts: Sequence[int], *, actions: Sequence[Action] = (), note: str = "") -> Figure:
    """Return a chart of upright bars, one for each label."""
    chart = _chart(name, title, labels, counts, list(actions) or [None] * len(counts), {"x": list(labels), "y": list(counts)}, note)
    chart["figure"]["layout"]["xaxis"] = {"type": "category"}
    return chart


def _chart(
    name: str, title: str, labels: Sequence[str], counts: Sequence[int], actions: Sequence[Action], trace: dict[str, Any], note: str
) -> Figure:
    total = sum(counts) or 1
    hover = [f"{html.escape(_short(label))}: {count:,} ({share(count / total)})" for label, count in zip(labels, counts, strict=True)]
    drawn = {"type": "bar", "hoverinfo": "text", "hovertext": hover, "customdata": list(actions), **trace}
    return {
        "name": name,
        "title": title,
        "note": note,
        "figure": {"data": [drawn], "layout": {}},
        "rows": [{"label": label, "count": count, "action": action} for label, count, action in zip(labels, counts, actions, strict=True)],
    }


def share(part: float) -> str:
    """Return a share in words: 12 %, 0.3 %."""
    return f"{100 * part:.0f} %" if part >= 0.0995 or part == 0 else f"{100 * part:.1f} %" if part >= 0.0005 else "below 0.1 %"


def _short(label: str) -> str:
    return label if len(label) <= LABEL else label[: LABEL - 1] + "…"


def _distinct(labels: Sequence[str]) -> list[str]:
    """Return labels as plotly takes them: short, escaped, no two the same, since bars of one label are stacked."""
    seen: dict[str, int] = {}
    found = []
    for label in labels:
        text = html.escape(_short(label)) or "(empty)"
        seen[text] = seen.get(text, 0) + 1
        found.append(text + "\u200b" * (seen[text] - 1))  # spaces of no width
    return found

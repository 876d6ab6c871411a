"""Counts → plotly figures as plain dicts, each bar with the action that a click on it means.

Colours of text and background are the page's. What a data set says is text: plotly reads some HTML in it, so it is escaped here.
"""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

NAMED = 12  # values of a column with a bar of their own
LABEL = 28  # characters of a value beside its bar
TICKS = 7  # edges of a histogram that are written at most

Action = dict[str, Any] | None
Figure = dict[str, Any]


@dataclass(frozen=True)
class Bar:
    """What one bar stands for."""

    label: str
    count: int
    action: Action = None


def lying(name: str, title: str, bars: Sequence[Bar], *, note: str = "") -> Figure:
    """Return a chart of bars with a label before each: for values, which have no order."""
    labels = _distinct([bar.label for bar in bars])
    return _figure(name, title, bars, {"orientation": "h", "x": [bar.count for bar in bars], "y": labels}, {}, note)


def standing(name: str, title: str, bars: Sequence[Bar], *, note: str = "") -> Figure:
    """Return a chart of upright bars with a label under each: for few numbers in their order."""
    places = list(range(len(bars)))
    axis = {"tickvals": places, "ticktext": _distinct([bar.label for bar in bars])}
    return _figure(name, title, bars, {"x": places, "y": [bar.count for bar in bars]}, {"xaxis": axis}, note)


def histogram(name: str, title: str, bars: Sequence[Bar], edges: Sequence[str], *, note: str = "") -> Figure:
    """Return a chart of bars as wide as each other, with some of the edges between them written; outer intervals may be wider.

    Args:
        bars: one for each interval.
        edges: (bars + 1,) as they are read.
    """
    step = -(-len(edges) // TICKS)
    shown = list(range(0, len(edges), step))
    axis = {"tickvals": [place - 0.5 for place in shown], "ticktext": [html.escape(edges[place]) for place in shown]}
    return _figure(name, title, bars, {"x": list(range(len(bars))), "y": [bar.count for bar in bars]}, {"xaxis": axis}, note)


def top(bars: Sequence[Bar], most: int = NAMED) -> list[Bar]:
    """Return the first bars, and one for all the rest together."""
    rest = bars[most:]
    return [*bars[:most], *([Bar(f"{len(rest):,} more", sum(bar.count for bar in rest))] if rest else [])]


def share(part: float) -> str:
    """Return a share in words: 12 %, 0.3 %."""
    return f"{100 * part:.0f} %" if part >= 0.0995 or part == 0 else f"{100 * part:.1f} %" if part >= 0.0005 else "below 0.1 %"


def _figure(name: str, title: str, bars: Sequence[Bar], trace: dict[str, Any], layout: dict[str, Any], note: str) -> Figure:
    total = sum(bar.count for bar in bars) or 1
    hover = [f"{html.escape(bar.label)}: {bar.count:,} ({share(bar.count / total)})" for bar in bars]
    drawn = {"type": "bar", "hoverinfo": "text", "hovertext": hover, "customdata": [bar.action for bar in bars], **trace}
    return {
        "name": name,
        "title": title,
        "note": note,
        "figure": {"data": [drawn], "layout": layout},
        "rows": [{"label": bar.label, "count": bar.count, "action": bar.action} for bar in bars],
    }


def _distinct(labels: Sequence[str]) -> list[str]:
    """Return labels as plotly takes them: short, escaped, no two the same, since bars of one label are drawn on one another."""
    seen: dict[str, int] = {}
    found = []
    for label in labels:
        text = html.escape(label if len(label) <= LABEL else label[: LABEL - 1] + "…")
        seen[text] = seen.get(text, 0) + 1
        found.append(text + "\u200b" * (seen[text] - 1))  # spaces of no width
    return found

"""The filter, seen two ways: facets to click and chips to remove."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from ui.filtering.conditions import Condition
from ui.filtering.facets import Facet, FacetValue
from ui.markup.parts import button, icon, plural
from ui.state import State

BAR_HEIGHT = 36  # pixels of a histogram


def facets(found: Sequence[Facet]) -> str:
    """Return the facets, each a group that can be folded."""
    if not found:
        return '<p class="vs-hint">This index has no column to filter by.</p>'
    scope = f'<p class="vs-hint">Counts of {plural(max(facet.of for facet in found), "clip")}</p>'
    return scope + "".join(
        _facet(facet) for facet in found if facet.values or sum(facet.bins) or facet.low is not None or facet.high is not None
    )


def _facet(facet: Facet) -> str:
    body = _range(facet) if facet.kind == "range" else _values(facet)
    return f'<details class="vs-facet" open data-facet="{escape(facet.column)}"><summary>{escape(facet.label)}</summary>{body}</details>'


def _values(facet: Facet) -> str:
    most = max((value.count for value in facet.values), default=0)
    more = f'<p class="vs-hint">and {plural(facet.more, "further value")}</p>' if facet.more else ""
    return "".join(_value(facet, value, most) for value in facet.values) + more


def _value(facet: Facet, value: FacetValue, most: int) -> str:
    action = {"kind": "toggle", "column": facet.column, "value": value.value}
    inside = (
        f'<span class="vs-box">{icon("check")}</span><span class="vs-label">{escape(value.label)}</span>'
        f'<span class="vs-count">{value.count:,}</span><span class="vs-bar" style="width:{100 * value.count / (most or 1):.1f}%"></span>'
    )
    return button(value.label, action, content=inside, classes="vs-value", pressed=value.chosen)


def _range(facet: Facet) -> str:
    most = max(facet.bins, default=0) or 1
    bars = "".join(
        f'<rect x="{place}" y="{BAR_HEIGHT - height:.1f}" width="0.86" height="{height:.1f}" class="{"is-in" if inside else ""}"/>'
        for place, (height, inside) in enumerate(_bars(facet, most))
    )
    picture = (
        f'<svg class="vs-histogram" viewBox="0 0 {max(len(facet.bins), 1)} {BAR_HEIGHT}" preserveAspectRatio="none" role="img"'
        f' aria-label="{escape(facet.label)}: distribution of {plural(sum(facet.bins), "clip")}"'
        f' data-range="{escape(facet.column)}" data-edges="{" ".join(f"{edge!r}" for edge in facet.edges)}">{bars}</svg>'
    )
    ends = "".join(
        f'<input type="text" inputmode="{"text" if facet.time else "decimal"}" aria-label="{escape(facet.label)}: {name}"'
        f' placeholder="{escape(facet.text(edge))}" value="{"" if chosen is None else escape(facet.text(chosen))}" data-end="{end}">'
        for end, name, chosen, edge in (
            ("low", "least", facet.low, facet.edges[0] if facet.edges else 0.0),
            ("high", "most", facet.high, facet.edges[-1] if facet.edges else 0.0),
        )
    )
    missing = ""
    if facet.missing or facet.missing_chosen:
        missing = _value(facet, FacetValue(None, "missing", facet.missing, facet.missing_chosen), facet.of)
    return f'{picture}<div class="vs-ends" data-ends="{escape(facet.column)}">{ends}</div>{missing}'


def _bars(facet: Facet, most: int) -> list[tuple[float, bool]]:
    low, high = (facet.low if facet.low is not None else float("-inf")), (facet.high if facet.high is not None else float("inf"))
    if facet.missing_chosen and facet.low is None and facet.high is None:
        low = float("inf")  # only those without a value are wanted
    edges = facet.edges
    return [
        (max(BAR_HEIGHT * count / most, 1.5 if count else 0.0), edges[place + 1] > low and edges[place] < high)
        for place, count in enumerate(facet.bins)
    ]


def chips(state: State, conditions: Sequence[Condition]) -> str:
    """Return what makes the results what they are, each part with a cross."""
    shown = [_chip(f"not: {text}", "nots", text, "is-not") for text in state.nots]
    shown += [_chip(f"like clip {clip}", "like", clip, "is-like") for clip in state.like]
    shown += [_chip("like the file you dropped in", "upload", "", "is-like")] if state.upload else []
    thumbs = len(state.up) + len(state.down)
    shown += [_chip(f"{plural(thumbs, 'thumb')}", "feedback", "", "is-like")] if thumbs else []
    shown += [_chip(condition.label, "condition", str(place), "") for place, condition in enumerate(conditions)]
    shown += [_chip("region of the map", "lasso", "", "")] if state.lasso else []
    if len(conditions) + bool(state.lasso) > 1:
        shown.append(button("Clear the filter", {"kind": "clear"}, classes="vs-clear"))
    return f'<div class="vs-chips" role="group" aria-label="Active parts of the question">{"".join(shown)}</div>' if shown else ""


def _chip(text: str, what: str, value: str, classes: str) -> str:
    cross = button(f"Remove {text}", {"kind": "drop", "what": what, "value": value}, drawn="close", classes="vs-cross")
    return f'<span class="vs-chip {classes}"><span dir="auto">{escape(text)}</span>{cross}</span>'

"""What the results can be narrowed by, counted: how many of them have each value of a column, or lie in each bin of its histogram.

Each facet is counted under all of the filter but its own part, so that one sees what another choice would bring.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cache, partial, reduce
from typing import Literal

import numpy as np
import numpy.typing as npt

from ui.asking.question import asks
from ui.asking.ranking import Ranker
from ui.filtering import conditions
from ui.filtering.choices import Choice, kind_of
from ui.filtering.coded import Coded, Coding, Counts
from ui.filtering.labels import edge, heading, shown, unit
from ui.state import Point, State
from vidsearch.engine import Index
from vidsearch.filters.tree import Value
from vidsearch.selection import Mask

MOST_FACETS = 16
TOP_VALUES = 8
MOST_TEXTS = 256  # distinct texts of a column that is a facet; those of FIRST may have more
FIRST = ("language", "type", "duration_s", "aesthetic", "umt_score")
NEVER = ("clip_id", "video", "caption", "youtube_id", "start_s", "end_s", "source_start_s", "source_end_s")  # who a clip is, not what

Rows = npt.NDArray[np.integer]

CODING = Coding()  # kept by index, not by page


@dataclass(frozen=True)
class FacetValue:
    """One value of a column, None for the missing ones, and how many clips have it."""

    value: Value | None
    label: str
    count: int
    chosen: bool


@dataclass(frozen=True)
class Facet:
    """One column, counted.

    Attributes:
        column, label: as the schema spells it, and as a person reads it.
        kind: which of the following it has.
        values: the most frequent and the chosen ones, most first; the missing last, if any are or were chosen.
        more: further values that some clip has.
        bins: clips from each edge to before the next; outer ones may be wider.
        edges: (bins + 1,); seconds since 1970 where `time`.
        low, high: ends of the range that is chosen, None where it is open.
        missing: clips without a value.
        missing_chosen: whether those are wanted.
        of: clips counted.
        time: whether it is one of dates and times.
    """

    column: str
    label: str
    kind: Literal["values", "range"]
    values: tuple[FacetValue, ...] = ()
    more: int = 0
    bins: tuple[int, ...] = ()
    edges: tuple[float, ...] = ()
    low: float | None = None
    high: float | None = None
    missing: int = 0
    missing_chosen: bool = False
    of: int = 0
    time: bool = False

    def text(self, end: float) -> str:
        """Return an edge or an end of the range as it is read, and as `set_range` takes it."""
        return edge(end, time=self.time)


def facets(index: Index, state: State, ranker: Ranker) -> tuple[Facet, ...]:
    """Return the facets of a page's state: those of InternVid's columns first, then the others' in their order.

    With a question its DEPTH best results are counted, else all clips that pass.

    Raises:
        QueryError, FilterError: the state cannot be asked.
    """
    while True:
        known = index.skipped
        try:
            found = index.answered(lambda: _facets(index, state, ranker))
        except (IndexError, ValueError):  # rows that are no more
            if index.skipped == known:
                raise
            continue
        if index.skipped == known:  # else a damaged segment was left out meanwhile, and rows have other numbers since
            return found


def _facets(index: Index, state: State, ranker: Ranker) -> tuple[Facet, ...]:
    index.check()
    if not index.segments:
        return ()
    chosen = conditions.choices(index, state.where)
    counted = (_ranked if asks(state) else _passing)(index, state, ranker, chosen)
    drawn: list[Facet] = []
    for column in _columns(index, chosen):
        coded = CODING.of(index, column)
        if coded is None or not _is_useful(column, coded) or not (coded.varies or column in chosen):
            continue
        rows = counted(column if column in chosen else "")
        counts = coded.totals if rows is None else coded.count(rows)
        drawn.append(_drawn(index, column, coded, counts, chosen.get(column, Choice(column))))
        if len(drawn) == MOST_FACETS:
            break
    return tuple(drawn)


def _ranked(index: Index, state: State, ranker: Ranker, chosen: Mapping[str, Choice]) -> Callable[[str], Rows | None]:
    """Return what gives the best results of a question without the condition of a column, of the whole filter for ""."""

    @cache
    def rows(column: str) -> Rows:
        return ranker.rank(replace(state, where=conditions.without(index, state.where, column))).rows

    return rows


def _passing(index: Index, state: State, ranker: Ranker, chosen: Mapping[str, Choice]) -> Callable[[str], Rows | None]:
    """Return what gives the rows that pass likewise, None for all there are; each condition is looked up once for all facets."""

    def mask(where: str, lasso: tuple[Point, ...] = ()) -> Mask | None:
        selections = ranker.selections(State(where=where, lasso=lasso))
        if sum(selection.count for selection in selections) == len(index):
            return None
        return np.concatenate([selection.mask for selection in selections])

    rest = mask(reduce(partial(conditions.without, index), chosen, state.where), state.lasso)
    own = {column: mask(str(choice.filter)) for column, choice in chosen.items()}

    @cache
    def rows(column: str) -> Rows | None:
        masks = [one for one in (rest, *(own[name] for name in own if name != column)) if one is not None]
        return np.flatnonzero(reduce(np.logical_and, masks)) if masks else None

    return rows


def _columns(index: Index, chosen: Collection[str]) -> list[str]:
    """Return which columns may be facets, in their order; of the others those with a choice first."""
    names = index.schema.names
    rest = sorted((name for name in names if name not in FIRST and name not in NEVER), key=lambda name: name not in chosen)
    return [*(name for name in FIRST if name in names), *rest]


def _is_useful(column: str, coded: Coded) -> bool:
    """Whether a column's values say something of many clips, rather than name each."""
    distinct = len(coded.values)
    return column in FIRST or bool(coded.edges) or (distinct <= MOST_TEXTS and 2 * distinct <= len(coded.codes))


def _drawn(index: Index, column: str, coded: Coded, counts: Counts, choice: Choice) -> Facet:
    measure = f" ({unit(column)})" if coded.edges and unit(column) else ""
    facet = Facet(
        column,
        heading(column) + measure,
        "range" if coded.edges else "values",
        missing=int(counts[coded.missing]),
        missing_chosen=choice.has(None),
        of=int(counts.sum()),
        time=kind_of(index.schema.field(column).type) == "time",
    )
    if not coded.edges:
        values, more = _values(column, coded, counts, choice)
        return replace(facet, values=values, more=more)
    low, high = (None if end is None else _number(end) for end in choice.ends)
    return replace(facet, bins=tuple(counts[: coded.missing].tolist()), edges=coded.edges, low=low, high=high)


def _values(column: str, coded: Coded, counts: Counts, choice: Choice) -> tuple[tuple[FacetValue, ...], int]:
    """Return the values to show, and how many more some clip has."""
    known = counts[: coded.missing]
    order = np.argsort(-known, kind="stable").tolist()  # equal ones stay in the order of the values
    wanted = [value for value in choice.values if value is not None]
    top = {coded.values[place]: int(known[place]) for place in order[:TOP_VALUES] if known[place]}
    further = {coded.values[place]: int(known[place]) for place in order[TOP_VALUES:] if coded.values[place] in wanted}
    listed = {**top, **further, **{value: 0 for value in wanted if value not in top and value not in further}}
    values = [FacetValue(value, shown(column, value), count, choice.has(value)) for value, count in listed.items()]
    if coded.totals[coded.missing] or None in choice.values:
        values.append(FacetValue(None, shown(column, None), int(counts[coded.missing]), choice.has(None)))
    return tuple(values), int(np.count_nonzero(known)) - sum(count > 0 for count in listed.values())


def _number(value: Value) -> float:
    """Return an end of a range as a number: seconds since 1970 for a date or time."""
    return datetime.fromisoformat(value).replace(tzinfo=UTC).timestamp() if isinstance(value, str) else value

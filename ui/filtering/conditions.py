"""The filter as what must be met: chips that can be removed, and what a click on a facet makes of the text.

The text is all there is; it is read, changed as a tree and written again. Conditions of one column that a facet can show are joined into
one choice; all else that was typed stays as it is.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import pyarrow as pa
from pyarrow import types

from ui.filtering.choices import YEARS, Bound, Choice, canonical, kind_of, read
from vidsearch.corpus import Corpus
from vidsearch.errors import FilterError
from vidsearch.filters.tree import And, Compare, Filter, Value

End = int | float | str | None  # of a range: a number, seconds since 1970, or either as a person types it

LONGEST_LABEL = 80  # characters
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Condition:
    """One part of a filter that every row must meet.

    Attributes:
        text: as SQL.
        column: whose facet shows it; None where none does.
        label: what its chip says.
    """

    text: str
    column: str | None
    label: str


def conditions(corpus: Corpus, where: str) -> tuple[Condition, ...]:
    """Return the parts of a filter.

    Raises:
        FilterError: the text is no filter of these columns.
    """
    if not corpus.segments:  # without columns nothing can be read
        return (Condition(where, None, _cut(where)),) if where.strip() else ()
    parts = _read(corpus, where)
    own = {place: column for column, place in parts.own.items()}
    return tuple(
        Condition(str(part.filter), own.get(place), part.label) if isinstance(part, Choice) else Condition(str(part), None, _cut(str(part)))
        for place, part in enumerate(parts.terms)
    )


def choices(corpus: Corpus, where: str) -> dict[str, Choice]:
    """Return what is chosen of each column that a facet can show."""
    return _read(corpus, where).choices if corpus.segments else {}


def toggle(corpus: Corpus, where: str, column: str, value: Value | None) -> str:
    """Return the filter with a value of a column added to those wanted, or taken from them; None stands for the missing ones."""
    _check_known(corpus, column)
    chosen = None if value is None else _value(corpus, column, value)
    parts = _read(corpus, where)
    return _written(corpus, parts.replaced(parts.choices.get(column, Choice(column)).toggled(chosen)))


def set_range(corpus: Corpus, where: str, column: str, low: End, high: End) -> str:
    """Return the filter with another range of a column; rows without a value stay wanted if they were, as long as there is a range.

    Args:
        corpus: whose columns they are.
        where: the filter.
        column: of numbers, dates or times.
        low, high: None leaves an end open. Numbers are edges of bins: from `low` to before `high`, or that value alone where they are the
            same. Texts are what a person typed: both belong to the range, but one that was not changed stays as it was.
    """
    _check_known(corpus, column)
    column_type = corpus.schema.field(column).type
    if kind_of(column_type) == "other":
        raise FilterError(f"column {column} has no range; choose some of its values")
    if kind_of(column_type) == "time":  # no value lies beyond the years that can be written
        low = None if isinstance(low, int | float) and low <= YEARS[0] else low
        high = None if isinstance(high, int | float) and high >= YEARS[1] else high
    ends = [None if end is None else (_value(corpus, column, _end(end, column_type)), isinstance(end, str)) for end in (low, high)]
    if ends[0] and ends[1] and ends[0][0] > ends[1][0]:  # type: ignore[operator]
        ends.reverse()
    parts = _read(corpus, where)
    before = parts.choices.get(column, Choice(column))
    start = _bound(ends[0], before.low, inside=True)
    stop = _bound(ends[1], before.high, inside=bool(ends[1] and (ends[1][1] or (ends[0] and ends[0][0] == ends[1][0]))))
    missing = (None,) if before.has(None) and (start or stop) else ()
    return _written(corpus, parts.replaced(Choice(column, missing, start, stop)))


def _bound(end: tuple[Value, bool] | None, before: Bound | None, *, inside: bool) -> Bound | None:
    """Return an end of a range from its value and whether it was typed."""
    if end is None:
        return None
    unchanged = before is not None and end[1] and end[0] == before.value
    return before if unchanged else Bound(end[0], inside)


def drop(corpus: Corpus, where: str, number: int) -> str:
    """Return the filter without one of its `conditions`."""
    found = conditions(corpus, where)
    if not 0 <= number < len(found):
        raise FilterError(f"the filter has no condition {number}; they are numbered from 0, and there are {len(found)}")
    return _written(corpus, [part for place, part in enumerate(_read(corpus, where).terms) if place != number]) if corpus.segments else ""


def without(corpus: Corpus, where: str, column: str) -> str:
    """Return the filter without what is chosen of a column."""
    parts = _read(corpus, where)
    return _written(corpus, parts.replaced(Choice(column))) if column in parts.own else where


class _Parts(NamedTuple):
    """What must be met, in the order typed.

    Attributes:
        terms: choices, and what is none.
        own: the place of the choice of each column that its facet shows.
    """

    terms: list[Filter | Choice]
    own: dict[str, int]

    @property
    def choices(self) -> dict[str, Choice]:
        found = ((column, self.terms[place]) for column, place in self.own.items())
        return {column: term for column, term in found if isinstance(term, Choice)}

    def replaced(self, choice: Choice) -> list[Filter | Choice]:
        """Return the terms with another choice of a column; an empty one is left out."""
        place = self.own.get(choice.column, len(self.terms))
        return [*self.terms[:place], *([] if choice.empty else [choice]), *self.terms[place + 1 :]]


def _read(corpus: Corpus, where: str) -> _Parts:
    """Read a filter; choices of one column become one.

    Where two of them leave nothing, both stay, and are no facet's: a facet in which nothing is chosen means everything.
    """
    parts = _Parts([], {})
    tree = corpus.parse(where) if where.strip() else And(())
    for term in tree.terms if isinstance(tree, And) else (tree,):
        choice = read(term, corpus.schema)
        before = None if choice is None else parts.choices.get(choice.column)
        if choice is None:
            parts.terms.append(term)
        elif before is None:
            parts.own[choice.column] = len(parts.terms)
            parts.terms.append(choice)
        elif (before & choice).empty:
            del parts.own[choice.column]
            parts.terms.append(choice)
        else:
            parts.terms[parts.own[choice.column]] = before & choice
    return parts


def _written(corpus: Corpus, terms: Sequence[Filter | Choice]) -> str:
    """Return terms as text that can be read again."""
    filters = [term.filter if isinstance(term, Choice) else term for term in terms]
    flat = tuple(part for one in filters for part in (one.terms if isinstance(one, And) else (one,)))
    text = str(And(flat)) if len(flat) > 1 else "".join(map(str, flat))
    if text:
        corpus.parse(text)
    return text


def _check_known(corpus: Corpus, column: str) -> None:
    names = corpus.schema.names if corpus.segments else []
    if column not in names:
        raise FilterError(f"unknown column {column!r:.60}; choose from {', '.join(names)}")


def _value(corpus: Corpus, column: str, value: Value) -> Value:
    """Return a value as it is written for a column; one that does not fit it is refused."""
    if not isinstance(value, bool | int | float | str) or (isinstance(value, float) and not math.isfinite(value)):
        raise FilterError(f"{value!r:.60} is no value of a column; give a text, a number, true or false")
    read_back = corpus.parse(str(Compare(column, "=", value)))
    return canonical(read_back.value if isinstance(read_back, Compare) else value, corpus.schema.field(column).type)


def _end(end: int | float | str, column_type: pa.DataType) -> Value:
    """Return an end of a range as a value: a number, or a date or time of UTC."""
    if kind_of(column_type) == "time":
        return end.strip() if isinstance(end, str) else _moment(end, whole_day=types.is_date(column_type))
    if not isinstance(end, str):
        return end
    try:
        return int(end) if end.strip().removeprefix("-").isdecimal() else float(end.replace(",", ""))
    except ValueError as error:
        raise FilterError(f"{end!r:.60} is not a number") from error


def _moment(seconds: float, *, whole_day: bool) -> str:
    try:
        at = (_EPOCH + timedelta(seconds=seconds)).replace(tzinfo=None)
    except (OverflowError, ValueError) as error:
        raise FilterError(f"{seconds!r:.60} is no time in seconds since 1970") from error
    return (at.date() if whole_day else at).isoformat()


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST_LABEL else text[: LONGEST_LABEL - 1] + "…"

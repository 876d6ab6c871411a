"""A filter and a segment's columns → the rows that pass, from bitmaps, lists and orders made when the segment was written.

Only what is true passes, and `not` changes what is asked of each comparison instead of turning its rows around, since null stays null:

    not (a = 1 or b < 2)   →   a != 1 and b >= 2

So each part of the tree gives the rows for which it is true, and `and` and `or` join them. What no structure answers, such as `like` over
many texts, is evaluated row by row, on the rows that the rest leaves in question.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import pyarrow as pa
from pyarrow import types

from vidsearch.filters._columns import Column
from vidsearch.filters._wanted import Leaf, Numbers, Wanted, wanted
from vidsearch.filters.tree import And, Compare, Constant, Filter, IsNull, Like, Not, OneOf, Or
from vidsearch.selection import Selection, everything, nothing

Term = tuple[Filter, bool]  # a condition, and whether it must be false rather than true


@dataclass(frozen=True)
class _Parts:
    """The terms of a connective: sets of values, one a column; connectives of the other kind; what must be looked at row by row."""

    groups: list[Wanted]
    compounds: list[Term]
    looked_at: list[Filter]


def select(condition: Filter, columns: Mapping[str, Column], rows: int) -> Selection:
    """Return the rows of a segment for which a filter is true: those that `evaluate` finds in its table.

    Args:
        condition: the filter.
        columns: those of the segment; one that it lacks is null throughout.
        rows: of the segment.

    Raises:
        FilterError: a column's type is not the one the filter was parsed for.
        IndexCorruptError: what the columns hold cannot be.
    """
    return _rows((condition, False), columns, everything(rows))


def _rows(term: Term, columns: Mapping[str, Column], within: Selection) -> Selection:
    """Return the rows of `within` that meet a condition."""
    node, negated = _bare(term)
    both = isinstance(node, Or) if negated else not isinstance(node, Or)
    groups: dict[str, Wanted] = {}
    compounds: list[Term] = []
    looked_at: list[Filter] = []
    for part, flipped in _flat(node, negated, both):
        truth = _constant(part, flipped, columns)
        if truth is not None:
            if truth != both:  # false and …; true or …
                return within if truth else nothing(within.rows)
        elif isinstance(part, Compare | OneOf | Like | IsNull):
            _sort_in(part, flipped, columns[part.column], both, groups, looked_at)
        else:
            compounds.append((part, flipped))
    join = _all if both else _any
    return join(_Parts(list(groups.values()), compounds, looked_at), columns, within)


def _sort_in(part: Leaf, flipped: bool, column: Column, both: bool, groups: dict[str, Wanted], looked_at: list[Filter]) -> None:
    """Add a comparison to what is wanted of its column, or to what must be looked at row by row."""
    asked = wanted(part, flipped, column)
    if asked is None:
        looked_at.append(Not(part) if flipped else part)
    else:
        there = groups.get(part.column)
        groups[part.column] = asked if there is None else there.joined(asked, both=both)  # type: ignore[arg-type]


def _cost(group: Wanted) -> tuple[bool, int]:
    """Ranges of numbers come last: where few rows are left by then, those are tested and no place in the order is looked for."""
    return (True, 0) if isinstance(group, Numbers) else (False, group.count)


def _all(parts: _Parts, columns: Mapping[str, Column], within: Selection) -> Selection:
    """Keep the rows that meet everything, what is cheap and rare first."""
    found = within
    for group in sorted(parts.groups, key=_cost) if len(parts.groups) > 1 else parts.groups:
        found = group.rows(found)
    for compound in parts.compounds:
        found = _rows(compound, columns, found)
    return _look(And(tuple(parts.looked_at)), columns, found) if parts.looked_at else found


def _any(parts: _Parts, columns: Mapping[str, Column], within: Selection) -> Selection:
    """Keep the rows that meet anything."""
    found = nothing(within.rows)
    for group in parts.groups:
        found = found | group.rows(within)
    for compound in parts.compounds:
        found = found | _rows(compound, columns, within)
    return found | _look(Or(tuple(parts.looked_at)), columns, within & ~found) if parts.looked_at else found


def _look(node: Filter, columns: Mapping[str, Column], within: Selection) -> Selection:
    """Evaluate a condition row by row."""
    from vidsearch.filters.evaluate import evaluate  # its kernels take 0.1 s to load

    if not within.count:
        return within
    names = sorted(node.columns)
    if within.count * 2 >= within.rows:
        table = pa.Table.from_arrays([columns[name].arrow() for name in names], names=names)
        return within & Selection.of_mask(evaluate(node, table))
    table = pa.Table.from_arrays([columns[name].arrow(within.ids) for name in names], names=names)
    return Selection.of_ids(within.rows, within.ids[evaluate(node, table)])


def _bare(term: Term) -> Term:
    node, negated = term
    while isinstance(node, Not):
        node, negated = node.term, not negated
    return node, negated


def _flat(node: Filter, negated: bool, both: bool) -> Iterator[Term]:
    """Yield the terms of a chain of the same connective."""
    node, negated = _bare((node, negated))
    if isinstance(node, And | Or) and (isinstance(node, Or) if negated else isinstance(node, And)) == both:
        for term in node.terms:
            yield from _flat(term, negated, both)
    else:
        yield node, negated


def _constant(node: Filter, negated: bool, columns: Mapping[str, Column]) -> bool | None:
    """Return whether a condition is true for all rows, or for none, without looking at any; None where that depends."""
    if isinstance(node, Constant):
        return node.value != negated
    if isinstance(node, Compare | OneOf | Like | IsNull) and (node.column not in columns or types.is_null(columns[node.column].type)):
        return isinstance(node, IsNull) and not negated
    return None

"""A filter and a segment's columns → the rows that pass, from bitmaps, lists and orders made when the segment was written.

Only what is true passes, and `not` changes what is asked of each comparison instead of turning its rows around, since null stays null:

    not (a = 1 or b < 2)   →   a != 1 and b >= 2

So each part of the tree gives the rows for which it is true, and `and` and `or` join them. What no structure answers, such as `like` over
many texts, is evaluated row by row, on the rows that the rest leaves in question.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import pyarrow as pa
from pyarrow import types

from vidsearch.filters._columns import Column
from vidsearch.filters._wanted import Asked, Numbers, Term, Wanted
from vidsearch.filters.tree import And, Compare, Constant, Filter, IsNull, Like, Not, OneOf, Or
from vidsearch.selection import Selection, everything, nothing

Columns = Mapping[str, Column]


class Selector:
    """A filter taken apart once, to be asked of many segments.

        passing = [Selector(condition).rows(segment.columns, segment.rows) for segment in segments]

    Args:
        condition: the filter.
        negated: whether it must be false rather than true.
    """

    def __init__(self, condition: Filter, *, negated: bool = False) -> None:
        condition, negated = _bare(condition, negated)
        self._both = isinstance(condition, Or) if negated else not isinstance(condition, Or)
        self._constants: set[bool] = set()
        self._compounds: list[Selector] = []
        terms: dict[str, list[Term]] = {}
        for part, flipped in _flat(condition, negated, self._both):
            if isinstance(part, Constant):
                self._constants.add(part.value != flipped)
            elif isinstance(part, Compare | OneOf | Like | IsNull):
                terms.setdefault(part.column, []).append((part, flipped))
            elif isinstance(part, And | Or):
                self._compounds.append(Selector(part, negated=flipped))
            else:
                raise TypeError(f"{type(part).__name__} is not a filter")
        self._asked = [Asked(name, group, both=self._both) for name, group in terms.items()]

    def rows(self, columns: Columns, rows: int) -> Selection:
        """Return the rows of a segment for which the filter is true: those that `evaluate` finds in its table.

        Args:
            columns: those of the segment; one that it lacks is null throughout.
            rows: of the segment.

        Raises:
            FilterError: a column's type is not the one the filter was parsed for.
            IndexCorruptError: the columns hold what cannot be.
        """
        return self._rows(columns, everything(rows))

    def _rows(self, columns: Columns, within: Selection) -> Selection:
        """Return the rows of `within` that meet the condition."""
        constants, groups, looked_at = set(self._constants), [], []
        for asked in self._asked:
            column = columns.get(asked.name)
            if column is None or (column.kind == "other" and types.is_null(column.type)):
                constants.add(asked.constant)
                continue
            wanted, rest = asked.of(column)
            if wanted is not None:
                groups.append(wanted)
            looked_at += rest
        if (not self._both) in constants:  # false and …; true or …
            return nothing(within.rows) if self._both else within
        return (self._all if self._both else self._any)(groups, looked_at, columns, within)

    def _all(self, groups: list[Wanted], looked_at: list[Filter], columns: Columns, within: Selection) -> Selection:
        """Keep the rows that meet everything, what is cheap and rare first."""
        if len(groups) > 1:
            groups.sort(key=_cost)
        for group in groups:
            within = group.rows(within)
        for compound in self._compounds:
            within = compound._rows(columns, within)
        return _look(And(tuple(looked_at)), columns, within) if looked_at else within

    def _any(self, groups: list[Wanted], looked_at: list[Filter], columns: Columns, within: Selection) -> Selection:
        """Keep the rows that meet anything."""
        found = nothing(within.rows)
        for group in groups:
            found = found | group.rows(within)
        for compound in self._compounds:
            found = found | compound._rows(columns, within)
        return found | _look(Or(tuple(looked_at)), columns, within & ~found) if looked_at else found


def select(condition: Filter, columns: Columns, rows: int) -> Selection:
    """Return the rows of one segment for which a filter is true; see `Selector.rows`."""
    return Selector(condition).rows(columns, rows)


def _cost(group: Wanted) -> tuple[bool, int]:
    """Ranges of numbers come last: where few rows are left by then, those are tested and no place in the order is looked for."""
    return (True, 0) if isinstance(group, Numbers) else (False, group.count())


def _look(node: Filter, columns: Columns, within: Selection) -> Selection:
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


def _bare(node: Filter, negated: bool) -> tuple[Filter, bool]:
    while isinstance(node, Not):
        node, negated = node.term, not negated
    return node, negated


def _flat(node: Filter, negated: bool, both: bool) -> Iterator[tuple[Filter, bool]]:
    """Yield the terms of a chain of the same connective."""
    node, negated = _bare(node, negated)
    if isinstance(node, And | Or) and (isinstance(node, Or) if negated else isinstance(node, And)) == both:
        for term in node.terms:
            yield from _flat(term, negated, both)
    else:
        yield node, negated

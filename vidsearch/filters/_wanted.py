"""What the comparisons with one column want of it: a set of values, from which the rows follow without looking at every row."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import and_, ge, gt, le, lt, ne, or_
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa

from vidsearch.filters._columns import CategoryColumn, Column, NumberColumn, OtherColumn, TextColumn
from vidsearch.filters._kinds import check_value
from vidsearch.filters._ranges import ALL, EMPTY, Ranges, ranges_of
from vidsearch.filters._values import array
from vidsearch.filters.tree import Compare, Filter, IsNull, Like, Not, OneOf
from vidsearch.selection import Ids, Mask, Selection, nothing

Leaf: TypeAlias = Compare | OneOf | Like | IsNull
Term = tuple[Leaf, bool]  # a comparison, and whether it must be false rather than true
FEW_ROWS = 4096  # so many listed rows are tested one by one: of more, the cache misses cost more than a bitmap
FEW_CUTS = 4
MAX_ANSWERS = 256  # kept of each column of few values

_OPERATORS = {"!=": ne, "<": lt, "<=": le, ">": gt, ">=": ge}


@dataclass
class Numbers:
    """Ranges of numbers, and whether rows without one are wanted."""

    column: NumberColumn
    ranges: Ranges
    nulls: bool

    def rows(self, within: Selection) -> Selection:
        """Return those rows of a selection that have what is wanted."""
        if within.listed and within.count <= FEW_ROWS and len(self.ranges.cuts) <= FEW_CUTS:
            return Selection.of_ids(within.rows, within.ids[self._test(within.ids)])
        found = self.column.spans(self._spans())
        return within & (found | self.column.nulls if self.nulls else found)

    def _spans(self) -> list[tuple[int, int]]:
        """Return the places of the column's order that the ranges cover."""
        places, column = [], self.column
        for low, high in self.ranges.pairs:
            start = 0 if low is None else column.place(low[0], after=low[1])
            stop = column.places if high is None else column.place(high[0], after=high[1])
            if start < stop:
                places.append((start, stop))
        return places

    def _test(self, ids: Ids) -> Mask:
        values = self.column.values[ids]
        known = self.column.known(ids) if self.nulls or values.dtype.kind != "f" or self.ranges == ALL else True
        wanted = np.zeros(len(ids), dtype=np.bool_)
        for low, high in self.ranges.pairs:
            inside = known  # comparisons leave NaN out by themselves
            if low is not None:
                inside = inside & (values > low[0] if low[1] else values >= low[0])
            if high is not None:
                inside = inside & (values <= high[0] if high[1] else values < high[0])
            wanted |= inside
        return wanted | np.logical_not(known) if self.nulls else wanted


@dataclass
class Codes:
    """Some of a column's few values, its code for null among them."""

    column: CategoryColumn
    codes: frozenset[int]

    def count(self) -> int:
        return self.column.total(self.codes)

    def rows(self, within: Selection) -> Selection:
        """Return those rows of a selection that have what is wanted."""
        if within.listed and within.count <= FEW_ROWS:
            return Selection.of_ids(within.rows, within.ids[self.column.has(self.codes, within.ids)])
        return within & self.column.rows_with(self.codes)


@dataclass
class Texts:
    """Some texts, or all but those, and whether rows without a text are wanted; of a type that can only be null, no texts or all."""

    column: TextColumn | OtherColumn
    texts: frozenset[str]
    excluded: bool
    nulls: bool

    def joined(self, other: Texts, *, both: bool) -> Texts:
        if not both:  # a or b = not (not a and not b)
            return self._turned().joined(other._turned(), both=True)._turned()
        nulls, mine, others = self.nulls and other.nulls, self.texts, other.texts
        if self.excluded == other.excluded:
            return Texts(self.column, mine | others if self.excluded else mine & others, self.excluded, nulls)
        return Texts(self.column, others - mine if self.excluded else mine - others, False, nulls)

    def _turned(self) -> Texts:
        return Texts(self.column, self.texts, not self.excluded, not self.nulls)

    def count(self) -> int:
        return 0 if not self.excluded else self.column.rows

    def rows(self, within: Selection) -> Selection:
        """Return those rows of a selection that have what is wanted."""
        named = nothing(self.column.rows)
        if self.column.kind == "text":
            for text in self.texts:
                named = named | self.column.rows_of(text)
        if self.excluded != self.nulls:  # the nulls go with the texts that are named
            named = named | self.column.nulls
        return within & (~named if self.excluded else named)


Wanted: TypeAlias = Numbers | Codes | Texts


class Asked:
    """All comparisons of one connective with one column; asked of the column of each segment in turn.

    Attributes:
        name: the column.
        constant: whether it is met where the column is null throughout.
    """

    def __init__(self, name: str, terms: Sequence[Term], *, both: bool) -> None:
        self.name = name
        truths = [isinstance(leaf, IsNull) and not negated for leaf, negated in terms]
        self.constant = all(truths) if both else any(truths)
        self._terms, self._join, self._both = terms, and_ if both else or_, both
        self._numbers: dict[pa.DataType, tuple[Ranges, bool]] = {}
        self._checked: set[pa.DataType] = set()
        self._found = [(_finder(leaf), negated) for leaf, negated in terms]
        self._texts = [term for term in terms if _is_equality(term[0])]
        self._looked_at: list[Filter] = [Not(leaf) if negated else leaf for leaf, negated in terms if not _is_equality(leaf)]
        self._nulls = [term for term in terms if isinstance(term[0], IsNull)]
        self._all_but_nulls: list[Filter] = [Not(leaf) if negated else leaf for leaf, negated in terms if not isinstance(leaf, IsNull)]

    def of(self, column: Column) -> tuple[Wanted | None, list[Filter]]:
        """Return what is wanted of a column, and the conditions that only looking at its values tells.

        Raises:
            FilterError: the column's type is not the one the filter was parsed for.
        """
        if column.kind == "category":
            self._check(column.type)
            codes = [_codes(find(column), negated, column) for find, negated in self._found]
            return Codes(column, codes[0] if len(codes) == 1 else reduce(self._join, codes)), []
        if column.kind == "number":
            ranges, nulls = self._numbers.get(column.type) or self._ranges(column.type)
            return Numbers(column, ranges, nulls), []
        if column.kind == "text":
            self._check(column.type)
            texts = [_texts(leaf, negated, column) for leaf, negated in self._texts]
            return self._united(texts), self._looked_at
        return self._united([_of_nulls(column, nulls=not negated) for _, negated in self._nulls]), self._all_but_nulls

    def _united(self, texts: list[Texts]) -> Texts | None:
        return reduce(lambda one, other: one.joined(other, both=self._both), texts) if texts else None

    def _ranges(self, column_type: pa.DataType) -> tuple[Ranges, bool]:
        self._check(column_type)
        found = [_ranges(leaf, negated, column_type) for leaf, negated in self._terms]
        united = reduce(self._join, (ranges for ranges, _ in found)), reduce(self._join, (nulls for _, nulls in found))
        self._numbers[column_type] = united
        return united

    def _check(self, column_type: pa.DataType) -> None:
        """Refuse comparisons of unlike types, once a type."""
        if column_type not in self._checked:
            for leaf, _ in self._terms:
                if not isinstance(leaf, IsNull):
                    ordered = isinstance(leaf, Like) or (isinstance(leaf, Compare) and leaf.operator not in ("=", "!="))
                    for value in _values(leaf):
                        check_value(leaf.column, column_type, value, ordered=ordered)
            self._checked.add(column_type)


def _values(leaf: Compare | OneOf | Like) -> tuple[Any, ...]:
    return leaf.values if isinstance(leaf, OneOf) else (leaf.pattern if isinstance(leaf, Like) else leaf.value,)


def _is_equality(leaf: Leaf) -> bool:
    return isinstance(leaf, IsNull | OneOf) or (isinstance(leaf, Compare) and leaf.operator in ("=", "!="))


def _ranges(leaf: Leaf, negated: bool, column_type: pa.DataType) -> tuple[Ranges, bool]:
    """Return the numbers that are wanted, and whether none is."""
    if isinstance(leaf, IsNull):
        return (ALL, False) if negated else (EMPTY, True)
    if isinstance(leaf, Like):
        raise TypeError("numbers are never like a text")  # check_value has refused it
    ranges = ranges_of(leaf, column_type)
    return (~ranges if negated else ranges), False


def _texts(leaf: Leaf, negated: bool, column: TextColumn) -> Texts:
    if isinstance(leaf, IsNull):
        return _of_nulls(column, nulls=not negated)
    unequal = isinstance(leaf, Compare) and leaf.operator == "!="
    return Texts(column, frozenset(map(str, _values(leaf))), excluded=unequal != negated, nulls=False)


def _of_nulls(column: TextColumn | OtherColumn, *, nulls: bool) -> Texts:
    return Texts(column, frozenset(), excluded=not nulls, nulls=nulls)


def _codes(codes: frozenset[int], negated: bool, column: CategoryColumn) -> frozenset[int]:
    return frozenset(range(len(column.values))) - codes if negated else codes


def _finder(leaf: Leaf) -> Callable[[CategoryColumn], frozenset[int]]:
    """Return what gives the codes of the values that meet a condition."""
    if isinstance(leaf, IsNull):
        return lambda column: frozenset((len(column.values),))
    if isinstance(leaf, OneOf) or (isinstance(leaf, Compare) and leaf.operator == "="):
        values = _values(leaf)
        return lambda column: frozenset(column.code_of[value] for value in values if value in column.code_of)
    return lambda column: _answer(leaf, column)


def _answer(leaf: Compare | Like, column: CategoryColumn) -> frozenset[int]:
    found = column.answers.get(leaf)
    if found is None:
        if len(column.answers) >= MAX_ANSWERS:
            column.answers.clear()
        found = column.answers[leaf] = frozenset(np.flatnonzero(_truths(leaf, column.values)).tolist())
    return found


def _truths(leaf: Compare | Like, values: tuple[Any, ...]) -> Any:
    """Return which of a column's values meet a condition."""
    if isinstance(leaf, Compare):
        return [_OPERATORS[leaf.operator](value, leaf.value) for value in values]
    from vidsearch.filters.evaluate import evaluate  # its kernels take 0.1 s to load

    texts = array(values, pa.large_string())
    return evaluate(leaf, pa.Table.from_arrays([texts], names=[leaf.column]))

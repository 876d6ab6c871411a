"""What one comparison, or several with the same column, wants of it: a set of values, from which the rows follow."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, reduce
from operator import and_, ge, gt, le, lt, or_
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa

from vidsearch.filters._columns import CategoryColumn, Column, NumberColumn, OtherColumn, TextColumn
from vidsearch.filters._kinds import check_value
from vidsearch.filters._ranges import ALL, EMPTY, Ranges, ranges_of
from vidsearch.filters._values import array
from vidsearch.filters.tree import Compare, IsNull, Like, OneOf
from vidsearch.selection import Ids, Mask, Selection, nothing

Leaf: TypeAlias = Compare | OneOf | Like | IsNull
FEW_ROWS = 4096  # so many listed rows are tested one by one rather than against a bitmap made for it
FEW_CUTS = 4
MAX_ANSWERS = 256  # kept of each column of few values

_OPERATORS = {"<": lt, "<=": le, ">": gt, ">=": ge}


@dataclass(frozen=True)
class Numbers:
    """Ranges of numbers, and whether rows without one are wanted."""

    column: NumberColumn
    ranges: Ranges
    nulls: bool

    def joined(self, other: Numbers, *, both: bool) -> Numbers:
        operator = and_ if both else or_
        return Numbers(self.column, operator(self.ranges, other.ranges), operator(self.nulls, other.nulls))

    @property
    def count(self) -> int:
        found = sum(stop - start for start, stop in self.spans)
        return found + (self.column.rows - self.column.places if self.nulls else 0)

    @cached_property
    def spans(self) -> list[tuple[int, int]]:
        """The places of the column's order that the ranges cover."""
        places, column = [], self.column
        for low, high in self.ranges.pairs:
            start = 0 if low is None else column.place(low[0], after=low[1])
            places.append((start, column.places if high is None else column.place(high[0], after=high[1])))
        return [(start, stop) for start, stop in places if start < stop]

    def rows(self, within: Selection) -> Selection:
        if within.listed and within.count <= FEW_ROWS and len(self.ranges.cuts) <= FEW_CUTS:
            return Selection.of_ids(within.rows, within.ids[self._test(within.ids)])
        found = self.column.spans(self.spans)
        return within & (found | self.column.nulls if self.nulls else found)

    def _test(self, ids: Ids) -> Mask:
        values, known = self.column.values[ids], self.column.known(ids)
        wanted = np.zeros(len(ids), dtype=np.bool_)
        for low, high in self.ranges.pairs:
            inside = known
            if low is not None:
                inside = inside & (values > low[0] if low[1] else values >= low[0])
            if high is not None:
                inside = inside & (values <= high[0] if high[1] else values < high[0])
            wanted |= inside
        return wanted | ~known if self.nulls else wanted


@dataclass(frozen=True)
class Codes:
    """Some of a column's few values, its code for null among them."""

    column: CategoryColumn
    codes: frozenset[int]

    def joined(self, other: Codes, *, both: bool) -> Codes:
        return Codes(self.column, self.codes & other.codes if both else self.codes | other.codes)

    @property
    def count(self) -> int:
        return self.column.total(self.codes)

    def rows(self, within: Selection) -> Selection:
        if within.listed and within.count <= FEW_ROWS:
            return Selection.of_ids(within.rows, within.ids[self.column.has(self.codes, within.ids)])
        return within & self.column.rows_with(self.codes)


@dataclass(frozen=True)
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

    @property
    def count(self) -> int:
        return self.found.count

    @cached_property
    def found(self) -> Selection:
        empty = nothing(self.column.rows)
        named = reduce(or_, (self.column.rows_of(text) for text in self.texts), empty) if self.column.kind == "text" else empty
        if self.excluded != self.nulls:  # the nulls go with the texts that are named
            named = named | self.column.nulls
        return ~named if self.excluded else named

    def rows(self, within: Selection) -> Selection:
        return within & self.found


Wanted: TypeAlias = Numbers | Codes | Texts


def wanted(node: Leaf, negated: bool, column: Column) -> Wanted | None:
    """Return what makes a comparison true, or false if `negated`; None where only looking at every value tells."""
    if isinstance(node, IsNull):
        return _of_nulls(column, nulls=not negated)
    if column.kind == "category":
        codes = _codes(node, column)
        return Codes(column, frozenset(range(len(column.values))) - codes if negated else codes)
    if column.kind == "number" and isinstance(node, Compare | OneOf):
        ranges = ranges_of(node, column.type)
        return Numbers(column, ~ranges if negated else ranges, nulls=False)
    if column.kind == "text" and (isinstance(node, OneOf) or (isinstance(node, Compare) and node.operator in ("=", "!="))):
        values = node.values if isinstance(node, OneOf) else (node.value,)
        for value in values:
            check_value(node.column, column.type, value, ordered=False)
        unequal = isinstance(node, Compare) and node.operator == "!="
        return Texts(column, frozenset(map(str, values)), excluded=unequal != negated, nulls=False)
    return None


def _of_nulls(column: Column, *, nulls: bool) -> Wanted:
    if column.kind == "category":
        null = len(column.values)
        return Codes(column, frozenset((null,)) if nulls else frozenset(range(null)))
    if column.kind == "number":
        return Numbers(column, EMPTY if nulls else ALL, nulls)
    return Texts(column, frozenset(), excluded=not nulls, nulls=nulls)


def _codes(node: Compare | OneOf | Like, column: CategoryColumn) -> frozenset[int]:
    """Return the codes of the values that meet a condition."""
    values: tuple[Any, ...] = node.values if isinstance(node, OneOf) else (node.pattern if isinstance(node, Like) else node.value,)
    ordered = isinstance(node, Like) or (isinstance(node, Compare) and node.operator not in ("=", "!="))
    for value in values:
        check_value(node.column, column.type, value, ordered=ordered)
    if isinstance(node, OneOf) or (isinstance(node, Compare) and node.operator == "="):
        return frozenset(column.code_of[value] for value in values if value in column.code_of)
    codes = column.answers.get(node)
    if codes is None:
        if len(column.answers) >= MAX_ANSWERS:
            column.answers.clear()
        codes = column.answers[node] = frozenset(np.flatnonzero(_truths(node, column.values)).tolist())
    return codes


def _truths(node: Compare | Like, values: tuple[Any, ...]) -> Any:
    """Return which of a column's values meet a condition."""
    if isinstance(node, Compare):
        if node.operator == "!=":
            return [value != node.value for value in values]
        return [_OPERATORS[node.operator](value, node.value) for value in values]
    from vidsearch.filters.evaluate import evaluate  # its kernels take 0.1 s to load

    texts = array(values, pa.large_string())
    return evaluate(node, pa.Table.from_arrays([texts], names=[node.column]))

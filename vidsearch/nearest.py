"""Queries and the rows that may answer → the nearest rows of each, through the segments' indexes or by scoring every row."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from vidsearch.calibration import NEAR, Estimate, Settings
from vidsearch.indexes._exact import Ranker, rank_with_kernel, rank_with_numpy, scan
from vidsearch.indexes.base import Best, Candidates, Ids, Queries, Scores, VectorIndex, Vectors
from vidsearch.selection import Selection

GATHERED_ROWS = 50_000  # from there on a matrix product over widened rows is no slower than scoring rows one by one


@dataclass(frozen=True)
class Part:
    """One segment as ranking sees it.

    Attributes:
        vectors: (n, dim) float16.
        selection: rows that may be found.
        first: number of its first row among those of all segments.
        index: None where every row is to be scored.
    """

    vectors: Vectors
    selection: Selection
    first: int
    index: VectorIndex | None = None

    @property
    def codes(self) -> VectorIndex:
        """Its index, where that is known to be there."""
        if self.index is None:
            raise TypeError("a part that is scored whole has no codes")
        return self.index


@dataclass(frozen=True)
class Choice:
    """Where the codes are compared.

    Attributes:
        lists: for each query the inverted lists to visit, nearest first.
        estimates: for each query the setting that was used.
        kept: candidates to keep for each query.
    """

    lists: tuple[Ids, ...]
    estimates: tuple[Estimate, ...]
    kept: int


@dataclass(frozen=True)
class Found:
    """The nearest rows of one query, best first, rows of equal score by number; and what it took.

    Attributes:
        rows, scores: (m,) int64 and float32, exact inner products.
        lists: inverted lists visited.
        codes: rows compared by their codes, on average over the queries asked together.
        scored: rows scored exactly.
        estimate: the setting that was used; None where every row was scored.
    """

    rows: Ids
    scores: Scores
    lists: int = 0
    codes: int = 0
    scored: int = 0
    estimate: Estimate | None = None


def by_score(parts: Sequence[Part], queries: Queries, depth: int, *, kernels: bool) -> list[Found]:
    """Score every row that may be found.

    Args:
        parts: the segments.
        queries: (q, dim) float32.
        depth: rows wanted.
        kernels: score rows with the compiled kernel; the same choice for all plans of an index, so that equal rows score equally.
    """
    rank: Ranker = rank_with_kernel if kernels else rank_with_numpy
    found: list[list[tuple[Scores, Ids]]] = [[] for _ in queries]
    for part in parts:
        if not part.selection.count:
            continue
        if kernels and len(queries) * part.selection.count <= GATHERED_ROWS and not part.selection.everything:
            best: Iterable[tuple[Scores, Ids]] = (rank(query, part.vectors, part.selection.ids, depth) for query in queries)
        else:
            best = scan(queries, part.vectors, depth, part.selection, rank=rank)
        for query, (scores, rows) in enumerate(best):
            found[query].append((scores, rows + part.first))
    scored = sum(part.selection.count for part in parts)
    return [Found(*merge_best(merged, depth), scored=scored) for merged in found]


def by_codes(parts: Sequence[Part], queries: Queries, depth: int, settings: Settings) -> list[Found]:
    """Compare the codes of the nearest lists' rows, and score the best candidates exactly.

    The lists to visit are chosen once for all segments: the nearest, until they hold the wanted share of the rows that pass.
    """
    shared, alone = by_kind(parts)
    if not len(queries):
        return []
    choice, candidates = None, Candidates.empty(len(queries), 1)
    if shared:
        prepared = shared[0].codes.prepare(queries)
        choice = choose(shared, prepared, depth, settings)
        candidates = collect(shared, prepared, choice)
    found = []
    for number, query in enumerate(queries):
        rows = candidates.of(number)
        held = [*_rescored(shared, rows, query, depth), *scan_all(alone, query, depth)]
        scored = len(rows) + sum(part.selection.count for part in alone)
        found.append(found_by(choice, number, held, depth, codes=candidates.compared // len(queries), scored=scored))
    return found


def by_kind(parts: Sequence[Part]) -> tuple[list[Part], list[Part]]:
    """Return the parts of which rows pass: those whose codes are compared together, and those of which every row is scored."""
    asked = [part for part in parts if part.selection.count]
    shared = [part for part in asked if part.index is not None and not part.index.exact]
    return shared, [part for part in asked if part.index is None or part.index.exact]


def choose(parts: Sequence[Part], prepared: Any, depth: int, settings: Settings) -> Choice:
    """Return which lists are visited; neither vectors nor codes are read for that."""
    from vidsearch.indexes._kernels import choose_lists, concentration  # compiled code is loaded by the first index that has codes

    counts = [part.codes.counts(part.selection) for part in parts]
    held = counts[0] if len(counts) == 1 else np.sum(counts, axis=0)
    passing = int(held.sum())
    filtered = any(not part.selection.everything for part in parts)
    sizes = np.sum([part.codes.sizes for part in parts], axis=0) if filtered else held
    visits, estimates = [], []
    for order in parts[0].codes.nearest_lists(prepared):
        estimate = settings.at(concentration(order, held, sizes, NEAR)) if filtered else settings.plain
        share = max(estimate.share, 1.5 * depth / passing)  # the lists visited must hold enough rows
        visits.append(choose_lists(order, held, min(1.0, share) * passing))
        estimates.append(estimate)
    kept = max(depth, *(estimate.depth for estimate in estimates))
    return Choice(tuple(visits), tuple(estimates), kept)


def collect(parts: Sequence[Part], prepared: Any, choice: Choice) -> Candidates:
    """Return the best rows of the lists visited, by their codes."""
    candidates = Candidates.empty(len(choice.lists), choice.kept)
    candidates.lists[:] = [len(chosen) for chosen in choice.lists]
    share = max(estimate.share for estimate in choice.estimates)
    for part in parts:
        part.codes.collect(prepared, choice.lists, part.selection, share=share, depth=choice.kept, first=part.first, into=candidates)
    return candidates


def scan_all(parts: Sequence[Part], query: npt.NDArray[np.float32], depth: int) -> Iterable[Best]:
    """Yield the best rows of each part for one query, every row that passes scored."""
    for part in parts:
        scores, ids = scan(query[None], part.vectors, depth, part.selection, rank=rank_with_kernel)[0]
        yield scores, ids + part.first


def found_by(choice: Choice | None, query: int, held: Sequence[Best], depth: int, *, codes: int, scored: int) -> Found:
    """Return what was found for one query in parts that are sorted each."""
    rows, scores = merge_best(held, depth)
    if choice is None:
        return Found(rows, scores, codes=codes, scored=scored)
    return Found(rows, scores, len(choice.lists[query]), codes, scored, choice.estimates[query])


def _rescored(parts: Sequence[Part], rows: Ids, query: npt.NDArray[np.float32], depth: int) -> Iterable[tuple[Scores, Ids]]:
    for part in parts:
        own = rows if len(parts) == 1 else rows[(rows >= part.first) & (rows < part.first + len(part.vectors))]
        if len(own):
            scores, ids = rank_with_kernel(query, part.vectors, own - part.first, depth)
            yield scores, ids + part.first


def merge_best(found: Sequence[Best], depth: int) -> tuple[Ids, Scores]:
    """Merge parts that are sorted each, by score and then by row number; returns rows and scores."""
    if len(found) == 1:
        scores, rows = found[0]
        return rows, scores
    scores = np.concatenate([np.zeros(0, np.float32), *(scores for scores, _ in found)])
    rows = np.concatenate([np.zeros(0, np.int64), *(rows for _, rows in found)])
    best = np.lexsort((rows, -scores))[:depth]
    return rows[best], scores[best]

"""Queries and the rows that may answer → the nearest rows of each, through the segments' indexes or by scoring every row."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vidsearch.calibration import NEAR, Estimate, Settings
from vidsearch.indexes._exact import Ranker, rank_with_kernel, rank_with_numpy, scan
from vidsearch.indexes.base import Candidates, Ids, Queries, Scores, VectorIndex, Vectors
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
    return [Found(*_best(merged, depth), scored=scored) for merged in found]


def by_codes(parts: Sequence[Part], queries: Queries, depth: int, settings: Settings) -> list[Found]:
    """Compare the codes of the nearest lists' rows, and score the best candidates exactly.

    The lists to visit are chosen once for all segments: the nearest, until they hold the wanted share of the rows that pass.
    """
    asked = [part for part in parts if part.selection.count]
    shared = [part for part in asked if part.index is not None and not part.index.exact]
    alone = [part for part in asked if part.index is None or part.index.exact]
    if not len(queries):
        return []
    candidates, estimates = _probe(shared, queries, depth, settings) if shared else (Candidates.empty(len(queries), 1), [])
    found = []
    for number, query in enumerate(queries):
        rows = candidates.of(number)
        held = [*_rescored(shared, rows, query, depth)]
        for part in alone:
            scores, ids = scan(query[None], part.vectors, depth, part.selection, rank=rank_with_kernel)[0]
            held.append((scores, ids + part.first))
        scored = len(rows) + sum(part.selection.count for part in alone)
        codes = candidates.compared // len(queries)
        estimate = estimates[number] if estimates else None
        found.append(Found(*_best(held, depth), lists=int(candidates.lists[number]), codes=codes, scored=scored, estimate=estimate))
    return found


def _probe(parts: Sequence[Part], queries: Queries, depth: int, settings: Settings) -> tuple[Candidates, list[Estimate]]:
    """Return what the codes find for each query, and the setting that was used for it."""
    from vidsearch.indexes._kernels import choose_lists, concentration  # compiled code is loaded by the first index that has codes

    indexes = [part.index for part in parts if part.index is not None]
    prepared = indexes[0].prepare(queries)
    counts = [index.counts(part.selection) for index, part in zip(indexes, parts, strict=True)]
    held = counts[0] if len(counts) == 1 else np.sum(counts, axis=0)
    passing = int(held.sum())
    filtered = any(not part.selection.everything for part in parts)
    sizes = np.sum([index.sizes for index in indexes], axis=0) if filtered else held
    visits, estimates = [], []
    for order in indexes[0].nearest_lists(prepared):
        estimate = settings.at(concentration(order, held, sizes, NEAR)) if filtered else settings.plain
        share = max(estimate.share, 1.5 * depth / passing)  # the lists visited must hold enough rows
        visits.append(choose_lists(order, held, min(1.0, share) * passing))
        estimates.append(estimate)
    kept = max(depth, *(estimate.depth for estimate in estimates))
    candidates = Candidates.empty(len(queries), kept)
    candidates.lists[:] = [len(chosen) for chosen in visits]
    share = max(estimate.share for estimate in estimates)
    for index, part in zip(indexes, parts, strict=True):
        index.collect(prepared, visits, part.selection, share=share, depth=kept, first=part.first, into=candidates)
    return candidates, estimates


def _rescored(parts: Sequence[Part], rows: Ids, query: npt.NDArray[np.float32], depth: int) -> Iterable[tuple[Scores, Ids]]:
    for part in parts:
        own = rows if len(parts) == 1 else rows[(rows >= part.first) & (rows < part.first + len(part.vectors))]
        if len(own):
            scores, ids = rank_with_kernel(query, part.vectors, own - part.first, depth)
            yield scores, ids + part.first


def _best(found: Sequence[tuple[Scores, Ids]], depth: int) -> tuple[Ids, Scores]:
    """Merge parts that are sorted each."""
    if len(found) == 1:
        scores, rows = found[0]
        return rows, scores
    scores = np.concatenate([np.zeros(0, np.float32), *(scores for scores, _ in found)])
    rows = np.concatenate([np.zeros(0, np.int64), *(rows for _, rows in found)])
    best = np.lexsort((rows, -scores))[:depth]
    return rows[best], scores[best]

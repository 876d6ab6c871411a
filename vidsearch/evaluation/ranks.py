"""Scores → where the right answers stand: blocks of scores in, one value a query out; the whole matrix is never held.

    ranks = rank(cosines(texts, videos), clip_of, np.arange(len(videos)))   # each caption a query
    ranks.hit(1).mean()                                                     # R@1

Scores may tie, so ranks are those of a random order among equals, on average: a model that gives every pair one score is at chance.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vidsearch.errors import UsageError

BLOCK_SCORES = 1 << 22  # 16 MB; with what comparing them takes, 40 MB

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]
Blocks = Callable[[], Iterator[Floats]]  # every call yields the same: some queries' scores of all candidates, queries in order


@dataclass(frozen=True, repr=False)
class Ranks:
    """Where the best right answer of each query stands; all (queries,) int64.

    Attributes:
        above: wrong answers of a higher score.
        ties: wrong answers of the same score.
        rights: right answers of that score, at least 1.
    """

    above: Counts
    ties: Counts
    rights: Counts

    def __repr__(self) -> str:
        return f"Ranks({len(self.above):,} queries)"

    def hit(self, k: int) -> Doubles:
        """Return the chance of each query that a right answer is among its first k: 0 or 1 where nothing ties.

        Equals come in random order, so of m right and t wrong ones the first j are all wrong with the chance C(t, j) / C(t + m, j).
        """
        all_wrong = np.ones(len(self.above))
        for place in range(k):
            among = self.above + place < k  # so many of the equals are among the first k
            left = np.maximum(self.ties - place, 0)
            all_wrong = np.where(among, all_wrong * left / np.maximum(left + self.rights, 1), all_wrong)
        return np.where(self.above < k, 1 - all_wrong, 0.0)

    def expected(self) -> Doubles:
        """Return the expected rank of each query's first right answer, 1 or more: the least of m numbers drawn from t + m."""
        expected: Doubles = self.above + (self.ties + self.rights + 1) / (self.rights + 1)
        return expected


def cosines(queries: Floats, candidates: Floats) -> Blocks:
    """Return the inner products of (q, dim) and (c, dim) float32 unit rows, some queries at a time."""

    def blocks() -> Iterator[Floats]:
        step = max(1, BLOCK_SCORES // max(1, len(candidates)))
        for start in range(0, len(queries), step):
            yield queries[start : start + step] @ candidates.T

    return blocks


def dual_softmax(scores: Blocks, *, temperature: float = 1.0) -> Blocks:
    """Return s * softmax(s / temperature over the queries), for each candidate: what a candidate is asked for most counts less elsewhere.

    After Cheng et al. 2021 (CAMoE, arXiv 2109.04290); with temperature 1 as in ViCLIP's released evaluation, where it changes little. It
    looks at all queries together, so it is no measure of a search engine. Costs the scores a second time, to sum them.
    """
    if not temperature > 0:
        raise UsageError(f"a temperature of {temperature} must be above 0")
    log_sums = _log_sums(scores, np.float32(1 / temperature))

    def blocks() -> Iterator[Floats]:
        for block in scores():
            yield block * np.exp(block * np.float32(1 / temperature) - log_sums)

    return blocks


def rank(scores: Blocks, of_query: Counts, of_candidate: Counts) -> Ranks:
    """Compare each query's best right answer with all candidates.

    Args:
        scores: see `Blocks`.
        of_query: (q,) what each query asks for; a candidate is right where it has the same number.
        of_candidate: (c,)

    Raises:
        UsageError: a query has no right answer.
    """
    if not np.isin(of_query, of_candidate).all():
        raise UsageError(f"{int((~np.isin(of_query, of_candidate)).sum()):,} queries have no right answer among the candidates")
    parts: list[npt.NDArray[np.int64]] = []
    start = 0
    for block in scores():
        right = of_query[start : start + len(block), None] == of_candidate
        best = np.where(right, block, -np.inf).max(axis=1, keepdims=True)
        equal = block == best
        rights = np.count_nonzero(equal & right, axis=1)
        parts.append(np.stack([np.count_nonzero(block > best, axis=1), np.count_nonzero(equal, axis=1) - rights, rights]))
        start += len(block)
    counted = np.concatenate([np.zeros((3, 0), np.int64), *parts], axis=1)
    return Ranks(*counted)


def _log_sums(scores: Blocks, factor: np.float32) -> Floats:
    """Return log(sum(exp(factor * score))) over the queries for each candidate, (c,) float32, without overflow."""
    peak, total = np.zeros(0, np.float32), np.zeros(0)
    for block in scores():
        scaled = block * factor
        higher = np.maximum(peak, scaled.max(axis=0)) if len(peak) else scaled.max(axis=0)
        before = total * np.exp(peak - higher) if len(peak) else 0.0
        scaled -= higher
        total = before + np.exp(scaled, out=scaled).sum(axis=0, dtype=np.float64)
        peak = higher
    log_sums: Floats = (peak + np.log(total)).astype(np.float32)
    return log_sums

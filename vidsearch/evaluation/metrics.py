"""Ranks → R@k, median and mean rank, in percent and places, with 95 % bootstrap intervals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vidsearch.evaluation.ranks import Ranks

CUTOFFS = (1, 5, 10)
RESAMPLES = 1000
AT_ONCE = 1 << 20  # weights of queries held at a time, 8 MB each of three

Doubles = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Estimate:
    """A value, and the interval within which it would lie for 95 of 100 other samples of the same kind."""

    value: float
    low: float
    high: float


def retrieval_metrics(ranks: Ranks, groups: Counts, *, cutoffs: Sequence[int] = CUTOFFS, seed: int = 0) -> dict[str, Estimate]:
    """Return "r1", "r5", "r10" in percent, "median" and "mean" rank, the best being 1.

    The intervals are percentile bootstraps (Efron 1979) of groups, each drawn with all its queries: the captions of one video are found or
    missed together, and drawn one by one they would make the interval too narrow.

    Args:
        ranks: of the queries, at least one.
        groups: (q,) a number 0.. for each query, such as the video it describes; np.arange(q) where queries are independent.
        cutoffs: the k of R@k.
        seed: of the draws.
    """
    places = ranks.expected()
    columns = np.stack([*(100 * ranks.hit(k) for k in cutoffs), places], axis=1)  # (q, measures) whose means are wanted
    names = [*(f"r{k}" for k in cutoffs), "mean"]
    means, medians = _resampled(columns, places, groups, np.random.default_rng(seed))
    found = {name: _estimate(column.mean(), draws) for name, column, draws in zip(names, columns.T, means.T, strict=True)}
    found["median"] = _estimate(np.median(places), medians)
    return found


def _estimate(value: np.floating, draws: Doubles) -> Estimate:
    low, high = np.quantile(draws, (0.025, 0.975))
    return Estimate(float(value), float(low), float(high))


def _resampled(columns: Doubles, places: Doubles, groups: Counts, rng: np.random.Generator) -> tuple[Doubles, Doubles]:
    """Return the means (resamples, measures) and the median rank (resamples,) of samples drawn with replacement by group."""
    count = int(groups.max()) + 1
    sizes = np.bincount(groups, minlength=count)
    sums = np.stack([np.bincount(groups, weights=column, minlength=count) for column in columns.T], axis=1)  # (groups, measures)
    order = np.argsort(places, kind="stable")
    step = max(1, AT_ONCE // len(places))
    means, medians = [], []
    for start in range(0, RESAMPLES, step):
        number = min(step, RESAMPLES - start)
        drawn = rng.multinomial(np.count_nonzero(sizes), (sizes > 0) / np.count_nonzero(sizes), size=number)  # (number, groups)
        means.append((drawn @ sums) / (drawn @ sizes)[:, None])
        medians.append(_weighted_medians(places[order], drawn[:, groups[order]]))
    return np.concatenate(means), np.concatenate(medians)


def _weighted_medians(places: Doubles, weights: Counts) -> Doubles:
    """Return the median of sorted values (q,), each counted as often as a row of weights (n, q) says."""
    counted = np.cumsum(weights, axis=1)
    total = counted[:, -1:]
    lower, upper = (np.argmax(counted > place, axis=1) for place in ((total - 1) // 2, total // 2))
    medians: Doubles = (places[lower] + places[upper]) / 2
    return medians

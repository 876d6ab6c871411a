"""How many of the true nearest clips an index finds, and what that costs: the planned search beside the exact one, filter by filter."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import sqrt

import numpy as np
import numpy.typing as npt

from vidsearch.calibration import TARGETS
from vidsearch.corpus import Corpus, Ranked, Rows
from vidsearch.evaluation.index_filters import RowFilter
from vidsearch.query import Vector
from vidsearch.selection import Selection

TIMED_EXACTLY = 30  # queries whose exact search is timed one by one; the truth of all is found in blocks, which is faster
TOGETHER = 64  # queries whose truth is found at once
RESAMPLES = 1000
Z = 1.96  # of a 95 % interval

Selections = Sequence[Selection]


@dataclass(frozen=True)
class Times:
    """Milliseconds of single queries."""

    median_ms: float
    p95_ms: float


@dataclass(frozen=True)
class Measured:
    """One kind of search: so many clips, among the rows that pass one filter, with one recall wanted.

    Attributes:
        filter: which rows pass.
        k: clips asked for.
        wanted: the recall asked for, `--recall`; None for the exact search.
        recall: share of the true k nearest found, the mean over queries; 1 for the exact search, by construction.
        low, high: its 95 % interval over queries.
        times: of it.
        exact_share: of the queries that the planner answered by scoring every row.
    """

    filter: RowFilter
    k: int
    wanted: float | None
    recall: float
    low: float
    high: float
    times: Times
    exact_share: float


@dataclass(frozen=True)
class Suggestion:
    """What to ask with so as to reach a recall under every filter that was measured.

    Attributes:
        wanted: the recall to reach.
        k: of this many clips.
        setting: the value of `--recall`; None where only the exact search is sure of it.
        worst: where the least was found with it, or of the exact search, where it costs most.
    """

    wanted: float
    k: int
    setting: float | None
    worst: Measured

    def __str__(self) -> str:
        at = f"{self.worst.times.median_ms:.1f} ms"
        if self.setting is None:
            return f"recall@{self.k} of {self.wanted:g}: only --exact is sure of it: {at} under {self.worst.filter.name}"
        found = f"{self.worst.recall:.3f} ({self.worst.low:.3f} to {self.worst.high:.3f})"
        return f"recall@{self.k} of {self.wanted:g}: ask with --recall {self.setting:g}; measured {found} or more, {at} or less"


def measure(
    index: Corpus,
    queries: Vector,
    filters: Sequence[RowFilter],
    *,
    ks: Sequence[int] = (10, 100),
    targets: Sequence[float] = TARGETS,
    seed: int = 0,
    progress: Callable[[RowFilter, int, int], None] = lambda chosen, number, total: None,
) -> list[Measured]:
    """Return what each kind of search finds and costs, the exact one first, for each filter and k.

    The truth is the exact search's; a row that scores as the k-th does, within rounding, is as right as that one. Bounded memory: the exact
    search scores 64 queries in blocks.

    Args:
        index: an open index; its row numbers must stay, so hash it first (`check`).
        queries: (q, dim) float32, unit rows.
        filters: which rows may be found.
        ks: clips asked for, each 1 or more.
        targets: the recalls asked for.
        seed: of the intervals.
        progress: told which filter comes now, and its number of so many.
    """
    found = []
    for number, chosen in enumerate(filters, 1):
        progress(chosen, number, len(filters))
        truths = _truths(index, queries, max(ks), chosen.selections)
        for k in ks:
            some = queries[: min(TIMED_EXACTLY, len(queries))]
            times, _ = _asked(index, some, k, chosen.selections, exact=True)
            found.append(Measured(chosen, k, None, 1.0, 1.0, 1.0, times, 1.0))
            exactly: Measured | None = None
            for target in targets:
                if exactly is None:
                    measured = _planned(index, queries, truths, k, chosen, target, seed)
                    exactly = measured if measured.exact_share == 1 else None
                found.append(measured if exactly is None else _again(exactly, target))
    return found


def _planned(index: Corpus, queries: Vector, truths: Sequence[Ranked], k: int, chosen: RowFilter, target: float, seed: int) -> Measured:
    times, answers = _asked(index, queries, k, chosen.selections, recall=target)
    recalls = np.array([recall_of(answer.rows, answer.scores, truth, k) for answer, truth in zip(answers, truths, strict=True)])
    exact = float(np.mean([answer.certificate.plan != "ivf" for answer in answers]))
    low, high = (1.0, 1.0) if exact == 1 else interval(recalls, k, seed)
    return Measured(chosen, k, target, float(recalls.mean()), low, high, times, exact)


def _again(exactly: Measured, target: float) -> Measured:
    """Return what a higher recall gives where a lower one was already answered by the exact search: the same."""
    return Measured(exactly.filter, exactly.k, target, exactly.recall, exactly.low, exactly.high, exactly.times, 1.0)


def _truths(index: Corpus, queries: Vector, k: int, selections: Selections) -> list[Ranked]:
    blocks = (queries[start : start + TOGETHER] for start in range(0, len(queries), TOGETHER))
    return [ranked for block in blocks for ranked in index.nearest(block, k, selections=selections, exact=True)]


def _asked(
    index: Corpus, queries: Vector, k: int, selections: Selections, *, recall: float = 0.95, exact: bool = False
) -> tuple[Times, list[Ranked]]:
    """Ask one query after another; the first is asked once more beforehand, so that nothing is loaded while time is taken."""
    took, answers = [], []
    for number, query in enumerate((queries[0], *queries)):
        started = time.perf_counter()
        answer = index.nearest(query[None], k, selections=selections, recall=recall, exact=exact)[0]
        if number:
            took.append(1e3 * (time.perf_counter() - started))
            answers.append(answer)
    return Times(float(np.median(took)), float(np.quantile(took, 0.95))), answers


ROUNDING = 1e-6


def recall_of(rows: Rows, scores: npt.NDArray[np.float32], truth: Ranked, k: int) -> float:
    """Return the share of the true k nearest that an answer has; of as many as there are, where fewer pass.

    Rows that score alike at the end of the k may stand for each other.
    """
    wanted = min(k, len(truth.rows))
    if not wanted:
        return 1.0
    right = scores[:wanted] >= truth.scores[wanted - 1] - ROUNDING
    return min(1.0, float(np.count_nonzero(right)) / wanted)


def interval(recalls: npt.NDArray[np.float64], k: int, seed: int) -> tuple[float, float]:
    """Return the 95 % interval of the mean recall: a bootstrap over queries, and no narrower than Wilson's over all places.

    Where no query misses anything a bootstrap sees no spread at all, which is not to say that there is none.
    """
    mean, places = float(recalls.mean()), k * len(recalls)
    drawn = np.random.default_rng(seed).integers(len(recalls), size=(RESAMPLES, len(recalls)))
    low, high = np.quantile(recalls[drawn].mean(axis=1), [0.025, 0.975])
    centre = (mean + Z * Z / (2 * places)) / (1 + Z * Z / places)
    half = Z * sqrt(mean * (1 - mean) / places + Z * Z / (4 * places * places)) / (1 + Z * Z / places)
    return max(0.0, min(float(low), centre - half)), min(1.0, max(float(high), centre + half))


def suggest(found: Sequence[Measured], wanted: float, k: int) -> Suggestion:
    """Return the cheapest setting whose recall, at the lower end of its interval, is what is wanted under every filter measured."""
    own = [one for one in found if one.k == k]
    for target, group in _by_target(own):
        if all(one.low >= wanted for one in group):
            return Suggestion(wanted, k, target, _summary(group))
    exact = [one for one in own if one.wanted is None]
    return Suggestion(wanted, k, None, max(exact, key=lambda one: one.times.median_ms))


def _by_target(found: Sequence[Measured]) -> Iterator[tuple[float, list[Measured]]]:
    for target in sorted({one.wanted for one in found if one.wanted is not None}):
        yield target, [one for one in found if one.wanted == target]


def _summary(group: Sequence[Measured]) -> Measured:
    """Return the least recall of a group with the longest time of any."""
    worst = min(group, key=lambda one: (one.recall, one.low))
    slowest = max(group, key=lambda one: one.times.median_ms)
    return Measured(worst.filter, worst.k, worst.wanted, worst.recall, worst.low, worst.high, slowest.times, worst.exact_share)

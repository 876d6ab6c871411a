"""How many clips of a corpus show something: from a labelled sample, drawn by score. Pure.

Clips are ranked by score and cut into strata, small ones at the top, where the right clips are, and ever larger ones below:

    rank   0 ─ 100 ── 380 ──── 1,100 ──────── 3,400 ─────────────────────────── N

From each so many are labelled as its size and its expected spread ask for, N_h sqrt(p_h (1 - p_h)) (J. Neyman, On the two different aspects
of the representative method, 1934). No spread counts as less than 0.1, so that what scores low is looked at too. The estimate is the sum of
N_h times the share of right ones among the labelled, which is right on average whatever the scores are worth.

The interval is drawn, not computed: the share of right clips among those of a stratum that nobody looked at is a Beta variable,
Beta(k, n - k + 1) for the low end and Beta(k + 1, n - k) for the high one (C. Clopper, E. Pearson, 1934), and the ends are quantiles of the
sum over the strata. So a large stratum without one right clip among those labelled leaves room for 3.7 / n of it: few labels cannot show
that nothing is there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from vidsearch.errors import UsageError

STRATA = 6
LEAST_SPREAD = 0.1
LEAST_SHARE = 0.1  # of the labels that an even split would give a stratum
DRAWS = 4000
TAIL = 0.025

Floats = npt.NDArray[np.float64]
Places = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Estimate:
    """How many clips show something.

    Attributes:
        rows: the estimate.
        low, high: its 95 % interval.
        basis: "captions": the sum of the probabilities learnt from the index's own; "labels": a sample that someone looked at.
        searched: clips it is said of.
        labelled: of them that were looked at.
    """

    rows: float
    low: float
    high: float
    basis: Literal["captions", "labels"]
    searched: int
    labelled: int = 0

    @property
    def words(self) -> str:
        """The estimate in a line."""
        learnt = "from the captions of the index" if self.basis == "captions" else f"from {self.labelled:,} labelled clips"
        return f"about {round(self.rows):,} of {self.searched:,} clips, {round(self.low):,} to {round(self.high):,} at 95 %, {learnt}"


@dataclass(frozen=True)
class Labelled:
    """A stratum that was looked at: its clips, those of them that were labelled, and those found right."""

    rows: int
    labelled: int
    right: int

    def __post_init__(self) -> None:
        if not 0 <= self.right <= self.labelled <= self.rows:
            raise UsageError(f"a stratum of {self.rows} clips cannot have {self.labelled} labelled and {self.right} right ones")


def cut(rows: int, labels: int, *, strata: int = STRATA) -> Places:
    """Return where strata of falling score begin and end, (s + 1,): the first is half as large as the labels, each further one by the same
    factor larger than the one above."""
    if rows <= labels or rows < 2**strata:
        return np.array([0, rows], dtype=np.int64)
    first = max(1, min(labels // 2, rows // 2**strata))
    factor = (rows / first) ** (1 / (strata - 1))
    edges = [0, *(round(first * factor**number) for number in range(strata))]
    return np.array(edges, dtype=np.int64)


def allocate(sizes: Places, spreads: Floats, labels: int) -> Places:
    """Return how many clips (s,) of each stratum to label, `labels` in all or every clip.

    Args:
        sizes: (s,) clips of each.
        spreads: (s,) expected standard deviation of right and wrong (1 and 0) in each.
        labels: wanted in all.
    """
    labels = min(labels, int(sizes.sum()))
    weights = sizes * np.maximum(spreads, LEAST_SPREAD)
    least = np.minimum(sizes, max(1, int(LEAST_SHARE * labels / len(sizes))))
    wanted: Places = np.minimum(sizes, np.maximum(least, np.floor(labels * weights / weights.sum()).astype(np.int64)))
    while (spare := labels - int(wanted.sum())) != 0:  # one by one: to where a label tells most, or from where it tells least
        gain = weights / (wanted + 0.5)
        if spare > 0:
            wanted[np.argmax(np.where(wanted < sizes, gain, -1.0))] += 1
        elif (wanted > least).any():
            wanted[np.argmin(np.where(wanted > least, gain, np.inf))] -= 1
        else:  # fewer labels than strata
            wanted[np.argmax(wanted)] -= 1
    return wanted


def draw(edges: Places, counts: Places, *, seed: int) -> list[Places]:
    """Return the ranks to label in each stratum, drawn at random and in random order."""
    rng = np.random.default_rng(seed)
    return [
        first + rng.choice(last - first, size=count, replace=False)
        for first, last, count in zip(edges[:-1].tolist(), edges[1:].tolist(), counts.tolist(), strict=True)
    ]


def estimate(strata: Sequence[Labelled], *, seed: int = 0) -> Estimate:
    """Return how many clips are right, with its interval; see the top of this file.

    Raises:
        UsageError: a stratum with clips has no label.
    """
    strata = [stratum for stratum in strata if stratum.rows]
    for number, stratum in enumerate(strata, 1):
        if not stratum.labelled:
            raise UsageError(f"none of the {stratum.rows:,} clips of stratum {number} is labelled; each needs one at least")
    rows = sum(stratum.rows * stratum.right / stratum.labelled for stratum in strata)
    low, high = (_quantile(strata, upper, seed) for upper in (False, True))
    labelled = sum(stratum.labelled for stratum in strata)
    return Estimate(rows, min(low, rows), max(high, rows), "labels", sum(stratum.rows for stratum in strata), labelled)


def _quantile(strata: Sequence[Labelled], upper: bool, seed: int) -> float:
    """Return one end of the interval."""
    rng = np.random.default_rng(seed)
    total = np.zeros(DRAWS)
    for stratum in strata:
        right, wrong = stratum.right, stratum.labelled - stratum.right
        total += right
        if upper and wrong + right < stratum.rows:
            share = rng.beta(right + 1, wrong, DRAWS) if wrong else np.ones(DRAWS)
        else:
            share = rng.beta(right, wrong + 1, DRAWS) if right else np.zeros(DRAWS)
        total += rng.binomial(stratum.rows - stratum.labelled, share)
    return float(np.quantile(total, 1 - TAIL if upper else TAIL))

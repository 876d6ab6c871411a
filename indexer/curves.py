"""Pairs of sentences and clips, right and wrong → probability by rise, and what sums of probabilities are worth. Pure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vidsearch.likelihood import Curve, Kind

FOLDS = 4
TAIL = 0.025  # of either side of a 95 % interval

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Pairs:
    """Of q sentences with every clip: sums by sentence and bin of rise, the nearest clip of each sentence apart.

    Attributes:
        middles: (bins,) rise at the middle of each bin.
        weights: (q, bins) clips that are not the nearest.
        right: (q, bins) those of them that are right.
        best: (q,) rise of the nearest.
        best_right: (q,) 1.0 where it is right, else 0.0.
    """

    middles: Floats
    weights: Floats
    right: Floats
    best: Floats
    best_right: Floats

    def of(self, sentences: npt.NDArray[np.int64] | slice) -> Pairs:
        """Return some of the sentences."""
        return Pairs(self.middles, self.weights[sentences], self.right[sentences], self.best[sentences], self.best_right[sentences])

    @property
    def truths(self) -> Floats:
        """(q,) right clips of each sentence."""
        counts: Floats = self.right.sum(axis=1) + self.best_right
        return counts


def isotonic(rises: Floats, right: Floats, weights: Floats) -> Curve:
    """Return the rising curve nearest to the shares of right pairs; level within each of its steps, straight between them.

    A step of w pairs, of which r are right, stands for (r + 1/2) / (w + 1): none is impossible or certain because few were seen.

    Args:
        rises: (n,) of pairs, or of bins of them.
        right: (n,) how many are right, of
        weights: (n,) how many there are, above 0 somewhere.
    """
    from scipy.optimize import isotonic_regression

    order = np.argsort(rises, kind="stable")
    order = order[weights[order] > 0]
    rises, right, weights = rises[order], right[order], weights[order]
    steps = isotonic_regression(right / weights, weights=weights).blocks
    pairs, hits = np.add.reduceat(weights, steps[:-1]), np.add.reduceat(right, steps[:-1])
    levels = np.maximum.accumulate((hits + 0.5) / (pairs + 1))
    ends = np.stack([rises[steps[:-1]], rises[steps[1:] - 1]], axis=1)
    return Curve(ends.ravel(), np.repeat(levels, 2))


def kind_of(pairs: Pairs, size_bytes: float) -> Kind:
    """Return what was found for sentences of one length."""
    best, others = _curves(pairs)
    return Kind(size_bytes, best, others, _factors(pairs), len(pairs.best))


def _curves(pairs: Pairs) -> tuple[Curve, Curve]:
    best = isotonic(pairs.best, pairs.best_right, np.ones(len(pairs.best)))
    weights = pairs.weights.sum(axis=0)
    if not weights.any():  # an index of one clip
        return best, best
    return best, isotonic(pairs.middles, pairs.right.sum(axis=0), weights)


def expected(pairs: Pairs, best: Curve, others: Curve) -> Floats:
    """Return the sum (q,) of the probabilities of all clips for each sentence."""
    sums: Floats = pairs.weights @ others.at(pairs.middles) + best.at(pairs.best)
    return sums


def _factors(pairs: Pairs) -> tuple[float, float]:
    """Return between which factors 95 % of the true numbers of clips lie around their sum of probabilities.

    Each sentence is summed with curves fitted on the others, so the interval holds for one more sentence of the same kind (split conformal
    prediction: J. Lei et al., Distribution-free predictive inference for regression, JASA 2018). Both sides carry half a clip more.
    """
    sums = np.empty(len(pairs.best))
    folds = np.arange(len(sums)) % FOLDS
    for fold in range(FOLDS):
        rest, held = np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)
        sums[held] = expected(pairs.of(held), *_curves(pairs.of(rest)))
    ratios = np.sort((pairs.truths + 0.5) / (sums + 0.5))
    outside = int(TAIL * (len(ratios) + 1))
    return float(ratios[max(0, outside - 1)]), float(ratios[min(len(ratios), len(ratios) + 1 - outside) - 1])


def equal_error(wanted: Floats, unwanted: Floats) -> float:
    """Return the value at which as large a share of the wanted lies at or below as of the unwanted above."""
    values = np.sort(np.concatenate([wanted, unwanted]))
    missed = np.searchsorted(np.sort(wanted), values, side="right") / len(wanted)
    passed = 1 - np.searchsorted(np.sort(unwanted), values, side="right") / len(unwanted)
    return float(values[np.argmin(np.maximum(missed, passed))])


def share_below(values: Floats) -> Curve:
    """Return the share of some values that lie below a rise, as a curve."""
    ordered = np.sort(values)
    return Curve(ordered, (np.arange(len(ordered)) + 0.5) / len(ordered))

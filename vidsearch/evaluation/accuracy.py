"""Scores of classes → how often the right one is the best, or among the best five."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vidsearch.errors import UsageError
from vidsearch.evaluation.metrics import RESAMPLES, Estimate
from vidsearch.evaluation.ranks import Blocks, rank

Doubles = npt.NDArray[np.float64]
Labels = npt.NDArray[np.int64]

TOP = 5


@dataclass(frozen=True, repr=False)
class Accuracy:
    """What a classification is worth, in percent.

    Attributes:
        top1, top5: of the clips, with 95 % bootstrap intervals.
        average: (top-1 + top-5) / 2, which InternVid calls AVG.
        per_class: (classes,) top-1 of each class's clips, NaN where it has none.
        clips_of: (classes,) how many clips each class has.
        confused: a class, another that its clips were taken for, and how many of them; most first.
    """

    top1: Estimate
    top5: Estimate
    average: Estimate
    per_class: Doubles
    clips_of: Labels
    confused: tuple[tuple[int, int, int], ...]

    def __repr__(self) -> str:
        return f"Accuracy(top-1 {self.top1.value:.2f}, top-5 {self.top5.value:.2f}, {len(self.per_class):,} classes)"

    @property
    def class_mean(self) -> float:
        """The mean of the classes' accuracies, where a large class counts no more than a small one."""
        return float(self.per_class[self.clips_of > 0].mean())


def measure_accuracy(scores: Blocks, labels: Labels, classes: int, *, seed: int = 0) -> Accuracy:
    """Compare the scores of all classes; equal ones are taken in random order, so that a model without an opinion is at chance.

    Args:
        scores: blocks of (clips, classes); asked for twice.
        labels: (clips,) the place of each clip's class.
        classes: how many there are.
        seed: of the bootstrap, which draws clips.
    """
    if not len(labels):
        raise UsageError("no clip is left to classify")
    ranks = rank(scores, labels, np.arange(classes))
    first, among = 100 * ranks.hit(1), 100 * ranks.hit(TOP)
    top1, top5, average = _estimates(np.stack([first, among, (first + among) / 2], axis=1), seed)
    clips_of = np.bincount(labels, minlength=classes)
    right = np.bincount(labels, weights=first, minlength=classes)
    per_class = np.divide(right, clips_of, out=np.full(classes, np.nan), where=clips_of > 0)
    return Accuracy(top1, top5, average, per_class, clips_of, _confused(scores, labels))


def _estimates(columns: Doubles, seed: int) -> list[Estimate]:
    """Return the mean of each column of (clips, measures), with a percentile bootstrap over the clips."""
    rng, count = np.random.default_rng(seed), len(columns)
    draws = np.stack([columns[rng.integers(count, size=count)].mean(axis=0) for _ in range(RESAMPLES)])
    low, high = np.quantile(draws, (0.025, 0.975), axis=0)
    return [Estimate(*map(float, values)) for values in zip(columns.mean(axis=0), low, high, strict=True)]


def _confused(scores: Blocks, labels: Labels) -> tuple[tuple[int, int, int], ...]:
    taken = np.concatenate([block.argmax(axis=1) for block in scores()]).tolist()
    pairs = Counter((true, other) for true, other in zip(labels.tolist(), taken, strict=True) if true != other)
    return tuple((*pair, count) for pair, count in sorted(pairs.items(), key=lambda item: (-item[1], item[0])))

"""Lists of rows that lie near each other, by k-means over the stored vectors: which rows are worth comparing.

It knows nothing of an index's own lists, so it serves every kind of index; `Lists` is all that the search for near-duplicates needs of it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vidsearch.corpus import Corpus, Rows, Vectors
from vidsearch.curate.scan import vector_blocks

NEAREST = 4  # lists that a row is compared within
SAMPLE_A_LIST = 32
SAMPLE_ROWS = 131_072  # 0.4 GB at 768 dimensions
ROUNDS = 8  # of k-means; the lists need not be good, only near

ListNumbers = npt.NDArray[np.int32]


@dataclass(frozen=True)
class Lists:
    """For each row the lists nearest to it.

    Attributes:
        nearest: (rows, m) int32, the nearest first: that is the row's own list.
        count: number of lists.
    """

    nearest: ListNumbers
    count: int

    def __iter__(self) -> Iterator[tuple[Rows, Rows]]:
        """Yield for each list its own rows, and all rows that have it among their nearest, ascending."""
        own, owns = _grouped(self.nearest[:, 0], self.count)
        near, nears = _grouped(self.nearest.reshape(-1), self.count)
        for number in range(self.count):
            if owns[number] < owns[number + 1]:
                yield own[owns[number] : owns[number + 1]], near[nears[number] : nears[number + 1]] // self.nearest.shape[1]


def make_lists(corpus: Corpus, *, seed: int = 0, nearest: int = NEAREST) -> Lists:
    """Draw lists from a sample and find each row's nearest.

    With n rows there are sqrt(nearest * n) lists, so that finding a row's lists costs what comparing within them costs: 2 sqrt(nearest * n)
    products a row, at 768 dimensions about 2 minutes of one core for a million rows and an hour for ten.
    """
    count = max(1, round(math.sqrt(nearest * len(corpus))))
    centroids = _centroids(corpus, count, seed)
    kept = min(nearest, count)
    found = np.zeros((corpus.slots, kept), dtype=np.int32)
    for rows, vectors in vector_blocks(corpus):
        scores = vectors @ centroids.T
        best = np.argpartition(scores, count - kept, axis=1)[:, count - kept :]
        order = np.argsort(-np.take_along_axis(scores, best, axis=1), axis=1)
        found[rows] = np.take_along_axis(best, order, axis=1)
    return Lists(found, count)


def _centroids(corpus: Corpus, count: int, seed: int) -> Vectors:
    """Return (count, dim) float32 unit rows: spherical k-means of a sample drawn with the seed."""
    rng = np.random.default_rng(seed)
    wanted = min(len(corpus), SAMPLE_ROWS, SAMPLE_A_LIST * count)
    sample = corpus.vectors_of(np.sort(rng.choice(corpus.slots, size=max(wanted, count), replace=False)))
    centroids = sample[rng.choice(len(sample), size=count, replace=False)]
    for _ in range(ROUNDS):
        own = np.concatenate([(block @ centroids.T).argmax(axis=1) for block in np.array_split(sample, -(-len(sample) // 8192))])
        order, starts = _grouped(own, count)
        filled = np.flatnonzero(np.diff(starts))
        sums = np.add.reduceat(sample[order], starts[filled], axis=0)
        centroids[filled] = sums / np.maximum(np.linalg.norm(sums, axis=1, keepdims=True), 1e-12)
    return centroids


def _grouped(numbers: npt.NDArray[np.integer], count: int) -> tuple[Rows, Rows]:
    """Return the places ordered by their number, and where each number's begin, with the end of the last."""
    order = np.argsort(numbers, kind="stable")
    return order, np.searchsorted(numbers[order], np.arange(count + 1))

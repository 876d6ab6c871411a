"""What every index is: queries in, the nearest rows of one segment out, with exact cosines.

A plug-in file `indexes/NAME.py` defines three functions, and may import its heavy library only where it is needed:

    train(sample: (n, dim) float32, *, rows: int, seed: int) -> bytes
        The template all segments share, from a sample of the `rows` vectors expected in all. b"" where nothing is trained.
    build(vectors: (n, dim) float16, template: bytes | None) -> bytes
        index.faiss of one segment; reads the vectors in blocks.
    load(data: bytes, vectors: (n, dim) float16) -> VectorIndex
        Refuses anything but what its own `build` writes over that many vectors (IndexCorruptError).

The bytes' hash is checked before they come here, by storage.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from vidsearch.errors import QueryError, UsageError

Vectors = npt.NDArray[np.float16]  # (n, dim), unit rows
Queries = npt.NDArray[np.float32]  # (q, dim), unit rows
Mask = npt.NDArray[np.bool_]  # (n,)
Scores = npt.NDArray[np.float32]
Ids = npt.NDArray[np.int64]
Best = tuple[Scores, Ids]  # of one query, (m,) each, best first

MAX_K = 100_000

FLAT_ROWS = 20_000  # a scan of 20,000 x 768 takes 9 ms on one core: not worth a training and a miss in thirty to save 7 of them
ROWS_A_LIST = ((100_000, 256), (1_000_000, 512))  # below that many rows, so long a list; 800 from there on
LONGEST_LISTS = 800
MAX_LISTS = 65_536
POINTS_A_LIST = 64  # to train on; k-means wants 39 or more

PROBED_SHARE = 0.16  # of the lists: text queries lie outside the cloud of clips and need many
MIN_PROBED = 32
RERANK_PER_MILLION = 300
MIN_RERANK = 300  # 100 text queries' recall@10 in 100,000 CLIP vectors: 0.97 at 1.7 ms; with 100 candidates 0.88, however many lists


@dataclass(frozen=True)
class SearchSettings:
    """How hard an approximate index tries; an exact one has nothing to set.

    Attributes:
        nprobe: inverted lists visited; more than there are means all.
        rerank: candidates whose scores are computed exactly.
    """

    nprobe: int
    rerank: int

    def __post_init__(self) -> None:
        if self.nprobe < 1 or self.rerank < 1:
            raise UsageError(f"nprobe {self.nprobe} and rerank {self.rerank} must be 1 or more")


def kind_for(rows: int) -> Literal["flat", "ivfpq"]:
    """Return the plug-in that serves an index of so many rows best."""
    return "flat" if rows <= FLAT_ROWS else "ivfpq"


def lists_for(rows: int) -> int:
    """Return how many inverted lists an index of so many rows gets.

    rows            rows a list   lists
    20,000-100,000          256      78-390
    100,000-1 million       512     195-1,953
    more                    800   1,250-65,536
    """
    length = next((length for below, length in ROWS_A_LIST if rows < below), LONGEST_LISTS)
    return min(MAX_LISTS, max(1, rows // length))


def sample_rows(rows: int) -> int:
    """Return how many vectors to train on when so many rows are expected; more do not help."""
    return min(rows, max(16_384, POINTS_A_LIST * lists_for(rows)))


def default_settings(rows: int, k: int, selectivity: float = 1.0) -> SearchSettings:
    """Return settings for an IVF-PQ index of so many rows.

    Visiting a fixed number of lists fails where filter and query disagree, so a filter widens the search: with a share s of the rows
    passing, 0.16 s^-0.4 of the lists are visited (fitted on synthetic CLIP-like data, recall@10 0.95 and more).

    Args:
        rows: of the whole index, all segments, as it was trained.
        k: results wanted.
        selectivity: share of the rows that pass the filter, 0 to 1.
    """
    lists = lists_for(rows)
    share = PROBED_SHARE * max(selectivity, 1e-9) ** -0.4
    return SearchSettings(
        nprobe=min(lists, max(MIN_PROBED, math.ceil(share * lists))),
        rerank=max(MIN_RERANK, 10 * k, math.ceil(RERANK_PER_MILLION * rows / 1e6)),
    )


class VectorIndex(ABC):
    """The searchable vectors of one segment.

    Attributes:
        rows, dim: shape of the vectors.
        lists: inverted lists, 1 where there are none.
    """

    rows: int
    dim: int
    lists: int = 1

    def search(
        self, queries: Queries, k: int, *, allowed: Mask | None = None, settings: SearchSettings | None = None
    ) -> tuple[Scores, Ids]:
        """Return the k nearest rows of each query.

        Args:
            queries: (q, dim) float32, finite.
            k: 1 to 100,000; may exceed the number of rows.
            allowed: (rows,) bool; only these rows are found.
            settings: how hard to try; None chooses by size.

        Returns:
            scores (q, k) float32, inner products with the stored vectors, highest first, equal ones by row number; ids (q, k) int64.
            Where fewer rows are found the ends of both are filled with -inf and -1.

        Raises:
            QueryError: k, or queries of a wrong shape or with NaN.
        """
        queries = np.ascontiguousarray(queries, dtype=np.float32)
        self._check(queries, k, allowed)
        scores = np.full((len(queries), k), -np.inf, dtype=np.float32)
        ids = np.full((len(queries), k), -1, dtype=np.int64)
        matching = self.rows if allowed is None else int(np.count_nonzero(allowed))
        if matching and len(queries):
            for number, (best_scores, best_ids) in enumerate(self._nearest(queries, min(k, matching), allowed, settings)):
                scores[number, : len(best_ids)] = best_scores
                ids[number, : len(best_ids)] = best_ids
        return scores, ids

    @abstractmethod
    def _nearest(self, queries: Queries, k: int, allowed: Mask | None, settings: SearchSettings | None) -> Sequence[Best]:
        """Return for each query at most k rows, best first; k is at most the number of rows allowed, and that at least 1."""

    def _check(self, queries: Queries, k: int, allowed: Mask | None) -> None:
        if queries.ndim != 2 or queries.shape[1] != self.dim:
            raise QueryError(f"queries of shape {queries.shape} must be (q, {self.dim})")
        if not np.isfinite(queries).all():
            raise QueryError("a query vector holds NaN or infinity")
        if not 1 <= k <= MAX_K:
            raise QueryError(f"k {k} must be 1..{MAX_K}")
        if allowed is not None and (allowed.shape != (self.rows,) or allowed.dtype != np.bool_):
            raise UsageError(f"allowed {allowed.dtype}{allowed.shape} must be bool ({self.rows},)")

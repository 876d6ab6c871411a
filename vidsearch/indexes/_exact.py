"""Exact scores against float16 rows: the oracle that every index is compared with, and the re-ranking of approximate ones.

In NumPy, so that a cold query on a small index compiles and loads nothing. An index with codes has its kernels loaded anyway and scores
single rows with them. A row's score never depends on which others are scored with it, so equal rows of one index have equal scores.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from vidsearch.indexes.base import Best, Ids, Queries, Scores, Vectors
from vidsearch.selection import Selection

BLOCK_VALUES = 1 << 18  # 1 MiB as float32: stays in a core's cache between widening and multiplying
SCORES_AT_ONCE = 1 << 24  # 64 MiB
ROUNDING = np.float32(1e-5)  # more than the rounding of a product of unit vectors, summed in whatever order

_EXPONENT_GAP = np.float32(2.0**112)  # between the exponents' biases, 127 - 15
_SIGN_AND_VALUE = np.int32(-0x70000001)  # 0x8FFFFFFF: drops the copies of the sign that widening leaves in the exponent

Rows = npt.NDArray[np.integer]
Ranker = Callable[[Queries, Vectors, Rows, int], Best]  # query (dim,), vectors, rows (m,) each once, k → the k best


def scan(queries: Queries, vectors: Vectors, k: int, selection: Selection, *, rank: Ranker) -> list[Best]:
    """Return the k best rows for each query among those that pass, every one of them scored.

    About 9 ms for one query over 20,000 x 768 rows on one core; four times as fast as NumPy's own float16 conversion.
    """
    rows = None if selection.everything else selection.ids
    together = max(1, SCORES_AT_ONCE // max(1, selection.count))
    found = []
    for start in range(0, len(queries), together):
        group = queries[start : start + together]
        for query, scores in zip(group, _scores(group, vectors, rows), strict=True):
            near = _candidates(scores, k, ROUNDING * np.linalg.norm(query))
            found.append(rank(query, vectors, near if rows is None else rows[near], k))
    return found


def rank_with_numpy(query: Queries, vectors: Vectors, ids: Rows, k: int) -> Best:
    """Return the k best of some rows for one query (dim,), by exact score, then by row number."""
    ids = np.sort(ids)  # the order they lie in on the disk
    scores = np.empty(len(ids), dtype=np.float32)
    block = _block_rows(vectors)
    wide = np.empty((min(block, len(ids)), vectors.shape[1]), dtype=np.float32)
    for start in range(0, len(ids), block):
        part = widen(vectors[ids[start : start + block]], wide)
        part *= query
        scores[start : start + block] = part.sum(axis=1)  # row by row; a matrix product rounds by position
    best = np.lexsort((ids, -scores))[:k]
    return scores[best], ids[best].astype(np.int64)


def rank_with_kernel(query: Queries, vectors: Vectors, ids: Rows, k: int) -> Best:
    """Return the same, compiled: a tenth of the time, once it is compiled."""
    from vidsearch.indexes._kernels import best_rows

    found: Best = best_rows(vectors.__array_interface__["data"][0], ids.astype(np.int64, copy=False), query * _EXPONENT_GAP, k)
    return found


def widen(halves: Vectors, out: Queries) -> Queries:
    """Write finite float16 rows (m, dim) into the first rows of `out` as float32, and return those.

    A half float's bits moved to a float's places are its value times 2^-112, subnormals included; exact, and vectorised where NumPy's
    conversion goes one by one.
    """
    wide = out[: len(halves)]
    bits = wide.view(np.int32)
    np.copyto(bits, halves.view(np.int16))
    bits <<= 13
    bits &= _SIGN_AND_VALUE
    wide *= _EXPONENT_GAP
    return wide


def _scores(queries: Queries, vectors: Vectors, rows: npt.NDArray[np.integer] | None) -> Scores:
    """Return (q, n) scores, up to rounding."""
    count = len(vectors) if rows is None else len(rows)
    block = _block_rows(vectors)
    wide = np.empty((min(block, count), vectors.shape[1]), dtype=np.float32)
    scores = np.empty((len(queries), count), dtype=np.float32)
    for start in range(0, count, block):
        part = vectors[start : start + block] if rows is None else vectors[rows[start : start + block]]
        np.matmul(queries, widen(part, wide).T, out=scores[:, start : start + len(part)])
    return scores


def _candidates(scores: Scores, k: int, rounding: np.float32) -> Ids:
    """Return the places that may hold one of the k best once they are scored exactly."""
    if k >= len(scores):
        return np.arange(len(scores))
    kth = np.partition(scores, len(scores) - k)[len(scores) - k]
    return np.flatnonzero(scores >= kth - 2 * rounding)


def _block_rows(vectors: Vectors) -> int:
    return max(1, BLOCK_VALUES // max(1, int(vectors.shape[1])))

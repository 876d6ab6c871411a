"""No index: every row that passes is scored. Small data sets use it, and every other kind is tested against it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from vidsearch.indexes._exact import rank_with_numpy, scan
from vidsearch.indexes.base import Candidates, Files, Ids, Queries, VectorIndex, Vectors
from vidsearch.selection import Selection


def train(sample: Queries, *, queries: Queries | None = None, rows: int, seed: int, factory: str | None = None) -> bytes:
    """Return b"": there is nothing to train."""
    del sample, queries, rows, seed, factory
    return b""


def load_template(data: bytes) -> None:
    """Return None: there is nothing to share."""
    del data


def assign(vectors: Vectors, template: None) -> None:
    """Return None: rows may lie in any order."""
    del vectors, template


def build(vectors: Vectors, template: None, lists: None) -> dict[str, bytes]:
    """Return no files: the stored vectors are all that is needed."""
    del vectors, template, lists
    return {}


def load(files: Files, vectors: Vectors, template: None) -> FlatIndex:
    """Return an exact index over the vectors (n, dim)."""
    del files, template
    return FlatIndex(vectors)


class FlatIndex(VectorIndex):
    """Scans the stored float16 rows; its candidates are the exact answer."""

    exact = True

    def __init__(self, vectors: Vectors) -> None:
        self.rows, self.dim = vectors.shape
        self._vectors = vectors

    def __repr__(self) -> str:
        return f"FlatIndex({self.rows} x {self.dim})"

    def collect(
        self, prepared: Queries, visits: Sequence[Ids], selection: Selection, *, share: float, depth: int, first: int, into: Candidates
    ) -> None:
        del visits, share
        merge(scan(prepared, self._vectors, depth, selection, rank=rank_with_numpy), depth=depth, first=first, into=into)
        into.compared += selection.count * len(prepared)


def merge(found: Sequence[tuple[Any, Ids]], *, depth: int, first: int, into: Candidates) -> None:
    """Add what one segment found, (scores, rows) a query, to what others did; the best `depth` stay."""
    for query, (scores, rows) in enumerate(found):
        held = into.counts[query]
        all_scores = np.concatenate([into.scores[query, :held], scores])
        all_rows = np.concatenate([into.rows[query, :held], rows + first])
        best = np.lexsort((all_rows, -all_scores))[:depth]
        into.counts[query] = len(best)
        into.rows[query, : len(best)], into.scores[query, : len(best)] = all_rows[best], all_scores[best]

"""Where clips lie on the map: the plane along which their vectors differ most."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vidsearch.corpus import Corpus, Rows
from vidsearch.curate.scan import vector_blocks

FITTED = 20_000  # vectors that the plane is made of; the covariance of more costs seconds and turns it by less than a degree
BLOCK_ROWS = 8192

Points = npt.NDArray[np.float32]  # (n, 2)


@dataclass(frozen=True)
class Plane:
    """The first two principal components.

    Attributes:
        mean: (dim,) float32.
        axes: (dim, 2) float32, unit columns.
        explained: share of the variance along each.
    """

    mean: npt.NDArray[np.float32]
    axes: npt.NDArray[np.float32]
    explained: tuple[float, float]

    def project(self, vectors: npt.NDArray[np.float32]) -> Points:
        """Return (n, 2) float32 for vectors (n, dim)."""
        return (vectors @ self.axes - self.mean @ self.axes).astype(np.float32)


def fit(corpus: Corpus, rows: Rows) -> Plane:
    """Return the plane of some rows' vectors: eigenvectors of their covariance, summed up in blocks.

    Each axis points to where its greatest component is positive, so that the same rows always give the same map.
    """
    dim = corpus.space.dim
    rows = rows[np.random.default_rng(0).permutation(len(rows))[:FITTED]]
    total, products = np.zeros(dim), np.zeros((dim, dim))
    for start in range(0, len(rows), BLOCK_ROWS):
        vectors = corpus.vectors_of(rows[start : start + BLOCK_ROWS])
        total += vectors.sum(axis=0, dtype=np.float64)
        products += vectors.T @ vectors
    count = max(1, len(rows))
    mean = total / count
    values, axes = np.linalg.eigh(products / count - np.outer(mean, mean))
    first = np.zeros((dim, 2))
    first[:, : min(dim, 2)] = axes[:, ::-1][:, :2]
    signs = np.sign(first[np.abs(first).argmax(axis=0), [0, 1]])
    shares = (np.maximum(values[::-1], 0) / max(values.sum(), 1e-12)).tolist()
    explained = (float(shares[0]), float(shares[1]) if dim > 1 else 0.0)
    return Plane(mean.astype(np.float32), (first * np.where(signs == 0, 1, signs)).astype(np.float32), explained)


def project_rows(corpus: Corpus, plane: Plane, rows: Rows) -> Points:
    """Return where some rows lie, (m, 2) float32, read in blocks."""
    blocks = [plane.project(corpus.vectors_of(rows[start : start + BLOCK_ROWS])) for start in range(0, len(rows), BLOCK_ROWS)]
    return np.concatenate([np.zeros((0, 2), np.float32), *blocks])


def project_all(corpus: Corpus, plane: Plane) -> Points:
    """Return where every row lies, (slots, 2) float32, NaN for deleted ones; a second or more for each gigabyte of vectors."""
    points = np.full((corpus.slots, 2), np.nan, dtype=np.float32)
    for rows, vectors in vector_blocks(corpus):
        points[rows] = plane.project(vectors)
    return points

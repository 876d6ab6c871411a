"""Fewer dimensions that keep what text queries see: a PCA in the metric of the queries.

A code's error e changes the score of a query q by q·e, and E[(q·e)²] = eᵀ C e with C = E[q qᵀ]. So the dimensions to keep are the
principal ones of W x with W = C^½, and a query meets them as W⁻¹ q: the two sides of a product are projected differently.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Matrix = npt.NDArray[np.float32]

SHRINKAGE = 0.1  # of the queries' second moment towards a sphere: a few hundred queries do not fill 768 dimensions
SLICE_DIM = 2  # dimensions a 4-bit code stands for
MAX_CODES = 512  # their sums, at most 127 each, must fit 16 bits


@dataclass(frozen=True)
class Projection:
    """The two sides of an inner product in fewer dimensions: q·x ≈ (queries @ q)·(rows @ x).

    Attributes:
        rows: (width, dim) float32, for stored vectors.
        queries: (width, dim) float32, for queries.
    """

    rows: Matrix
    queries: Matrix


def width_for(dim: int) -> int:
    """Return how many dimensions are kept: half, 32 to 1024, never more than there are; a multiple of four where that can be."""
    width = min(dim, max(32, dim // 2), SLICE_DIM * MAX_CODES)
    return width - width % (2 * SLICE_DIM) if width >= 2 * SLICE_DIM else width


def fit(sample: Matrix, queries: Matrix | None, *, width: int, seed: int) -> Projection:
    """Return the projection that keeps the most of the scores.

    Args:
        sample: (n, dim) float32, stored vectors.
        queries: (q, dim) float32, unit rows; without any, every direction counts the same and this is a plain PCA.
        width: dimensions to keep.
        seed: of the rotation that spreads the variance over all of them, so that each code has its share.
    """
    dim = sample.shape[1]
    metric = np.eye(dim) if queries is None or not len(queries) else _second_moment(queries)
    strength, axes = np.linalg.eigh(metric)
    root = (axes * np.sqrt(strength)) @ axes.T
    inverse = (axes / np.sqrt(strength)) @ axes.T
    centred = sample - sample.mean(axis=0)
    covariance = (centred.T @ centred).astype(np.float64) / len(sample)
    kept = np.linalg.eigh(root @ covariance @ root)[1][:, : -width - 1 : -1]  # eigenvalues ascend
    rotation = np.linalg.qr(np.random.default_rng(seed).standard_normal((width, width)))[0]
    turned = rotation @ kept.T
    return Projection((turned @ root).astype(np.float32), (turned @ inverse).astype(np.float32))


def _second_moment(queries: Matrix) -> npt.NDArray[np.float64]:
    moment = (queries.T @ queries).astype(np.float64) / len(queries)
    dim = len(moment)
    moment *= dim / np.trace(moment)
    mixed: npt.NDArray[np.float64] = (1 - SHRINKAGE) * moment + SHRINKAGE * np.eye(dim)
    return mixed

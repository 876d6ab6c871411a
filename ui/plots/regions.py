"""Which clips lie inside a lasso."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from ui.state import Point
from vidsearch.corpus import Rows

if TYPE_CHECKING:
    from ui.plots.map import Map

Mask = npt.NDArray[np.bool_]


def rows_inside(drawn: Map, corners: Sequence[Point]) -> Rows:
    """Return the rows within a polygon of the map, ascending: of the whole index where every clip has a place on it, else of the sample."""
    rows, points = drawn.placed()
    return rows[inside(points, corners)]


def inside(points: npt.NDArray[np.float32], corners: Sequence[Point]) -> Mask:
    """Return which points a polygon holds, by the even-odd rule: a ray to the right crosses its border an odd number of times.

    A border point belongs to the polygon on its left or lower side only, so that neighbours share none. NaN is never inside.

    Args:
        points: (n, 2) float32.
        corners: three or more; the last is joined to the first.
    """
    found = np.zeros(len(points), np.bool_)
    if len(corners) < 3:
        return found
    border = np.array(corners, dtype=np.float64)
    (left, bottom), (right, top) = border.min(axis=0), border.max(axis=0)
    near = np.flatnonzero((points[:, 0] >= left) & (points[:, 0] <= right) & (points[:, 1] >= bottom) & (points[:, 1] <= top))
    x, y = points[near].astype(np.float64).T
    odd = np.zeros(len(near), np.bool_)
    for (x1, y1), (x2, y2) in pairwise([*border, border[0]]):
        spans = (y1 > y) != (y2 > y)
        if y1 != y2:
            odd ^= spans & (x < (x2 - x1) * (y - y1) / (y2 - y1) + x1)
    found[near] = odd
    return found

"""Vectors of several segments as one array in any order, read block by block: a million rows are never in memory at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import numpy.typing as npt

Halves = npt.NDArray[np.float16]


class Gathered:
    """As much of an array (n, dim) float16 as writing and encoding need: a length, a shape, and slices of rows."""

    dtype = np.dtype(np.float16)
    ndim = 2

    def __init__(self, parts: Sequence[Halves], order: npt.NDArray[np.int64] | None = None) -> None:
        self._parts = parts
        self._starts = np.cumsum([0, *map(len, parts)])
        self._order = order
        self.shape = (int(self._starts[-1]) if order is None else len(order), parts[0].shape[1])

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: slice) -> Halves:
        start, end, _ = rows.indices(len(self))
        wanted = np.arange(start, end) if self._order is None else self._order[start:end]
        taken = np.empty((len(wanted), self.shape[1]), dtype=np.float16)
        owner = np.searchsorted(self._starts, wanted, side="right") - 1
        for number in np.unique(owner):
            places = np.flatnonzero(owner == number)
            taken[places] = self._parts[number][wanted[places] - self._starts[number]]
        return taken

    def in_order(self, order: npt.NDArray[np.int64]) -> Gathered:
        """Return the same rows in another order, or some of them."""
        return Gathered(self._parts, order)

    def as_vectors(self) -> Halves:
        """Return this, for functions that take an array and read slices of it."""
        return cast(Halves, cast(Any, self))

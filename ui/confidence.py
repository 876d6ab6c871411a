"""What a score means: how many of the index's clips it beats."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vidsearch import Index
from vidsearch.corpus import Vectors
from vidsearch.curate.scan import draw_rows
from vidsearch.query import Vector

SAMPLE_ROWS = 8192
SAMPLE_BYTES = 20_000_000
SEED = 0

Scores = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Confidence:
    """Whether the best clip is better than chance.

    Attributes:
        best: its cosine.
        floor: the cosine from which it is.
        confident: whether it is.
    """

    best: float
    floor: float
    confident: bool


class Background:
    """A fixed random sample of an index's clips, which scores are compared with."""

    def __init__(self, index: Index) -> None:
        self._index = index
        self._drawn: tuple[tuple[str, ...], Vectors] | None = None

    def percentiles(self, vector: Vector, cosines: Scores) -> Scores:
        """Return for each cosine (m,) with a question the share of the sample's clips whose own is lower, 0 to 1."""
        others = np.sort(self.sample @ vector)
        shares: Scores = (np.searchsorted(others, cosines) / max(1, len(others))).astype(np.float32)
        return shares

    @property
    def sample(self) -> Vectors:
        """(s, dim) float32, drawn anew when a damaged segment was left out."""
        if self._drawn is None or self._drawn[0] != self._index.skipped:
            rows = min(SAMPLE_ROWS, SAMPLE_BYTES // (4 * self._index.space.dim))
            drawn = self._index.answered(lambda: self._index.vectors_of(draw_rows(self._index, self._index.select(None), rows, seed=SEED)))
            self._drawn = self._index.skipped, drawn
        return self._drawn[1]

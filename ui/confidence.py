"""What a score means: how many of the index's clips it beats, and whether the best one is more than chance.

"No confident match" is said when the best cosine of a sentence is no higher than jumbles of everyday words reach in this index: sentences
without a meaning, such as those whose scores `vidsearch coverage` takes for noise. Each jumble is asked of the whole index, so what counts
is the best of as many clips as the sentence had to choose from; the floor is the 75 % quantile. With a filter it stays that of all clips.

How many sentences were taken for a match (raw cosines separate better than ones scaled by the mean and spread of each sentence's own):

    index                              sentences                                   share
    300 toy clips, demo model          their 300 captions                          1.00
                                       300 about combinations it never saw         1.00
                                       500 MSR-VTT captions, of other things       0.26
    149 real clips, offline encoder    captions whose clip came first (63)         0.62
                                       all 149 captions                            0.42
                                       500 MSR-VTT captions, nearly all absent     0.15
                                       300 toy captions, all absent                0.04

With the 95 % quantile the false ones halve (0.11, 0.06, 0.02), and the true ones fall to 0.91 and 0.40.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from vidsearch import Index
from vidsearch.corpus import Vectors
from vidsearch.curate.scan import draw_rows
from vidsearch.curate.terms import jumbles
from vidsearch.query import Vector

SAMPLE_ROWS = 8192
SAMPLE_BYTES = 20_000_000
SEED = 0
JUMBLES = 128
QUANTILE = 0.75

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
        self._floor: tuple[tuple[str, ...], float] | None = None

    def confidence(self, best: float) -> Confidence:
        """Return whether the best cosine of a sentence is more than what sentences without a meaning find in this index."""
        return Confidence(best, self.floor, best > self.floor)

    @property
    def floor(self) -> float:
        """The 75 % quantile of the best cosines that jumbles of everyday words find among all clips; encodes 128 texts at first."""
        if self._floor is None or self._floor[0] != self._index.skipped:
            found = self._index.answered(lambda: self._index.nearest(self.jumbled, 1))
            bests = [float(ranked.scores[0]) for ranked in found if len(ranked.scores)]
            self._floor = self._index.skipped, float(np.quantile(bests, QUANTILE)) if bests else 0.0
        return self._floor[1]

    @cached_property
    def jumbled(self) -> Vectors:
        """(128, dim) float32; 0.2 s with the demo model, seconds with a large one."""
        return self._index.encode_texts(jumbles((), seed=SEED, count=JUMBLES))

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

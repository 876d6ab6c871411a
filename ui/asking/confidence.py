"""What a score means: how many of the index's clips it beats, and whether the best one is more than chance.

"No confident match" is said when the best cosine of a sentence lies no further above the mean of all of its cosines than those of jumbles
of everyday words do: sentences without a meaning, such as those whose scores `vidsearch coverage` takes for noise. Each jumble is asked of
the whole index, so that it chooses among as many clips as the sentence does, and three in four of them fall short. With a filter the floor
stays that of all clips.

How many sentences were taken for a match, by that rule, and by two that were tried beside it:

    index                            sentences                               best - mean   best   (best - mean) / std
    300 toy clips, demo model        their 300 captions                         1.00       1.00        0.99
                                     300 more of that world                     0.96       0.99        0.86
                                     500 MSR-VTT captions, of other things      0.17       0.26        0.22
                                     20 short queries, for other things         0.20       1.00        0.10
    149 real clips, offline encoder  captions whose clip came first (63)        0.65       0.62        -
                                     all 149 captions                           0.42       0.42        0.40
                                     500 MSR-VTT captions, nearly all absent    0.14       0.15        0.21
                                     300 toy captions, all absent               0.04       0.04        0.11

At the 95 % quantile of the jumbles 0.05 and 0.05 of the MSR-VTT captions pass, but 0.79 of the further toy sentences and 0.40 of the 63.
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
        self._rise: tuple[tuple[str, ...], float] | None = None

    def confidence(self, vector: Vector, best: float) -> Confidence:
        """Return whether the best cosine of a sentence is more than what sentences without a meaning find in this index."""
        floor = float((self.sample @ vector).mean()) + self.rise if len(self.sample) else 0.0
        return Confidence(best, floor, best > floor)

    @property
    def rise(self) -> float:
        """How far above its mean the best cosine of three in four jumbles lies at most."""
        if self._rise is None or self._rise[0] != self._index.skipped:
            found = self._index.answered(lambda: self._index.nearest(self.jumbled, 1))
            means = (self.jumbled @ self.sample.T).mean(axis=1)
            rises = [float(ranked.scores[0] - mean) for ranked, mean in zip(found, means, strict=True)]
            self._rise = self._index.skipped, float(np.quantile(rises, QUANTILE))
        return self._rise[1]

    @cached_property
    def jumbled(self) -> Vectors:
        """(128, dim) float32; 0.2 s with the demo model, seconds with a large one."""
        return self._index.encode_texts(jumbles((), seed=SEED, count=JUMBLES))

    def percentiles(self, vector: Vector, cosines: Scores) -> Scores:
        """Return for each cosine (m,) with a question the share of the sample's clips whose own is lower.

        From 0 to all but one of s, the most that a sample of s can tell.
        """
        others = np.sort(self.sample @ vector)
        lower = np.minimum(np.searchsorted(others, cosines), len(others) - 1)
        shares: Scores = (lower / max(1, len(others))).astype(np.float32)
        return shares

    @property
    def sample(self) -> Vectors:
        """(s, dim) float32, drawn anew when a damaged segment was left out."""
        if self._drawn is None or self._drawn[0] != self._index.skipped:
            rows = min(SAMPLE_ROWS, SAMPLE_BYTES // (4 * self._index.space.dim))
            drawn = self._index.answered(lambda: self._index.vectors_of(draw_rows(self._index, self._index.select(None), rows, seed=SEED)))
            self._drawn = self._index.skipped, drawn
        return self._drawn[1]

"""What a score means: how many of the index's clips it beats, and how likely such a clip is what the sentence describes.

Raw cosines cannot be compared between sentences: some lie near every clip. So what counts is how far a clip's cosine rises above the mean
cosine of the sentence and a fixed sample of clips, which is the cosine-like product with the sample's mean vector: one dot product.

    rise = cosine - sentence · mean           probability = curve(rise)

The curves were fitted when the index was built (`indexer.likelihood`), for the best clip of an answer and for the others apart: that
nothing scores higher says much that the rise alone does not. They were fitted for sentences as long as the captions and for short phrases;
a sentence between the two in length gets a mean of both. docs/confidence.md has the figures.

Another calibration, `vidsearch.calibration`, is of search settings.
"""

from __future__ import annotations

import math
from binascii import a2b_base64, b2a_base64
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from vidsearch.results import Basis, Confidence

# Shares of the background at which its rises are kept: even below nine in ten, then eight for each power of ten to one in a million.
LEVELS: npt.NDArray[np.float64] = np.concatenate([np.linspace(0, 0.875, 36), 1 - 10 ** -np.linspace(1, 6, 41)])

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Curve:
    """Probability by rise, both (m,) and rising; straight between the points, level beyond them."""

    rises: Floats
    probabilities: Floats

    def at(self, rises: Floats) -> Floats:
        """Return the probabilities (n,) of rises (n,)."""
        return np.interp(rises, self.rises, self.probabilities)

    def to_json(self) -> list[list[float]]:
        return [[round(float(value), 6) for value in values] for values in (self.rises, self.probabilities)]

    @classmethod
    def from_json(cls, values: Any) -> Curve:
        return cls(*(np.array(part, dtype=np.float64) for part in values))


@dataclass(frozen=True, eq=False)
class Kind:
    """What was found for sentences of one length.

    Attributes:
        size_bytes: their median length in UTF-8, in which a sentence of any language has about the same.
        best: curve of the nearest clip of an answer.
        others: curve of the further ones.
        factors: (low, high), what the sum of the probabilities of all clips is multiplied by for a 95 % interval of how many are right.
        sentences: that they were fitted on.
    """

    size_bytes: float
    best: Curve
    others: Curve
    factors: tuple[float, float]
    sentences: int

    def to_json(self) -> dict[str, Any]:
        return {
            "size_bytes": self.size_bytes,
            "best": self.best.to_json(),
            "others": self.others.to_json(),
            "factors": list(self.factors),
            "sentences": self.sentences,
        }

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Kind:
        curves = {name: Curve.from_json(values[name]) for name in ("best", "others")}
        low, high = values["factors"]
        return cls(float(values["size_bytes"]), **curves, factors=(float(low), float(high)), sentences=int(values["sentences"]))


@dataclass(frozen=True, eq=False)
class Likelihood:
    """What was learnt about an index's scores when it was built.

    Attributes:
        basis: "captions", or "background" where only sentences that mean nothing were at hand.
        mean: (dim,) float32, of a sample of the clips.
        background: (len(LEVELS),) the rises that those shares of the sentences' pairs with clips do not exceed.
        floor: the rise that the best clip of an answer must exceed to count as a match.
        kinds: one, or two by rising length.
        rows: the index had then.
    """

    basis: Basis
    mean: npt.NDArray[np.float32]
    background: Floats
    floor: float
    kinds: tuple[Kind, ...]
    rows: int

    def rises(self, vector: npt.NDArray[np.float32], cosines: npt.NDArray[np.float32]) -> Floats:
        """Return how far cosines (n,) of a sentence's vector (dim,) lie above its mean cosine."""
        return cosines.astype(np.float64) - float(vector @ self.mean)

    def percentiles(self, rises: Floats) -> Floats:
        """Return about which share of the index's clips such clips beat, 0 to 1."""
        return np.interp(rises, self.background, LEVELS)

    def probabilities(self, rises: Floats, best: npt.NDArray[np.bool_], size_bytes: int) -> Floats:
        """Return how likely clips are what a sentence describes.

        Args:
            rises: (n,).
            best: (n,) whether the clip is the nearest of those that were searched.
            size_bytes: length of the sentence.
        """
        mixed = np.zeros(len(rises))
        for weight, kind in zip(self._weights(size_bytes), self.kinds, strict=True):
            if weight:
                mixed += weight * np.where(best, kind.best.at(rises), kind.others.at(rises))
        return mixed

    def factors(self, size_bytes: int) -> tuple[float, float]:
        """Return the ends of the interval of a sum of probabilities, as factors of it: the wider ones of both kinds between them."""
        lows, highs = zip(
            *(kind.factors for weight, kind in zip(self._weights(size_bytes), self.kinds, strict=True) if weight), strict=True
        )
        return min(lows), max(highs)

    def confidence(self, vector: npt.NDArray[np.float32], best: float, size_bytes: int) -> Confidence:
        """Return what the nearest clip's cosine says about a sentence."""
        rises = self.rises(vector, np.array([best], dtype=np.float32))
        probability = float(self.probabilities(rises, np.array([True]), size_bytes)[0])
        return Confidence(best, best - float(rises[0]) + self.floor, bool(rises[0] > self.floor), probability, self.basis)

    def _weights(self, size_bytes: int) -> list[float]:
        """Return how much each kind counts for a sentence: by its length, on a logarithmic scale."""
        if len(self.kinds) == 1:
            return [1.0]
        short, long = (math.log(kind.size_bytes) for kind in self.kinds)
        part = min(1.0, max(0.0, (math.log(max(1, size_bytes)) - short) / (long - short)))
        return [1 - part, part]

    def to_json(self) -> dict[str, Any]:
        """Return what `from_json` reads, for the manifest."""
        return {
            "basis": self.basis,
            "mean": b2a_base64(self.mean.astype("<f2").tobytes(), newline=False).decode(),
            "background": [round(float(rise), 5) for rise in self.background],
            "floor": round(self.floor, 6),
            "kinds": [kind.to_json() for kind in self.kinds],
            "rows": self.rows,
        }

    @classmethod
    def from_json(cls, values: Any, *, dim: int) -> Likelihood | None:
        """Read what a manifest holds; None where it holds nothing, or what another version of this file wrote."""
        try:
            mean = np.frombuffer(a2b_base64(values["mean"]), dtype="<f2").astype(np.float32)
            background = np.array(values["background"], dtype=np.float64)
            kinds = tuple(Kind.from_json(kind) for kind in values["kinds"])
            if mean.shape != (dim,) or background.shape != LEVELS.shape or not 1 <= len(kinds) <= 2:
                return None
            return cls(values["basis"], mean, background, float(values["floor"]), kinds, int(values["rows"]))
        except (KeyError, TypeError, ValueError):
            return None

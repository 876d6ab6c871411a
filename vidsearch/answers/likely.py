"""Hits → the same hits with what their scores mean."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from vidsearch.answers.streams import Stream
from vidsearch.corpus import Corpus
from vidsearch.likelihood import Likelihood
from vidsearch.query import Query, Vector
from vidsearch.results import Confidence, Hit


@dataclass(frozen=True, eq=False)
class Meaning:
    """What the cosines of one sentence mean in one index.

    Attributes:
        likelihood: of the index.
        vector: (dim,) float32, the sentence.
        size_bytes: length of the sentence.
        falling: (m,) float32, cosines that are known, highest first, m above 0.
        floor: all from this one on are known; -inf where all are.
        matching, rows: clips that were searched, and those of the index.
    """

    likelihood: Likelihood
    vector: Vector
    size_bytes: int
    falling: npt.NDArray[np.float32]
    floor: float
    matching: int
    rows: int

    @property
    def best(self) -> float:
        return float(self.falling[0])

    @property
    def confidence(self) -> Confidence:
        return self.likelihood.confidence(self.vector, self.best, self.size_bytes)

    def of(self, cosines: npt.NDArray[np.float32]) -> tuple[list[float], list[float]]:
        """Return percentiles and probabilities of some cosines (n,).

        Where every clip was searched, the rank is the percentile; with a filter it only bounds what is estimated from the background.
        """
        rises = self.likelihood.rises(self.vector, cosines)
        probabilities = self.likelihood.probabilities(rises, cosines >= self.falling[0], self.size_bytes)
        before = np.searchsorted(-self.falling, -cosines)
        most = (self.rows - 1 - before) / self.rows
        least = np.where(cosines >= self.floor, self.matching - 1 - before, 0) / self.rows
        return np.clip(self.likelihood.percentiles(rises), least, most).tolist(), probabilities.tolist()

    def told(self, hits: Sequence[Hit]) -> tuple[Hit, ...]:
        """Return hits with percentile and probability; those of one video, with it, where their scores are cosines."""
        cosines = np.array([hit.score if hit.cosine is None else hit.cosine for hit in hits], dtype=np.float32)
        return tuple(
            replace(
                hit,
                percentile=percentile,
                probability=probability,
                group=hit.group and (self.told(hit.group) if hit.cosine is None else hit.group),
            )
            for hit, percentile, probability in zip(hits, *self.of(cosines), strict=True)
        )


def meaning(corpus: Corpus, query: Query, vectors: Vector, stream: Stream) -> Meaning | None:
    """Return what the cosines of an answer mean; None where it is not known.

    Sentences alone are judged, further and excluded ones too, though the curves were fitted on single ones; a chain, an example or a
    thumb makes a question whose cosines lie elsewhere.

    Args:
        corpus: what was asked.
        query: the question.
        vectors: (stages, dim) float32, what it was asked with.
        stream: its ranking, read as far as it was needed.
    """
    likelihood = corpus.likelihood
    moved = bool(query.up or query.down) and (query.rocchio.beta > 0 or query.rocchio.gamma > 0)
    if likelihood is None or stream.last is None or not len(stream.cosines) or query.then:
        return None
    if not query.texts or query.like or query.vector is not None or moved:
        return None
    size_bytes = max(len(text.encode()) for text, _ in query.texts)
    falling = -np.sort(-stream.cosines)
    return Meaning(likelihood, vectors[0], size_bytes, falling, stream.last.floor, stream.limit, len(corpus))

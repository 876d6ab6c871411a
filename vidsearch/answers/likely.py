"""Hits → the same hits with what their scores mean."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vidsearch.answers.streams import Stream
from vidsearch.corpus import Corpus
from vidsearch.likelihood import Likelihood
from vidsearch.query import Query, Vector
from vidsearch.results import Confidence, Hit

Cosines = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Meaning:
    """What the cosines of one question mean in one index.

    Attributes:
        likelihood: of the index; None where it does not know, or the question is not of sentences alone.
        vector: (dim,) float32, the question.
        size_bytes: length of the sentence.
        falling: (m,) float32, cosines that are known, highest first, m above 0.
        floor: all from this one on are known; -inf where all are.
        matching, rows: clips that were searched, and those of the index.
    """

    likelihood: Likelihood | None
    vector: Vector
    size_bytes: int
    falling: Cosines
    floor: float
    matching: int
    rows: int

    @property
    def confidence(self) -> Confidence | None:
        if self.likelihood is None:
            return None
        return self.likelihood.confidence(self.vector, float(self.falling[0]), self.size_bytes)

    def percentiles(self, cosines: Cosines) -> list[float | None]:
        """Return about which share of the index's clips each of some cosines (n,) beats.

        Where every clip was searched its rank says it; with a filter that only bounds what is estimated from the background.
        """
        before = np.searchsorted(-self.falling, -cosines)
        most = (self.rows - 1 - before) / self.rows
        least = np.where(cosines >= self.floor, self.matching - 1 - before, 0) / self.rows
        if self.likelihood is not None:
            about = self.likelihood.percentiles(self.likelihood.rises(self.vector, cosines))
            return [float(share) for share in np.clip(about, least, most)]
        return [share if known else None for share, known in zip(most.tolist(), (least == most).tolist(), strict=True)]

    def probabilities(self, cosines: Cosines) -> list[float | None]:
        """Return how likely clips of some cosines (n,) are what is asked for."""
        if self.likelihood is None:
            return [None] * len(cosines)
        rises = self.likelihood.rises(self.vector, cosines)
        return [float(share) for share in self.likelihood.probabilities(rises, cosines >= self.falling[0], self.size_bytes)]

    def told(self, hits: Sequence[Hit]) -> tuple[Hit, ...]:
        """Return hits with percentile and probability; those of one video, with it, where their scores are cosines."""
        cosines = np.array([hit.score if hit.cosine is None else hit.cosine for hit in hits], dtype=np.float32)
        told = []
        for hit, percentile, probability in zip(hits, self.percentiles(cosines), self.probabilities(cosines), strict=True):
            group = self.told(hit.group) if hit.group and hit.cosine is None else hit.group
            told.append(Hit(**{**vars(hit), "percentile": percentile, "probability": probability, "group": group}))  # `replace` is slow
        return tuple(told)


def meaning(corpus: Corpus, query: Query, vectors: Vector, stream: Stream) -> Meaning | None:
    """Return what the cosines of an answer mean; None where there are none, and for chains, whose scores are sums.

    How likely a clip is right is said of sentences alone, further and excluded ones too, though the curves were fitted on single ones; an
    example or a thumb makes a question whose cosines lie elsewhere.

    Args:
        corpus: what was asked.
        query: the question.
        vectors: (stages, dim) float32, what it was asked with.
        stream: its ranking, read as far as it was needed.
    """
    if stream.last is None or not len(stream.cosines) or query.then:
        return None
    moved = bool(query.up or query.down) and (query.rocchio.beta > 0 or query.rocchio.gamma > 0)
    sentences_alone = query.texts and not (query.like or query.vector is not None or moved)
    size_bytes = max((len(text.encode()) for text, _ in query.texts), default=0)
    falling = -np.sort(-stream.cosines)
    known = corpus.likelihood if sentences_alone else None
    return Meaning(known, vectors[0], size_bytes, falling, stream.last.floor, stream.limit, len(corpus))

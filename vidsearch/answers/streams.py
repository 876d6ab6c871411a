"""A question → a ranking of rows that grows as far as it is read and never changes what it has shown."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from vidsearch.answers.refine import best_first, fuse_ranks, fuse_scores
from vidsearch.captions.text import Wanted
from vidsearch.captions.text import read as read_words
from vidsearch.corpus import Corpus, Ranked, Rows
from vidsearch.errors import QueryError
from vidsearch.query import Query, Vector
from vidsearch.results import Certificate
from vidsearch.selection import Selection

FUSED_ROWS = 256  # of either side are fused at first
CHAINED_ROWS = 256  # of each stage name videos at first
SPARE = 4  # times as many rows as are wanted are ranked at first where some will be folded or left out

Scores = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Ranking:
    """Some rows, best first.

    Attributes:
        rows: (m,) int64.
        scores: (m,) float32, what they are ranked by.
        certificate: how they were found.
        cosines: (m,) of the query; None where no vectors were compared.
        floor: no row that is missing passes this threshold of `min_score`; -inf when none is missing.
    """

    rows: Rows
    scores: Scores
    certificate: Certificate
    cosines: Scores | None
    floor: float

    @property
    def sure(self) -> bool:
        """Whether every row that could be here was scored."""
        return self.certificate.plan in ("exact", "none", "keywords")


class Stream:
    """A ranking read to a depth that doubles. A row found late, by a deeper search, comes after those that were shown before it.

    Args:
        rank: gives the ranking to a depth.
        first: the first depth.
        limit: rows that it can have at most.
    """

    def __init__(self, rank: Callable[[int], Ranking], *, first: int, limit: int) -> None:
        self._rank, self._first, self.limit = rank, first, limit
        self.depth = 0
        self.rows: Rows = np.zeros(0, np.int64)
        self.scores: Scores = np.zeros(0, np.float32)
        self.cosines: Scores = np.zeros(0, np.float32)  # as `scores`, where vectors are compared
        self.last: Ranking | None = None

    @property
    def done(self) -> bool:
        return self.depth >= self.limit

    def grow(self, wanted: int = 0) -> None:
        """Go deeper: twice as deep, or at once as deep as is wanted where nothing can be found late."""
        depth = max(self._first, 2 * self.depth)
        if self.last is not None and self.last.sure:
            depth = max(depth, wanted)
        self.depth = min(self.limit, depth)
        self.last = self._rank(self.depth)
        if len(self.last.rows) < self.depth and self.last.floor == -np.inf:
            self.depth = self.limit
        new = np.isin(self.last.rows, self.rows, invert=True) if len(self.rows) else slice(None)
        self.rows = np.concatenate([self.rows, self.last.rows[new]])
        self.scores = np.concatenate([self.scores, self.last.scores[new]])
        if self.last.cosines is not None:
            self.cosines = np.concatenate([self.cosines, self.last.cosines[new]])


def first_depth(query: Query) -> int:
    """Return how deep a ranking is read at first; it must not depend on the page, or pages would not fit together."""
    if query.then:
        return CHAINED_ROWS
    spare = query.per_video or query.dedupe or query.group or query.diverse is not None
    depth = max(64, SPARE * query.k) if spare else query.k
    return max(FUSED_ROWS, 2 * depth) if query.mode == "hybrid" else depth


class Words:
    """The keywords of a corpus, or none of them: a keyword index is opened when it is first asked."""

    def __init__(self, corpus: Corpus, column: str) -> None:
        from pyarrow import types

        if len(corpus) and column not in corpus.schema.names:
            raise QueryError(f"unknown column {column!r} for keywords; choose from {', '.join(corpus.schema.names)}")
        kind = corpus.schema.field(column).type if len(corpus) else None
        if kind is not None and not (types.is_string(kind) or types.is_large_string(kind) or types.is_null(kind)):
            raise QueryError(f"column {column!r} holds {kind}, not text; keywords are looked for in text")
        self._corpus, self._column = corpus, column

    @cached_property
    def _segments(self) -> list[Any]:
        from vidsearch.captions.store import open_keywords

        return [open_keywords(self._corpus.root, segment, column=self._column) for segment in self._corpus.segments]

    def narrow(self, selections: Sequence[Selection], phrases: Sequence[str]) -> list[Selection]:
        """Return the rows that pass and hold every phrase."""
        from vidsearch.captions.keywords import words_of

        phrases = [phrase for phrase in phrases if words_of([phrase])]
        if not phrases:
            return list(selections)
        narrowed = []
        for selection, keywords in zip(selections, self._segments, strict=True):
            rows = keywords.holding(phrases)
            narrowed.append(Selection.of_ids(selection.rows, rows if selection.everything else rows[selection.mask[rows]]))
        return narrowed

    def nearest(self, wanted: Sequence[Wanted], depth: int, selections: Sequence[Selection]) -> tuple[Rows, Scores]:
        """Return the rows that pass and hold a word at least, by BM25; each segment counts how rare a word is for itself."""
        found = [keywords.search(wanted, depth, selection) for selection, keywords in zip(selections, self._segments, strict=True)]
        rows = np.concatenate([np.zeros(0, np.int64), *(part[0] + start for part, start in zip(found, self._corpus.offsets, strict=False))])
        scores = np.concatenate([np.zeros(0, np.float32), *(part[1] for part in found)])
        rows, scores = best_first(rows, scores)
        return rows[:depth], scores[:depth]


def wanted_words(query: Query) -> list[Wanted]:
    """Return what the question's texts ask of the captions.

    Raises:
        QueryError: there is no word in them.
    """
    from vidsearch.captions.keywords import words_of

    wanted = [read_words(text, weight) for text, weight in query.texts]
    if not words_of(item.words for item in wanted):
        raise QueryError(f"there is no word to look for in {query.texts[0].text!r:.60}")
    return wanted


def by_vector(
    corpus: Corpus, query: Query, vector: Vector, selections: Sequence[Selection], first: Ranked | None
) -> Callable[[int], Ranking]:
    """Return how rows are ranked by the cosine with one vector; `first` is the answer to the first depth, when it is known."""
    matching = sum(selection.count for selection in selections)

    def rank(depth: int) -> Ranking:
        nonlocal first
        ranked, first = first, None
        if ranked is None:
            ranked = corpus.nearest(vector[None], depth, selections=selections, recall=query.recall, exact=query.exact)[0]
        floor = -np.inf if depth >= matching or not len(ranked.rows) else float(ranked.scores[-1])
        return Ranking(ranked.rows, ranked.scores, ranked.certificate, ranked.scores, floor)

    return rank


def by_words(words: Words, wanted: Sequence[Wanted], rows: int, selections: Sequence[Selection]) -> Callable[[int], Ranking]:
    """Return how rows are ranked by BM25."""
    matching = sum(selection.count for selection in selections)

    def rank(depth: int) -> Ranking:
        found, scores = words.nearest(wanted, depth, selections)
        reason = f"keywords: {matching:,} of {rows:,} clips pass, ranked by BM25"
        floor = -np.inf if len(found) < depth or depth >= matching else float(scores[-1])
        return Ranking(found, scores, Certificate("keywords", reason, rows=rows, matching=matching), None, floor)

    return rank


def by_both(
    corpus: Corpus, query: Query, vector: Vector, words: Words, wanted: Sequence[Wanted], selections: Sequence[Selection]
) -> Callable[[int], Ranking]:
    """Return how rows are ranked by cosine and BM25 together: the best of either side, as deep as asked, fused."""
    near = by_vector(corpus, query, vector, selections, None)

    def rank(depth: int) -> Ranking:
        nearest = near(depth)
        found, keyword_scores = words.nearest(wanted, depth, selections)
        rows = np.union1d(nearest.rows, found)
        cosines = _cosines(corpus, rows, vector, nearest)
        if query.hybrid_weight is None:
            fused, scores = fuse_ranks([nearest.rows, found])
        else:
            spread = np.zeros(len(rows), np.float32)
            spread[np.searchsorted(rows, found)] = keyword_scores
            fused, scores = fuse_scores(rows, cosines, spread, query.hybrid_weight)
        return Ranking(fused, scores, nearest.certificate, cosines[np.searchsorted(rows, fused)], nearest.floor)

    return rank


def _cosines(corpus: Corpus, rows: Rows, vector: Vector, nearest: Ranking) -> Scores:
    cosines = np.full(len(rows), np.nan, dtype=np.float32)
    cosines[np.searchsorted(rows, nearest.rows)] = nearest.scores
    missing = np.isnan(cosines)
    if missing.any():
        cosines[missing] = (corpus.vectors_of(rows[missing]) * vector).sum(axis=1)
    return cosines

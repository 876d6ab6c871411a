"""What happens and then happens: clips in order within a source video, ranked by the sum of their scores."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from vidsearch.answers.refine import best_chain
from vidsearch.answers.streams import Ranking, Scores
from vidsearch.answers.videos import numbered, sources_of, within
from vidsearch.corpus import Corpus, Rows
from vidsearch.query import Query, Vector
from vidsearch.selection import Selection

Chain = list[tuple[int, float]]  # (row, score) of each clip, in order


class Chains:
    """The best chain of each source video.

    The nearest clips of every stage name videos, whose clips that pass are all scored. A video that is not named holds no clip as near as
    the last one of any stage, so no chain better than the sum of those: what beats it is final.

    Args:
        corpus: what is searched.
        query: what is asked.
        vectors: (stages, dim) unit rows.
        selections: the rows that pass.
    """

    def __init__(self, corpus: Corpus, query: Query, vectors: Vector, selections: Sequence[Selection]) -> None:
        self._corpus, self._query, self._vectors, self._selections = corpus, query, vectors, selections
        self._matching = sum(selection.count for selection in selections)
        self.of: dict[int, Chain] = {}  # by the row of its first clip

    def rank(self, depth: int) -> Ranking:
        """Return the first clips of the best chains, by the sums of the chains."""
        query = self._query
        ranked = self._corpus.nearest(self._vectors, depth, selections=self._selections, recall=query.recall, exact=query.exact)
        rows = np.unique(np.concatenate([stage.rows for stage in ranked]))
        complete = depth >= self._matching
        if not complete:
            rows = self._of_videos(rows)
        first, sums = self._best(rows)
        bound = -np.inf if complete else sum(float(stage.scores[-1]) if len(stage.scores) else -1.0 for stage in ranked)
        sure = sums >= bound
        return Ranking(first[sure], sums[sure], ranked[0].certificate, None, -np.inf if complete else bound)

    def _of_videos(self, rows: Rows) -> Rows:
        """Return every row that passes of the videos that some rows are of."""
        chosen = self._corpus.select(within(self._corpus, sources_of(self._corpus, rows).videos))
        both = [mine & theirs for mine, theirs in zip(self._selections, chosen, strict=True)]
        return np.concatenate([part.ids.astype(np.int64) + start for part, start in zip(both, self._corpus.offsets, strict=False)])

    def _best(self, rows: Rows) -> tuple[Rows, Scores]:
        sources = sources_of(self._corpus, rows)
        scores = np.stack([(self._corpus.vectors_of(rows) * vector).sum(axis=1) for vector in self._vectors])
        if self._query.min_score is not None:
            scores[scores < np.float32(self._query.min_score)] = -np.inf
        videos = numbered(sources.videos)
        found: dict[int, float] = {}
        for members in _groups(videos):
            best = best_chain(sources.starts_s[members], sources.ends_s[members], scores[:, members])
            if best is not None:
                clips = members[best[0]]
                self.of[int(rows[clips[0]])] = [(int(rows[clip]), float(scores[stage, clip])) for stage, clip in enumerate(clips)]
                found[int(rows[clips[0]])] = best[1]
        order = sorted(found, key=lambda row: (-found[row], row))
        return np.array(order, dtype=np.int64), np.array([found[row] for row in order], dtype=np.float32)


def _groups(numbers: Rows) -> list[Rows]:
    """Return the positions of each number, ascending."""
    order = np.argsort(numbers, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(numbers[order])) + 1) if len(order) else []

"""One shard: some segments of an index, their codes and vectors; knows nothing of filters, rows' values, or who asks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from vidsearch.encoders._blas import hold_one_thread
from vidsearch.errors import IndexCorruptError
from vidsearch.indexes._exact import rank_with_kernel
from vidsearch.indexes.base import Ids, Queries, Scores, VectorIndex, Vectors
from vidsearch.nearest import Choice, Found, Part, by_kind, by_score, collect, merge_best, scan_all
from vidsearch.registry import plugin
from vidsearch.selection import everything
from vidsearch.service.cluster.messages import Answer, Damage, Piece, Question, Scored, Unopened
from vidsearch.storage.manifest import SegmentRef
from vidsearch.storage.segment import Segment, open_segment
from vidsearch.storage.template import read_template

NO_SCORES, NO_ROWS = np.zeros(0, np.float32), np.zeros(0, np.int64)


class Shard:
    """The segments that it was told to open, of the version that is asked and of the one before.

    Args:
        root: the index, as this machine sees it.
    """

    def __init__(self, root: Path) -> None:
        hold_one_thread()
        self._root = root
        self._named: list[set[str]] = []
        self._segments: dict[str, Segment] = {}
        self._indexes: dict[str, VectorIndex] = {}
        self._templates: dict[str, Any] = {}
        self._damaged: dict[str, Damage] = {}

    def open(self, references: Sequence[SegmentRef]) -> None:
        """Open segments, hash their codes and ask them once, so that the first question waits for nothing."""
        self._named = [*self._named[-1:], {reference.uuid for reference in references}]
        for reference in references:
            if reference.uuid not in self._segments:
                try:
                    self._open(reference)
                except IndexCorruptError as error:
                    self._damaged[reference.uuid] = Damage(reference.uuid, str(error))
        wanted = {name for names in self._named for name in names}
        for name in set(self._segments) - wanted:
            del self._segments[name], self._indexes[name]

    def _open(self, reference: SegmentRef) -> None:
        segment = open_segment(self._root, reference)
        segment.check(name for name in segment.index_files if name in segment.asked_files)
        kind, template = segment.info["index"], segment.info.get("template")
        if template is not None and template not in self._templates:
            self._templates[template] = plugin("vidsearch.indexes", kind).load_template(read_template(self._root, template))
        index = plugin("vidsearch.indexes", kind).load(segment, segment.vectors, None if template is None else self._templates[template])
        if not index.exact:
            _warm(Part(segment.vectors, everything(segment.rows), 0, index))
        self._indexes[reference.uuid], self._segments[reference.uuid] = index, segment

    def ping(self) -> None:
        """Answer."""

    def nearest(self, question: Question) -> Answer | Damage | Unopened:
        """Return the nearest rows, their vectors compared with their checksums."""
        unusable = self._unusable([piece.segment for piece in question.pieces])
        if unusable is not None:
            return unusable
        answer = self._by_codes(question) if question.by_codes else self._by_score(question)
        for piece in question.pieces:
            segment = self._segments[piece.segment]
            rows = np.concatenate([np.concatenate([scored.best[1], scored.rows]) for scored in answer.scored]) - piece.first
            try:
                segment.check_rows(set(rows[(rows >= 0) & (rows < segment.rows)].tolist()))
            except IndexCorruptError as error:
                return Damage(piece.segment, str(error))
        return answer

    def vectors(self, wanted: Sequence[tuple[str, Ids]]) -> list[Vectors] | Damage | Unopened:
        """Return stored vectors (m, dim) float16 of some segments' rows."""
        unusable = self._unusable([name for name, _ in wanted])
        if unusable is not None:
            return unusable
        found = []
        for name, rows in wanted:
            try:
                self._segments[name].check_rows(set(rows.tolist()))
            except IndexCorruptError as error:
                return Damage(name, str(error))
            found.append(self._segments[name].vectors[rows])
        return found

    def _unusable(self, names: Sequence[str]) -> Damage | Unopened | None:
        for name in names:
            if name not in self._segments:
                return self._damaged.get(name) or Unopened(name)
        return None

    def _part(self, piece: Piece, *, by_codes: bool) -> Part:
        index = self._indexes[piece.segment] if by_codes else None
        return Part(self._segments[piece.segment].vectors, piece.selection, piece.first, index)

    def _by_score(self, question: Question) -> Answer:
        parts = [self._part(piece, by_codes=False) for piece in question.pieces]
        found = by_score(parts, question.queries, question.depth, kernels=question.kernels)
        return Answer(tuple(Scored((one.scores, one.rows), NO_ROWS, NO_SCORES, NO_SCORES) for one in found), 0)

    def _by_codes(self, question: Question) -> Answer:
        shared, alone = by_kind([self._part(piece, by_codes=True) for piece in question.pieces])
        choice = question.choice
        candidates = None
        if shared and choice is not None:
            # What comes through Ray is read-only, for which Numba would compile everything once more.
            choice = Choice(tuple(np.array(lists) for lists in choice.lists), choice.estimates, choice.kept)
            candidates = collect(shared, shared[0].codes.prepare(question.queries), choice)
        scored = []
        for number, query in enumerate(question.queries):
            rows, scores = merge_best([*scan_all(alone, query, question.depth), (NO_SCORES, NO_ROWS)], question.depth)
            if candidates is None:
                scored.append(Scored((scores, rows), NO_ROWS, NO_SCORES, NO_SCORES))
                continue
            near = candidates.of(number).copy()
            nearness = candidates.scores[number, : len(near)].copy()
            scored.append(Scored((scores, rows), near, nearness, _cosines(shared, near, query)))
        return Answer(tuple(scored), 0 if candidates is None else candidates.compared)


def _cosines(parts: Sequence[Part], rows: Ids, query: npt.NDArray[np.float32]) -> Scores:
    """Return the exact scores of some rows, in their order."""
    cosines = np.empty(len(rows), dtype=np.float32)
    for part in parts:
        places = np.flatnonzero((rows >= part.first) & (rows < part.first + len(part.vectors)))
        if len(places):
            places = places[np.argsort(rows[places])]
            own = rows[places] - part.first
            scores, ids = rank_with_kernel(query, part.vectors, own, len(own))
            cosines[places[np.searchsorted(own, ids)]] = scores
    return cosines


def _warm(part: Part) -> None:
    """Have the compiled code loaded."""
    queries: Queries = np.zeros((1, part.vectors.shape[1]), dtype=np.float32)
    prepared = part.codes.prepare(queries)
    lists = part.codes.nearest_lists(prepared)[0][:1].copy()
    found: list[Found] = by_score([Part(part.vectors[:1], everything(1), 0)], queries, 1, kernels=True)
    del found
    part.codes.collect(prepared, [lists], part.selection, share=0.0, depth=1, first=0, into=_empty())


def _empty() -> Any:
    from vidsearch.indexes.base import Candidates

    return Candidates.empty(1, 1)

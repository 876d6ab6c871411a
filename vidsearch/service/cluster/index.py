"""A version of an index whose vectors and codes lie with shards; its rows, columns and keywords are read here.

Answers are those of one process, to the order of ties. What a shard that does not answer holds is set aside as a damaged segment is, but
only for the question at hand.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Protocol, TypeVar

import numpy as np

from vidsearch.calibration import Settings
from vidsearch.corpus import Rows, Vectors
from vidsearch.errors import BusyError, DamagedSegmentError, IndexCorruptError, PartialIndexError
from vidsearch.indexes.base import Best
from vidsearch.nearest import Choice, Found, Part, by_kind, choose, found_by
from vidsearch.selection import Selection
from vidsearch.service.cluster.messages import Answer, Damage, Piece, Question, Scored
from vidsearch.service.cluster.shard import NO_ROWS, NO_SCORES
from vidsearch.service.sentences import Sentences
from vidsearch.service.versions import ServedIndex
from vidsearch.storage.manifest import SegmentRef

T = TypeVar("T")


class LostError(BusyError):
    """Shards did not answer in time.

    Args:
        groups: their numbers.
    """

    def __init__(self, groups: Collection[int]) -> None:
        super().__init__("some shards do not answer; ask again in some seconds")
        self.groups = frozenset(groups)


class Shards(Protocol):
    """Who holds the segments."""

    groups: int

    def open(self, segments: Sequence[SegmentRef]) -> dict[str, int]:
        """Have a version's segments opened, and return the group of each."""

    def lost(self) -> frozenset[int]:
        """Return the groups of which nobody answers now."""

    def nearest(self, questions: dict[int, Question]) -> dict[int, Answer | Damage]:
        """Ask some groups; raises LostError."""

    def vectors(self, wanted: dict[int, list[tuple[str, Rows]]]) -> dict[int, list[Vectors] | Damage]:
        """Return stored vectors of each group, float16 rows by segment; raises LostError."""


class ClusterIndex(ServedIndex):
    """A version of an index, served by shards."""

    def __init__(self, root: Path, sentences: Sentences, shards: Shards, *, strict: bool = False) -> None:
        super().__init__(root, sentences, strict=strict)
        self._shards = shards
        self._group_of = shards.open(self.manifest.segments)

    def check(self) -> None:
        """As for any corpus, but for the codes, which the shards hash."""
        if self._hashed:
            return
        self._hashed = True
        for number in reversed(range(len(self.segments))):
            segment = self.segments[number]
            try:
                segment.check(name for name in segment.asked_files if name not in segment.index_files)
            except IndexCorruptError as error:
                self.leave_out(number, error)

    def answered(self, ask: Callable[[], T]) -> T:
        self._set_aside(self._shards.lost())
        while True:
            try:
                return super().answered(ask)
            except LostError as error:
                self._set_aside(error.groups)

    def _set_aside(self, groups: Collection[int]) -> None:
        """Go on without some shards; row numbers change."""
        missing = {number for number, segment in enumerate(self.segments) if self._group_of[segment.uuid] in groups}
        if not missing:
            return
        rows = sum(self.alive[number].count for number in missing)
        names = ", ".join(str(group + 1) for group in sorted({self._group_of[self.segments[number].uuid] for number in missing}))
        standing = f"shards {self._shards.groups - len(groups)}/{self._shards.groups}"
        line = f"{standing}: {rows:,} clips of shard {names} are left out, it does not answer"
        if self._strict:
            raise PartialIndexError(f"{line}; ask again in some seconds")
        if len(missing) == len(self.segments):
            raise BusyError(f"none of {self._shards.groups} shards answers; ask again in some seconds")
        self.lasting = False
        self.skipped += (line,)
        self.keep_segments([number for number in range(len(self.segments)) if number not in missing])

    def keep_segments(self, numbers: Sequence[int]) -> None:
        super().keep_segments(numbers)
        self.__dict__.pop("_means", None)  # it knows the segments by number

    def _find(self, queries: Vectors, depth: int, selections: Sequence[Selection], settings: Settings | None) -> list[Found]:
        pieces: dict[int, list[Piece]] = {}
        for segment, selection, first in zip(self.segments, selections, self.offsets.tolist(), strict=False):
            if selection.count:
                pieces.setdefault(self._group_of[segment.uuid], []).append(Piece(segment.uuid, first, selection))
        choice, alone = (None, 0) if settings is None else self._choose(queries, depth, selections, settings)
        answers = self._asked(
            self._shards.nearest(
                {group: Question(queries, depth, tuple(own), settings is not None, choice, self._trained) for group, own in pieces.items()}
            )
        )
        if settings is None:
            alone = sum(selection.count for selection in selections)
        compared = sum(answer.compared for answer in answers) // max(1, len(queries))
        return [
            self._merged([answer.scored[number] for answer in answers], choice, number, depth, codes=compared, alone=alone)
            for number in range(len(queries))
        ]

    def _choose(self, queries: Vectors, depth: int, selections: Sequence[Selection], settings: Settings) -> tuple[Choice | None, int]:
        """Return which lists are visited, and how many rows are scored without codes."""
        parts = [
            Part(segment.vectors, selection, 0, self.index_of(number))
            for number, (segment, selection) in enumerate(zip(self.segments, selections, strict=True))
        ]
        shared, alone = by_kind(parts)
        choice = choose(shared, shared[0].codes.prepare(queries), depth, settings) if shared else None
        return choice, sum(part.selection.count for part in alone)

    def _merged(self, scored: Sequence[Scored], choice: Choice | None, query: int, depth: int, *, codes: int, alone: int) -> Found:
        """Return what shards found for one query as one process finds it: the best by codes of all, then the best of those."""
        rows = np.concatenate([NO_ROWS, *(one.rows for one in scored)])
        nearness = np.concatenate([NO_SCORES, *(one.nearness for one in scored)])
        cosines = np.concatenate([NO_SCORES, *(one.cosines for one in scored)])
        if choice is not None and len(rows) > choice.kept:
            met = np.argsort(np.searchsorted(self.offsets, rows, side="right"), kind="stable")  # segment by segment, as one process
            kept = met[np.argsort(-nearness[met], kind="stable")[: choice.kept]]
            rows, cosines = rows[kept], cosines[kept]
        best = np.lexsort((rows, -cosines))[:depth]
        held: list[Best] = [(cosines[best], rows[best]), (NO_SCORES, NO_ROWS), *(one.best for one in scored)]
        return found_by(choice, query, held, depth, codes=codes, scored=len(rows) + alone)

    def vectors_of(self, rows: Rows | Sequence[int]) -> Vectors:
        rows = np.asarray(rows, dtype=np.int64)
        vectors = np.empty((len(rows), self.space.dim), dtype=np.float32)
        owner = np.searchsorted(self.offsets, rows, side="right") - 1
        wanted: dict[int, list[tuple[str, Rows]]] = {}
        places: dict[int, list[Rows]] = {}
        for number in sorted(set(owner.tolist())):
            own, name = np.flatnonzero(owner == number), self.segments[number].uuid
            wanted.setdefault(self._group_of[name], []).append((name, rows[own] - self.offsets[number]))
            places.setdefault(self._group_of[name], []).append(own)
        answers = self._shards.vectors(wanted)
        for group, found in zip(answers, self._asked(answers), strict=True):
            for own, part in zip(places[group], found, strict=True):
                vectors[own] = part
        return vectors

    def _asked(self, answers: dict[int, T | Damage]) -> list[T]:
        """Return what shards answered; damage that one has found is ours."""
        for answer in answers.values():
            if isinstance(answer, Damage):
                number = next(number for number, segment in enumerate(self.segments) if segment.uuid == answer.segment)
                raise DamagedSegmentError(answer.message, number)
        return [answer for answer in answers.values() if not isinstance(answer, Damage)]

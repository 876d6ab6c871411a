"""What every kind of index is: vectors of one segment in, candidates for a query out; exact scores decide among them.

A plug-in file `indexes/NAME.py` defines five functions, and may import its heavy library only where it is needed:

    train(sample: (n, dim) float32, *, queries, rows: int, seed: int, factory) -> bytes
        The template all segments share, from a sample of the `rows` vectors expected in all and text queries (q, dim) if there are any.
    load_template(data: bytes) -> Any
        What the functions below take; checks it.
    assign(vectors: (n, dim) float16, template) -> (n,) int32 or None
        The inverted list of each vector; a segment's rows are stored in this order. None where order means nothing.
    build(vectors: (n, dim) float16, template, lists) -> dict[str, Contents]
        The files of one segment, by name, from vectors in that order; reads them in blocks.
    load(files: Files, vectors: (n, dim) float16, template) -> VectorIndex
        Refuses anything but what its own `build` writes over that many vectors (IndexCorruptError).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt

from vidsearch.selection import Selection

Vectors = npt.NDArray[np.float16]  # (n, dim), unit rows
Queries = npt.NDArray[np.float32]  # (q, dim), unit rows
Scores = npt.NDArray[np.float32]
Ids = npt.NDArray[np.int64]
Best = tuple[Scores, Ids]  # of one query, (m,) each, best first

FLAT_ROWS = 20_000  # a scan of 20,000 x 768 takes 9 ms on one core: not worth a training and a miss in thirty to save 7 of them
LIST_ROWS = (
    400  # 200,000 CLIP-like rows, recall@10 0.95: lists of 800 have to compare 35 % of the rows, of 200 20 % but 1.4x as long in choosing
)
MANY_ROWS = 1_000_000  # beyond, lists grow too: assigning costs rows x lists
MAX_LISTS = 65_536
ROOM = 2048  # candidates held before the best are picked out of them: a dozen such pickings would cost more than the scan
POINTS_A_LIST = 64  # to train on; k-means wants 39 or more


@dataclass
class Candidates:
    """The best rows of some queries so far, in no order; segment after segment adds its own.

    Attributes:
        rows, scores: (q, room) int64 and float32, row numbers through all segments and approximate scores.
        counts: (q,) int64, how many are held.
        floors: (q,) float32, a score that no row left out exceeds.
        compared: codes compared, over all queries.
        lists: (q,) int64, inverted lists visited.
    """

    rows: Ids
    scores: Scores
    counts: Ids
    floors: Scores
    lists: Ids
    compared: int = 0

    @classmethod
    def empty(cls, queries: int, depth: int) -> Candidates:
        room = max(ROOM, 4 * depth) + 64
        shape = (queries, room)
        floors = np.full(queries, -np.inf, dtype=np.float32)
        counts, lists = np.zeros(queries, dtype=np.int64), np.zeros(queries, dtype=np.int64)
        return cls(np.empty(shape, dtype=np.int64), np.empty(shape, dtype=np.float32), counts, floors, lists)

    def of(self, query: int) -> Ids:
        """Return the rows held for one query."""
        return self.rows[query, : self.counts[query]]


def kind_for(rows: int) -> Literal["flat", "ivfpq"]:
    """Return the plug-in that serves an index of so many rows best."""
    return "flat" if rows <= FLAT_ROWS else "ivfpq"


def lists_for(rows: int) -> int:
    """Return how many inverted lists an index of so many rows gets: 2,500 for a million, 5,000 for ten, 12,800 for 230."""
    lists = rows / LIST_ROWS if rows <= MANY_ROWS else MANY_ROWS / LIST_ROWS * (rows / MANY_ROWS) ** 0.3
    return min(MAX_LISTS, max(1, round(lists)))


def sample_rows(rows: int) -> int:
    """Return how many vectors to train on when so many rows are expected; more do not help."""
    return min(rows, max(16_384, POINTS_A_LIST * lists_for(rows)))


class Files(Protocol):
    """A segment's files, by name."""

    def map_file(self, name: str) -> memoryview:
        """Return bytes that are read as they are touched, their hash not checked: for numbers that cannot do harm."""

    def read_file(self, name: str) -> bytes:
        """Return bytes whose hash was checked: for whatever is parsed."""


class VectorIndex(ABC):
    """The searchable vectors of one segment.

    Attributes:
        rows, dim: shape of the vectors.
        lists: inverted lists, 1 where there are none.
        exact: whether its candidates are the answer.
    """

    rows: int
    dim: int
    lists: int = 1
    exact: bool = False

    # What follows up to `collect` is right for kinds without lists; those that have some say more.

    def prepare(self, queries: Queries) -> Any:
        """Return what queries (q, dim) float32 become once for all segments of the same template."""
        return np.ascontiguousarray(queries, dtype=np.float32)

    def nearest_lists(self, prepared: Any) -> Ids:
        """Return all lists for each query, nearest first, (q, lists) int64."""
        return np.zeros((len(prepared), 1), dtype=np.int64)

    def list_of(self, rows: Ids) -> Ids:
        """Return the inverted list of each of some rows of this segment, (m,) int64."""
        return np.zeros(len(rows), dtype=np.int64)

    @property
    def sizes(self) -> Ids:
        """How many rows lie in each inverted list, (lists,) int64."""
        return np.array([self.rows], dtype=np.int64)

    def counts(self, selection: Selection) -> Ids:
        """Return how many of the rows that pass lie in each inverted list, (lists,) int64."""
        return np.array([selection.count], dtype=np.int64)

    @abstractmethod
    def collect(
        self, prepared: Any, visits: Sequence[Ids], selection: Selection, *, share: float, depth: int, first: int, into: Candidates
    ) -> None:
        """Add this segment's best rows.

        Args:
            prepared: of `prepare`.
            visits: for each query the lists to visit, nearest first.
            selection: rows that may be found.
            share: of the rows to compare, for kinds that have no lists to visit.
            depth: rows to keep for each query.
            first: number of this segment's first row.
            into: what other segments found; keeps at most `depth` rows a query, or a few more.
        """

"""The near-duplicates of a whole corpus: candidate pairs → exact cosines → connected components.

Few rows are all compared with each other. Many are compared within lists: each row with the rows of the lists nearest to it, its own among
them. Either way a pair counts when its cosine, computed exactly, reaches the threshold, and rows linked by a chain of pairs are one group.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from vidsearch.corpus import Corpus, Rows, Vectors
from vidsearch.curate.near_lists import Lists, make_lists
from vidsearch.curate.scan import row_blocks
from vidsearch.errors import UsageError, VidsearchError
from vidsearch.storage.rewrite import with_column
from vidsearch.storage.segment import Segment

ALL_PAIRS_ROWS = 50_000  # so few are all compared: 2 x 10^12 operations at 768 dimensions, a minute of one core
BLOCK_ROWS = 2048
EDGES_AT_ONCE = 1 << 22
ROUNDING = np.float32(1e-6)

Labels = npt.NDArray[np.int64]  # (rows,) the lowest row of each row's group
Pairs = tuple[Rows, Rows]


@dataclass(frozen=True)
class NearDuplicates:
    """Which clips are nearly the same.

    Attributes:
        labels: (rows,) int64, the lowest row of each row's group; a row that is like no other has its own number.
        representatives: (rows,) int64, the row that stands for each row's group; itself where it is alone or chosen.
    """

    labels: Labels
    representatives: Labels

    @property
    def groups(self) -> int:
        """Groups of two rows or more."""
        return len(np.unique(self.labels[self.members]))

    @property
    def members(self) -> Rows:
        """The rows that belong to such a group."""
        return np.flatnonzero(np.bincount(self.labels, minlength=len(self.labels))[self.labels] > 1)

    @property
    def spare(self) -> Rows:
        """The rows that could go: those for which another stands."""
        return np.flatnonzero(self.representatives != np.arange(len(self.labels)))


def find_near_duplicates(
    corpus: Corpus,
    threshold: float = 0.95,
    *,
    seed: int = 0,
    all_pairs_rows: int = ALL_PAIRS_ROWS,
    progress: Callable[[int], None] = lambda rows: None,
) -> NearDuplicates:
    """Return the groups of clips whose vectors have a cosine of at least the threshold, links of a chain counting.

    A group's representative is its row with the best `aesthetic` where that column is, else its first row.

    Args:
        corpus: what is searched.
        threshold: above 0, at most 1.
        seed: of the lists; they are made only when there are many rows.
        all_pairs_rows: up to so many rows are all compared; the time grows with the square.
        progress: called with the number of rows done.
    """
    if not 0 < threshold <= 1:
        raise UsageError(f"threshold is {threshold}; it must be above 0, at most 1")
    labels, alive = np.arange(corpus.slots), corpus.alive_mask
    pending: list[Pairs] = []
    blocks = _all_pairs(corpus) if len(corpus) <= all_pairs_rows else _pairs_in_lists(corpus, make_lists(corpus, seed=seed))
    for done, block in blocks:
        left, right = block.reaching(threshold)
        apart = (labels[left] != labels[right]) & alive[left] & alive[right]  # those already in one group would only cost
        pending.append((left[apart], right[apart]))
        if sum(len(part[0]) for part in pending) > EDGES_AT_ONCE:
            _join(labels, pending)
            pending = []
        progress(done)
    _join(labels, pending)
    return NearDuplicates(labels, _representatives(labels, _quality(corpus)))


def write_duplicates(corpus: Corpus, found: NearDuplicates, column: str) -> int:
    """Write for each clip the id of the one that stands for it, null for those that stand for themselves; return the new version."""
    numbers = {segment.uuid: number for number, segment in enumerate(corpus.segments)}

    def values(segment: Segment) -> pa.Array:
        if segment.uuid not in numbers:
            raise VidsearchError("another process changed the index meanwhile; run the command again")
        first = int(corpus.offsets[numbers[segment.uuid]])
        own = found.representatives[first : first + segment.rows]
        spare = np.flatnonzero(own != np.arange(first, first + segment.rows))
        names: list[str | None] = [None] * segment.rows
        for place, row in zip(spare.tolist(), corpus.take(own[spare], ["clip_id"]), strict=True):
            names[place] = row["clip_id"]
        return pa.array(names, pa.string())

    return with_column(corpus.root, column, values).version


@dataclass(frozen=True)
class Block:
    """The cosines (m, n) of rows with rows."""

    left: Rows
    right: Rows
    cosines: npt.NDArray[np.float32]

    def reaching(self, threshold: float) -> Pairs:
        """Return the pairs of different rows whose cosine reaches the threshold."""
        one, other = np.divmod(np.flatnonzero(self.cosines >= np.float32(threshold) - ROUNDING), len(self.right))  # faster than nonzero
        left, right = self.left[one], self.right[other]
        return left[left != right], right[left != right]


def _all_pairs(corpus: Corpus) -> Iterator[tuple[int, Block]]:
    """Yield how many rows are done, and some rows with themselves or rows that follow."""
    blocks = list(row_blocks(corpus, rows=BLOCK_ROWS))
    vectors = [_unit(corpus.vectors_of(block)) for block in blocks]
    for number, left in enumerate(blocks):
        for right, others in zip(blocks[number:], vectors[number:], strict=True):
            yield int(left[0]), Block(left, right, vectors[number] @ others.T)


def _pairs_in_lists(corpus: Corpus, lists: Lists) -> Iterator[tuple[int, Block]]:
    """Yield how many rows are done, and some rows of a list with some that have this list among their nearest."""
    done = 0
    for members, visitors in lists:
        for left in _cut(members):
            own = _unit(corpus.vectors_of(left))
            for right in _cut(visitors):
                yield done, Block(left, right, own @ _unit(corpus.vectors_of(right)).T)
        done += len(members)


def _cut(rows: Rows) -> list[Rows]:
    return [rows[start : start + BLOCK_ROWS] for start in range(0, len(rows), BLOCK_ROWS)]


def _join(labels: Labels, edges: list[Pairs]) -> None:
    """Merge the groups that the edges link, in place: every row's label stays the lowest row of its group.

    Each round hooks labels under lower ones, all edges at once, and shortens the chains that this makes, until no edge links two groups.
    After Y. Shiloach, U. Vishkin, An O(log n) parallel connectivity algorithm (1982).
    """
    left = np.concatenate([np.zeros(0, np.int64), *(edge[0] for edge in edges)])
    right = np.concatenate([np.zeros(0, np.int64), *(edge[1] for edge in edges)])
    while True:
        left, right = labels[left], labels[right]
        apart = left != right
        if not apart.any():
            return
        left, right = left[apart], right[apart]
        np.minimum.at(labels, np.maximum(left, right), np.minimum(left, right))
        while not np.array_equal(above := labels[labels], labels):
            labels[:] = above


def _representatives(labels: Labels, quality: npt.NDArray[np.float64] | None) -> Labels:
    """Return for each row the row of its group with the greatest quality, of equal ones the first."""
    if quality is None:
        return labels
    rows = np.arange(len(labels))
    best_first = np.lexsort((rows, -quality, labels))
    chosen = np.empty(len(labels), dtype=np.int64)
    first = np.ones(len(labels), dtype=np.bool_)
    first[1:] = labels[best_first][1:] != labels[best_first][:-1]
    chosen[labels[best_first][first]] = best_first[first]
    representatives: Labels = chosen[labels]
    return representatives


def _quality(corpus: Corpus) -> npt.NDArray[np.float64] | None:
    """Return the aesthetic scores, the missing ones least; None without such a column of numbers."""
    name = "aesthetic"
    if not len(corpus) or name not in corpus.schema.names or not pa.types.is_floating(corpus.schema.field(name).type):
        return None
    columns = [table[name].to_numpy().astype(np.float64) for table in corpus.read_columns([name])]
    scores = np.concatenate(columns)
    return np.where(np.isnan(scores), -np.inf, scores)


def _unit(vectors: Vectors) -> Vectors:
    """Return rows of length one: rounding to float16 leaves them a little longer or shorter."""
    unit: Vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return unit

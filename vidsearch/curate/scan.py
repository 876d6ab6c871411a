"""Every vector of a corpus once, in blocks: for what has to look at all of them, in memory that stays flat."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from vidsearch.corpus import Corpus, Rows, Vectors
from vidsearch.selection import Selection

BLOCK_ROWS = 8192  # 25 MB as float32 at 768 dimensions


def row_blocks(corpus: Corpus, selections: Sequence[Selection] | None = None, *, rows: int = BLOCK_ROWS) -> Iterator[Rows]:
    """Yield the numbers of the rows that pass, ascending, at most `rows` at a time and none of two segments together."""
    for number, selection in enumerate(corpus.select(None) if selections is None else selections):
        for start in range(0, selection.count, rows):
            stop = min(start + rows, selection.count)
            within = np.arange(start, stop) if selection.everything else selection.ids[start:stop].astype(np.int64)
            yield within + corpus.offsets[number]


def vector_blocks(
    corpus: Corpus, selections: Sequence[Selection] | None = None, *, rows: int = BLOCK_ROWS
) -> Iterator[tuple[Rows, Vectors]]:
    """Yield rows that pass with their vectors (n, dim) float32, in order."""
    for block in row_blocks(corpus, selections, rows=rows):
        yield block, corpus.vectors_of(block)


def draw_rows(corpus: Corpus, selections: Sequence[Selection], count: int, *, seed: int) -> Rows:
    """Return at most so many of the rows that pass, ascending, each as likely as the others."""
    total = sum(selection.count for selection in selections)
    drawn = np.sort(np.random.default_rng(seed).choice(total, size=min(count, total), replace=False)) if total else np.zeros(0, np.int64)
    rows = [np.zeros(0, np.int64)]
    first = 0
    for number, selection in enumerate(selections):
        within = drawn[np.searchsorted(drawn, first) : np.searchsorted(drawn, first + selection.count)] - first
        rows.append((within if selection.everything else selection.ids[within].astype(np.int64)) + corpus.offsets[number])
        first += selection.count
    return np.concatenate(rows)

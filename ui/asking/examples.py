"""Sentences to start with, taken from the index's own captions."""

from __future__ import annotations

import numpy as np

from vidsearch import Index
from vidsearch.corpus import Rows, Vectors
from vidsearch.curate.scan import draw_rows

SAMPLE_ROWS = 512
SEED = 0
LONGEST = 60  # characters
SHORTEST = 8
BREAKS = ",;:.!?-–— "


def examples(index: Index, count: int = 4) -> tuple[str, ...]:
    """Return short captions of clips that differ much from each other, the same ones each time; () where clips have no captions."""
    if not len(index) or "caption" not in index.schema.names:
        return ()
    texts, vectors = index.answered(lambda: _captioned(index))
    chosen: list[str] = []
    for place in _spread(vectors):
        if texts[place].casefold() not in {text.casefold() for text in chosen}:
            chosen.append(texts[place])
        if len(chosen) == count:
            break
    return tuple(chosen)


def _captioned(index: Index) -> tuple[list[str], Vectors]:
    """Return captions, cut short, and the vectors of their clips; those that need no cut before the others."""
    rows: Rows = draw_rows(index, index.select("caption IS NOT NULL"), SAMPLE_ROWS, seed=SEED)
    given = [" ".join(row["caption"].split()) for row in index.take(rows, ["caption"])]
    texts = [shortened(text) for text in given]
    fits = [place for place, text in enumerate(texts) if len(text) >= SHORTEST]
    whole = [place for place in fits if texts[place] == given[place].rstrip(BREAKS)]
    kept = whole if len(whole) * 4 >= len(fits) else fits
    return [texts[place] for place in kept], index.vectors_of(rows[kept])


def shortened(text: str) -> str:
    """Return a text of at most LONGEST characters, cut after a word; "" where its first word is longer."""
    if len(text) > LONGEST:
        text = text[: LONGEST + 1].rpartition(" ")[0]
    return text.rstrip(BREAKS)


def _spread(vectors: Vectors) -> list[int]:
    """Return the places of vectors (n, dim) in an order in which each next one is the least like all before it.

    It begins with the one most like the mean: farthest-point traversal, T. Gonzalez, Clustering to minimize the maximum intercluster
    distance (1985).
    """
    if not len(vectors):
        return []
    order = [int((vectors @ vectors.mean(axis=0)).argmax())]
    closest = vectors @ vectors[order[0]]
    for _ in range(len(vectors) - 1):
        closest[order[-1]] = np.inf
        order.append(int(closest.argmin()))
        np.maximum(closest, vectors @ vectors[order[-1]], out=closest)
    return order

"""How many clips of an index show something: summed from what its scores mean, or from a sample that someone labels."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt

from vidsearch.corpus import Corpus, Rows
from vidsearch.curate.prevalence import Estimate, Floats, Places, allocate, cut, draw
from vidsearch.curate.scan import row_blocks
from vidsearch.errors import QueryError
from vidsearch.likelihood import Likelihood
from vidsearch.query import Vector

Encode = Callable[[list[str]], Vector]
Progress = Callable[[int], None]


def sum_probabilities(
    corpus: Corpus, text: str, encode: Encode, *, where: str | None = None, progress: Progress = lambda rows: None
) -> Estimate:
    """Return how many clips show what a sentence says, as the captions of the index let expect.

    The interval is that of one more sentence like its captions, or like phrases of them, between the two by its length: it holds for such
    sentences on average over them, and is wide, since short phrases are said of few clips or of many. It begins at 0 where there is no
    confident match. A filter that prefers what is asked for, or avoids it, is not in it.
    Reads every vector that passes once; memory stays flat.

    Raises:
        QueryError: the index knows nothing of the kind.
    """
    likelihood = learnt(corpus)
    if likelihood is None:
        why = "was not learnt when this index was built: `vidsearch compact` does" if corpus.likelihood is None else "needs captions in it"
        raise QueryError(f"how likely scores are right {why}; count with --label 200, or from a cosine on with --min-score")
    (vector,) = encode([text])
    size_bytes, total, searched = len(text.encode()), 0.0, 0
    highest = -np.inf
    for rows, cosines in _scores(corpus, vector, where, progress):
        rises = likelihood.rises(vector, cosines)
        total += float(likelihood.probabilities(rises, np.zeros(len(rows), np.bool_), size_bytes).sum())
        highest, searched = max(highest, float(rises.max())), searched + len(rows)
    if searched:  # the nearest is likelier than its score says
        asked = likelihood.probabilities(np.full(2, highest), np.array([True, False]), size_bytes)
        total += float(asked[0] - asked[1])
    low, high = (min(searched, max(0.0, (total + 0.5) * factor - 0.5)) for factor in likelihood.factors(size_bytes))
    if highest <= likelihood.floor:
        low = 0.0  # whatever was learnt from has a right clip, and cannot tell how few sentences without one seem to have
    total = min(max(total, 0.0), searched)
    return Estimate(total, min(low, total), max(high, total), "captions", searched)


def learnt(corpus: Corpus) -> Likelihood | None:
    """Return what the captions of an index taught; None where they did not."""
    likelihood = corpus.likelihood
    return likelihood if likelihood is not None and likelihood.basis == "captions" else None


def rank_all(
    corpus: Corpus, text: str, encode: Encode, *, where: str | None = None, progress: Progress = lambda rows: None
) -> tuple[Rows, npt.NDArray[np.float32], Floats | None]:
    """Return every row that passes by falling cosine, the cosines, and the probabilities (n,), None where the index does not know them."""
    (vector,) = encode([text])
    found = list(_scores(corpus, vector, where, progress))
    rows = np.concatenate([np.zeros(0, np.int64), *(rows for rows, _ in found)])
    cosines = np.concatenate([np.zeros(0, np.float32), *(cosines for _, cosines in found)])
    order = np.argsort(-cosines, kind="stable")
    rows, cosines = rows[order], cosines[order]
    likelihood = learnt(corpus)
    if likelihood is None:
        return rows, cosines, None
    rises, best = likelihood.rises(vector, cosines), np.arange(len(rows)) == 0
    return rows, cosines, likelihood.probabilities(rises, best, len(text.encode()))


def draw_sample(rows: int, probabilities: Floats | None, labels: int, *, seed: int) -> tuple[Places, list[Places]]:
    """Return where strata of all clips by rank begin and end, (s + 1,), and the ranks in each to label.

    Where nothing is known of how likely scores are right, the spread is taken for the same everywhere.
    """
    edges = cut(rows, labels)
    sizes = np.diff(edges)
    spreads = np.ones(len(sizes))
    if probabilities is not None and rows:
        means = np.add.reduceat(probabilities, edges[:-1]) / sizes
        spreads = np.sqrt(means * (1 - means))
    return edges, draw(edges, allocate(sizes, spreads, labels), seed=seed)


def _scores(corpus: Corpus, vector: Vector, where: str | None, progress: Progress) -> Iterator[tuple[Rows, npt.NDArray[np.float32]]]:
    done = 0
    for rows in row_blocks(corpus, corpus.select(where)):
        yield rows, corpus.vectors_of(rows) @ vector
        done += len(rows)
        progress(done)

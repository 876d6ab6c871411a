"""A question and a corpus → the page of hits that answers it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from vidsearch.corpus import Corpus
from vidsearch.query import Query, Vector, compose
from vidsearch.results import CORE_COLUMNS, Hit, Hits


def answer(corpus: Corpus, query: Query, *, encode: Callable[[Sequence[str]], Vector]) -> Hits:
    """Return the hits of one question.

    Args:
        corpus: what is searched.
        query: what is asked.
        encode: texts to unit rows (n, dim) float32.
    """
    timings: dict[str, float] = {}
    with _stage(timings, "filter"):
        selections = corpus.select(query.where)
        matching = sum(selection.count for selection in selections)
    if not matching:
        reason = f"none of {len(corpus):,} clips passes the filter" if len(corpus) else "the index is empty"
        return Hits((), len(corpus), 0, reason, timings, corpus.skipped)
    with _stage(timings, "encode"):
        wanted = compose(query, dim=corpus.space.dim, encode=encode, vector_of=lambda name: corpus.vectors_of([corpus.row_of(name)])[0])
    with _stage(timings, "search"):
        ranked = corpus.nearest(wanted[None], query.k, selections=selections)[0]
    with _stage(timings, "fetch"):
        rows = corpus.take(ranked.rows)
    hits = tuple(_hit(rank, float(score), row) for rank, (score, row) in enumerate(zip(ranked.scores, rows, strict=True), 1))
    return Hits(hits, len(corpus), matching, ranked.certificate.reason, timings, corpus.skipped, ranked.certificate)


def _hit(rank: int, score: float, row: dict[str, Any]) -> Hit:
    core = {name: row.pop(name, None) for name in CORE_COLUMNS}
    return Hit(rank=rank, score=score, **core, metadata=row)


@contextmanager
def _stage(timings: dict[str, float], name: str) -> Iterator[None]:
    started = time.perf_counter()
    yield
    timings[name] = round((time.perf_counter() - started) * 1000, 3)

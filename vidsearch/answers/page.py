"""One page of a ranking: the rows that remain of it, and the hits they become."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from vidsearch.answers.refine import diversify, keep
from vidsearch.answers.streams import SPARE, Ranking, Scores, Stream
from vidsearch.answers.videos import numbered, sources_of, within
from vidsearch.corpus import Corpus, Ranked, Rows
from vidsearch.encoders.base import unit_rows
from vidsearch.errors import QueryError
from vidsearch.query import Query
from vidsearch.results import CORE_COLUMNS, Count, Hit
from vidsearch.selection import Selection

if TYPE_CHECKING:
    from vidsearch.answers.chains import Chains

POOL_ROWS = 100  # at least so many are reordered together for variety
GROUP_CLIPS = 3  # shown of each video

Ranker = Callable[[Sequence[Selection], Ranked | None], Callable[[int], Ranking]]


@dataclass(frozen=True)
class Page:
    """Attributes:
    position: of the first row among all that remain, from 0.
    rows, scores, cosines, duplicates: (n,) at most k; `cosines` where vectors were compared.
    more: whether another page may follow.
    """

    position: int
    rows: Rows
    scores: Scores
    cosines: Scores
    duplicates: npt.NDArray[np.int64]
    more: bool


def cut(corpus: Corpus, query: Query, stream: Stream, position: int) -> Page:
    """Return the k rows from a position on, reading the ranking until there are so many or it ends."""
    wanted = position + query.k
    pool = max(POOL_ROWS, SPARE * query.k)
    needed = wanted if query.diverse is None else -(-wanted // pool) * pool
    while True:
        stream.grow(needed)
        candidates = _passing(stream, query)
        remaining, duplicates = _remaining(corpus, query, stream.rows[candidates])
        if len(remaining) >= needed or over(stream, query):
            break
    more = len(remaining) > wanted or not over(stream, query)
    chosen = np.arange(position, min(wanted, len(remaining)))
    if query.diverse is not None:
        chosen = _varied(corpus, query.diverse, stream, candidates[remaining], chosen, pool)
    places = candidates[remaining[chosen]]
    cosines = stream.cosines[places] if len(stream.cosines) else stream.cosines
    return Page(position, stream.rows[places], stream.scores[places], cosines, duplicates[chosen], more)


def whole(corpus: Corpus, query: Query, stream: Stream, wanted: int | None) -> Rows:
    """Return the places of the rows that remain of a ranking: the best so many, or all; it is read as far as that takes."""
    while True:
        stream.grow(stream.limit if wanted is None else wanted)
        candidates = _passing(stream, query)
        if over(stream, query) or (wanted is not None and len(candidates) >= wanted):
            places = candidates[_remaining(corpus, query, stream.rows[candidates])[0]][:wanted]
            if over(stream, query) or wanted is None or len(places) == wanted:
                return places


def over(stream: Stream, query: Query) -> bool:
    """Whether a ranking has been read as far as it can matter: to its end, or below the threshold."""
    return stream.done or (query.min_score is not None and stream.last is not None and stream.last.floor < query.min_score)


def total(stream: Stream, query: Query) -> Count:
    """Return how many rows can be paged through."""
    if query.then:
        return Count(len(stream.rows), stream.done and stream.last is not None and stream.last.sure)
    if query.min_score is None and query.mode != "keywords":
        return Count(stream.limit)
    exact = over(stream, query) and stream.last is not None and stream.last.sure
    return Count(len(_passing(stream, query)), exact)


def _passing(stream: Stream, query: Query) -> Rows:
    """Return the positions of the rows that reach the threshold."""
    if query.min_score is None or query.then:
        return np.arange(len(stream.rows))
    scores = stream.cosines if query.mode == "hybrid" else stream.scores
    return np.flatnonzero(scores >= np.float32(query.min_score))


def _remaining(corpus: Corpus, query: Query, rows: Rows) -> tuple[Rows, Rows]:
    """Return the positions of the rows that are neither folded nor too many of a video, and how many were folded into each."""
    per_video = 1 if query.group else query.per_video
    kept = keep(
        len(rows),
        videos=numbered(sources_of(corpus, rows).videos) if per_video else None,
        per_video=per_video,
        vectors=unit_rows(corpus.vectors_of(rows)) if query.dedupe else None,
        threshold=query.dedupe,
    )
    return kept.positions, kept.duplicates


def _varied(corpus: Corpus, tradeoff: float, stream: Stream, places: Rows, chosen: Rows, pool: int) -> Rows:
    """Return which of the remaining rows stand at some positions after each pool of them is reordered for variety."""
    varied = []
    for start in range(chosen[0] // pool * pool if len(chosen) else 0, chosen[-1] + 1 if len(chosen) else 0, pool):
        members = places[start : start + pool]
        reached = min(chosen[-1] + 1 - start, len(members))
        order = diversify(stream.scores[members], unit_rows(corpus.vectors_of(stream.rows[members])), reached, tradeoff)
        varied.append(start + order[max(0, chosen[0] - start) :])
    return np.concatenate(varied) if varied else chosen


def hits_of(corpus: Corpus, query: Query, page: Page, selections: Sequence[Selection], ranker: Ranker) -> tuple[Hit, ...]:
    """Return a page's hits with what is written in their rows."""
    hits = _hits(corpus, page)
    if query.mode == "hybrid":
        hits = [replace(hit, cosine=float(cosine)) for hit, cosine in zip(hits, page.cosines, strict=True)]
    if query.dedupe is not None:
        hits = [replace(hit, duplicates=int(number)) for hit, number in zip(hits, page.duplicates, strict=True)]
    if query.group:
        members = _members(corpus, query, page, selections, ranker)
        hits = [replace(hit, group=group) for hit, group in zip(hits, members, strict=True)]
    return tuple(hits if query.order is None else _sorted(hits, column_of(corpus, query.order[0]), falling=query.order[1]))


def chained_hits(corpus: Corpus, page: Page, chains: Chains) -> tuple[Hit, ...]:
    """Return a page's hits, each with the chain that it begins."""
    clips = [chains.of[int(row)] for row in page.rows]
    rows = [row for chain in clips for row, _ in chain]
    found = iter(corpus.take(rows))
    numbered_chains = [tuple(hit_of(rank, score, next(found)) for rank, (_, score) in enumerate(chain, 1)) for chain in clips]
    return tuple(
        replace(chain[0], rank=page.position + place, score=float(score), chain=chain)
        for place, (chain, score) in enumerate(zip(numbered_chains, page.scores, strict=True), 1)
    )


def hit_of(rank: int, score: float, row: dict[str, Any]) -> Hit:
    """Make a hit of what is written in its row, which keeps what is no core column."""
    core: dict[str, Any] = {name: row.pop(name, None) for name in CORE_COLUMNS}
    return Hit(rank=rank, score=float(score), **core, metadata=row)


def _hits(corpus: Corpus, page: Page) -> list[Hit]:
    rows = corpus.take(page.rows)
    return [hit_of(page.position + place, score, row) for place, (score, row) in enumerate(zip(page.scores, rows, strict=True), 1)]


def _members(corpus: Corpus, query: Query, page: Page, selections: Sequence[Selection], ranker: Ranker) -> Iterable[tuple[Hit, ...]]:
    """Return the further clips of each hit's source video: the best of those that pass, whatever the ranking was read to."""
    videos = sources_of(corpus, page.rows).videos
    groups: dict[Any, list[Hit]] = {video: [] for video in videos}
    if videos:
        chosen = corpus.select(within(corpus, videos))
        both = [mine & theirs for mine, theirs in zip(selections, chosen, strict=True)]
        ranking = ranker(both, None)(sum(selection.count for selection in both))
        further = np.isin(ranking.rows, page.rows, invert=True)
        if query.min_score is not None:
            scores = ranking.scores if ranking.cosines is None else ranking.cosines
            further &= scores >= np.float32(query.min_score)
        rows, scores = ranking.rows[further], ranking.scores[further]
        of = sources_of(corpus, rows).videos
        room = (query.per_video or GROUP_CLIPS) - 1
        kept = keep(len(rows), videos=numbered(of), per_video=room).positions if room else np.zeros(0, np.int64)
        for place, row in zip(kept.tolist(), corpus.take(rows[kept]), strict=True):
            groups[of[place]].append(hit_of(len(groups[of[place]]) + 2, scores[place], row))
    return [tuple(groups[video]) for video in videos]


def column_of(corpus: Corpus, column: str) -> str:
    """Return a column as the schema spells it; an unknown one raises QueryError."""
    names = corpus.schema.names if len(corpus) else [column]
    known = column if column in names else next((name for name in names if name.lower() == column.lower()), None)
    if known is None:
        raise QueryError(f"unknown column {column!r} to sort by; choose from {', '.join(names)}")
    return known


def _sorted(hits: Sequence[Hit], column: str, *, falling: bool) -> list[Hit]:
    """Return hits in the order of a column, those without a value last, equal ones by rank."""
    values = [getattr(hit, column) if column in CORE_COLUMNS else hit.metadata[column] for hit in hits]
    missing = [value is None or (isinstance(value, float) and math.isnan(value)) for value in values]
    order = sorted((place for place, gone in enumerate(missing) if not gone), key=lambda place: values[place], reverse=falling)
    return [hits[place] for place in (*order, *(place for place, gone in enumerate(missing) if gone))]

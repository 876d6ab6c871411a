"""Questions and a corpus → the pages of hits that answer them.

select rows → compose vectors → rank, ever deeper → refine → cut the page → fetch what is written in its rows
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from vidsearch._query_parts import Media
from vidsearch.answers import cursor
from vidsearch.answers.compose import Encode, compose
from vidsearch.answers.likely import Meaning, meaning
from vidsearch.answers.page import Ranker, chained_hits, column_of, cut, hits_of, over, total, whole
from vidsearch.answers.streams import Scores, Stream, Words, by_both, by_vector, by_words, first_depth, wanted_words
from vidsearch.corpus import Corpus, Ranked, Rows
from vidsearch.query import Query, Vector
from vidsearch.results import Certificate, Count, Hits
from vidsearch.selection import Selection

if TYPE_CHECKING:
    from vidsearch.answers.chains import Chains

TOGETHER = 256  # questions whose rankings are held in memory at once
COUNTED_AT_FIRST = 1024


@dataclass(frozen=True)
class Means:
    """What a corpus cannot do by itself.

    Attributes:
        encode: texts to unit rows (n, dim) float32.
        show: a file to a unit vector (dim,).
        words: the keywords of a column.
    """

    encode: Encode
    show: Callable[[Media], Vector]
    words: Callable[[str], Words]


@dataclass(frozen=True)
class Answer:
    """The rows that answer one question, without what is written in them.

    Attributes:
        rows: (m,) int64, best first.
        scores: (m,) float32, what they are ranked by.
        cosines: (m,) float32 of the question and each row; None where no vectors were compared.
        vector: (dim,) float32, what they were compared with; None where none were.
        matching: clips that pass the filter.
        certificate: how sure the answer is; None where nothing passes.
        timings_ms: milliseconds by stage.
        skipped: damaged segments that could not be asked, each with its reason.
        parts: where nothing passes, how many rows each part of the filter passes alone.
        meaning: what the cosines mean; None where that is not known.
    """

    rows: Rows
    scores: Scores
    cosines: Scores | None
    vector: Vector | None
    matching: int
    certificate: Certificate | None
    timings_ms: dict[str, float]
    skipped: tuple[str, ...]
    parts: tuple[tuple[str, int], ...] = ()
    meaning: Meaning | None = None


def answer(corpus: Corpus, queries: Sequence[Query], means: Means) -> list[Hits]:
    """Return the hits of each question: all texts are encoded together, questions with one filter compared together."""
    return [hits for start in range(0, len(queries), TOGETHER) for hits in _answer(corpus, queries[start : start + TOGETHER], means)]


def count(corpus: Corpus, query: Query, means: Means) -> Count:
    """Return how many rows pass the filter and the threshold, and hold a keyword where these are asked for."""
    (question,) = _questions(corpus, [query], means)
    if not question.matching or (query.min_score is None and query.mode != "keywords"):
        return Count(question.matching)
    (vectors,) = _vectors(corpus, [query], means)
    rank = _ranker(corpus, query, vectors, means)(question.selections, None)
    stream = Stream(rank, first=COUNTED_AT_FIRST, limit=question.matching)
    while not over(stream, query):
        stream.grow()
    return total(stream, query)


def rank(corpus: Corpus, query: Query, means: Means, wanted: int | None) -> Answer:
    """Return the rows that answer a question, best first: the best so many, or all; pages and chains left aside."""
    (question,) = _questions(corpus, [query], means)
    if not question.matching:
        return _no_rows(corpus, question)
    with _stage([question.timings], "encode"):
        (vectors,) = _vectors(corpus, [query], means)
    with _stage([question.timings], "search"):
        ranking = _ranker(corpus, query, vectors, means)(question.selections, None)
        stream = Stream(ranking, first=min(wanted or COUNTED_AT_FIRST, question.matching), limit=question.matching)
        places = whole(corpus, query, stream, wanted)
    cosines = stream.cosines if len(stream.cosines) else None
    return Answer(
        stream.rows[places],
        stream.scores[places],
        None if cosines is None else cosines[places],
        vectors[0] if len(vectors) else None,
        question.matching,
        stream.last.certificate if stream.last else None,
        question.timings,
        corpus.skipped,
        meaning=meaning(corpus, query, vectors, stream),
    )


@dataclass
class _Question:
    query: Query
    selections: Sequence[Selection]
    version: str
    position: int
    timings: dict[str, float]

    @property
    def matching(self) -> int:
        return sum(selection.count for selection in self.selections)


def _answer(corpus: Corpus, queries: Sequence[Query], means: Means) -> list[Hits]:
    questions = _questions(corpus, queries, means)
    asked = [question for question in questions if question.matching]
    with _stage([question.timings for question in asked], "encode"):
        vectors = _vectors(corpus, [question.query for question in asked], means)
    known = _first_rankings(corpus, asked, vectors)
    answers = iter([_one(corpus, *one, means) for one in zip(asked, vectors, known, strict=True)])
    return [next(answers) if question.matching else _nothing(corpus, question) for question in questions]


def _questions(corpus: Corpus, queries: Sequence[Query], means: Means) -> list[_Question]:
    """Return the questions with the rows that pass; the same filter is evaluated once."""
    corpus.check()
    version = cursor.version_of(corpus.manifest.version, tuple(segment.uuid for segment in corpus.segments))
    passing: dict[tuple[str | None, int], Sequence[Selection]] = {}
    questions = []
    for query in queries:
        position = cursor.read(version, query)
        if query.order is not None:
            column_of(corpus, query.order[0])  # before any work, and also where nothing passes
        timings: dict[str, float] = {}
        with _stage([timings], "filter"):
            chosen = query.where, id(query.within)
            if chosen not in passing:
                selected = corpus.select(query.where)
                passing[chosen] = selected if query.within is None else corpus.narrow(selected, query.within)
            selections = passing[chosen]
            phrases = [phrase for item in wanted_words(query) for phrase in item.phrases] if query.mode != "vectors" else []
            if phrases and any(selection.count for selection in selections):
                selections = means.words(query.keyword_column).narrow(selections, phrases)
        questions.append(_Question(query, selections, version, position, timings))
    return questions


def _vectors(corpus: Corpus, queries: Sequence[Query], means: Means) -> list[Vector]:
    return compose(
        queries,
        dim=corpus.space.dim,
        encode=means.encode,
        vectors_of=lambda names: corpus.vectors_of([corpus.row_of(name) for name in names]),
        show=means.show,
    )


def _first_rankings(corpus: Corpus, questions: Sequence[_Question], vectors: Sequence[Vector]) -> list[Ranked | None]:
    """Ask the vectors once for all plain questions that share a filter and a depth."""
    alike: dict[tuple[int, int, float, bool], list[int]] = {}
    for number, question in enumerate(questions):
        query = question.query
        if query.mode == "vectors" and not query.then:
            alike.setdefault((id(question.selections), first_depth(query), query.recall, query.exact), []).append(number)
    known: list[Ranked | None] = [None] * len(questions)
    for (_, depth, recall, exact), numbers in alike.items():
        selections = questions[numbers[0]].selections
        with _stage([questions[number].timings for number in numbers], "search"):
            stacked = np.concatenate([vectors[number] for number in numbers])
            found = corpus.nearest(stacked, min(depth, questions[numbers[0]].matching), selections=selections, recall=recall, exact=exact)
        for number, ranked in zip(numbers, found, strict=True):
            known[number] = ranked
    return known


def _one(corpus: Corpus, question: _Question, vectors: Vector, known: Ranked | None, means: Means) -> Hits:
    query, timings = question.query, question.timings
    ranker = _ranker(corpus, query, vectors, means)
    chains: Chains | None = None
    with _stage([timings], "search"):
        if query.then:
            from vidsearch.answers.chains import Chains

            chains = Chains(corpus, query, vectors, question.selections)
        rank = chains.rank if chains else ranker(question.selections, known)
        stream = Stream(rank, first=first_depth(query), limit=question.matching)
        page = cut(corpus, query, stream, question.position)
    with _stage([timings], "fetch"):
        hits = chained_hits(corpus, page, chains) if chains else hits_of(corpus, query, page, question.selections, ranker)
    meant = meaning(corpus, query, vectors, stream)
    certificate = stream.last.certificate if stream.last else None
    return Hits(
        hits if meant is None else meant.told(hits),
        rows=len(corpus),
        matching=question.matching,
        plan=certificate.reason if certificate else "",
        timings_ms=timings,
        skipped=corpus.skipped,
        certificate=certificate,
        total=total(stream, query),
        cursor=cursor.write(question.version, query, question.position + query.k) if page.more else None,
        confidence=None if meant is None else meant.confidence,
    )


def _ranker(corpus: Corpus, query: Query, vectors: Vector, means: Means) -> Ranker:
    """Return what makes a ranking of the rows that pass."""
    if query.mode == "keywords":
        words, wanted = means.words(query.keyword_column), wanted_words(query)
        return lambda selections, known: by_words(words, wanted, len(corpus), selections)
    if query.mode == "hybrid":
        words, wanted = means.words(query.keyword_column), wanted_words(query)
        return lambda selections, known: by_both(corpus, query, vectors[0], words, wanted, selections)
    return lambda selections, known: by_vector(corpus, query, vectors[0], selections, known)


def _nothing(corpus: Corpus, question: _Question) -> Hits:
    phrases = question.query.mode != "vectors" and len(corpus)
    reason = f"none of {len(corpus):,} clips passes the filter" if len(corpus) else "the index is empty"
    reason += " and holds the quoted words" if phrases and '"' in question.query.texts[0].text else ""
    return Hits((), len(corpus), 0, reason, question.timings, corpus.skipped, parts=_parts(corpus, question))


def _no_rows(corpus: Corpus, question: _Question) -> Answer:
    rows, scores = np.zeros(0, np.int64), np.zeros(0, np.float32)
    return Answer(rows, scores, None, None, 0, None, question.timings, corpus.skipped, _parts(corpus, question))


def _parts(corpus: Corpus, question: _Question) -> tuple[tuple[str, int], ...]:
    where = question.query.where
    return tuple(corpus.explain_filter(where)) if where is not None and len(corpus) else ()


@contextmanager
def _stage(timings: Sequence[dict[str, float]], name: str) -> Iterator[None]:
    """Measure a stage in milliseconds; questions that went through it together share them."""
    started = time.perf_counter()
    yield
    for taken in timings:
        share = (time.perf_counter() - started) * 1000 / len(timings)
        taken[name] = round(taken.get(name, 0.0) + share, 3)

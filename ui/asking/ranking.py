"""A page's state → the rows it shows, in order, and how they were found."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from ui.asking.ordering import by_column, first_rows
from ui.asking.question import asked_part, asks, order_of, question
from ui.state import DEPTH, PAGE_SIZE, State
from vidsearch import Index
from vidsearch.answers.likely import Meaning
from vidsearch.answers.page import hit_of
from vidsearch.answers.videos import numbered, sources_of
from vidsearch.corpus import Rows
from vidsearch.errors import QueryError, VidsearchError
from vidsearch.query import Vector
from vidsearch.results import Certificate, Confidence, Hit
from vidsearch.selection import Selection

KEPT = 64  # rankings: 160 kB each at most

Scores = npt.NDArray[np.float32]
T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class Ranking:
    """The rows that a state shows, before they are sorted by a column or grouped.

    Attributes:
        rows: (m,) int64, best first; in the order of their numbers where nothing is asked.
        scores: (m,) float32, what they are ranked by; None where nothing is asked.
        cosines: (m,) float32 with the question; None where no vectors were compared.
        vector: (dim,) float32, the question; None likewise.
        matching: clips that pass the filter.
        certificate: how they were found; None where nothing is asked, or nothing passes.
        timings_ms: milliseconds by stage.
        skipped: damaged segments that were left out, a line each.
        parts: where nothing passes, how many rows each part of the filter passes alone.
        meaning: what the cosines mean; None where no vectors were compared.
    """

    rows: Rows
    scores: Scores | None
    cosines: Scores | None
    vector: Vector | None
    matching: int
    certificate: Certificate | None
    timings_ms: dict[str, float]
    skipped: tuple[str, ...]
    parts: tuple[tuple[str, int], ...] = ()
    meaning: Meaning | None = None

    @property
    def confidence(self) -> Confidence | None:
        """Whether the best clip is more than chance; None where more than sentences is asked with, or the index does not know."""
        return None if self.meaning is None else self.meaning.confidence


@dataclass(frozen=True)
class Card:
    """One clip of a page.

    Attributes:
        row: its number.
        hit: what is written in it; its rank is that by score, its score 0 where nothing is asked.
        percentile: share of the index's clips that are less like the question, 0 to 1; None where that is not known.
        probability: how likely it is what is asked for; likewise.
        members: with `group`, how many of the ranked clips are of its source video; else 1.
    """

    row: int
    hit: Hit
    percentile: float | None
    probability: float | None
    members: int


@dataclass(frozen=True)
class Page:
    """Attributes:
    ranking: what it was cut from.
    cards: of this page.
    number: of the page, from 1; the last one where the state names one beyond.
    pages: there are, 0 where nothing is found.
    shown: cards on all pages together.
    """

    ranking: Ranking
    cards: tuple[Card, ...]
    number: int
    pages: int
    shown: int


class Score(NamedTuple):
    """How a clip answers the question: its score, the share of the index's clips that score lower, and how likely it is right."""

    score: float
    percentile: float | None = None
    probability: float | None = None


class Ranker:
    """Ranks an index's rows for the states of any number of pages; identical questions that come together are computed once.

    One question is computed at a time: the index is not made for several, and each uses all cores.

    Args:
        index: what is asked.
        inside: the rows within a state's lasso; None where it has none.

    Attributes:
        index, inside: as they were given.
    """

    def __init__(self, index: Index, inside: Callable[[State], Rows | None] = lambda state: None) -> None:
        self.index, self.inside = index, inside
        self._kept: OrderedDict[object, Ranking] = OrderedDict()
        self._lock = threading.RLock()

    def warm(self) -> None:
        """Do now, in a thread of its own, what the first question would wait for: hash files, load the model, compile kernels.

        A model that is not here is passed over; the question that needs it says so.
        """
        with suppress(VidsearchError):
            self.page(State(q="a person"))

    def rank(self, state: State) -> Ranking:
        """Return the rows that answer a state, at most DEPTH; the order of a column only where nothing is asked.

        Raises:
            QueryError, FilterError: the question cannot be asked.
        """
        with self._lock:
            return self._settled(lambda: self._ranked(state))

    def selections(self, state: State) -> list[Selection]:
        """Return which rows of each segment pass the filter and lie within the lasso."""
        with self._lock:
            return self._settled(lambda: self._selected(state))

    def page(self, state: State) -> Page:
        """Return the page of a state, sorted and grouped as it says."""
        with self._lock:
            return self._settled(lambda: self.index.answered(lambda: self._page(state)))

    def score_of(self, state: State, clip_id: str) -> Score | None:
        """Return how a clip answers the question, be it among the ranked ones or not; None where that is not known."""
        with self._lock:
            return self._settled(lambda: self.index.answered(lambda: self._score_of(state, clip_id)))

    def _settled(self, ask: Callable[[], T]) -> T:
        """Ask again when a damaged segment was left out meanwhile: rows have other numbers since."""
        while True:
            known = self.index.skipped
            try:
                answer = ask()
            except QueryError:
                if self.index.skipped == known:
                    raise
                continue
            if self.index.skipped == known:
                return answer

    def _ranked(self, state: State) -> Ranking:
        key = asked_part(state), self.index.skipped
        if key not in self._kept:
            self._kept[key] = self._asked(key[0]) if asks(state) else self._browsed(key[0])
            if len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        self._kept.move_to_end(key)
        return self._kept[key]

    def _asked(self, state: State) -> Ranking:
        answer = self.index.answer(question(state, self.inside(state)), DEPTH)
        return Ranking(
            answer.rows,
            answer.scores,
            answer.cosines,
            answer.vector,
            answer.matching,
            answer.certificate,
            answer.timings_ms,
            answer.skipped,
            answer.parts,
            answer.meaning,
        )

    def _browsed(self, state: State) -> Ranking:
        started = time.perf_counter()
        selections = self._selected(state)
        matching, order = sum(selection.count for selection in selections), order_of(state)
        if order is None:
            rows = first_rows(self.index, selections, DEPTH)
        else:
            rows = first_rows(self.index, selections, matching)
            rows = rows[by_column(self.index, rows, order, DEPTH)]
        timings = {"filter": round((time.perf_counter() - started) * 1000, 3)}
        parts = tuple(self.index.explain_filter(state.where)) if state.where and not matching and len(self.index) else ()
        return Ranking(rows, None, None, None, matching, None, timings, self.index.skipped, parts)

    def _selected(self, state: State) -> list[Selection]:
        selections, within = self.index.select(state.where or None), self.inside(state)
        return selections if within is None else self.index.narrow(selections, within)

    def _page(self, state: State) -> Page:
        ranking = self._ranked(state)
        places, members = self._shown(state, ranking)
        pages = -(-len(places) // PAGE_SIZE)
        number = max(1, min(state.page, pages))
        chosen = slice((number - 1) * PAGE_SIZE, number * PAGE_SIZE)
        return Page(ranking, self._cards(ranking, places[chosen], members[chosen]), number, pages, len(places))

    def _shown(self, state: State, ranking: Ranking) -> tuple[Rows, Rows]:
        """Return the places of the ranking's rows that have a card, in the order shown, and how many clips each stands for."""
        places, order = np.arange(len(ranking.rows)), order_of(state)
        if asks(state) and order is not None:
            places = by_column(self.index, ranking.rows, order, len(ranking.rows))
        if not state.group:
            return places, np.ones(len(places), np.int64)
        videos = numbered(sources_of(self.index, ranking.rows[places]).videos)
        _, first, members = np.unique(videos, return_index=True, return_counts=True)
        return places[first], members

    def _cards(self, ranking: Ranking, places: Rows, members: Rows) -> tuple[Card, ...]:
        rows = ranking.rows[places]
        scores = np.zeros(len(rows), np.float32) if ranking.scores is None else ranking.scores[places]
        hits = [hit_of(int(place) + 1, score, row) for place, score, row in zip(places, scores, self.index.take(rows), strict=True)]
        said = _said(ranking, places)
        return tuple(
            Card(row, hit, *means, number) for row, hit, means, number in zip(rows.tolist(), hits, said, members.tolist(), strict=True)
        )

    def _score_of(self, state: State, clip_id: str) -> Score | None:
        if not asks(state):
            return None
        ranking, row = self._ranked(state), self.index.row_of(clip_id)
        place = np.flatnonzero(ranking.rows == row)
        if len(place) and ranking.scores is not None:
            return Score(float(ranking.scores[place[0]]), *_said(ranking, place)[0])
        if state.mode == "vectors" and ranking.vector is not None:
            cosine = self.index.vectors_of([row]) @ ranking.vector
            return Score(float(cosine[0]), *_meant(ranking, cosine)[0])
        return None


def _said(ranking: Ranking, places: Rows) -> list[tuple[float | None, float | None]]:
    """Return percentile and probability of some of the ranking's clips."""
    return [(None, None)] * len(places) if ranking.cosines is None else _meant(ranking, ranking.cosines[places])


def _meant(ranking: Ranking, cosines: Scores) -> list[tuple[float | None, float | None]]:
    if ranking.meaning is None:
        return [(None, None)] * len(cosines)
    return list(zip(ranking.meaning.percentiles(cosines), ranking.meaning.probabilities(cosines), strict=True))

"""One question, one answer: an index on this machine, behind a service, and behind a service with coroutines."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any

import numpy as np
import pytest
from support.clips import DIM, make_rows, write_index
from support.served import served

import vidsearch
from vidsearch import Hit, Hits, Index
from vidsearch.asking import Searchable
from vidsearch.client.remote import AsyncIndex
from vidsearch.errors import FilterError, QueryError
from vidsearch.query import Query
from vidsearch.service.limits import Limits

ROWS = 200
VECTORS, TABLE = make_rows(ROWS, seed=21)
VECTOR = np.random.default_rng(22).standard_normal(DIM).astype(np.float32)
TOKEN = "a token of the tests".replace(" ", "-")

QUESTIONS: dict[str, dict[str, Any]] = {
    "a sentence": {"text": "a dog on the beach"},
    "sentences with weights": {"text": "a dog", "texts": [("a beach", 0.5), "a cat", ("a car", -0.3)]},
    "not ASCII": {"text": "köpek 狗 🐕 \u2028", "where": "caption not like '%狗%'"},
    "an exclusion": {"text": "a dog", "exclude": ["text on screen", "a cat"]},
    "a clip": {"like": "c5"},
    "clips and a vector": {"like": ["c5", "c6"], "vector": VECTOR},
    "a vector": {"vector": VECTOR, "k": 7},
    "thumbs": {"text": "a dog", "up": ["c5"], "down": ["c6", "c7"], "rocchio": (1.0, 0.5, 0.25)},
    "what happens then": {"text": "a man opens a door", "then": ["a dog runs out"], "k": 4},
    "keywords": {"text": 'a "red bus"', "mode": "keywords"},
    "both": {"text": "an old red bus", "mode": "hybrid"},
    "both, by weight": {"text": "an old red bus", "mode": "hybrid", "hybrid_weight": 0.3},
    "a filter": {"vector": VECTOR, "where": "language = 'en' and aesthetic > 3"},
    "a filter that nothing passes": {"vector": VECTOR, "where": "language = 'en' and aesthetic > 10"},
    "a threshold": {"vector": VECTOR, "min_score": 0.02, "k": 500},
    "few of a video": {"vector": VECTOR, "per_video": 1, "k": 30},
    "no duplicates": {"vector": VECTORS[0].astype(np.float32), "dedupe": 0.9},
    "variety": {"vector": VECTOR, "diverse": 0.4},
    "an order": {"vector": VECTOR, "sort": "aesthetic desc"},
    "groups": {"vector": VECTOR, "group": "video", "per_video": 2},
    "every clip": {"vector": VECTOR, "exact": True, "k": 1000},
    "less recall": {"vector": VECTOR, "recall": 0.5},
}
REFUSED: dict[str, tuple[dict[str, Any], type[Exception], str]] = {
    "no question": ({}, QueryError, "nothing to search for"),
    "an empty sentence": ({"text": " "}, QueryError, "the query is empty"),
    "too many": ({"text": "x", "k": 1001}, QueryError, "k is 1001"),
    "an unknown column": ({"text": "x", "where": "nothing > 1"}, FilterError, "unknown column 'nothing'"),
    "no filter": ({"text": "x", "where": "language = = 'en'"}, FilterError, r"\^"),
    "unlike types": ({"text": "x", "where": "language > 3"}, FilterError, "language"),
    "no such clip": ({"like": "nobody"}, QueryError, "no clip 'nobody'"),
    "no such order": ({"text": "x", "sort": "views"}, QueryError, "unknown column 'views'"),
    "a short vector": ({"vector": VECTOR[:5]}, QueryError, "5"),
    "a vector of nothing": ({"vector": VECTOR * np.nan}, QueryError, "finite"),
    "a cursor of another question": ({"vector": VECTOR, "cursor": "bm9wZQ"}, QueryError, "is no cursor"),
}


class Blocking(Searchable):
    """Coroutines, each run to its end."""

    def __init__(self, index: AsyncIndex, runner: asyncio.Runner) -> None:
        self._index, self._runner = index, runner

    def ask(self, queries: Sequence[Query]) -> list[Hits]:
        return self._runner.run(self._index.ask(queries))

    def search(self, text: str | None = None, **options: Any) -> Hits:
        return self._runner.run(self._index.search(text, **options))

    def pages(self, query: Query) -> Iterator[Hits]:
        async def all_of() -> list[Hits]:
            return [hits async for hits in self._index.pages(query)]

        yield from self._runner.run(all_of())


@pytest.fixture(scope="module")
def local(tmp_path_factory) -> Index:
    return write_index(tmp_path_factory.mktemp("contract") / "index", VECTORS, TABLE, parts=3)


@pytest.fixture(scope="module")
def url(local) -> Iterator[str]:
    with served(local.root, token=TOKEN, limits=Limits(batch=5)) as service:
        yield service.url


@pytest.fixture(scope="module", params=["local", "remote", "async"])
def index(request, local) -> Iterator[Searchable]:
    if request.param == "local":
        yield local
        return
    url = request.getfixturevalue("url")
    if request.param == "remote":
        with vidsearch.connect(url, token=TOKEN) as remote:
            yield remote
        return
    with asyncio.Runner() as runner:
        remote = vidsearch.connect_async(url, token=TOKEN)
        yield Blocking(remote, runner)
        runner.run(remote.close())


def assert_alike(found: Sequence[Hits], expected: Sequence[Hits]) -> None:
    """Compare all but the times; scores to the last bits, which depend on the sentences that are encoded together."""
    assert all(hits.timings_ms or not hits.hits for hits in found)
    assert [bare(hits) for hits in found] == [bare(hits) for hits in expected]
    assert scores([hit for hits in found for hit in hits]) == pytest.approx(
        scores([hit for hits in expected for hit in hits]), abs=1e-6, nan_ok=True
    )


def bare(hits: Hits) -> Hits:
    return replace(hits, hits=tuple(without_score(hit) for hit in hits), timings_ms={})


def without_score(hit: Hit) -> Hit:
    nested = {name: tuple(without_score(one) for one in clips) for name in ("group", "chain") if (clips := getattr(hit, name)) is not None}
    return replace(hit, score=0.0, cosine=None, **nested)


def scores(hits: Sequence[Hit]) -> list[float]:
    told = [[hit.score, *([] if hit.cosine is None else [hit.cosine]), *scores(hit.group or ()), *scores(hit.chain or ())] for hit in hits]
    return [score for one in told for score in one]


@pytest.mark.parametrize("name", QUESTIONS)
def test_a_question_has_one_answer(index, local, name):
    expected = local.search(**QUESTIONS[name])
    assert_alike([index.search(**QUESTIONS[name])], [expected])
    assert len(expected) > 0 or "nothing passes" in name


def test_many_questions_are_answered_in_their_order(index, local):
    queries = [Query(vector=VECTOR * (-1) ** number, k=1 + number, where=f"aesthetic > {number / 2}") for number in range(13)]
    expected = local.ask(queries)
    assert_alike(index.ask(queries), expected)
    assert [len(hits) for hits in expected] == list(range(1, 14))
    assert index.ask([]) == []


@pytest.mark.parametrize("name", ["a vector", "both", "variety", "groups", "what happens then", "no duplicates"])
def test_pages_are_the_same(index, local, name):
    query = Query.from_json({"k": 9, **as_json(QUESTIONS[name])})
    found, expected = (list(islice(one.pages(query), 40)) for one in (index, local))
    assert_alike(found, expected)
    assert len(found) > 2
    assert found[-1].cursor is None


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_asked_is_refused_alike(index, local, name):
    arguments, kind, message = REFUSED[name]
    for one in (index, local):
        with pytest.raises(kind, match=message) as refused:
            one.search(**arguments)
        assert type(refused.value) is kind
        assert "\n" not in str(refused.value) or kind is FilterError


def test_one_bad_question_among_many_is_an_error(index):
    with pytest.raises(FilterError, match="unknown column 'nothing'"):
        index.ask([Query(vector=VECTOR), Query(vector=VECTOR, where="nothing = 1"), Query(vector=VECTOR)])


def as_json(arguments: dict[str, Any]) -> dict[str, Any]:
    return {name: value.tolist() if isinstance(value, np.ndarray) else value for name, value in arguments.items()}

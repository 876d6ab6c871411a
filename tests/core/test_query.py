"""The question as a value, and the vector it becomes."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vidsearch._query_parts import Media, Rocchio, Weighted, example, examples, sentences, weighted
from vidsearch.answers import cursor
from vidsearch.answers.compose import NEGATIVE_WEIGHT, compose
from vidsearch.errors import QueryError
from vidsearch.query import Query

AXES = np.eye(4, dtype=np.float32)
WORDS = {"x": AXES[0], "y": AXES[1], "z": AXES[2], "-x": -AXES[0]}


def ask(*queries: Query) -> list[np.ndarray]:
    return compose(
        queries,
        dim=4,
        encode=lambda texts: np.stack([WORDS[text] for text in texts]),
        vectors_of=lambda names: np.stack([WORDS[name] for name in names]),
        show=lambda media: WORDS[media.path.stem],
    )


def one(**fields) -> np.ndarray:
    (vectors,) = ask(Query(**fields))
    assert vectors.shape == (1, 4)
    assert np.linalg.norm(vectors[0]) == pytest.approx(1)
    return vectors[0]


def unit(*vector: float) -> np.ndarray:
    return np.array(vector) / np.linalg.norm(vector)


X, Y = (Weighted("x"),), (Weighted("y"),)


def test_a_text_is_its_own_vector():
    assert np.array_equal(one(texts=X), AXES[0])


def test_text_clip_file_and_vector_weigh_the_same():
    assert one(texts=X, like=("y",)) == pytest.approx(unit(1, 1, 0, 0))
    assert one(texts=X, like=(Media(Path("z.jpg")),), vector=np.array([0, 0, 0, 5.0])) == pytest.approx(unit(1, 0, 1, 1))


def test_texts_count_by_their_weights():
    assert one(texts=(Weighted("x", 1.0), Weighted("y", 0.5))) == pytest.approx(unit(1, 0.5, 0, 0))
    assert one(texts=(Weighted("x", 1.0), Weighted("y", -2.0))) == pytest.approx(unit(1, -2, 0, 0))


def test_an_excluded_text_turns_the_query_away_from_it():
    assert one(texts=X, exclude=("y",)) == pytest.approx(unit(1, -NEGATIVE_WEIGHT, 0, 0))


def test_thumbs_move_the_query_as_rocchio_says():
    assert one(texts=X, up=("y", "z"), down=("-x",)) == pytest.approx(unit(1 + 0.15, 0.375, 0.375, 0))
    assert one(texts=X, up=("y",), rocchio=Rocchio(0, 1, 0)) == pytest.approx(AXES[1])
    assert one(up=("y",)) == pytest.approx(AXES[1])


def test_each_then_is_a_vector_of_its_own():
    (vectors,) = ask(Query(X, like=("z",), then=("y", "z")))
    assert vectors == pytest.approx(np.stack([unit(1, 0, 1, 0), AXES[1], AXES[2]]))


def test_texts_of_many_questions_are_encoded_once_and_together():
    calls = []
    queries = [Query(X), Query(Y), Query(X, exclude=("z",)), Query(X, mode="keywords")]
    vectors = compose(
        queries,
        dim=4,
        encode=lambda texts: calls.append(list(texts)) or np.stack([WORDS[text] for text in texts]),
        vectors_of=lambda names: AXES[:0],
        show=lambda media: AXES[0],
    )
    assert calls == [["x", "y", "z"]]
    assert [len(found) for found in vectors] == [1, 1, 1, 0]


def test_the_quotes_of_a_hybrid_search_are_no_part_of_what_is_seen():
    assert np.array_equal(one(texts=(Weighted('"x"'),), mode="hybrid"), AXES[0])


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"texts": (Weighted("   "),)}, "the query is empty"),
        ({"texts": (Weighted("x" * 5000),)}, "5,000 characters; at most 4,096"),
        ({}, "nothing to search for"),
        ({"exclude": ("x",)}, "nothing to search for"),
        ({"texts": X, "k": 0}, "k is 0; it must be 1 to 1000"),
        ({"texts": X, "k": -1}, "k is -1"),
        ({"texts": X, "k": 10**9}, "k is 1000000000"),
        ({"texts": X, "exclude": ("",)}, "the query is empty"),
        ({"texts": X, "then": (" ",)}, "the query is empty"),
        ({"texts": X * 65}, "at most 64 texts"),
        ({"texts": (Weighted("x", math.nan),)}, "the weight of 'x' is nan"),
        ({"texts": (Weighted("x", math.inf),)}, "the weight of 'x' is inf"),
        ({"texts": X, "rocchio": Rocchio(1, -1, 0)}, "finite numbers of 0 or more"),
        ({"texts": X, "min_score": math.nan}, "min_score is nan"),
        ({"texts": X, "per_video": 0}, "per_video is 0; it must be 1 to 1000"),
        ({"texts": X, "dedupe": 0}, "dedupe is 0; it must be above 0, at most 1"),
        ({"texts": X, "dedupe": math.nan}, "dedupe is nan"),
        ({"texts": X, "diverse": 1.5}, "diverse is 1.5; it must be 0 to 1"),
        ({"texts": X, "recall": 0}, "recall is 0"),
        ({"texts": X, "sort": " "}, "sort is ' '"),
        ({"texts": X, "group": "language"}, "can be grouped by video"),
        ({"texts": X, "mode": "magic"}, "choose from vectors, hybrid, keywords"),
        ({"like": ("y",), "mode": "hybrid"}, "needs a text"),
        ({"texts": X, "like": ("y",), "mode": "keywords"}, "keywords alone compare no vectors"),
        ({"texts": X, "hybrid_weight": 0.5}, "only with hybrid"),
        ({"texts": X, "then": ("y",), "per_video": 1}, "then cannot be combined"),
        ({"texts": X, "then": ("y",), "mode": "hybrid"}, "then cannot be combined"),
    ],
)
def test_a_query_that_cannot_be_asked_says_why(fields, message):
    with pytest.raises(QueryError, match=message):
        Query(**fields)


@pytest.mark.parametrize("vector", [np.zeros(4), np.full(4, np.nan), np.ones(3), np.ones((1, 4))])
def test_a_vector_that_does_not_fit_is_refused(vector):
    with pytest.raises(QueryError, match="vector"):
        ask(Query(vector=vector))


@pytest.mark.parametrize(
    "query",
    [
        Query(X, like=("-x",)),
        Query((Weighted("x", 1.0), Weighted("-x", 1.0))),
        Query((Weighted("x", 0.0),)),
        Query(X, up=("-x",), rocchio=Rocchio(1, 1, 0)),
    ],
)
def test_a_query_that_cancels_itself_is_refused(query):
    with pytest.raises(QueryError, match="cancel each other or weigh nothing"):
        ask(query)


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("a dog", Weighted("a dog", 1.0)),
        ("a dog^0.5", Weighted("a dog", 0.5)),
        ("a dog^-2", Weighted("a dog", -2.0)),
        ("a^b^2e-1", Weighted("a^b", 0.2)),
        ("x\\^2", Weighted("x^2", 1.0)),
        ("x\\^2^3", Weighted("x^2", 3.0)),
        ("^2", Weighted("^2", 1.0)),
        ("a ^ b", Weighted("a ^ b", 1.0)),
    ],
)
def test_a_weight_is_written_as_lucene_has_it(typed, expected):
    assert weighted(typed) == expected


def test_a_weight_that_is_no_number_is_refused():
    with pytest.raises(QueryError, match="is no weight"):
        weighted("a dog^1.2.3")
    with pytest.raises(QueryError, match="weight of 'a dog' is nan"):
        Query((weighted("a dog^nan"),))


@pytest.mark.parametrize(
    ("typed", "start", "end"),
    [
        ("v.mp4", 0, None),
        ("v.mp4#t=3,9", 3, 9),
        ("v.mp4#t=3", 3, None),
        ("v.mp4#t=,9.5", 0, 9.5),
        ("v.mp4#t=npt:1:02,0:01:03.5", 62, 63.5),
    ],
)
def test_a_part_of_a_video_is_a_media_fragment(typed, start, end):
    media = Media.parse(typed)
    assert (media.path, media.start_s, media.end_s) == (Path("v.mp4"), start, end)
    assert Media.parse(str(media)) == media


@pytest.mark.parametrize("typed", ["v.mp4#t=9,3", "v.mp4#t=3,3", "v.mp4#t=", "v.mp4#t=1:70", "v.mp4#t=1:2:3:4", "v.mp4#t=.,2"])
def test_a_time_that_is_none_is_refused(typed):
    with pytest.raises(QueryError):
        Media.parse(typed)


def test_only_a_path_or_a_file_that_is_there_is_taken_for_a_file(tmp_path):
    there = tmp_path / "a#t=b.jpg"
    there.write_bytes(b"x")
    assert example(str(there)) == Media(there)
    assert example(f"{there}#t=1,2") == Media(there, 1, 2)
    assert example("nobody") == "nobody"
    assert example("\0") == "\0"
    assert example("x" * 5000) == "x" * 5000
    assert examples(["id", there]) == ("id", Media(there))
    assert examples(str(there)) == (str(there),)  # a text from outside never names a file


FULL = Query(
    texts=(Weighted("x", 0.5), Weighted("y")),
    like=("z", Media(Path("v.mp4"), 1, 2.5)),
    vector=np.array([0.25, 0, 0, 1], np.float32),
    exclude=("z",),
    up=("a",),
    down=("b", "c"),
    rocchio=Rocchio(1, 0.5, 0.25),
    mode="hybrid",
    hybrid_weight=0.3,
    keyword_column="title",
    k=7,
    where="a > 1",
    within=np.array([4, 0, 2**40]),
    cursor="c",
    min_score=0.1,
    per_video=2,
    dedupe=0.9,
    diverse=0.4,
    sort="a desc",
    group="video",
    recall=0.8,
    exact=True,
)


def test_a_query_goes_through_json_and_back():
    values = json.loads(json.dumps(FULL.to_json()))
    assert set(values) == set(FULL.__dataclass_fields__) - {"then"}
    again = Query.from_json(values)
    assert again.to_json() == FULL.to_json()
    assert np.array_equal(again.vector, FULL.vector)
    assert np.array_equal(again.within, FULL.within)
    assert again.within.dtype == np.int64
    assert again.like == FULL.like
    assert Query(X).to_json() == {"texts": [["x", 1.0]]}
    assert Query.from_json({"text": "x", "then": "y"}).to_json() == Query(X, then=("y",)).to_json()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"txt": "x"}, "a query has no 'txt'; choose from text, texts, like"),
        ({"text": 3}, "text is 3; it must be text"),
        ({"text": "x", "k": "10"}, "k is '10'; it must be a whole number"),
        ({"text": "x", "k": True}, "k is True"),
        ({"text": "x", "exact": 1}, "exact is 1; it must be true or false"),
        ({"text": "x", "min_score": [1]}, "min_score is .* number"),
        ({"text": "x", "where": {}}, "where is {}"),
        ({"vector": ["a"]}, "vector is 'a'"),
        ({"vector": [10**400]}, "too large"),
        ({"texts": [["x", "y"]]}, "texts is 'y'"),
        ({"like": {"path": "x"}}, "like is {'path': 'x'}"),
        ({"text": "x", "rocchio": [1]}, "three"),
        ({"like": {"file": "a\0b"}}, "is no name of a file"),
        ({"like": {"file": "a\0b#t=1"}}, "is no name of a file"),
    ],
)
def test_json_of_other_types_is_refused_by_name(values, message):
    with pytest.raises(QueryError, match=message):
        Query.from_json(values)


def test_sort_reads_a_column_and_a_direction():
    assert Query(X, sort="aesthetic").order == ("aesthetic", False)
    assert Query(X, sort=" my column DESC ").order == ("my column", True)
    assert Query(X, sort="desc").order == ("desc", False)
    assert Query(X).order is None


@given(st.integers(0, 10**12 - 1))
def test_a_cursor_stands_for_a_position(position):
    text = cursor.write("0" * 16, Query(X), position)
    assert cursor.read("0" * 16, Query(X, cursor=text)) == position
    assert cursor.position(text) == position


def test_a_cursor_is_refused_by_another_query_and_another_version():
    version = cursor.version_of(3, ("a", "b"))
    text = cursor.write(version, Query(X, k=5), 5)
    with pytest.raises(QueryError, match="another query"):
        cursor.read(version, Query(X, k=6, cursor=text))
    with pytest.raises(QueryError, match="the index has changed"):
        cursor.read(cursor.version_of(4, ("a", "b")), Query(X, k=5, cursor=text))
    assert len({version, cursor.version_of(3, ("a",)), cursor.version_of(4, ("a", "b"))}) == 3


@given(st.text(max_size=80))
def test_garbage_is_no_cursor(text):
    with pytest.raises(QueryError, match="is no cursor"):
        cursor.read("0" * 16, Query(X, cursor=text))


def test_sentences_take_texts_with_and_without_weights():
    assert sentences(["x", ("y", 0.5)]) == (Weighted("x", 1.0), Weighted("y", 0.5))

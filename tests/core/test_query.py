import numpy as np
import pytest

from vidsearch.errors import QueryError
from vidsearch.query import Query, compose

AXES = np.eye(4, dtype=np.float32)


def ask(query: Query) -> np.ndarray:
    words = {"x": AXES[0], "y": AXES[1], "z": AXES[2]}
    return compose(query, dim=4, encode=lambda texts: np.stack([words[text] for text in texts]), vector_of=lambda clip_id: words[clip_id])


def test_a_text_is_its_own_vector():
    assert np.array_equal(ask(Query("x")), AXES[0])


def test_text_and_clip_weigh_the_same():
    assert np.allclose(ask(Query("x", like="y")), (AXES[0] + AXES[1]) / np.sqrt(2))


def test_an_excluded_text_turns_the_query_away_from_it():
    wanted = ask(Query("x", exclude=("y",)))
    assert wanted @ AXES[1] < 0 < wanted @ AXES[0]
    assert np.linalg.norm(wanted) == pytest.approx(1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"text": "   "}, "empty"),
        ({"text": "x" * 5000}, "5,000 characters; at most 4,096"),
        ({}, "nothing to search for"),
        ({"text": "x", "k": 0}, "k is 0; it must be 1 to 1000"),
        ({"text": "x", "k": -1}, "k is -1"),
        ({"text": "x", "k": 10**9}, "k is 1000000000"),
        ({"text": "x", "exclude": ("",)}, "empty"),
    ],
)
def test_a_query_that_cannot_be_asked_says_why(arguments, message):
    with pytest.raises(QueryError, match=message):
        Query(**arguments)


@pytest.mark.parametrize("vector", [np.zeros(4), np.full(4, np.nan), np.ones(3), np.ones((1, 4))])
def test_a_vector_that_does_not_fit_is_refused(vector):
    with pytest.raises(QueryError, match="vector"):
        ask(Query(vector=vector))


def test_a_query_that_cancels_itself_is_refused():
    with pytest.raises(QueryError, match="cancel"):
        compose(Query("x", like="y"), dim=4, encode=lambda texts: AXES[:1], vector_of=lambda clip_id: -AXES[0])

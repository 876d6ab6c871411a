"""The page's state and its URL are the same thing."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ui.state import MODES, TABS, Point, State
from vidsearch.errors import QueryError

texts = st.text(max_size=40)
corners = st.lists(st.tuples(st.integers(-999, 999), st.integers(-999, 999)), max_size=6)
states = st.builds(
    State,
    q=texts,
    nots=st.lists(texts, max_size=3).map(tuple),
    like=st.lists(texts, max_size=3).map(tuple),
    upload=st.sampled_from(["", "0123456789abcdef.png"]),
    up=st.lists(texts, max_size=3).map(tuple),
    down=st.lists(texts, max_size=3).map(tuple),
    pull=st.integers(0, 20).map(lambda twentieths: twentieths / 20),
    where=texts,
    lasso=corners.map(lambda found: tuple(Point(x / 100, y / 100) for x, y in found)),
    mode=st.sampled_from(MODES),
    sort=texts,
    group=st.booleans(),
    page=st.integers(1, 417),
    clip=texts,
    tab=st.sampled_from(TABS),
    color=texts,
)


@given(states)
def test_a_link_reopens_the_state(state: State) -> None:
    assert State.from_params(state.to_params()) == state


def test_the_state_at_first_has_an_empty_link() -> None:
    assert not State().to_params()
    assert State.from_params("?utm_source=letter") == State()


@given(st.text(max_size=200))
def test_any_link_is_a_state_or_one_line(params: str) -> None:
    with suppress(QueryError):
        assert State.from_params(State.from_params(params).to_params()) == State.from_params(params)


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ("page=0", "page is 0"),
        ("page=418", "from 1 to 417"),
        ("page=two", "page='two'"),
        ("pull=nan", "from 0 to 1"),
        ("mode=magic", "choose from vectors, hybrid, keywords"),
        ("lasso=1,2;3", "lasso='1,2;3'"),
        ("lasso=1,inf", "not a number"),
        ("upload=../../etc/passwd", "no name of a file"),
        ("q=" + "a" * 5000, "5,000 characters"),
    ],
)
def test_a_link_that_cannot_be_says_why(params: str, said: str) -> None:
    with pytest.raises(QueryError, match=said.replace("(", "\\(")):
        State.from_params(params)


def test_another_question_begins_at_its_first_page_without_a_clip() -> None:
    assert State(page=3, clip="c", q="a").with_question(where="b") == State(q="a", where="b")

"""What each action makes of a page's state."""

from __future__ import annotations

import numpy as np
import pytest
from support.made import made

from ui.handlers import ACTIONS, act
from ui.state import Point, State
from vidsearch import Index
from vidsearch.errors import QueryError, VidsearchError


@pytest.fixture(scope="module")
def index(tmp_path_factory) -> Index:
    vectors = np.random.default_rng(0).normal(size=(6, 8)).astype(np.float32)
    return made(tmp_path_factory.mktemp("index"), vectors, language=["en", "en", "de", "fr", None, "en"], caption=["a cat", *[None] * 5])


START = State(q="a dog", where="language = 'en'", page=2, clip="c1")
FIRST = {"page": 1, "clip": ""}


CASES: list[tuple[dict, dict]] = [
    ({"kind": "goto", "params": "q=x&page=3"}, {"q": "x", "where": "", "page": 3, "clip": ""}),
    ({"kind": "search", "q": " a cat ", "nots": "x; ;y", "mode": "hybrid"}, {"q": "a cat", "nots": ("x", "y"), "mode": "hybrid", **FIRST}),
    ({"kind": "search", "q": "a cat", "mode": "magic"}, {"q": "a cat", **FIRST}),
    ({"kind": "toggle", "column": "language", "value": "de"}, {"where": "language in ('en', 'de')", **FIRST}),
    ({"kind": "toggle", "column": "language", "value": "en"}, {"where": "", **FIRST}),
    ({"kind": "range", "column": "duration_s", "low": "1", "high": None}, {"where": "language = 'en' and duration_s >= 1", **FIRST}),
    ({"kind": "drop", "what": "condition", "value": "0"}, {"where": "", **FIRST}),
    ({"kind": "drop", "what": "q"}, {"q": "", **FIRST}),
    ({"kind": "where", "sql": "language = 'de'"}, {"where": "language = 'de'", **FIRST}),
    ({"kind": "clear"}, {"where": "", **FIRST}),
    ({"kind": "like", "id": "c2"}, {"q": "", "like": ("c2",), **FIRST}),
    ({"kind": "caption", "id": "c0"}, {"q": "a cat", **FIRST}),
    ({"kind": "upload", "name": "0123456789abcdef.png"}, {"upload": "0123456789abcdef.png", **FIRST}),
    ({"kind": "thumb", "id": "c2", "way": "up"}, {"up": ("c2",), "page": 1}),
    ({"kind": "thumb", "id": "c2", "way": "down"}, {"down": ("c2",), "page": 1}),
    ({"kind": "lasso", "corners": [[0, 0], [1, 0], [1, 1.5]]}, {"lasso": (Point(0, 0), Point(1, 0), Point(1, 1.5)), **FIRST}),
    ({"kind": "lasso", "corners": [[0, 0], [1, 0]]}, {"lasso": (), **FIRST}),
    ({"kind": "tab", "tab": "map"}, {"tab": "map"}),
    ({"kind": "open", "id": "c3"}, {"clip": "c3"}),
    ({"kind": "close"}, {"clip": ""}),
    ({"kind": "page", "page": 5}, {"page": 5, "clip": ""}),
    ({"kind": "sort", "by": "duration_s desc"}, {"sort": "duration_s desc", "page": 1}),
    ({"kind": "group", "on": True}, {"group": True, "page": 1}),
    ({"kind": "pull", "value": 0.75}, {"pull": 0.75, "page": 1}),
    ({"kind": "color", "column": "language"}, {"color": "language"}),
]


@pytest.mark.parametrize(("action", "changes"), CASES, ids=[str(action["kind"]) for action, _ in CASES])
def test_an_action_changes_what_it_says_and_no_more(index: Index, action: dict, changes: dict) -> None:
    after = act(index, START, action)
    assert {name: getattr(after, name) for name in changes} == changes
    kept = {name: value for name, value in vars(START).items() if name not in changes}
    if action["kind"] != "goto":
        assert {name: getattr(after, name) for name in kept} == kept


def test_every_action_is_tried_above() -> None:
    assert {action["kind"] for action, _ in CASES} == set(ACTIONS)


def test_a_thumb_again_takes_it_back_and_the_other_moves_it(index: Index) -> None:
    up = act(index, START, {"kind": "thumb", "id": "c2", "way": "up"})
    assert act(index, up, {"kind": "thumb", "id": "c2", "way": "up"}).up == ()
    down = act(index, up, {"kind": "thumb", "id": "c2", "way": "down"})
    assert (down.up, down.down) == ((), ("c2",))


@pytest.mark.parametrize(
    ("action", "said"),
    [
        ({"kind": "fly"}, "unknown action 'fly'"),
        ({}, "unknown action None"),
        ({"kind": ["goto"]}, "unknown action"),
        ({"kind": "open"}, "action open is not complete"),
        ({"kind": "open", "id": "c99"}, "no clip 'c99'"),
        ({"kind": "like", "id": "../c1"}, "no clip"),
        ({"kind": "caption", "id": "c1"}, "no caption"),
        ({"kind": "where", "sql": "languag = 'en'"}, "did you mean language"),
        ({"kind": "where", "sql": "language = 'en"}, "."),
        ({"kind": "toggle", "column": "colour", "value": 1}, "unknown column"),
        ({"kind": "drop", "what": "condition", "value": "7"}, "no condition 7"),
        ({"kind": "drop", "what": "page"}, "no chip 'page'"),
        ({"kind": "thumb", "id": "c1", "way": "sideways"}, "up or down"),
        ({"kind": "tab", "tab": "admin"}, "search, dataset, map"),
        ({"kind": "page", "page": 100000}, "from 1 to"),
        ({"kind": "pull", "value": "much"}, "pull is not complete"),
        ({"kind": "lasso", "corners": [[1, 2], [3]]}, "lasso is not complete"),
        ({"kind": "goto", "params": "where=nothing+here"}, "."),
        ({"kind": "goto", "params": "clip=c99"}, "no clip 'c99'"),
        ({"kind": "search", "q": "a" * 10_000_000}, "10,000,000 characters"),
    ],
)
def test_an_action_that_cannot_be_is_one_line(index: Index, action: dict, said: str) -> None:
    with pytest.raises(VidsearchError, match=said) as raised:
        act(index, START, action)
    assert "\n" not in str(raised.value)
    assert len(str(raised.value)) < 600


def test_a_thumb_down_needs_a_question(index: Index) -> None:
    with pytest.raises(QueryError, match="search for a sentence"):
        act(index, State(), {"kind": "thumb", "id": "c1", "way": "down"})

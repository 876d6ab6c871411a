"""What a click, a key or a link makes of a page's state; no Gradio here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from ui.filtering import conditions
from ui.state import MODES, TABS, Point, State
from vidsearch.engine import Index
from vidsearch.errors import QueryError

Action = Mapping[str, Any]
Act = Callable[[Index, State, Action], State]


def act(index: Index, state: State, action: Action) -> State:
    """Return the state that follows.

    Args:
        index: what the page shows; filters are read by its columns.
        state: what the page showed.
        action: {"kind": one of ACTIONS, ...}, as page.js sends it.

    Raises:
        QueryError, FilterError: there is no such state; the page then stays as it was.
    """
    kind = action.get("kind")
    if not isinstance(kind, str) or kind not in ACTIONS:
        raise QueryError(f"unknown action {kind!r:.40}; choose from {', '.join(ACTIONS)}")
    try:
        return ACTIONS[kind](index, state, action)
    except (KeyError, TypeError, ValueError) as error:
        if isinstance(error, QueryError) or type(error).__module__.startswith("vidsearch"):
            raise
        raise QueryError(f"the action {kind} is not complete ({error!r:.80})") from error


def _goto(index: Index, state: State, action: Action) -> State:
    after = State.from_params(str(action["params"]))
    if after.where:
        index.parse(after.where)
    for clip in (after.clip, *after.like, *after.up, *after.down):
        if clip:
            index.row_of(clip)
    return after


def _search(index: Index, state: State, action: Action) -> State:
    nots = tuple(part.strip() for part in str(action.get("nots", "")).split(";") if part.strip())
    mode = str(action.get("mode", state.mode))
    return state.with_question(q=str(action.get("q", "")).strip(), nots=nots, mode=mode if mode in MODES else state.mode, **_SHOW_RESULTS)


def _toggle(index: Index, state: State, action: Action) -> State:
    return state.with_question(where=conditions.toggle(index, state.where, str(action["column"]), action["value"]))


def _range(index: Index, state: State, action: Action) -> State:
    low, high = (None if action.get(end) in (None, "") else action[end] for end in ("low", "high"))
    return state.with_question(where=conditions.set_range(index, state.where, str(action["column"]), low, high))


def _drop(index: Index, state: State, action: Action) -> State:
    """Take one chip away: a condition by number, or what a part of the question says."""
    what, value = str(action["what"]), str(action.get("value", ""))
    if what == "condition":
        return state.with_question(where=conditions.drop(index, state.where, int(value)))
    if what == "feedback":
        return state.with_question(up=(), down=())
    if what in ("q", "upload"):
        return state.with_question(**{what: ""})
    if what in ("nots", "like"):
        return state.with_question(**{what: tuple(item for item in getattr(state, what) if item != value)})
    if what == "lasso":
        return state.with_question(lasso=())
    raise QueryError(f"there is no chip {what!r:.40}")


def _where(index: Index, state: State, action: Action) -> State:
    where = str(action["sql"]).strip()
    if where:
        index.parse(where)
    return state.with_question(where=where)


def _clear(index: Index, state: State, action: Action) -> State:
    return state.with_question(where="", lasso=())


def _like(index: Index, state: State, action: Action) -> State:
    """More like one clip: what was asked before makes room for it."""
    clip = str(action["id"])
    index.row_of(clip)
    return state.with_question(q="", nots=(), upload="", up=(), down=(), like=(clip,), mode="vectors", **_SHOW_RESULTS)


def _upload(index: Index, state: State, action: Action) -> State:
    return state.with_question(upload=str(action["name"]), like=(), mode="vectors", **_SHOW_RESULTS)


def _caption(index: Index, state: State, action: Action) -> State:
    (row,) = index.take([index.row_of(str(action["id"]))], ["caption"])
    if not row["caption"]:
        raise QueryError("this clip has no caption to search for")
    return state.with_question(q=row["caption"], nots=(), like=(), upload="", up=(), down=(), **_SHOW_RESULTS)


def _thumb(index: Index, state: State, action: Action) -> State:
    """Say that a clip is what was meant, or not; the same again takes it back."""
    clip, way = str(action["id"]), str(action["way"])
    if way not in ("up", "down"):
        raise QueryError(f"a thumb is up or down, not {way!r:.20}")
    index.row_of(clip)
    up, down = (tuple(item for item in known if item != clip) for known in (state.up, state.down))
    if clip not in getattr(state, way):
        up, down = ((*up, clip), down) if way == "up" else (up, (*down, clip))
    after = replace(state, page=1, up=up, down=down)
    if down and not after.asks:
        raise QueryError("a thumb down needs something it moves away from: search for a sentence, or like a clip, first")
    return after


def _lasso(index: Index, state: State, action: Action) -> State:
    corners = tuple(Point(float(x), float(y)) for x, y in action["corners"])
    return state.with_question(lasso=corners if len(corners) > 2 else ())


def _tab(index: Index, state: State, action: Action) -> State:
    return replace(state, tab=_one_of(TABS, action["tab"]))


def _open(index: Index, state: State, action: Action) -> State:
    clip = str(action["id"])
    index.row_of(clip)
    return replace(state, clip=clip)


def _one_of(allowed: tuple[str, ...], value: Any) -> str:
    if value not in allowed:
        raise QueryError(f"{value!r:.40} is none of {', '.join(allowed)}")
    return str(value)


_SHOW_RESULTS: dict[str, Any] = {"tab": "search"}

ACTIONS: dict[str, Act] = {
    "goto": _goto,
    "search": _search,
    "toggle": _toggle,
    "range": _range,
    "drop": _drop,
    "where": _where,
    "clear": _clear,
    "like": _like,
    "upload": _upload,
    "caption": _caption,
    "thumb": _thumb,
    "lasso": _lasso,
    "tab": _tab,
    "open": _open,
    "close": lambda index, state, action: replace(state, clip=""),
    "page": lambda index, state, action: replace(state, page=int(action["page"]), clip=""),
    "sort": lambda index, state, action: replace(state, sort=str(action["by"]), page=1),
    "group": lambda index, state, action: replace(state, group=bool(action["on"]), page=1),
    "pull": lambda index, state, action: replace(state, pull=float(action["value"]), page=1),
    "color": lambda index, state, action: replace(state, color=str(action["column"])),
}

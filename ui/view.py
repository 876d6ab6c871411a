"""What the page's areas show of a state: HTML by area, only of those that a change concerns."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from ui.explorer import Explorer
from ui.filtering.conditions import conditions
from ui.filtering.facets import facets
from ui.handlers import Action, act
from ui.markup import facets as filter_markup
from ui.markup import notes
from ui.markup.player import player
from ui.markup.results import headline, results
from ui.state import State
from vidsearch.errors import VidsearchError

Areas = dict[str, str]  # HTML by the name of an area

NAMES = ("problem", "banners", "examples", "chips", "headline", "results", "how", "facets", "player")
_PAGE_ONLY = {"clip": "", "tab": "search", "color": ""}  # parts of a state that change no result
_QUESTION_ONLY: dict[str, Any] = {"sort": "", "group": False, "page": 1, **_PAGE_ONLY}  # and these no count

log = logging.getLogger(__name__)


def step(explorer: Explorer, before: State, action: Action, *, whole: bool) -> Iterator[tuple[State, Areas]]:
    """Yield the state that follows an action, with the areas that it changes: first what is waited for, then the rest.

    Args:
        explorer: the index.
        before: what the page shows.
        action: what a person did.
        whole: every area, since the page shows none yet.
    """
    try:
        after = act(explorer.index, before, action)
        yield from _shown(explorer, None if whole else before, after)
    except VidsearchError as error:
        problem = {"problem": notes.problem(str(error))}
        yield (State() if whole else before), problem
        if whole:  # a link that says what cannot be: the page opens without it
            for state, areas in _shown(explorer, None, State()):
                yield state, areas | problem


def _shown(explorer: Explorer, before: State | None, after: State) -> Iterator[tuple[State, Areas]]:
    yield after, {"problem": "", **_first(explorer, before, after)}
    if rest := _rest(explorer, before, after):
        yield after, rest


def _first(explorer: Explorer, before: State | None, after: State) -> Areas:
    areas: Areas = {}
    if _differ(before, after, _PAGE_ONLY):
        page = explorer.ranker.page(after)
        areas |= {
            "headline": headline(after, page),
            "results": results(after, page),
            "how": notes.how(page.ranking),
            "chips": filter_markup.chips(after, conditions(explorer.index, after.where)),
            "examples": notes.examples(explorer.examples, after),
            "banners": _banners(explorer),
        }
    if before is None or before.clip != after.clip or (after.clip and (before.up, before.down) != (after.up, after.down)):
        areas["player"] = _player(explorer, after)
    return areas


def _rest(explorer: Explorer, before: State | None, after: State) -> Areas:
    if not _differ(before, after, _QUESTION_ONLY):
        return {}
    return {"facets": filter_markup.facets(facets(explorer.index, after, explorer.ranker))}


def _differ(before: State | None, after: State, beside: Mapping[str, Any]) -> bool:
    return before is None or replace(before, **beside) != replace(after, **beside)


def _player(explorer: Explorer, state: State) -> str:
    if not state.clip:
        return ""
    hit = explorer.hit(state.clip)
    score = explorer.ranker.score_of(state, state.clip) if state.asks else None
    shown = hit if score is None else replace(hit, **score._asdict())
    return player(state, shown, explorer.media.playback(state.clip), explorer.neighbours(state.clip), score is not None)


def _banners(explorer: Explorer) -> str:
    checked, absent = explorer.media.missing()
    index = explorer.index
    return notes.banners(skipped=index.skipped, checked=checked, absent=absent, model=index.space.model)

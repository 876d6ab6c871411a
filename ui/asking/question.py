"""A page's state → the question it asks of the index."""

from __future__ import annotations

from dataclasses import replace
from typing import cast

from ui.asking.uploads import path_of
from ui.state import State
from vidsearch._query_parts import Media, Rocchio, Weighted
from vidsearch.corpus import Rows
from vidsearch.query import Mode, Query, read_sort

PULL = 0.5  # at which thumbs count as much as `Rocchio` has it; from there on as much more as it is pulled further


def asks(state: State) -> bool:
    """Whether anything is searched for: thumbs alone are a question only as long as they count."""
    return bool(state.q or state.like or state.upload or (state.up and state.pull > 0))


def question(state: State, within: Rows | None) -> Query:
    """Return what a state that `asks` asks.

    Args:
        state: of the page.
        within: the rows inside its lasso; None where it has none.

    Raises:
        QueryError: it cannot be asked.
    """
    examples: list[str | Media] = list(state.like)
    if state.upload:
        examples.append(Media(path_of(state.upload)))
    usual, force = Rocchio(), state.pull / PULL
    return Query(
        texts=(Weighted(state.q),) if state.q else (),
        like=tuple(examples),
        exclude=state.nots,
        up=state.up if force else (),
        down=state.down if force else (),
        rocchio=Rocchio(usual.alpha, usual.beta * force, usual.gamma * force),
        mode=cast(Mode, state.mode),  # one of the same three words
        where=state.where or None,
        within=within,
    )


def asked_part(state: State) -> State:
    """Return the state with what decides its ranking alone: the column it is sorted by only where nothing is asked."""
    if asks(state):
        return replace(state, sort="", group=False, page=1, clip="", tab="search", color="")
    return State(where=state.where, lasso=state.lasso, sort=state.sort)


def order_of(state: State) -> tuple[str, bool] | None:
    """Return the column that a state is sorted by, and whether it falls; None is by score."""
    return read_sort(state.sort) if state.sort else None

"""The bulky data of two tabs as JSON, which the page fetches and draws: /data/dataset, /data/map and /data/point."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from ui.asking.question import asks
from ui.explorer import Explorer
from ui.plots.dataset import Dataset
from ui.state import State
from vidsearch.errors import UsageError, VidsearchError

HEADERS = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
LONGEST = 60_000  # characters of a query string

Answer = dict[str, Any]


def data_routes(explorer: Callable[[], Explorer]) -> APIRouter:
    """Return the routes; each takes the state's own query string.

    Args:
        explorer: gives the one in use.
    """
    routes = APIRouter(prefix="/data")
    dataset_of = lru_cache(maxsize=2)(Dataset)  # of the version in use, and the one before while somebody still waits for it

    @routes.get("/dataset")
    def dataset(request: Request) -> JSONResponse:
        def answer(now: Explorer) -> Answer:
            return dataset_of(now.index).figures(now.ranker.selections(_state(request)))

        return _answered(explorer(), answer)

    @routes.get("/map")
    def map_(request: Request) -> JSONResponse:
        def answer(now: Explorer) -> Answer:
            state = _state(request)
            passing = now.ranker.selections(state) if state.where or state.lasso else None
            results = now.ranker.rank(state).rows if asks(state) else None
            return now.map.payload(state.color, results, passing, request.query_params.get("have", ""))

        return _answered(explorer(), answer)

    @routes.get("/point")
    def point(request: Request) -> JSONResponse:
        return _answered(explorer(), lambda now: now.map.point(_number(request.query_params.get("i", ""))))

    return routes


def _state(request: Request) -> State:
    if len(request.url.query) > LONGEST:
        raise UsageError(f"a link of {len(request.url.query):,} characters; {LONGEST:,} are allowed")
    return State.from_params(request.url.query)


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise UsageError(f"i is {text!r:.40}; it must be the number of a point")
    return int(text)


def _answered(now: Explorer, ask: Callable[[Explorer], Answer]) -> JSONResponse:
    """Answer with JSON, or with one line that says what is wrong."""
    try:
        return JSONResponse(now.index.answered(lambda: ask(now)), headers=HEADERS)
    except UsageError as error:
        return JSONResponse({"error": str(error)}, status_code=400, headers=HEADERS)
    except VidsearchError as error:
        return JSONResponse({"error": str(error)}, status_code=409, headers=HEADERS)

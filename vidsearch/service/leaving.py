"""A client that goes away is not waited for: what it asked is given up, and its place in the queue is free."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

from fastapi import HTTPException, Request

T = TypeVar("T")

GONE = 499  # nobody reads it; it shows in the metrics


async def unless_gone(request: Request, wanted: Awaitable[T]) -> T:
    """Return what is waited for; where the client hangs up first, break it off. To be called when the body has been read."""
    answer = asyncio.ensure_future(wanted)
    gone = asyncio.ensure_future(_gone(request))
    try:
        await asyncio.wait((answer, gone), return_when=asyncio.FIRST_COMPLETED)
        if answer.done():
            return answer.result()
        raise HTTPException(GONE, "the client has gone")
    finally:
        gone.cancel()
        answer.cancel()


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass

"""How a body is read: JSON as its standard has it, in which nothing is said twice and no number is NaN."""

from __future__ import annotations

import json
from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import HTTPException, Request, Response
from fastapi.routing import APIRoute

MEDIA_TYPE = "application/json"

Handler = Callable[[Request], Coroutine[Any, Any, Response]]


class StrictRoute(APIRoute):
    """A route whose body is read so; whatever is no such JSON is refused with status 400, another media type with 415."""

    def get_route_handler(self) -> Handler:
        handle = super().get_route_handler()

        async def strictly(request: Request) -> Response:
            return await handle(_Request(request.scope, request.receive))

        return strictly


class _Request(Request):
    async def body(self) -> bytes:
        said = self.headers.get("content-type", "").partition(";")[0].strip().lower()
        if self.method == "POST" and said != MEDIA_TYPE:
            raise HTTPException(415, f"send {MEDIA_TYPE}")
        return await super().body()

    async def json(self) -> Any:
        try:
            return _read(await self.body())
        except RecursionError:
            raise HTTPException(400, "the body is no JSON: nested too deeply") from None
        except ValueError as error:
            raise HTTPException(400, f"the body is no JSON: {_words(error)}") from None


def _read(body: bytes) -> Any:
    text = body.decode("utf-8")
    values = json.loads(text, object_pairs_hook=_object, parse_constant=_constant)
    if "\\ud" in text or "\\uD" in text:
        json.dumps(values, ensure_ascii=False).encode("utf-8")  # half a surrogate pair is no text
    return values


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        raise ValueError("an object names something twice")
    return values


def _constant(name: str) -> float:
    raise ValueError(f"it has no {name}")


def _words(error: ValueError) -> str:
    """Return what is wrong, without what was sent."""
    if isinstance(error, json.JSONDecodeError):
        return f"{error.msg} at character {error.pos}"
    return "not UTF-8" if isinstance(error, UnicodeError) else str(error)

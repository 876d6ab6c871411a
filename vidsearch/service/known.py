"""What a client has already is not sent again: answers that change only with the index have its version as their ETag (RFC 9110, 8.8.3)."""

from __future__ import annotations

from typing import Any

from fastapi import Request, Response
from fastapi.responses import JSONResponse

LONGEST = 4096  # characters of a header that are looked at


def unless_known(request: Request, content: dict[str, Any], etag: str) -> Response:
    """Return an answer, or that it has not changed."""
    headers = {"ETag": etag, "Cache-Control": "private, no-cache"}
    if matches(request.headers.get("if-none-match"), etag):
        return Response(status_code=304, headers=headers)
    return JSONResponse(content, headers=headers)


def matches(header: str | None, etag: str) -> bool:
    """Whether an If-None-Match header names an answer."""
    named = [part.strip().removeprefix("W/") for part in (header or "")[:LONGEST].split(",")]
    return "*" in named or etag in named

"""What stands before every route: no large bodies, and headers by which the browser loads nothing from elsewhere."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

POLICY = (
    "default-src 'self'; img-src 'self' data: blob:; media-src 'self' blob:; style-src 'self' 'unsafe-inline'; font-src 'self' data:; "
    "script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; worker-src 'self' blob:; connect-src 'self'; object-src 'none'; "
    "frame-ancestors 'none'; base-uri 'self'; form-action 'self'"
)  # Gradio evaluates its templates
HEADERS = {b"content-security-policy": POLICY.encode(), b"x-content-type-options": b"nosniff", b"referrer-policy": b"no-referrer"}


class _TooLarge(Exception):
    pass


class Guard:
    """An ASGI application around another.

    Args:
        application: what is guarded.
        limit_bytes: of a request's body.
        limits_bytes: likewise, of some paths.
    """

    def __init__(self, application: ASGIApp, limit_bytes: int, limits_bytes: Mapping[str, int]) -> None:
        self._application, self._limit_bytes, self._limits_bytes = application, limit_bytes, limits_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._application(scope, receive, send)
            return
        if scope["path"] == "/":
            scope = {**scope, "query_string": b""}  # the state is for page.js; to Gradio, `page` would name a page of its own
        limit = self._limits_bytes.get(scope["path"], self._limit_bytes)
        read, started = 0, False

        async def counted() -> Message:
            nonlocal read
            message = await receive()
            read += len(message.get("body", b""))
            if read > limit:
                raise _TooLarge
            return message

        async def headed(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                named = {name.lower() for name, _ in message["headers"]}
                message["headers"] = [*message["headers"], *((name, value) for name, value in HEADERS.items() if name not in named)]
            await send(message)

        try:
            if _length(scope) > limit:
                raise _TooLarge
            await self._application(scope, counted, headed)
        except _TooLarge:
            if not started:
                await _refuse(headed, limit)


def _length(scope: Scope) -> int:
    """Return how long a body says it is; one that does not say it is counted as it comes."""
    said = next((value for name, value in scope["headers"] if name == b"content-length"), b"0")
    return int(said) if said.isdigit() else 0


async def _refuse(send: Send, limit: int) -> None:
    body = json.dumps({"error": f"the request is too large; {limit:,} bytes are allowed here"}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode()), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": 413, "headers": headers})
    await send({"type": "http.response.body", "body": body})

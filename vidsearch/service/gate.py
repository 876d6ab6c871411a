"""What stands before every route: who may ask, by which name, and how much may be sent. Whatever is not allowed is refused.

A program sends `Authorization: Bearer TOKEN`. A browser, which cannot, logs in once and gets a cookie that opens the page and the media
it shows; the API takes no cookie, so no other site's page can use it.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import html
import ipaddress
import json
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

OPEN = ("/healthz",)  # needs no token: a load balancer asks it
LOGIN = "/login"
COOKIE = "vidsearch"
COOKIE_S = 30 * 24 * 3600
API = "/v1/"
LONGEST_TOKEN = 4096
LOGIN_BYTES = 8192
NO_STORE = [(b"cache-control", b"no-store"), (b"x-content-type-options", b"nosniff")]

_FORM = """<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>vidsearch</title>
<style>body{{font:16px/1.5 system-ui,sans-serif;max-width:22rem;margin:20vh auto;padding:0 1rem;color-scheme:light dark}}
input,button{{font:inherit;width:100%;box-sizing:border-box;padding:.5rem;margin:.3rem 0}}</style>
<h1>vidsearch</h1><form method="post" action="/login"><label>Token <input type="password" name="token" autofocus required
autocomplete="current-password"></label><button>Open</button></form><p role="alert">{message}</p></html>"""


class _Refused(Exception):
    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code = status, code


class Gate:
    """An ASGI application around another.

    Args:
        application: what is guarded.
        token: what a client must know; None lets everybody in who can reach the address.
        hosts: names by which the service may be asked for, beside the numbers of addresses; a name that another site points here is
            none of them (DNS rebinding).
        body_bytes, body_s: how large a request may be, and how long it may take to come.
        larger: paths where it may be larger.
    """

    def __init__(
        self,
        application: ASGIApp,
        *,
        token: str | None,
        hosts: Collection[str],
        body_bytes: int,
        body_s: float,
        larger: Mapping[str, int] | None = None,
    ) -> None:
        self._application, self._token = application, token
        self._hosts = {host.lower() for host in hosts}
        self._body_bytes, self._body_s, self._larger = body_bytes, body_s, dict(larger or {})
        self._session = "" if token is None else hashlib.sha256(b"vidsearch page\0" + token.encode()).hexdigest()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._application(scope, receive, send)
            return
        if scope["type"] != "http":  # nothing here speaks over web sockets
            await send({"type": "websocket.close", "code": 1008})
            return
        started = False

        async def noted(message: Message) -> None:
            nonlocal started
            started = started or message["type"] == "http.response.start"
            await send(message)

        try:
            limit = self._larger.get(scope["path"], self._body_bytes)
            self._check_host(scope)
            if self._token is not None and scope["path"] == LOGIN:
                await self._log_in(scope, _limited(receive, scope, LOGIN_BYTES, self._body_s), noted)
                return
            if not self._may_pass(scope):
                if _wants_page(scope):
                    await _send(noted, 303, b"", [(b"location", LOGIN.encode())])
                    return
                raise _Refused(401, "unauthorized", "this service needs a token; send it as `Authorization: Bearer TOKEN`")
            await self._application(scope, _limited(receive, scope, limit, self._body_s), noted)
        except _Refused as error:
            if not started:
                await _send_error(noted, error)

    def _check_host(self, scope: Scope) -> None:
        said = [value.decode("latin-1") for name, value in scope["headers"] if name == b"host"]
        host = _host_name(said[0]) if len(said) == 1 else ""
        if host not in self._hosts and not _is_address(host):
            raise _Refused(421, "unknown_host", "this service is not asked by that name; see --allow-host")

    def _may_pass(self, scope: Scope) -> bool:
        if self._token is None or scope["path"] in OPEN:
            return True
        given = [value for name, value in scope["headers"] if name == b"authorization"]
        if given:
            scheme, _, token = given[0].partition(b" ")
            known = len(given) == 1 and scheme.lower() == b"bearer" and len(token) <= LONGEST_TOKEN
            return known and hmac.compare_digest(token.strip(), self._token.encode())
        cookies = [value for name, value in scope["headers"] if name == b"cookie"]
        return not scope["path"].startswith(API) and any(hmac.compare_digest(_session(value), self._session.encode()) for value in cookies)

    async def _log_in(self, scope: Scope, receive: Receive, send: Send) -> None:
        message = ""
        if scope["method"] == "POST":
            body = b""
            while True:
                part = await receive()
                body += part.get("body", b"")
                if not part.get("more_body"):
                    break
            given = parse_qs(body.decode("utf-8", "replace")).get("token", [""])[0]
            if self._token is not None and hmac.compare_digest(given.encode(), self._token.encode()):
                cookie = f"{COOKIE}={self._session}; Path=/; Max-Age={COOKIE_S}; HttpOnly; SameSite=Strict"
                await _send(send, 303, b"", [(b"location", b"/"), (b"set-cookie", cookie.encode())])
                return
            await asyncio.sleep(0.5)  # whoever guesses, guesses slowly
            message = "That is not the token."
        page = _FORM.format(message=html.escape(message)).encode()
        policy = b"default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
        headers = [(b"content-type", b"text/html; charset=utf-8"), (b"content-security-policy", policy)]
        await _send(send, 401 if message else 200, page, headers)


def _limited(receive: Receive, scope: Scope, limit: int, seconds: float) -> Receive:
    """Return what receives a request, but not more than so many bytes, nor for longer than so many seconds."""
    said = next((value for name, value in scope["headers"] if name == b"content-length"), b"0")
    if said.isdigit() and int(said) > limit:
        raise _Refused(413, "too_large", f"the request is too large; {limit:,} bytes are allowed here")
    read, whole, until = 0, False, asyncio.get_running_loop().time() + seconds

    async def limited() -> Message:
        nonlocal read, whole
        if whole:  # what comes now is that the client has gone
            return await receive()
        try:
            async with asyncio.timeout_at(until):
                message = await receive()
        except TimeoutError:
            raise _Refused(408, "too_slow", f"the request did not come within {seconds:g} s") from None
        read += len(message.get("body", b""))
        if read > limit:
            raise _Refused(413, "too_large", f"the request is too large; {limit:,} bytes are allowed here")
        whole = not message.get("more_body", False)
        return message

    return limited


def _host_name(said: str) -> str:
    """Return the name in a Host header, without the port."""
    said = said.strip().lower()
    if said.startswith("["):
        return said.partition("]")[0].removeprefix("[")
    return said.rpartition(":")[0] if ":" in said else said


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _session(header: bytes) -> bytes:
    for part in header[:LONGEST_TOKEN].split(b";"):
        name, _, value = part.strip().partition(b"=")
        if name == COOKIE.encode():
            return value
    return b""


def _wants_page(scope: Scope) -> bool:
    accepts = next((value for name, value in scope["headers"] if name == b"accept"), b"")
    return scope["method"] == "GET" and scope["path"] == "/" and b"text/html" in accepts


async def _send_error(send: Send, error: _Refused) -> None:
    body = json.dumps({"error": {"code": error.code, "message": str(error)}}).encode()
    headers = [(b"content-type", b"application/json"), (b"connection", b"close")]
    if error.status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    await _send(send, error.status, body, headers)


async def _send(send: Send, status: int, body: bytes, headers: list[tuple[bytes, bytes]]) -> None:
    length = (b"content-length", str(len(body)).encode())
    await send({"type": "http.response.start", "status": status, "headers": [*NO_STORE, length, *headers]})
    await send({"type": "http.response.body", "body": body})

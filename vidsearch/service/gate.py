"""What stands before every route: who may ask, by which name, and how much may be sent. Whatever is not allowed is refused.

A program sends `Authorization: Bearer TOKEN`. A browser, which cannot, logs in once and gets a cookie that opens the page and the media
it shows; the API takes no cookie. What the page of another site has a browser send is refused, with a cookie or where none is needed.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import html
import ipaddress
import json
import logging
import re
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
MOST_HEADERS = 200
NO_STORE = [(b"cache-control", b"no-store"), (b"x-content-type-options", b"nosniff")]

_FORM = """<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>vidsearch</title>
<style>body{{font:16px/1.5 system-ui,sans-serif;max-width:22rem;margin:20vh auto;padding:0 1rem;color-scheme:light dark}}
input,button{{font:inherit;width:100%;box-sizing:border-box;padding:.5rem;margin:.3rem 0}}</style>
<h1>vidsearch</h1><form method="post" action="/login"><label>Token <input type="password" name="token" autofocus required
autocomplete="current-password"></label><button>Open</button></form><p role="alert">{message}</p></html>"""


log = logging.getLogger(__name__)

_HOST = re.compile(r"(?:\[([0-9a-f:.]+)\]|([^\[\]:@/]+))(?::[0-9]*)?")  # RFC 9110, 7.2


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
        login = self._token is not None and scope["path"] == LOGIN
        limit = LOGIN_BYTES if login else self._larger.get(scope["path"], self._body_bytes)
        said = _Said(send)
        limited = _Limited(receive, scope, limit, self._body_s, said)
        try:
            self._check_names(scope)
            limited.check()
            if login:
                await self._log_in(scope, limited, said)
            elif self._may_pass(scope):
                await self._application(scope, limited, said)
            elif _wants_page(scope):
                await _send(said, 303, b"", [(b"location", LOGIN.encode())])
            else:
                raise _Refused(401, "unauthorized", "this service needs a token; send it as `Authorization: Bearer TOKEN`")
        except _Refused as error:
            said.refused = error
        except Exception as error:  # whoever raised it has told the log more; its text may hold what was asked
            if not said.whole:
                log.error("an answer was broken off by %s", type(error).__name__)
            said.refused = said.refused or _Refused(500, "internal", "something went wrong here; it is in the service's log")
        if said.refused is not None and not said.started:
            await _send_error(send, said.refused)

    def _check_names(self, scope: Scope) -> None:
        """Refuse what is asked by another name, and what the page of another site has a browser send."""
        if len(scope["headers"]) > MOST_HEADERS:
            raise _Refused(431, "too_large", f"the request has {len(scope['headers'])} headers; {MOST_HEADERS} are allowed")
        said = [value.decode("latin-1") for name, value in scope["headers"] if name == b"host"]
        host = _host_name(said[0]) if len(said) == 1 else ""
        if host not in self._hosts and not _is_address(host):
            raise _Refused(421, "unknown_host", "this service is not asked by that name; see --allow-host")
        origins = [value.decode("latin-1") for name, value in scope["headers"] if name == b"origin"]
        fetched = {value for name, value in scope["headers"] if name == b"sec-fetch-site"} & {b"cross-site", b"same-site"}
        visited = scope["method"] == "GET" and (b"sec-fetch-mode", b"navigate") in scope["headers"] and not scope["path"].startswith(API)
        if any(origin.partition("://")[2].lower() != said[0].strip().lower() for origin in origins) or (fetched and not visited):
            raise _Refused(403, "cross_origin", "the page of another site cannot use this service")

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
                cookie += "; Secure" if scope["scheme"] == "https" else ""
                await _send(send, 303, b"", [(b"location", b"/"), (b"set-cookie", cookie.encode())])
                return
            await asyncio.sleep(0.5)  # whoever guesses, guesses slowly
            message = "That is not the token."
        page = _FORM.format(message=html.escape(message)).encode()
        policy = b"default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
        headers = [(b"content-type", b"text/html; charset=utf-8"), (b"content-security-policy", policy)]
        await _send(send, 401 if message else 200, page, headers)


class _Said:
    """What is sent to a client; nothing more once the request turns out to be refused."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.started = self.whole = False
        self.refused: _Refused | None = None

    async def __call__(self, message: Message) -> None:
        if self.refused is not None:
            return
        self.started = self.started or message["type"] == "http.response.start"
        self.whole = message["type"] == "http.response.body" and not message.get("more_body", False)
        await self._send(message)


class _Limited:
    """Receives a request, but not more than so many bytes, nor for longer than so many seconds."""

    def __init__(self, receive: Receive, scope: Scope, limit: int, seconds: float, said: _Said) -> None:
        self._receive, self._limit, self._seconds, self._said = receive, limit, seconds, said
        lengths = [value for name, value in scope["headers"] if name == b"content-length"]
        self._length = int(lengths[0]) if lengths and lengths[0].isdigit() and len(lengths[0]) < 20 else 0
        self._until = asyncio.get_running_loop().time() + seconds
        self._read, self._whole = 0, False

    def check(self) -> None:
        """Refuse a request that says it is too large."""
        if self._length > self._limit:
            raise _Refused(413, "too_large", f"the request is too large; {self._limit:,} bytes are allowed here")

    async def __call__(self) -> Message:
        if self._whole:  # what comes now is that the client has gone
            return await self._receive()
        try:
            async with asyncio.timeout_at(self._until):
                message = await self._receive()
        except TimeoutError:
            raise self._refuse(408, "too_slow", f"the request did not come within {self._seconds:g} s") from None
        self._read += len(message.get("body", b""))
        if self._read > self._limit:
            raise self._refuse(413, "too_large", f"the request is too large; {self._limit:,} bytes are allowed here")
        self._whole = not message.get("more_body", False)
        return message

    def _refuse(self, status: int, code: str, message: str) -> _Refused:
        """Remember why, since what is guarded may take it for a failure of its own."""
        self._said.refused = self._said.refused or _Refused(status, code, message)
        return self._said.refused


def _host_name(said: str) -> str:
    """Return the name in a Host header, without the port; "" where it is none."""
    found = _HOST.fullmatch(said.strip().lower())
    return (found[1] or found[2]) if found else ""


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

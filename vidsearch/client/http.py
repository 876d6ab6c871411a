"""Requests over HTTP, sync and async: the one file of the clients that knows httpx.

Everything asked is a question, so whatever fails on its way may be sent again.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from typing import Any

import httpx

from vidsearch._version import __version__
from vidsearch.client.calls import Call, is_here
from vidsearch.errors import (
    BusyError,
    DeadlineError,
    FilterError,
    IndexCorruptError,
    MissingExtraError,
    PartialIndexError,
    QueryError,
    ServiceError,
    SpaceMismatchError,
    UsageError,
    VidsearchError,
)

TRIES = 4
BACK_OFF_S = 0.25  # doubled each time, and up to half as much again by chance, so that clients do not come back together
LONGEST_WAIT_S = 30.0
CONNECT_S = 10.0

# Codes of vidsearch/service/failures.py, and what an index on this machine raises in their place.
KINDS: dict[str, type[VidsearchError]] = {
    "busy": BusyError,
    "deadline": DeadlineError,
    "invalid_filter": FilterError,
    "invalid_query": QueryError,
    "invalid_request": UsageError,
    "too_large": UsageError,
    "index_partial": PartialIndexError,
    "index_corrupt": IndexCorruptError,
    "space_mismatch": SpaceMismatchError,
    "not_available": MissingExtraError,
}
BUSY = ("busy", "unavailable", "")  # of status 429 and 503: what passes; "" is a server that has no time even to say why

log = logging.getLogger(__name__)


class Line:
    """A way to a service.

    Args:
        url: its address, without a slash at the end.
        token: what it wants to be told, or None.
        timeout_s: how long to wait for the next piece of an answer.
    """

    def __init__(self, url: str, *, token: str | None, timeout_s: float) -> None:
        self._url, self._timeout_s = url, timeout_s
        self._client = httpx.Client(
            base_url=url, headers=_headers(url, token), timeout=_timeout(timeout_s), trust_env=not is_here(url), follow_redirects=False
        )

    def send(self, call: Call) -> Any:
        """Return the JSON of the answer."""
        attempt = 0
        while True:
            wait_s: float | None
            try:
                response = self._client.send(_request(self._client, call))
            except httpx.HTTPError as error:
                wait_s = _wait_after(error, attempt, self._url, self._timeout_s)
            else:
                wait_s = _wait_for(response, attempt)
                if wait_s is None:
                    return _read(response, call, self._url)
            time.sleep(wait_s)
            attempt += 1

    def stream(self, call: Call) -> Iterator[bytes]:
        """Yield the bytes of the answer as they come."""
        try:
            response = self._client.send(_request(self._client, call), stream=True)
            try:
                if response.status_code != httpx.codes.OK:
                    response.read()
                    raise _failure(response, call, self._url)
                yield from response.iter_bytes()
            finally:
                response.close()
        except httpx.HTTPError as error:
            raise _broken(error, self._url, self._timeout_s) from error

    def close(self) -> None:
        self._client.close()


class AsyncLine:
    """The same for a program that does other things while it waits."""

    def __init__(self, url: str, *, token: str | None, timeout_s: float) -> None:
        self._url, self._timeout_s = url, timeout_s
        self._client = httpx.AsyncClient(
            base_url=url, headers=_headers(url, token), timeout=_timeout(timeout_s), trust_env=not is_here(url), follow_redirects=False
        )

    async def send(self, call: Call) -> Any:
        """Return the JSON of the answer."""
        attempt = 0
        while True:
            wait_s: float | None
            try:
                response = await self._client.send(_request(self._client, call))
            except httpx.HTTPError as error:
                wait_s = _wait_after(error, attempt, self._url, self._timeout_s)
            else:
                wait_s = _wait_for(response, attempt)
                if wait_s is None:
                    return _read(response, call, self._url)
            await asyncio.sleep(wait_s)
            attempt += 1

    async def stream(self, call: Call) -> AsyncIterator[bytes]:
        """Yield the bytes of the answer as they come."""
        try:
            response = await self._client.send(_request(self._client, call), stream=True)
            try:
                if response.status_code != httpx.codes.OK:
                    await response.aread()
                    raise _failure(response, call, self._url)
                async for chunk in response.aiter_bytes():
                    yield chunk
            finally:
                await response.aclose()
        except httpx.HTTPError as error:
            raise _broken(error, self._url, self._timeout_s) from error

    async def close(self) -> None:
        await self._client.aclose()


def _headers(url: str, token: str | None) -> dict[str, str]:
    if token is not None and url.startswith("http:") and not is_here(url):
        log.warning("the token goes to %s unencrypted; whoever serves there should put a proxy that speaks TLS before it", url)
    authorization = {} if token is None else {"Authorization": f"Bearer {token}"}
    return {"User-Agent": f"vidsearch/{__version__}", "Accept": "application/json, */*", **authorization}


def _timeout(timeout_s: float) -> httpx.Timeout:
    return httpx.Timeout(timeout_s, connect=min(timeout_s, CONNECT_S), pool=None)


def _request(client: httpx.Client | httpx.AsyncClient, call: Call) -> httpx.Request:
    if call.body is None:
        return client.build_request("GET", call.path)
    return client.build_request("POST", call.path, content=call.content, headers={"Content-Type": "application/json"})


def _wait_after(error: httpx.HTTPError, attempt: int, url: str, timeout_s: float) -> float:
    """Return how long to wait before a request that was lost is sent again: a connection that lay idle may have been closed meanwhile.

    Raises:
        ServiceError: it is not to be sent again.
    """
    if isinstance(error, httpx.RemoteProtocolError | httpx.ReadError | httpx.WriteError) and attempt == 0:
        return 0.0
    raise _broken(error, url, timeout_s) from error


def _wait_for(response: httpx.Response, attempt: int) -> float | None:
    """Return how long to wait before a busy service is asked again; None when its answer is to be taken."""
    if response.status_code not in (429, 503) or attempt + 1 >= TRIES or _problem(response)[0] not in BUSY:
        return None
    wait_s = BACK_OFF_S * 2**attempt * random.uniform(1, 1.5)
    with suppress(ValueError):  # it may be a date
        wait_s = max(wait_s, float(response.headers.get("retry-after", "0")))
    return wait_s if wait_s <= LONGEST_WAIT_S else None


def _read(response: httpx.Response, call: Call, url: str) -> Any:
    if response.status_code != httpx.codes.OK:
        raise _failure(response, call, url)
    try:
        return response.json()
    except ValueError:
        raise _stranger(response, url) from None


def _failure(response: httpx.Response, call: Call, url: str) -> VidsearchError:
    """Return the error that a refusal stands for."""
    code, message = _problem(response)
    if response.status_code == 401:
        said = "does not know the token" if "Authorization" in response.request.headers else "wants a token"
        return ServiceError(f"{url} {said}; give its token as token=, or set VIDSEARCH_TOKEN")
    if response.is_redirect:
        return ServiceError(
            f"{url} sends its callers elsewhere, to {response.headers.get('location', '?'):.200}; give that address if you trust it"
        )
    if response.status_code == 404 and call.path.startswith("/v1/clips/"):
        return QueryError(message or "no such clip")
    if code in KINDS:
        return KINDS[code](message)
    return ServiceError(f"{url}: {message} (status {response.status_code})") if code else _stranger(response, url)


def _problem(response: httpx.Response) -> tuple[str, str]:
    """Return the code and the sentence of a refusal, two empty texts where it is not one of ours."""
    try:
        problem = response.json()["error"]
        return str(problem["code"]), str(problem["message"])
    except (ValueError, KeyError, TypeError):
        plain = response.headers.get("content-type", "").startswith("text/plain")
        return "", response.text.strip()[:200] if plain else ""


def _stranger(response: httpx.Response, url: str) -> ServiceError:
    kind = response.headers.get("content-type", "no content type").partition(";")[0]
    return ServiceError(f"{url} does not answer as a vidsearch service does (status {response.status_code}, {kind:.60}); check the address")


def _broken(error: httpx.HTTPError, url: str, timeout_s: float) -> ServiceError:
    if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout | httpx.ProxyError):
        return ServiceError(f"no service can be reached at {url} ({error or 'timeout'}); is `vidsearch serve` running there?")
    if isinstance(error, httpx.TimeoutException):
        return DeadlineError(f"no answer from {url} within {timeout_s:g} s; ask for less, or allow more time")
    return ServiceError(f"the connection to {url} broke off ({error or type(error).__name__}); ask again")

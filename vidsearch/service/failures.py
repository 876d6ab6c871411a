"""Every error as a status and one object: {"error": {"code", "message"}}. What a program did wrong inside is told to the log alone."""

from __future__ import annotations

import json
import logging
import traceback
from collections.abc import Callable
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from vidsearch.errors import (
    BusyError,
    DeadlineError,
    FilterError,
    IndexCorruptError,
    MissingExtraError,
    PartialIndexError,
    QueryError,
    SpaceMismatchError,
    UsageError,
    VidsearchError,
)
from vidsearch.service.schemas import Failure

AGAIN = {"Retry-After": "1"}
LONGEST_PLACE = 100

log = logging.getLogger(__name__)


class NotFoundError(UsageError):
    """There is nothing of that name."""


_KINDS: tuple[tuple[type[Exception], int, str], ...] = (
    (BusyError, 429, "busy"),
    (DeadlineError, 504, "deadline"),
    (NotFoundError, 404, "not_found"),
    (FilterError, 400, "invalid_filter"),
    (QueryError, 400, "invalid_query"),
    (UsageError, 400, "invalid_request"),
    (PartialIndexError, 503, "index_partial"),
    (IndexCorruptError, 503, "index_corrupt"),
    (SpaceMismatchError, 503, "space_mismatch"),
    (MissingExtraError, 501, "not_available"),
    (VidsearchError, 503, "unavailable"),
    (OSError, 503, "unavailable"),
)
_CODES = {404: "not_found", 405: "method_not_allowed", 400: "invalid_request", 413: "too_large", 415: "unsupported_media_type"}
_SAID = {
    400: "It cannot be asked so.",
    401: "The token is missing or wrong.",
    403: "The page of another site asks.",
    408: "It did not come in time.",
    413: "Too large.",
    415: "Send application/json.",
    421: "The service is not asked by that name.",
    429: "Busy; ask again.",
    501: "Something is not installed there.",
    503: "Not now.",
    504: "Too late.",
}
RESPONSES: dict[int | str, dict[str, Any]] = {status: {"model": Failure, "description": said} for status, said in _SAID.items()}


def add_failures(application: FastAPI, *, said: Callable[[str], str] = str) -> None:
    """Have every error answered so.

    Args:
        said: makes of a message what clients may read.
    """

    async def known(request: Request, error: Exception) -> JSONResponse:
        status, code = next((status, code) for kind, status, code in _KINDS if isinstance(error, kind))
        if isinstance(error, OSError) and not isinstance(error, VidsearchError):
            log.error("%s: %s", _route(request), error.strerror)
            return failure(status, code, "it cannot be read just now; ask again", AGAIN)
        return failure(status, code, said(str(error)), AGAIN if status in (429, 503) else None)

    application.add_exception_handler(RequestValidationError, _invalid)
    application.add_exception_handler(HTTPException, _of_http)
    application.add_exception_handler(Exception, _unexpected)
    for kind, _, _ in _KINDS:
        application.add_exception_handler(kind, known)


def failure(status: int, code: str, message: str, headers: dict[str, str] | None = None) -> JSONResponse:
    return _Ascii({"error": {"code": code, "message": message}}, status, headers=headers)


class _Ascii(JSONResponse):
    """JSON that can be sent whatever is in it: half a surrogate pair, quoted from what was asked, is no UTF-8."""

    def render(self, content: Any) -> bytes:
        return json.dumps(content, separators=(",", ":")).encode()


async def _invalid(request: Request, error: Exception) -> JSONResponse:
    """Name the first thing that is wrong, without repeating what was sent."""
    problems = error.errors() if isinstance(error, RequestValidationError) else []
    first = problems[0] if problems else {"loc": (), "msg": "invalid"}
    place = ".".join(str(part) for part in first["loc"] if part != "body")[:LONGEST_PLACE]
    return failure(400, "invalid_request", f"{place}: {first['msg']}" if place else str(first["msg"]))


async def _of_http(request: Request, error: Exception) -> JSONResponse:
    status = error.status_code if isinstance(error, HTTPException) else 500
    headers = dict(error.headers or {}) if isinstance(error, HTTPException) else {}
    return failure(status, _CODES.get(status, "invalid_request"), str(getattr(error, "detail", "")), headers)


async def _unexpected(request: Request, error: Exception) -> JSONResponse:
    """Tell the log where it happened; not the message, which may hold what somebody asked."""
    log.error("%s failed with %s%s", _route(request), type(error).__name__, "".join(traceback.format_tb(error.__traceback__)[-6:]))
    return failure(500, "internal", "something went wrong here; it is in the service's log")


def _route(request: Request) -> str:
    return str(getattr(request.scope.get("route"), "path", "a request"))

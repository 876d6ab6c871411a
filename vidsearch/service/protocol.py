"""uvicorn's side of a connection, which by itself waits for the end of a request's headers as long as they come, however many."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import uvicorn
from uvicorn.protocols.http.auto import AutoHTTPProtocol

from vidsearch.service.limits import Limits

HEADER_BYTES = 64 << 10
CONNECTIONS = 1024
KEPT_ALIVE_S = 15
_PHRASES = {400: "Bad Request", 408: "Request Timeout", 431: "Request Header Fields Too Large"}

_Base: Any = AutoHTTPProtocol


class Impatient(_Base):  # type: ignore[misc]
    """A connection on which headers are short and come soon.

    Attributes:
        headers_s: seconds for the headers of a request, from its first byte; of the first request from the connection.
    """

    headers_s: float = 10.0

    def connection_made(self, transport: asyncio.Transport) -> None:
        super().connection_made(transport)
        self._header_bytes = 0
        self._patience: asyncio.TimerHandle | None = None
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        self._headers_came()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        cycle = self.cycle
        between = cycle is None or cycle.response_complete
        if between and self._patience is None:
            self._wait()
        super().data_received(data)
        if self.cycle is not cycle:
            self._headers_came()
        elif between:
            self._header_bytes += len(data)
            if self._header_bytes > HEADER_BYTES:
                self._refuse(431, "too_large", f"the headers are too large; {HEADER_BYTES:,} bytes are allowed")

    def send_400_response(self, msg: str) -> None:
        self._refuse(400, "invalid_request", "this is no HTTP request")

    def _wait(self) -> None:
        self._patience = self.loop.call_later(
            self.headers_s, self._refuse, 408, "too_slow", f"the headers did not come within {self.headers_s:g} s"
        )

    def _headers_came(self) -> None:
        self._header_bytes = 0
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None

    def _refuse(self, status: int, code: str, message: str) -> None:
        self._headers_came()
        if self.transport.is_closing():
            return
        body = json.dumps({"error": {"code": code, "message": message}})
        head = f"HTTP/1.1 {status} {_PHRASES[status]}\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n"
        self.transport.write(f"{head}connection: close\r\n\r\n{body}".encode())
        self.transport.close()


def configured(application: Any, limits: Limits, *, drain_s: int) -> uvicorn.Config:
    """Return how uvicorn runs a service: so, and without writing down what is asked."""
    protocol = type("Connection", (Impatient,), {"headers_s": limits.body_s})
    return uvicorn.Config(
        application,
        http=protocol,
        ws="none",
        log_level="warning",
        access_log=False,  # it would hold what was asked
        server_header=False,
        timeout_graceful_shutdown=drain_s,
        timeout_keep_alive=KEPT_ALIVE_S,
        limit_concurrency=CONNECTIONS,
        h11_max_incomplete_event_size=HEADER_BYTES,
    )

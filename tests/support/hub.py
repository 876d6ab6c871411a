"""A hub on the loopback: the Hugging Face hub's protocol for one file, with ranges, redirects to another host, and failures on request.

HEAD or GET /ORG/REPO/resolve/REVISION/FILE answers 302 to the store (another host name, as the real one) with X-Linked-Etag, X-Linked-Size
and X-Repo-Commit; GET /store/SHA256 answers 200, or 206 to a Range.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@dataclass
class Hub:
    """What is served, how it misbehaves, and what was asked of it."""

    files: dict[str, bytes] = field(default_factory=dict)  # "ORG/REPO/FILE" to content
    status: dict[str, int] = field(default_factory=dict)  # "ORG/REPO/FILE" to an error in its place
    stated_sha256: str | None = None  # a lie about the hash
    break_after: int | None = None  # bytes of the first transfer, then the store is down until it is None again
    down: bool = False
    requests: list[tuple[str, str, str | None, str | None]] = field(default_factory=list)  # method, path, Range, Authorization
    port: int = 0

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def transfers(self) -> list[str | None]:
        """Range of each request to the store."""
        return [range_ for method, path, range_, _ in self.requests if path.startswith("/store/") and method == "GET"]


@contextmanager
def serving() -> Iterator[Hub]:
    """Run a hub for as long as the block."""
    hub = Hub()
    handler = type("Handler", (_Handler,), {"hub": hub})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    hub.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
        pass

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def _answer(self) -> None:
        self.hub.requests.append((self.command, self.path, self.headers.get("Range"), self.headers.get("Authorization")))
        if self.path.startswith("/store/"):
            self._send_content(self.path.removeprefix("/store/"))
        else:
            repository, _, rest = self.path.lstrip("/").partition("/resolve/")
            self._send_to_store(f"{repository}/{rest.partition('/')[2]}")

    def _send_to_store(self, name: str) -> None:
        content = self.hub.files.get(name)
        status = self.hub.status.get(name, 404 if content is None else 302)
        headers = {"X-Repo-Commit": COMMIT}
        if status == 404:
            headers["X-Error-Code"] = "EntryNotFound"
        if status == 403:
            headers["X-Error-Code"] = "GatedRepo"
        if status == 302 and content is not None:
            sha256 = hashlib.sha256(content).hexdigest()
            headers |= {
                "X-Linked-Etag": f'"{self.hub.stated_sha256 or sha256}"',
                "X-Linked-Size": str(len(content)),
                "ETag": f'"{sha256[:40]}"',
                "Location": f"http://localhost:{self.hub.port}/store/{sha256}",
            }
        self._send(status, headers)

    def _send_content(self, sha256: str) -> None:
        content = next(each for each in self.hub.files.values() if hashlib.sha256(each).hexdigest() == sha256)
        if self.hub.down:
            self._send(503, {})
            return
        start = int((self.headers.get("Range") or "bytes=0-").removeprefix("bytes=").rstrip("-"))
        ranges = {"Content-Range": f"bytes {start}-{len(content) - 1}/{len(content)}"} if "Range" in self.headers else {}
        end = len(content) if self.hub.break_after is None else self.hub.break_after
        self._send(206 if ranges else 200, ranges | {"ETag": f'"{sha256}"'}, content[start:end], length=len(content) - start)
        if end < len(content):
            self.hub.down = True
            self.close_connection = True

    def _send(self, status: int, headers: dict[str, str], body: bytes = b"", *, length: int = 0) -> None:
        self.send_response(status)
        for name, value in (headers | {"Content-Length": str(length)}).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

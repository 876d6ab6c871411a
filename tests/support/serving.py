"""`vidsearch serve` as a process of its own: for tests of its wire, its signals and its log."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import httpx

STARTED_S = 60.0


class Serving:
    """One index behind `vidsearch serve`; a block of `with` ends it.

    Attributes:
        url, port: where it answers.
        started_s: seconds from the start of the process to its first answer.
    """

    def __init__(self, index: Path, folder: Path, *options: str, token: str | None = None, page: bool = False) -> None:
        self._log = folder / "serve.log"
        command = [sys.executable, "-m", "vidsearch", "serve", str(index), "--port", "0", *([] if page else ["--no-page"]), *options]
        environment = os.environ | {"VIDSEARCH_CACHE": str(folder / "cache")} | ({} if token is None else {"VIDSEARCH_TOKEN": token})
        begun = time.monotonic()
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, env=environment, text=True)
        assert self.process.stdout is not None
        self.url = self.process.stdout.readline().strip()
        if not self.url:
            raise RuntimeError(f"the service did not start:\n{self.said()}")
        self.port = int(self.url.rpartition(":")[2])
        while not self._answers():
            if self.process.poll() is not None or time.monotonic() > begun + STARTED_S:
                raise RuntimeError(f"the service does not answer:\n{self.said()}")
        self.started_s = time.monotonic() - begun

    def __enter__(self) -> Serving:
        return self

    def __exit__(self, *error: object) -> None:
        self.kill()

    def said(self) -> str:
        """Return what it has written to stderr."""
        return self._log.read_text(errors="replace")

    def rss_bytes(self) -> int:
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) << 10
        raise RuntimeError("the process has ended")

    def connect(self, timeout: float = 20) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=timeout)

    def send(self, raw: bytes, *, timeout: float = 20) -> bytes:
        """Send bytes on a connection of their own, and return all that comes back until the service closes it."""
        with self.connect(timeout) as connection:
            with suppress(OSError):  # it has hung up already; what it said before is there to be read
                connection.sendall(raw)
            return received(connection)

    def stop(self) -> int:
        """End it as a service manager does, and return its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(30)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        if self.process.stdout is not None:
            self.process.stdout.close()

    def _answers(self) -> bool:
        try:
            return httpx.get(f"{self.url}/healthz", timeout=5).status_code == 200
        except httpx.TransportError:
            time.sleep(0.02)
            return False


def received(connection: socket.socket) -> bytes:
    """Return what comes until the other side closes."""
    data = b""
    with suppress(OSError):
        while part := connection.recv(1 << 16):
            data += part
    return data

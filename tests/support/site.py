"""`vidsearch ui` as a running server, and the browser that looks at it: for tests, the benchmark and the screenshots."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

from playwright.sync_api import Browser, Playwright

HOST = "127.0.0.1"
STARTED_S, STOPPED_S = 60, 15
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    f"--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE {HOST}",  # what asks another machine fails at once, and is seen
)


def find_chromium() -> str | None:
    """Return the browser to run: $VIDSEARCH_CHROMIUM, or the system's chromium."""
    return os.environ.get("VIDSEARCH_CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")


def launch(playwright: Playwright, executable: str) -> Browser:
    return playwright.chromium.launch(executable_path=executable, args=list(FLAGS))


class Site:
    """One index behind one server process.

    Attributes:
        url: without a slash at the end; the same after a stop and a start.
        log: what the server printed.
    """

    def __init__(self, index: Path, folder: Path) -> None:
        """Get ready to serve an index; `folder` takes the log, and what the server keeps beside its index."""
        self.index, self.cache, self.log = index, folder / "cache", folder / "log"
        self.port = _free_port()
        self.url = f"http://{HOST}:{self.port}"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start the server and wait until it serves the page."""
        command = [sys.executable, "-m", "vidsearch", "ui", str(self.index), "--port", str(self.port)]
        with self.log.open("ab") as log:
            environment = os.environ | {"XDG_CACHE_HOME": str(self.cache), "PYTHONDONTWRITEBYTECODE": ""}  # no compiling at each start
            self._process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, env=environment)
        until = time.monotonic() + STARTED_S
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > until:
                self.stop()
                raise RuntimeError(f"the server did not start:\n{self.printed()}")
            time.sleep(0.1)

    def stop(self) -> None:
        """Stop it as Ctrl-C does not: by the signal that a service manager sends."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(STOPPED_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    def printed(self) -> str:
        return self.log.read_text(errors="replace")

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/", timeout=5) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])

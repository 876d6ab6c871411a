"""A service on loopback inside the test's process, for as long as a block lasts."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvicorn

from vidsearch.service.application import Furnish, build_application, gated
from vidsearch.service.limits import Limits
from vidsearch.service.listening import listen
from vidsearch.service.server import LOOPBACK
from vidsearch.service.service import Service

START_S = 20.0


@dataclass(frozen=True)
class Served:
    """A running service.

    Attributes:
        url: where it is.
        service: what answers.
        token: what it wants to be told, or None.
    """

    url: str
    service: Service
    token: str | None


@contextmanager
def served(
    root: Path, *, token: str | None = None, limits: Limits | None = None, media_root: Path | None = None, furnish: Furnish | None = None
) -> Iterator[Served]:
    """Serve an index on a free port, behind its gate; `furnish` may add routes."""
    service = Service(root, limits=limits, media_root=media_root)
    application = gated(build_application(service, furnish=furnish), service, token=token, hosts=LOOPBACK)
    with running(application) as url:
        yield Served(url, service, token)


@contextmanager
def running(application: Any) -> Iterator[str]:
    """Run an ASGI application on a free port of this machine, and yield its address."""
    listening = listen("127.0.0.1", 0)
    server = uvicorn.Server(uvicorn.Config(application, log_level="warning", access_log=False, timeout_graceful_shutdown=5))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, name="served", daemon=True)
    thread.start()
    try:
        until = time.monotonic() + START_S
        while not server.started:
            if not thread.is_alive() or time.monotonic() > until:
                raise RuntimeError("the service does not start; see its log above")
            time.sleep(0.005)
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(START_S)
        listening.close()

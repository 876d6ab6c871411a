"""A service in this process, asked over ASGI: no port, no thread of a server."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from support.made import made

from vidsearch.service.application import build_application, gated
from vidsearch.service.server import LOOPBACK
from vidsearch.service.service import Service

TOKEN = "a-token-of-the-tests-0123456789"
ROWS, DIM = 60, 8
CAPTIONS = [f"clip number {row} of a {'dog' if row % 2 else 'cat'}" for row in range(ROWS)]
LANGUAGES = [("en", "de", "fr")[row % 3] for row in range(ROWS)]
SCORES = [row / 10 for row in range(ROWS)]


def make(root: Path, *, segments: int = 3, seed: int = 0, **columns: list[Any]) -> Any:
    """Make an index of 60 clips c0 to c59."""
    vectors = np.random.default_rng(seed).normal(size=(ROWS, DIM)).astype(np.float32)
    given = {"caption": CAPTIONS, "language": LANGUAGES, "aesthetic": SCORES} | columns
    return made(root, *np.array_split(vectors, segments), **given)


class Asked:
    """A service and a client of it."""

    def __init__(self, service: Service, application: Any, client: httpx.AsyncClient) -> None:
        self.service, self.application, self.client = service, application, client

    async def post(self, path: str, body: Any, **options: Any) -> httpx.Response:
        return await self.client.post(path, json=body, **options)


@asynccontextmanager
async def asked(service: Service, *, token: str | None = None, furnish: Any = None) -> AsyncIterator[Asked]:
    """Serve within this event loop; errors become answers as they do behind a server."""
    application = build_application(service, furnish=furnish)
    transport = httpx.ASGITransport(gated(application, service, token=token, hosts=LOOPBACK), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost", timeout=30) as client:
        try:
            yield Asked(service, application, client)
        finally:
            await service.close()

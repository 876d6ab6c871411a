"""Asks every route of the service and its page, without and with a cookie, and prints what came: run as a program, since Gradio stays."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx

from ui.server import page
from vidsearch.service.application import build_application, gated
from vidsearch.service.server import LOOPBACK
from vidsearch.service.service import Service

TOKEN = "a-token-of-the-tests-0123456789"
FURTHER = ["/gradio_api/info", "/gradio_api/file=/etc/passwd", "/gradio_api/queue/data", "/config", "/theme.css", "/docs", "/openapi.json"]


def paths(routes: Any, before: str = "") -> Iterator[tuple[str, str]]:
    """Yield (method, path) of all routes, those of what is mounted and included too."""
    for route in routes:
        path = before + (getattr(route, "path", None) or "")
        inside = getattr(getattr(route, "original_router", None), "routes", None) or getattr(route, "routes", None)
        if inside:
            yield from paths(inside, path.rstrip("/"))
        else:
            for method in getattr(route, "methods", None) or ["GET"]:
                yield method, path.replace("{", "").replace("}", "") or "/"


async def walk(index: Path) -> dict[str, Any]:
    service = Service(index)
    with page(index, model=None, strict=False, media_root=service.media_root) as furnish:
        application = build_application(service, furnish=furnish)
        gate = gated(application, service, token=TOKEN, hosts=LOOPBACK)
        transport = httpx.ASGITransport(gate, raise_app_exceptions=False)
        known = sorted({*paths(application.router.routes), *(("GET", path) for path in FURTHER)})
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            bare = {f"{method} {path}": (await client.request(method, path)).status_code for method, path in known}
            visited = await client.get("/", headers={"accept": "text/html"})
            entered = await client.post("/login", data={"token": TOKEN})
            cookie = {"cookie": entered.headers.get("set-cookie", "").partition(";")[0]}
            api = {path: (await client.get(path, headers=cookie)).status_code for path in ("/v1/info", "/v1/openapi.json", "/v1/clips/c1")}
            opened = {path: (await client.get(path, headers=cookie)).status_code for path in ("/", "/page/page.js", "/config")}
            elsewhere = {
                path: (await client.post(path, headers={**cookie, "origin": "http://localhost:3000", "x-vidsearch": "1"})).status_code
                for path in ("/upload", "/export", "/gradio_api/queue/join")
            }
            unknown = (await client.get("/v1/nothing", headers={"authorization": f"Bearer {TOKEN}"})).json()
        await service.close()
    told = {"visited": [visited.status_code, visited.headers.get("location")], "set_cookie": entered.headers.get("set-cookie")}
    return {"bare": bare, "api": api, "opened": opened, "elsewhere": elsewhere, "unknown": unknown, **told}


if __name__ == "__main__":
    found = asyncio.run(walk(Path(sys.argv[1])))
    sys.stdout.write(json.dumps(found))

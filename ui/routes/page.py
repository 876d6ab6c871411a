"""Routes of the page itself: its scripts, files dropped in, exports."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from fastapi import APIRouter, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import FileResponse, JSONResponse, PlainTextResponse

from ui.asking import cart, uploads
from ui.explorer import Explorer
from ui.state import State
from vidsearch.errors import QueryError, VidsearchError

TYPES = {".css": "text/css", ".js": "text/javascript"}
OURS = "X-Vidsearch"  # a header that a form of another site cannot send
KEPT_EXPORTS = 8


def page_routes(explorer: Callable[[], Explorer], assets: Path, scratch: Path) -> APIRouter:
    """Return the routes.

    Args:
        explorer: gives the one in use.
        assets: folder of scripts and styles; those in it now are served, no others.
        scratch: an own folder for exports; the last few are kept.
    """
    router = APIRouter()
    files = {path.name: path for path in assets.iterdir() if path.suffix in TYPES} | {"plotly.min.js": _plotly()}
    exports: dict[str, Path] = {}

    @router.get("/alive")
    async def alive() -> Response:
        return PlainTextResponse("yes", headers={"Cache-Control": "no-store"})

    @router.get("/page/{name}")
    async def asset(name: str) -> Response:
        if name not in files:
            return _refusal("no such file", 404)
        return FileResponse(files[name], media_type=TYPES[files[name].suffix], headers={"Cache-Control": "no-cache"})

    @router.post("/upload")
    async def upload(request: Request) -> Response:
        if OURS not in request.headers:
            return _refusal("this is for the page alone", 403)
        path = scratch / f"upload-{secrets.token_hex(8)}{Path(unquote(request.headers.get('X-Name', ''))[-100:]).suffix[:6]}"
        try:
            size = 0
            with path.open("xb") as file:
                async for block in request.stream():
                    size += len(block)
                    if size > uploads.MAX_BYTES:
                        return _refusal(f"the file has more than {uploads.MAX_BYTES / 1e6:.0f} MB; drop in a picture or a short video", 413)
                    file.write(block)
            return JSONResponse({"name": await run_in_threadpool(uploads.keep, path)})
        except VidsearchError as error:
            given = Path(unquote(request.headers.get("X-Name", ""))).name[-60:] or "the file"
            return _refusal(str(error).replace(path.name, given), 400)
        finally:
            path.unlink(missing_ok=True)

    @router.post("/export")
    async def export(request: Request) -> Response:
        if OURS not in request.headers:
            return _refusal("this is for the page alone", 403)
        try:
            written = await run_in_threadpool(partial(_write, explorer(), await request.json(), scratch))
        except (VidsearchError, ValueError) as error:
            return _refusal(str(error), 400)
        token = secrets.token_urlsafe(16)
        exports[token] = written.path
        while len(exports) > KEPT_EXPORTS:
            exports.pop(next(iter(exports))).unlink(missing_ok=True)
        return JSONResponse({"url": f"/export/{token}", "name": written.path.name, "rows": written.rows, "missing": written.missing})

    @router.get("/export/{token}")
    async def exported(token: str) -> Response:
        if token not in exports:
            return _refusal("this export is no longer kept; export again", 404)
        return FileResponse(exports[token], filename=exports[token].name, media_type="application/octet-stream")

    return router


def _write(explorer: Explorer, wanted: Any, scratch: Path) -> cart.Written:
    if not isinstance(wanted, dict) or not isinstance(wanted.get("form"), str):
        raise QueryError("an export needs a form, and ids or params")
    folder = scratch / f"export-{secrets.token_hex(8)}"
    folder.mkdir()
    ids = wanted.get("ids")
    chosen = tuple(map(str, ids)) if isinstance(ids, list) else State.from_params(str(wanted.get("params", "")))
    return cart.write(explorer.ranker, chosen, wanted["form"], folder)


def _refusal(text: str, status: int) -> Response:
    return JSONResponse({"error": text}, status_code=status)


def _plotly() -> Path:
    import plotly  # its package brings the script along

    return Path(plotly.__file__).parent / "package_data" / "plotly.min.js"

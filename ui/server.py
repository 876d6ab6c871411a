"""The server of the page: our own routes and Gradio's in one application, on this machine alone."""

from __future__ import annotations

import logging
import os
import sys
import tempfile
import webbrowser
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Timer

import uvicorn
from fastapi import FastAPI
from fastapi.middleware.trustedhost import TrustedHostMiddleware

from ui.asking import uploads
from ui.explorer import Shelf
from ui.guard import Guard
from ui.routes.data import data_routes
from ui.routes.page import page_routes
from vidsearch.encoders._blas import hold_one_thread
from vidsearch.playback.media import default_cache
from vidsearch.service.listening import listen
from vidsearch.service.routes.media import media_routes

HOST = "127.0.0.1"
NAMES = ("127.0.0.1", "localhost", "[::1]")  # by which the page may be asked for: no other site can point its own name here
BODY_BYTES = 1 << 20  # of what the page sends
LARGE = {"/upload": uploads.MAX_BYTES, "/export": 8 << 20, "/v1/export": 8 << 20}  # but here: a file; the ids of a full cart
ASSETS = Path(__file__).parent / "assets"
HEAD = (  # a style sheet of its own, for Gradio would put its class before every selector
    '<link rel="stylesheet" href="/page/style.css"><script type="module" src="/page/page.js"></script>'
)


def serve(path: Path, *, media_root: Path | None, port: int, open_browser: bool, strict: bool, model: str | None) -> None:
    """Serve the page of an index until the process is told to end.

    Raises:
        UsageError: the port is taken.
        NotAnIndexError and others of `open_index`.
    """
    hold_one_thread()
    listening = listen(HOST, port)
    shelf = Shelf(path, model=model, strict=strict, media_root=media_root, cache=default_cache())
    with tempfile.TemporaryDirectory(prefix="vidsearch-ui-") as scratch:  # 0700; Gradio's cache and what is exported
        application = build_application(shelf, Path(scratch))
        url = f"http://{HOST}:{listening.getsockname()[1]}"
        print(url, flush=True)  # noqa: T201
        sys.stderr.write(f"{len(shelf.explorer.index):,} clips of {shelf.root}, videos in {shelf.media_root}; Ctrl-C ends it\n")
        if open_browser:
            Timer(1.0, webbrowser.open, [url]).start()
        config = uvicorn.Config(application, log_level="warning", server_header=False, timeout_graceful_shutdown=2)
        shelf.warm()
        try:
            uvicorn.Server(config).run(sockets=[listening])
        finally:
            shelf.close()


def build_application(shelf: Shelf, scratch: Path) -> FastAPI:
    """Return the whole application; `scratch` is an own folder for files of a moment."""
    application = FastAPI(title="vidsearch", docs_url=None, redoc_url=None, openapi_url=None)
    add_page(application, shelf, scratch)
    application.add_middleware(TrustedHostMiddleware, allowed_hosts=list(NAMES))
    return application


def add_page(application: FastAPI, shelf: Shelf, scratch: Path) -> None:
    """Add all that the page needs, after the routes that are there."""
    application.include_router(page_routes(lambda: shelf.explorer, ASSETS, scratch), include_in_schema=False)
    application.include_router(media_routes(lambda: shelf.explorer.media), include_in_schema=False)
    application.include_router(data_routes(lambda: shelf.explorer), include_in_schema=False)
    _mount_gradio(application, shelf, scratch)
    application.add_middleware(Guard, limit_bytes=BODY_BYTES, limits_bytes=LARGE)


@contextmanager
def page(path: Path, *, model: str | None, strict: bool, media_root: Path) -> Iterator[Callable[[FastAPI], None]]:
    """Yield what adds the page of an index to an application that serves it."""
    shelf = Shelf(path, model=model, strict=strict, media_root=media_root, cache=default_cache())
    with tempfile.TemporaryDirectory(prefix="vidsearch-ui-") as scratch:  # 0700; Gradio's cache and what is exported
        try:
            yield lambda application: add_page(application, shelf, Path(scratch))
        finally:
            shelf.close()


def _mount_gradio(application: FastAPI, shelf: Shelf, scratch: Path) -> None:
    for name in [name for name in os.environ if name.startswith("GRADIO_")]:
        del os.environ[name]  # every setting is given below
    os.environ |= {"GRADIO_TEMP_DIR": str(scratch / "gradio"), "GRADIO_ANALYTICS_ENABLED": "False"}
    os.environ.setdefault("MPLBACKEND", "agg")  # Gradio asks matplotlib for its backend at each event, and without one pyplot is imported
    import gradio as gr

    from ui.app import build_page

    logging.getLogger("httpx").setLevel(logging.WARNING)
    plain = "system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', sans-serif"
    gr.mount_gradio_app(
        application,
        build_page(shelf),
        path="/",
        server_name=HOST,
        footer_links=[],
        run_history=False,
        allowed_paths=[],
        blocked_paths=[str(shelf.root), str(shelf.media_root), str(Path.home())],
        show_error=False,
        max_file_size=BODY_BYTES,
        ssr_mode=False,
        enable_monitoring=False,
        pwa=False,
        mcp_server=False,
        app_kwargs={"docs_url": None, "redoc_url": None, "openapi_url": None},
        theme=gr.themes.Base(font=[gr.themes.Font(plain)], font_mono=[gr.themes.Font("ui-monospace, monospace")]),
        head=HEAD,
    )

"""The `serve` command."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vidsearch.cli import ModelOption, StrictOption, default_index
from vidsearch.extras import require


def serve(
    index: Annotated[Path | None, typer.Argument(help="Index folder. Without it: VIDSEARCH_INDEX, ./shards/index, ./index or .")] = None,
    host: Annotated[str, typer.Option("--host", help="Address to listen on; any but this machine's own needs a token.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="0 takes a free one.")] = 8000,
    token_file: Annotated[
        Path | None, typer.Option("--token-file", help="A file only you can read, with the token clients send; or VIDSEARCH_TOKEN.")
    ] = None,
    allow_host: Annotated[list[str] | None, typer.Option("--allow-host", help="A name clients use for this machine; repeatable.")] = None,
    media_root: Annotated[Path | None, typer.Option("--media-root", help="Folder of the videos, if not beside the index.")] = None,
    page: Annotated[bool, typer.Option("--page/--no-page", help="Whether the page of `vidsearch ui` is served too.")] = True,
    log_queries: Annotated[bool, typer.Option("--log-queries", help="Write what is asked to stderr, as lines of JSON.")] = False,
    strict: StrictOption = False,
    model: ModelOption = None,
) -> None:
    """Serve an index over HTTP: the API under /v1, and the page."""
    for library in ("fastapi", "uvicorn", "prometheus_client"):
        require(library)
    from vidsearch.service.server import serve as run

    run(
        index or default_index(),
        host=host,
        port=port,
        token_file=token_file,
        hosts=tuple(allow_host or ()),
        media_root=media_root,
        model=model,
        strict=strict,
        page=page,
        log_queries=log_queries,
    )

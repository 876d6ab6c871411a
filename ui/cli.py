"""The `ui` command."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vidsearch.cli import default_index
from vidsearch.errors import InputNotFoundError
from vidsearch.extras import require

PORT = 7860


def ui(
    index: Annotated[Path | None, typer.Argument(help="Index folder. Without it: VIDSEARCH_INDEX, ./shards/index, ./index or .")] = None,
    media_root: Annotated[
        Path | None, typer.Option("--media-root", help="Folder of the videos. [default: the one that holds the index]")
    ] = None,
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="On 127.0.0.1; 0 takes a free one.")] = PORT,
    open_browser: Annotated[bool, typer.Option("--open", help="Open the page in a browser.")] = False,
    strict: Annotated[bool, typer.Option("--strict", help="No page where a damaged segment would be left out (exit 4).")] = False,
    model: Annotated[str | None, typer.Option("--model", help="Where the query side finds its weights, if they have moved.")] = None,
) -> None:
    """Explore an index in the browser, on this machine alone."""
    if media_root is not None and not media_root.is_dir():
        raise InputNotFoundError(f"--media-root {media_root} is no folder; give the one that was indexed")
    require("gradio")
    from ui.server import serve

    serve(index or default_index(), media_root=media_root, port=port, open_browser=open_browser, strict=strict, model=model)

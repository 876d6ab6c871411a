"""The `mcp` command."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vidsearch.cli import ModelOption, default_index, opened
from vidsearch.extras import require

if TYPE_CHECKING:
    from vidsearch.engine import Index


def mcp(
    index: Annotated[
        str | None, typer.Argument(help="Index folder, or a service's address, http://HOST:PORT. Without it: VIDSEARCH_INDEX and so on.")
    ] = None,
    model: ModelOption = None,
) -> None:
    """Let assistants search an index: a Model Context Protocol server on stdin and stdout."""
    require("mcp")
    from vidsearch.assistants.server import serve
    from vidsearch.assistants.tools import Tools
    from vidsearch.service.versions import Versions

    if index is not None and "://" in index:
        with opened(index, model) as found:
            serve(Tools(lambda: found))
        return
    versions = Versions(default_index() if index is None else Path(index), model=model)

    def current() -> Index:
        return versions.index.own()

    versions.watch()  # an assistant may stay for days, and a build commit meanwhile
    try:
        serve(Tools(current))
    finally:
        versions.close()

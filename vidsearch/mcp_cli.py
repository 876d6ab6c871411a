"""The `mcp` command."""

from __future__ import annotations

from typing import Annotated

import typer

from vidsearch.cli import ModelOption, opened
from vidsearch.extras import require


def mcp(
    index: Annotated[
        str | None, typer.Argument(help="Index folder, or a service's address, http://HOST:PORT. Without it: VIDSEARCH_INDEX and so on.")
    ] = None,
    model: ModelOption = None,
) -> None:
    """Let assistants search an index: a Model Context Protocol server on stdin and stdout."""
    require("mcp")
    from vidsearch._mcp_tools import Tools
    from vidsearch.mcp_server import serve

    with opened(index, model) as found:
        serve(Tools(found))

"""An index as tools for assistants, over the Model Context Protocol on stdin and stdout (modelcontextprotocol.io).

Nothing but the protocol goes to stdout; nothing can be written, and no file of this machine be named.
"""

from __future__ import annotations

import json
import logging
from functools import partial
from typing import Any

import anyio
import anyio.to_thread
import mcp_types as types
from mcp.server import Server, ServerRequestContext
from mcp.server.stdio import stdio_server

from vidsearch._version import __version__
from vidsearch.assistants.tools import TOOLS, Tools
from vidsearch.errors import VidsearchError

INSTRUCTIONS = (
    "Searches a data set of video clips by what they show. Ask filter_schema before the first filter; then search, with short plain "
    "sentences; get_clip and similar go on from a clip's id."
)

log = logging.getLogger(__name__)


def serve(tools: Tools) -> None:
    """Answer an assistant until it closes stdin."""
    anyio.run(_serve, build_server(tools))


def build_server(tools: Tools) -> Server[dict[str, Any]]:
    """Return a server of these tools; they are called one after the other."""
    one_at_a_time = anyio.CapacityLimiter(1)

    async def list_tools(context: ServerRequestContext[Any], parameters: types.PaginatedRequestParams | None) -> types.ListToolsResult:
        return types.ListToolsResult(tools=_tools())

    async def call_tool(context: ServerRequestContext[Any], called: types.CallToolRequestParams) -> types.CallToolResult:
        call = partial(tools.call, called.name, called.arguments or {})
        try:
            answer = await anyio.to_thread.run_sync(call, limiter=one_at_a_time)
        except VidsearchError as error:
            return _refusal(str(error))
        except OSError as error:
            log.error("%s: %s", called.name, error)
            return _refusal("the index cannot be read just now; ask again")
        except Exception:
            log.exception("%s failed", called.name)
            return _refusal("something went wrong inside; it is in the log")
        text = json.dumps(answer, ensure_ascii=False)
        return types.CallToolResult(content=[types.TextContent(text=text)], structured_content=answer)

    return Server("vidsearch", version=__version__, instructions=INSTRUCTIONS, on_list_tools=list_tools, on_call_tool=call_tool)


def _tools() -> list[types.Tool]:
    reads = types.ToolAnnotations(read_only_hint=True, destructive_hint=False, idempotent_hint=True, open_world_hint=False)
    return [
        types.Tool(name=tool.name, description=tool.description, input_schema=tool.schema, output_schema=tool.answers, annotations=reads)
        for tool in TOOLS
    ]


def _refusal(message: str) -> types.CallToolResult:
    return types.CallToolResult(content=[types.TextContent(text=" ".join(message.split()))], is_error=True)


async def _serve(server: Server[dict[str, Any]]) -> None:
    async with stdio_server() as (read, write):
        await server.run(read, write, server.create_initialization_options())

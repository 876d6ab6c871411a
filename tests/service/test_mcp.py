"""An assistant's view of an index: a real server process, spoken to by the protocol's own client."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support.clips import make_rows, write_index
from support.served import served

import vidsearch
from vidsearch import Index
from vidsearch.assistants.cli import mcp
from vidsearch.assistants.tools import MOST, TOOLS, Tools
from vidsearch.client.remote import RemoteIndex
from vidsearch.errors import NotAnIndexError, UsageError, VidsearchError

VECTORS, TABLE = make_rows(60, seed=41)
COMMAND = "import typer; from vidsearch.assistants.cli import mcp; typer.run(mcp)"
TIMEOUT_S = 60


@pytest.fixture(scope="module")
def index(tmp_path_factory) -> Index:
    return write_index(tmp_path_factory.mktemp("mcp") / "index", VECTORS, TABLE, parts=2)


@pytest.fixture(scope="module")
def remote(index) -> Iterator[RemoteIndex]:
    with served(index.root) as service, vidsearch.connect(service.url) as remote:
        yield remote


@pytest.fixture(params=["local", "remote"])
def tools(request, index) -> Tools:
    found = index if request.param == "local" else request.getfixturevalue("remote")
    return Tools(lambda: found)


def spoken(place: Path | str, talk: Callable[[Any], Awaitable[Any]]) -> Any:
    """Start the server as an assistant does, talk to it, and return what comes of it."""
    from mcp import Client, StdioServerParameters

    server = StdioServerParameters(command=sys.executable, args=["-c", COMMAND, str(place)], env=dict(os.environ))

    async def run() -> Any:
        async with asyncio.timeout(TIMEOUT_S), Client(server, read_timeout_seconds=TIMEOUT_S) as client:
            return await talk(client)

    return asyncio.run(run())


def test_an_assistant_finds_clips_over_stdio(index):
    async def talk(client: Any) -> list[Any]:
        listed = (await client.list_tools()).tools
        first = await client.call_tool("search", {"text": "a dog", "k": 3, "where": "language = 'en'", "mode": "keywords"})
        clip_id = first.structured_content["hits"][0]["clip_id"]
        return [
            listed,
            first,
            await client.call_tool("similar", {"clip_id": clip_id, "k": 2}),
            await client.call_tool("get_clip", {"clip_id": clip_id}),
            await client.call_tool("search", {"text": "a dog", "where": "views > 3"}),
            await client.call_tool("delete_clip", {}),
        ]

    listed, first, similar, clip, refused, unknown = spoken(index.root, talk)
    assert [tool.name for tool in listed] == ["search", "similar", "get_clip", "filter_schema"]
    assert all(tool.annotations.read_only_hint and not tool.annotations.destructive_hint for tool in listed)
    hits = index.search("a dog", k=3, where="language = 'en'", mode="keywords")
    found = first.structured_content
    assert [hit["clip_id"] for hit in found["hits"]] == [hit.clip_id for hit in hits]
    assert (found["matching"], found["cursor"]) == (hits.matching, hits.cursor)
    assert json.loads(first.content[0].text) == found
    assert similar.structured_content["hits"][0]["clip_id"] == hits[0].clip_id
    assert clip.structured_content["clip"] == index.take([index.row_of(hits[0].clip_id)])[0]
    assert refused.is_error
    assert "unknown column 'views'" in refused.content[0].text
    assert unknown.is_error
    assert unknown.content[0].text == "unknown tool 'delete_clip'; choose from search, similar, get_clip, filter_schema"


def test_nothing_but_the_protocol_is_on_stdout(index):
    hello = {"jsonrpc": "2.0", "id": 1, "method": "initialize"}
    hello["params"] = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}}
    call = {"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": {"name": "search", "arguments": {"text": "x", "mode": "keywords"}}}
    lines = [hello, {"jsonrpc": "2.0", "method": "notifications/initialized"}, call]
    process = subprocess.Popen([sys.executable, "-c", COMMAND, str(index.root)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        process.stdin.write("".join(f"{json.dumps(line)}\n" for line in lines))
        process.stdin.flush()
        answers = [json.loads(process.stdout.readline()) for _ in range(2)]
        rest, _ = process.communicate(timeout=TIMEOUT_S)  # closes stdin, and so ends it
    finally:
        process.kill()
        process.wait()
    assert [answer["id"] for answer in answers] == [1, 2]
    assert answers[1]["result"]["structuredContent"]["hits"] == []
    assert rest == ""
    assert process.returncode == 0


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("search", {}, "search needs the argument text"),
        ("search", {"text": None}, "search needs the argument text"),
        ("search", {"text": "x", "like": [{"file": "/etc/hostname"}]}, "search has no argument 'like'; choose from text, k"),
        ("search", {"text": "x", "vector": [1]}, "search has no argument 'vector'"),
        ("search", {"text": {"file": "/etc/hostname"}}, "text is .* it must be text"),
        ("search", {"text": "x", "k": MOST + 1}, "k is 101; it must be 1 to 100 here"),
        ("search", {"text": "x", "k": "many"}, "k is 'many'; it must be a whole number"),
        ("search", {"text": ""}, "the query is empty"),
        ("search", {"text": "x", "mode": "keywords", "where": "clip_id ="}, "clip_id"),
        ("search", {"text": "x", "mode": "keywords", "cursor": "y"}, "'y' is no cursor"),
        ("similar", {"clip_id": "nobody"}, "no clip 'nobody'"),
        ("similar", {"clip_id": {"file": "/etc/hostname"}}, "clip_id is .* it must be text"),
        ("get_clip", {"clip_id": "nobody"}, "no (such )?clip"),
        ("get_clip", {"clip_id": 3}, "clip_id is 3; it must be text"),
        ("get_clip", {"clip_id": ".."}, "no (such )?clip"),
        ("filter_schema", {"column": "x"}, "filter_schema has no argument 'column'; choose from none"),
        ("open", {}, "unknown tool 'open'; choose from search, similar, get_clip, filter_schema"),
    ],
)
def test_what_cannot_be_done_is_said(tools, name, arguments, message):
    with pytest.raises(VidsearchError, match=message):
        tools.call(name, arguments)


def test_the_schema_of_filters_is_what_info_says(tools, index):
    schema = tools.call("filter_schema", {})
    columns = {column["name"]: column for column in schema["columns"]}
    assert schema["clips"] == len(index)
    assert list(columns) == index.schema.names
    assert columns["language"]["values"] == dict(index.value_counts("language", index.select(None)))
    known = [row["aesthetic"] for row in TABLE if row["aesthetic"] is not None]
    assert (columns["aesthetic"]["min"], columns["aesthetic"]["max"]) == pytest.approx((min(known), max(known)))
    assert columns["aesthetic"]["nulls"] == len(TABLE) - len(known)
    assert "like" in schema["syntax"]


def test_a_new_version_is_seen_while_the_server_runs(tmp_path):
    root = write_index(tmp_path / "index", VECTORS[:20], TABLE[:20]).root

    async def talk(client: Any) -> tuple[Any, ...]:
        before = await client.call_tool("filter_schema", {})
        write_index(root, VECTORS[20:], TABLE[20:])
        while True:  # looked for every two seconds; `spoken` ends a wait in vain
            after = await client.call_tool("get_clip", {"clip_id": "c40"})
            if not after.is_error:
                return before, after, await client.call_tool("filter_schema", {})
            await asyncio.sleep(0.05)

    before, after, schema = spoken(root, talk)
    assert before.structured_content["clips"] == 20
    assert after.structured_content["clip"]["caption"] == TABLE[40]["caption"]
    assert schema.structured_content["clips"] == 60


def test_pages_go_on_from_the_cursor(tools, index):
    asked = {"text": "a dog on the beach", "mode": "keywords", "k": 7}
    first = tools.call("search", asked)
    second = tools.call("search", {**asked, "cursor": first["cursor"]})
    expected = index.search("a dog on the beach", mode="keywords", k=14)
    assert [hit["clip_id"] for hit in (*first["hits"], *second["hits"])] == [hit.clip_id for hit in expected]


def test_every_tool_says_what_it_takes_and_gives():
    for tool in TOOLS:
        assert set(tool.required) <= set(tool.properties)
        assert tool.schema["additionalProperties"] is False
        assert all("description" in described for described in tool.properties.values())
        assert tool.description.endswith(".")
        json.dumps([tool.schema, tool.answers])


def test_what_is_no_index_is_refused_before_anything_is_served(tmp_path):
    with pytest.raises(NotAnIndexError):
        mcp(str(tmp_path))
    with pytest.raises(UsageError, match="'htp://x' is no address of a service"):
        mcp("htp://x")

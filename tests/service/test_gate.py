"""The gate: who may pass, under which name, from which page; every route of the service and of the page walked."""

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from support.asked import TOKEN, asked

from vidsearch.service.service import Service

WALK = Path(__file__).parents[1] / "support" / "walk.py"


@pytest.fixture(scope="module")
def walked(root):
    done = subprocess.run([sys.executable, "-W", "ignore", str(WALK), str(root)], check=False, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])


def test_no_route_is_open_without_a_token(walked):
    statuses = walked["bare"]
    assert len(statuses) > 50  # Gradio's are among them
    assert {"POST /v1/search", "GET /metrics", "GET /v1/openapi.json", "POST /upload", "POST /gradio_api/queue/join"} <= statuses.keys()
    assert {route: status for route, status in statuses.items() if status != 401} == {"GET /healthz": 200}


def test_a_browser_is_led_to_the_login_and_its_cookie_opens_the_page_but_not_the_api(walked):
    assert walked["visited"] == [303, "/login"]
    assert walked["set_cookie"].endswith("HttpOnly; SameSite=Strict")
    assert set(walked["opened"].values()) == {200}
    assert set(walked["api"].values()) == {401}


def test_a_cookie_does_not_serve_the_page_of_another_site(walked):
    assert set(walked["elsewhere"].values()) == {403}


def test_unknown_routes_of_the_api_are_not_the_pages(walked):
    assert walked["unknown"]["error"]["code"] == "not_found"


def statuses(root, *requests, token=TOKEN):
    """Return the statuses of requests, each (method, path, headers as pairs)."""

    async def ask():
        async with asked(Service(root), token=token) as site:
            return [
                (await site.client.send(httpx.Request(method, f"http://localhost{path}", headers=headers))).status_code
                for method, path, headers in requests
            ]

    return asyncio.run(ask())


HOST = ("host", "localhost")
BEARER = ("authorization", f"Bearer {TOKEN}")


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        ("/v1/limits", [BEARER], 200),
        ("/v1/limits", [("authorization", f"bearer {TOKEN}")], 200),
        ("/v1/limits", [("Authorization", f"BEARER  {TOKEN} ")], 200),
        ("/v1/limits", [], 401),
        ("/v1/limits", [("authorization", "")], 401),
        ("/v1/limits", [("authorization", "Bearer")], 401),
        ("/v1/limits", [("authorization", "Bearer ")], 401),
        ("/v1/limits", [("authorization", TOKEN)], 401),
        ("/v1/limits", [("authorization", f"Basic {TOKEN}")], 401),
        ("/v1/limits", [("authorization", f"Bearer {TOKEN[:-1]}")], 401),
        ("/v1/limits", [("authorization", f"Bearer {TOKEN}x")], 401),
        ("/v1/limits", [("authorization", "Bearer " + "x" * 30_000)], 401),
        ("/v1/limits", [BEARER, BEARER], 401),
        ("/v1/limits", [("authorization", "Bearer x"), BEARER], 401),
        ("/v1/limits", [("cookie", f"vidsearch={TOKEN}")], 401),
        (f"/v1/limits?token={TOKEN}", [], 401),
        (f"/v1/limits?access_token={TOKEN}", [], 401),
        ("/healthz", [], 200),
        ("/healthz/", [], 401),
        ("//healthz", [], 401),
        ("/healthz%2f..%2fv1%2flimits", [], 401),
        ("/readyz", [("cookie", f"vidsearch={TOKEN}")], 401),
        ("/readyz", [("cookie", "vidsearch=; vidsearch")], 401),
    ],
)
def test_only_the_token_opens(root, path, headers, status):
    assert statuses(root, ("GET", path, [HOST, *headers])) == [status]


@pytest.mark.parametrize(
    ("hosts", "status"),
    [
        (["localhost"], 200),
        (["LOCALHOST:8000"], 200),
        (["127.0.0.1:1"], 200),
        (["[::1]:8000"], 200),
        (["evil.com"], 421),
        (["localhost.evil.com"], 421),
        (["localhost:80@evil.com"], 421),
        (["evil.com:80", "localhost"], 421),
        ([""], 421),
        ([], 421),
    ],
)
def test_only_under_its_own_names(root, hosts, status):
    """Below the client library, which would mend them."""

    async def ask():
        sent = []

        async def send(message):
            sent.append(message)

        async with asked(Service(root), token=None) as site:
            gate = site.client._transport.app
            headers = [(b"host", host.encode()) for host in hosts]
            scope = {"type": "http", "method": "GET", "path": "/healthz", "raw_path": b"/healthz", "headers": headers, "query_string": b""}
            scope |= {"http_version": "1.1", "root_path": "", "scheme": "http", "server": ("x", 1), "client": ("x", 1)}
            await gate(scope, receive, send)
        return sent[0]["status"]

    async def receive():
        return {"type": "http.request", "body": b"", "more_body": False}

    assert asyncio.run(ask()) == status


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ([], 200),
        ([("origin", "http://localhost")], 200),
        ([("origin", "http://localhost"), ("sec-fetch-site", "same-origin")], 200),
        ([("origin", "https://evil.com")], 403),
        ([("origin", "null")], 403),
        ([("origin", "http://localhost:3000")], 403),
        ([("origin", "http://localhost"), ("origin", "http://evil.com")], 403),
        ([("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "no-cors")], 403),
        ([("sec-fetch-site", "same-site"), ("sec-fetch-mode", "cors")], 403),
        ([("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate")], 403),  # a link to the API
    ],
)
def test_the_page_of_another_site_is_refused_also_where_no_token_is_needed(root, headers, status):
    assert statuses(root, ("GET", "/v1/limits", [HOST, *headers]), token=None) == [status]


def test_a_link_from_elsewhere_leads_to_the_page(root):
    followed = [HOST, BEARER, ("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate")]
    assert statuses(root, ("GET", "/", followed), ("GET", "/login", followed)) == [404, 200]  # no page is mounted here


def test_login_takes_the_token_alone_and_the_cookie_is_not_the_token(root):
    async def ask():
        async with asked(Service(root), token=TOKEN) as site:
            wrong = await site.client.post("/login", data={"token": "x" * 31})
            large = await site.client.post("/login", data={"token": "x" * 9000})
            right = await site.client.post("/login", data={"token": TOKEN})
            encrypted = await site.client.post("https://localhost/login", data={"token": TOKEN})
            odd = await site.client.post("/login", content=b"token=%ff%fe\xff&token")
            return wrong, large, right, encrypted, odd

    wrong, large, right, encrypted, odd = asyncio.run(ask())
    assert [answer.status_code for answer in (wrong, large, right, encrypted, odd)] == [401, 413, 303, 303, 401]
    assert "set-cookie" not in wrong.headers
    assert TOKEN not in right.headers["set-cookie"]
    assert encrypted.headers["set-cookie"].endswith("; Secure")

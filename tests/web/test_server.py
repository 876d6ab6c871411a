"""The application around the page: what it answers, and to whom."""

from __future__ import annotations

import inspect
import io
import json
import zipfile
from collections.abc import Iterator
from contextlib import suppress
from http.client import HTTPConnection
from pathlib import Path

import httpx
import numpy as np
import pyarrow.parquet as pq
import pytest
from support.made import made
from support.site import Site

from ui.explorer import Shelf
from ui.state import State
from ui.view import step

OURS = {"X-Vidsearch": "1"}
CAPTIONS = ["a cat", "<script>alert(1)</script>", None, "a dog", "two dogs"]


@pytest.fixture(scope="module")
def shelf(tmp_path_factory) -> Iterator[Shelf]:
    folder = tmp_path_factory.mktemp("set")
    vectors = np.random.default_rng(0).normal(size=(5, 8)).astype(np.float32)
    made(folder / "index", vectors, caption=CAPTIONS, language=["en", "en", "de", "fr", "en"])
    opened = Shelf(folder / "index", model=None, strict=False, media_root=None, cache=tmp_path_factory.mktemp("cache"))
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def client(shelf: Shelf, tmp_path_factory) -> Iterator[httpx.Client]:
    """A client of the real server, in a process of its own: Gradio leaves event loops open."""
    site = Site(shelf.root, tmp_path_factory.mktemp("site"))
    site.start()
    try:
        with httpx.Client(base_url=site.url, timeout=30) as opened:
            yield opened
    finally:
        site.stop()
    assert "Traceback" not in site.printed()


def test_the_page_loads_nothing_from_elsewhere(client: httpx.Client) -> None:
    answer = client.get("/")
    assert answer.status_code == 200
    assert "default-src 'self'" in answer.headers["Content-Security-Policy"]
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "10.0.0.1"])
def test_another_name_is_not_answered_to(client: httpx.Client, host: str) -> None:
    assert client.get("/alive", headers={"Host": host}).status_code == 400


@pytest.mark.parametrize(
    "path",
    [
        "/page/..%2fserver.py",
        "/page/%2e%2e/server.py",
        "/page/nothing.js",
        "/page/",
        "/page//etc/passwd",
        "/export/nothing",
        "/openapi.json",
        "/docs",
    ],
)
def test_only_the_pages_own_files_are_served(client: httpx.Client, path: str) -> None:
    assert client.get(path, follow_redirects=False).status_code in (307, 404)


def test_gradio_serves_no_file_of_ours(client: httpx.Client, shelf: Shelf) -> None:
    parquet = next(shelf.root.rglob("rows.parquet"))
    for target in ("/etc/passwd", str(parquet), str(Path(inspect.getfile(Shelf))), "http://127.0.0.1:1/"):
        for route in ("/gradio_api/file=", "/gradio_api/proxy=", "/file="):
            answer = client.get(route + target, follow_redirects=False)
            assert answer.status_code in (400, 403, 404, 405), (route, target, answer.status_code)
            assert b"PAR1" not in answer.content
            assert b"root:" not in answer.content


def test_a_form_of_another_site_can_do_nothing(client: httpx.Client) -> None:
    assert client.post("/export", content=b'{"form": "csv", "ids": ["c0"]}').status_code == 403
    assert client.post("/upload", content=b"x").status_code == 403


@pytest.mark.parametrize(("path", "size"), [("/gradio_api/queue/join", 2 << 20), ("/export", 9 << 20), ("/upload", 65_000_000)])
def test_large_bodies_are_refused_before_they_are_read(client: httpx.Client, path: str, size: int) -> None:
    asked = HTTPConnection(client.base_url.host, client.base_url.port, timeout=10)
    asked.putrequest("POST", path)
    for name, value in (*OURS.items(), ("Content-Length", str(size))):
        asked.putheader(name, value)
    asked.endheaders()
    answer = asked.getresponse()
    assert answer.status == 413
    assert "too large" in json.loads(answer.read())["error"]
    asked.close()


def test_a_body_that_does_not_say_how_long_it_is_is_counted(client: httpx.Client) -> None:
    body = (b" " * (1 << 16) for _ in range(64))
    with suppress(httpx.TransportError):  # the server may hang up while more is sent
        assert client.post("/gradio_api/queue/join", content=body).status_code in (400, 413)


def test_selected_clips_are_exported(client: httpx.Client) -> None:
    said = client.post("/export", json={"form": "parquet", "ids": ["c3", "c0", "gone"]}, headers=OURS).json()
    assert (said["rows"], said["missing"]) == (2, 1)
    table = pq.read_table(io.BytesIO(client.get(said["url"]).content))
    assert table.column("clip_id").to_pylist() == ["c3", "c0"]


def test_all_that_match_are_exported_with_where_they_came_from(client: httpx.Client) -> None:
    said = client.post("/export", json={"form": "jsonl", "params": "where=language+%3D+%27en%27"}, headers=OURS).json()
    with zipfile.ZipFile(io.BytesIO(client.get(said["url"]).content)) as archive:
        names = sorted(archive.namelist())
        rows = [json.loads(line) for line in archive.read(names[0]).splitlines()]
        recipe = json.loads(archive.read(names[1]))
    assert [row["clip_id"] for row in rows] == ["c0", "c1", "c4"]
    assert recipe["subset"]["where"] == "language = 'en'"


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        ({"form": "exe", "ids": ["c0"]}, "choose from parquet"),
        ({"form": "csv", "ids": []}, "no clip is selected"),
        ({"form": "csv", "params": "where=colour=1"}, "unknown column"),
        ({"ids": ["c0"]}, "needs a form"),
        ([], "needs a form"),
    ],
)
def test_an_export_that_cannot_be_is_one_line(client: httpx.Client, wanted: object, said: str) -> None:
    answer = client.post("/export", json=wanted, headers=OURS)
    assert answer.status_code == 400
    assert said in answer.json()["error"]
    assert "\n" not in answer.json()["error"]


def test_a_file_that_is_no_picture_is_named_in_one_line(client: httpx.Client) -> None:
    answer = client.post("/upload", content=b"<html><script>1</script>", headers={**OURS, "X-Name": "page%20one.html"})
    assert answer.status_code == 400
    assert "page one.html is no picture or video" in answer.json()["error"]


def test_what_a_data_set_says_is_text(shelf: Shelf) -> None:
    drawn = list(step(shelf.explorer, State(), {"kind": "goto", "params": "clip=c1"}, whole=True))
    html = "".join(value for _, areas in drawn for value in areas.values())
    assert "&lt;script&gt;alert(1)" in html
    assert "<script" not in html


def test_a_link_that_cannot_be_opens_the_page_and_says_why(shelf: Shelf) -> None:
    drawn = list(step(shelf.explorer, State(), {"kind": "goto", "params": "where=colour+%3D+1&q=x"}, whole=True))
    assert drawn[-1][0] == State()
    assert all("unknown column" in areas["problem"] for _, areas in drawn if "problem" in areas)
    assert any("vs-card" in areas.get("results", "") for _, areas in drawn)


def test_only_what_a_change_concerns_is_drawn(shelf: Shelf) -> None:
    before = State()
    (opened,) = step(shelf.explorer, before, {"kind": "open", "id": "c0"}, whole=False)
    assert set(opened[1]) == {"problem", "player"}
    (sorted_,) = step(shelf.explorer, before, {"kind": "sort", "by": "clip_id desc"}, whole=False)
    assert "facets" not in sorted_[1]
    assert [
        set(areas) >= {"results"} for _, areas in step(shelf.explorer, before, {"kind": "where", "sql": "language = 'en'"}, whole=False)
    ] == [
        True,
        False,
    ]


def test_the_neighbours_of_a_clip_are_those_of_its_video_in_order_of_time(tmp_path: Path) -> None:
    starts = [4.0, 0.0, 2.0, 1.0, 3.0]
    videos = ["a.mp4", "a.mp4", "b.mp4", "a.mp4", "b.mp4"]
    made(tmp_path / "index", np.eye(5, 8, dtype=np.float32), video=videos, start_s=starts, end_s=[start + 1 for start in starts])
    shelf = Shelf(tmp_path / "index", model=None, strict=False, media_root=None, cache=tmp_path / "cache")
    assert [hit.clip_id for hit in shelf.explorer.neighbours("c3")] == ["c1", "c3", "c0"]
    shelf.close()

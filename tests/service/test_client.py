"""The client: its token, its patience, and one clear line for whatever else may answer at an address."""

from __future__ import annotations

import asyncio
import json
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.clips import DIM, make_rows, write_index
from support.served import running, served
from support.videos import write_video

import vidsearch
from vidsearch import Index
from vidsearch._query_parts import Media
from vidsearch.client.calls import Call, _parts, check_address, check_token
from vidsearch.client.http import KINDS
from vidsearch.curate.recipe import Subset
from vidsearch.curate.recipe import export as write_export
from vidsearch.errors import BusyError, DeadlineError, FilterError, QueryError, ServiceError, UsageError
from vidsearch.query import Query
from vidsearch.service.failures import _KINDS
from vidsearch.service.limits import Limits
from vidsearch.wire import hits_to_json

VECTORS, TABLE = make_rows(40, seed=31)
VECTOR = np.random.default_rng(32).standard_normal(DIM).astype(np.float32)
TOKEN = "t" * 24
JSON = [(b"content-type", b"application/json")]

Answer = tuple[int, list[tuple[bytes, bytes]], bytes]


@pytest.fixture(scope="module")
def index(tmp_path_factory) -> Index:
    return write_index(tmp_path_factory.mktemp("client") / "index", VECTORS, TABLE, parts=2)


@pytest.fixture(scope="module")
def url(index) -> Iterator[str]:
    with served(index.root, token=TOKEN) as service:
        yield service.url


def saying(*answers: Answer) -> Callable[..., Awaitable[None]]:
    """Return an application that gives these answers in turn, the last one for ever; it notes what it was asked in `.asked`."""
    asked: list[dict[str, Any]] = []

    async def application(scope: dict, receive: Callable, send: Callable) -> None:
        if scope["type"] != "http":
            return
        body = b""
        while (message := await receive())["type"] == "http.request":
            body += message["body"]
            if not message["more_body"]:
                break
        asked.append({"path": scope["path"], "headers": dict(scope["headers"]), "body": body})
        status, headers, content = answers[min(len(asked), len(answers)) - 1]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": content})

    application.asked = asked
    return application


def problem(status: int, code: str, **headers: str) -> Answer:
    content = json.dumps({"error": {"code": code, "message": f"said {code}"}}).encode()
    return status, [*JSON, *((name.replace("_", "-").encode(), value.encode()) for name, value in headers.items())], content


def test_the_token_is_given_or_of_the_environment_and_never_shown(url, monkeypatch):
    with (
        vidsearch.connect(url) as remote,
        pytest.raises(ServiceError, match="wants a token; give its token as token=, or set VIDS"),
    ):
        len(remote)
    with vidsearch.connect(url, token="u" * 24) as remote, pytest.raises(ServiceError, match="does not know the token") as refused:
        len(remote)
    assert "uuuu" not in str(refused.value)
    monkeypatch.setenv("VIDSEARCH_TOKEN", f" {TOKEN}\n")
    with vidsearch.connect(f"{url}/") as remote:
        assert len(remote) == 40
        assert TOKEN not in repr(remote)
        assert TOKEN not in repr(vidsearch.settings.read_settings())


def test_a_token_that_travels_in_the_open_is_warned_of(caplog):
    with caplog.at_level(logging.WARNING):
        vidsearch.connect("http://videos.example", token=TOKEN).close()
        assert [record.getMessage()[:52] for record in caplog.records] == ["the token goes to http://videos.example unencrypted;"]
        caplog.clear()
        vidsearch.connect("https://videos.example", token=TOKEN).close()
        vidsearch.connect("http://127.0.0.1:9", token=TOKEN).close()
        assert not caplog.records


@pytest.mark.parametrize(
    "address", ["", "shards", "ftp://x", "http://", "http://x:0", "http://x:99999", "http://x:y", "http://a b", "http://[1"]
)
def test_what_is_no_address_is_refused(address):
    with pytest.raises(UsageError, match="is no address of a service; write http://HOST:PORT"):
        check_address(address)


@pytest.mark.parametrize("address", ["http://me:secret@x", "http://x?token=secret", "http://x#secret"])
def test_an_address_holds_no_secret_and_no_message_repeats_one(address):
    with pytest.raises(UsageError, match="set VIDSEARCH_TOKEN") as refused:
        vidsearch.connect(address)
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize("token", ["a b", "a\nb", "ü", "x" * 5000, "a\0"])
def test_a_token_that_no_header_can_carry_is_refused(token):
    with pytest.raises(UsageError, match="printable ASCII"):
        check_token(token)


def test_nobody_there_is_one_line():
    with (
        vidsearch.connect("http://127.0.0.1:1") as remote,
        pytest.raises(ServiceError, match=r"can be reached at http://127\.0\.0\.1:1 .*refused"),
    ):
        remote.search("a dog")

    async def ask() -> None:
        async with vidsearch.connect_async("http://127.0.0.1:1") as remote:
            await remote.search("a dog")

    with pytest.raises(ServiceError, match="is `vidsearch serve` running there"):
        asyncio.run(ask())


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ((200, [(b"content-type", b"text/html")], b"<h1>hello</h1>"), r"not answer as a vidsearch service does \(status 200, text/html\)"),
        ((404, [(b"content-type", b"text/html")], b"<h1>no</h1>"), r"not answer as a vidsearch service does \(status 404, text/html\)"),
        ((404, JSON, b'{"detail": "Not Found"}'), r"\(status 404, application/json\); check the address"),
        ((200, JSON, b'{"message": "I am another API"}'), r"of this version does \(KeyError\('certificate'\)\)"),
        ((200, JSON, b"[]"), "of this version does"),
        ((200, JSON, b"{"), "not answer as a vidsearch service"),
        ((200, [], b""), r"\(status 200, no content type\)"),
        ((307, [(b"location", b"https://elsewhere.example/")], b""), "sends its callers elsewhere, to https://elsewhere.example/"),
        (problem(500, "internal"), r"said internal \(status 500\)"),
        (problem(418, "teapot"), r"said teapot \(status 418\)"),
    ],
)
def test_a_stranger_is_told_from_a_service(answer, message):
    application = saying(answer)
    with running(application) as url, vidsearch.connect(url) as remote, pytest.raises(ServiceError, match=message) as refused:
        remote.search("a dog")
    assert "\n" not in str(refused.value)
    assert len(application.asked) == 1


def test_every_refusal_of_a_service_is_raised_as_what_it_is():
    for kind, status, code in _KINDS:
        if code in ("not_found", "unavailable"):
            continue
        with running(saying(problem(status, code, retry_after="3600"))) as url, vidsearch.connect(url) as remote:
            with pytest.raises(kind, match=f"said {code}") as refused:
                remote.search("a dog")
            assert type(refused.value) is kind is KINDS[code]


def test_a_busy_service_is_asked_again_after_as_long_as_it_says(index):
    (hits,) = index.ask([Query(vector=VECTOR)])
    found = (200, JSON, json.dumps(hits_to_json(hits, index_version=1)).encode())
    application = saying(problem(429, "busy", retry_after="0.01"), (503, [(b"content-type", b"text/plain")], b"Service Unavailable"), found)
    with running(application) as url, vidsearch.connect(url) as remote:
        assert remote.search(vector=VECTOR) == hits
    assert len(application.asked) == 3
    assert {request["path"] for request in application.asked} == {"/v1/search"}
    assert len({request["body"] for request in application.asked}) == 1


@pytest.mark.parametrize(("retry_after", "tries"), [("0", 4), ("3600", 1)])
def test_a_service_that_stays_busy_is_an_error(retry_after, tries, monkeypatch):
    monkeypatch.setattr("vidsearch.client.http.BACK_OFF_S", 0.001)
    application = saying(problem(429, "busy", retry_after=retry_after))
    with running(application) as url, vidsearch.connect(url) as remote, pytest.raises(BusyError, match="said busy"):
        remote.search("a dog")
    assert len(application.asked) == tries


def test_an_index_that_is_damaged_is_not_asked_again():
    application = saying(problem(503, "index_partial", retry_after="1"))
    with running(application) as url, vidsearch.connect(url) as remote, pytest.raises(vidsearch.VidsearchError, match="said index_partial"):
        remote.search("a dog")
    assert len(application.asked) == 1


def test_an_answer_that_takes_too_long_is_given_up():
    async def silent(scope: dict, receive: Callable, send: Callable) -> None:
        if scope["type"] == "http":
            while (await receive())["type"] != "http.disconnect":
                pass

    late = pytest.raises(DeadlineError, match=r"no answer from .* within 0\.2 s")
    with running(silent) as url, vidsearch.connect(url, timeout_s=0.2) as remote, late:
        remote.search("a dog")
    with pytest.raises(UsageError, match="timeout_s is 0; it must be above 0"):
        vidsearch.connect(url, timeout_s=0)


def test_files_and_rows_of_this_machine_are_not_sent(url, tmp_path):
    (tmp_path / "photo.jpg").write_bytes(b"x")
    with vidsearch.connect(url, token=TOKEN) as remote:
        for like in (tmp_path / "photo.jpg", Media(tmp_path / "photo.jpg", 1, 2)):
            with pytest.raises(QueryError, match=r"photo.jpg\S* is a file of this machine"):
                remote.search(like=like)
        with pytest.raises(QueryError, match="within names rows of one version"):
            remote.search(vector=VECTOR, within=np.arange(3))


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(0, 300), max_size=40), st.integers(1, 9), st.integers(400, 2000))
def test_questions_go_in_order_in_parts_that_the_service_takes(lengths, most, most_bytes):
    bodies = [{"text": "x" * length} for length in lengths]
    parts = list(_parts(bodies, {"batch": most, "body_bytes": most_bytes}))
    assert [body for part in parts for body in part] == bodies
    for part in parts:
        assert 1 <= len(part) <= most
        assert len(Call("/v1/batch", {"questions": part}).content) <= most_bytes


def test_a_batch_of_long_questions_is_split_by_its_bytes(index):
    queries = [Query(vector=np.roll(VECTOR, number), k=2) for number in range(7)]
    with served(index.root, limits=Limits(body_bytes=30_000)) as service, vidsearch.connect(service.url) as remote:
        assert [hits[0].clip_id for hits in remote.ask(queries)] == [hits[0].clip_id for hits in index.ask(queries)]
        with pytest.raises(UsageError, match="too large"):
            remote.ask([Query.from_json({"texts": ["x" * 4000] * 10})])


def test_a_clip_is_found_by_its_id_whatever_it_holds(tmp_path):
    rows = [{**row, "clip_id": name} for row, name in zip(TABLE, ["a/b", "a b?#%", "ü", "c/media", "../c"], strict=False)]
    local = write_index(tmp_path / "index", VECTORS[:5], rows)
    with served(local.root) as service, vidsearch.connect(service.url) as remote:
        for number, row in enumerate(rows):
            if row["clip_id"] == "c/media":  # the path of the video of the clip c
                continue
            assert remote.clip(row["clip_id"]) == local.take([number])[0]
            assert remote.similar(row["clip_id"], k=1)[0].clip_id == row["clip_id"]
        for name in ("", ".", "..", "/", "nobody", "x" * 3000, "\ud800"):
            with pytest.raises(QueryError, match=r"no (such )?clip"):
                remote.clip(name)


def test_what_the_index_is_can_be_asked(url, index):
    with vidsearch.connect(url, token=TOKEN) as remote:
        described = remote.info()
        assert (described["rows"], described["model"]) == (len(index), index.space.model) == (len(remote), described["model"])
        assert remote.limits()["batch"] == Limits().batch
        assert remote.ready()["index_version"] == index.manifest.version
        assert remote


def test_a_video_is_written_whole_to_a_file_that_was_not_there(tmp_path):
    write_video(tmp_path / "whole.mp4", frames=50)
    row = {**TABLE[0], "clip_id": "whole", "video": "whole.mp4", "start_s": 0.0, "end_s": 2.0}
    gone = {**TABLE[1], "clip_id": "gone", "video": "gone.mp4"}
    local = write_index(tmp_path / "index", VECTORS[:2], [row, gone])
    with served(local.root) as service, vidsearch.connect(service.url) as remote:
        saved = remote.media("whole", tmp_path / "copy.mp4")
        assert saved.read_bytes() == (tmp_path / "whole.mp4").read_bytes()
        with pytest.raises(QueryError, match="video"):
            remote.media("gone", tmp_path / "gone.out")
        with pytest.raises(QueryError, match="no such clip"):
            remote.media("nobody", tmp_path / "gone.out")
        with pytest.raises(UsageError, match="is there already"):
            remote.media("whole", tmp_path / "copy.mp4")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["copy.mp4", "index", "whole.mp4"]


def test_clips_are_counted_as_on_this_machine(url, index):
    with vidsearch.connect(url, token=TOKEN) as remote:
        for where in (None, "language = 'en'", "language = 'en' and aesthetic > 10"):
            assert remote.count(where=where) == index.count(where=where)
        assert remote.count("a dog", mode="keywords", where="language = 'en'") == index.count(
            "a dog", mode="keywords", where="language = 'en'"
        )
        for asked in (remote, index):
            with pytest.raises(QueryError, match="a score needs a text"):
                asked.count(min_score=0.2)
            with pytest.raises(FilterError, match="unknown column"):
                asked.count(where="nothing > 1")


def test_values_are_counted(url):
    languages = Counter(row["language"] for row in TABLE if (row["aesthetic"] or 0) > 4)
    with vidsearch.connect(url, token=TOKEN) as remote:
        (facet,) = remote.facets(where="aesthetic > 4", columns=["language"])
        assert {value["value"]: value["count"] for value in facet["values"]} == languages
        (facet,) = remote.facets(Query(vector=VECTOR, where="aesthetic > 4"), columns=["language"])
        assert {value["value"]: value["count"] for value in facet["values"]} == languages
        assert {facet["column"] for facet in remote.facets()} >= {"language", "aesthetic"}
        with pytest.raises(QueryError, match="unknown column 'nothing'"):
            remote.facets(columns=["nothing"])
        with pytest.raises(QueryError, match="give one of query and where"):
            remote.facets(Query(vector=VECTOR), where="aesthetic > 4")


SUBSETS = {
    "all": Subset(),
    "a filter": Subset(where="language = 'en'"),
    "nothing": Subset(where="aesthetic > 99"),
    "some ids": Subset(ids=("c3", "nobody", "c1")),
    "a sample": Subset(sample=7, seed=3),
    "the best": Subset(Query(vector=VECTOR, where="language = 'en'"), top=5),
}


@pytest.mark.parametrize("name", SUBSETS)
def test_an_export_is_the_one_that_this_machine_writes(url, index, tmp_path, name):
    write_export(index, SUBSETS[name], tmp_path / "local.jsonl", "jsonl")
    expected = [json.loads(line) for line in (tmp_path / "local.jsonl").read_text().splitlines()]
    with vidsearch.connect(url, token=TOKEN) as remote:
        assert list(remote.rows(SUBSETS[name])) == expected
        saved = remote.export(SUBSETS[name], tmp_path / "remote.parquet")
        assert [row["clip_id"] for row in pq.read_table(saved).to_pylist()] == [row["clip_id"] for row in expected]

    async def all_of() -> list[Any]:
        async with vidsearch.connect_async(url, token=TOKEN) as remote:
            await remote.export(SUBSETS[name], tmp_path / "remote.ids", "ids")
            return [row async for row in remote.rows(SUBSETS[name])]

    assert asyncio.run(all_of()) == expected
    assert (tmp_path / "remote.ids").read_text().split() == [row["clip_id"] for row in expected]


def test_an_export_that_cannot_be_made_leaves_no_file(url, tmp_path):
    with vidsearch.connect(url, token=TOKEN) as remote:
        for subset, form, kind, message in (
            (Subset(where="nothing > 1"), "csv", FilterError, "unknown column"),
            (Subset(), "webdataset", UsageError, "unknown format 'webdataset'; choose from parquet, csv, jsonl, ids"),
            (Subset(Query(like=(Media(Path("x.jpg")),)), top=3), "ids", QueryError, "is a file of this machine"),
        ):
            with pytest.raises(kind, match=message):
                remote.export(subset, tmp_path / "out", form)
        with pytest.raises(FilterError, match="unknown column"):
            next(remote.rows(Subset(where="nothing > 1")))
    assert list(tmp_path.iterdir()) == []


def test_fifty_questions_at_once_have_their_own_answers(url, index):
    queries = [Query(vector=np.roll(VECTOR, number), k=3) for number in range(50)]

    async def ask() -> list[list[str]]:
        async with vidsearch.connect_async(url, token=TOKEN) as remote:
            answers = await asyncio.gather(*(remote.ask([query]) for query in queries))
        return [[hit.clip_id for hit in hits] for (hits,) in answers]

    assert asyncio.run(ask()) == [[hit.clip_id for hit in hits] for hits in index.ask(queries)]


def test_coroutines_do_what_the_methods_do(url, tmp_path):
    async def ask() -> tuple[Any, ...]:
        async with vidsearch.connect_async(url, token=TOKEN) as remote:
            return (await remote.clip("c3"), await remote.info(), await remote.limits(), await remote.similar("c3", k=4), repr(remote))

    with vidsearch.connect(url, token=TOKEN) as remote:
        *found, similar, name = asyncio.run(ask())
        assert found == [remote.clip("c3"), remote.info(), remote.limits()]
        assert similar.hits == remote.similar("c3", k=4).hits
        assert name == repr(remote).replace("Remote", "Async")


def test_a_file_is_not_there_when_the_stream_breaks_off(tmp_path):
    async def breaking(scope: dict, receive: Callable, send: Callable) -> None:
        if scope["type"] == "http":
            await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"100000")]})
            await send({"type": "http.response.body", "body": b"x" * 1000, "more_body": True})
            raise ConnectionError("gone")

    logging.getLogger("uvicorn.error").disabled = True  # it would print that error
    try:
        with running(breaking) as url, vidsearch.connect(url) as remote, pytest.raises(ServiceError, match="broke off"):
            remote.media("c1", tmp_path / "copy.mp4")
    finally:
        logging.getLogger("uvicorn.error").disabled = False
    assert list(tmp_path.iterdir()) == []


def test_nothing_heavy_is_loaded_by_the_client(tmp_path: Path):
    import subprocess
    import sys

    code = "import sys, vidsearch; vidsearch.connect('http://127.0.0.1:1').close(); print(*sys.modules)"
    loaded = set(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path).stdout.split())
    assert "httpx" in loaded
    assert not {"torch", "pyarrow", "faiss", "fastapi", "numba", "pandas"} & loaded

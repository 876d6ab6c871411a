"""Raw bytes to a running `vidsearch serve`: large, slow and broken requests, paths out of the media folder, signals, and what it logs."""

import asyncio
import json
import socket
import subprocess
import sys
import threading
import time

import httpx
import pytest
from support.asked import TOKEN, make
from support.serving import Serving, received
from support.videos import write_video
from web.test_media_routes import CANARY, payloads

from vidsearch.errors import VidsearchError
from vidsearch.service.server import TOKEN_VARIABLE, serve

BODY_S = 10.0  # as by default
HOST = b"Host: localhost\r\n"
BEARER = b"Authorization: Bearer " + TOKEN.encode() + b"\r\n"
JSON = b"Content-Type: application/json\r\n"
POST = b"POST /v1/search HTTP/1.1\r\n" + HOST + BEARER + JSON
SECRET = "zebra crossing at midnight"


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wire")
    (folder / "secret.txt").write_bytes(CANARY)
    (folder / "videos").mkdir()
    write_video(folder / "videos" / "v.mp4", frames=12, options={"preset": "ultrafast"})
    (folder / "videos" / "link.mp4").symlink_to(folder / "secret.txt")
    make(folder / "videos" / "index", video=[("v.mp4", "link.mp4", "../secret.txt")[row % 3] for row in range(60)])
    with Serving(folder / "videos" / "index", folder, token=TOKEN) as serving:
        yield serving


def status_and_error(raw):
    head, _, body = raw.partition(b"\r\n\r\n")
    return int(head[9:12]), json.loads(body)["error"]["code"] if body.startswith(b"{") else None


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (POST + b"Content-Length: 1000000000\r\n\r\n", (413, "too_large")),
        (POST + b"Content-Length: 99999999999999999999999\r\n\r\n", (400, "invalid_request")),
        (POST + b"Content-Length: -1\r\n\r\n", (400, "invalid_request")),
        (b"GET /v1/limits HTTP/1.1\r\n" + HOST + BEARER + b"".join(b"x%d: y\r\n" % n for n in range(500)) + b"\r\n", (431, "too_large")),
        (
            b"GET /v1/limits HTTP/1.1\r\n" + HOST + BEARER + b"".join(b"x%d: y\r\n" % n for n in range(100_000)) + b"\r\n",
            (431, "too_large"),
        ),
        (b"GET /v1/limits HTTP/1.1\r\n" + HOST + b"a: " + b"x" * 3_000_000 + b"\r\n\r\n", (431, "too_large")),
        (b"GET /" + b"x" * 3_000_000 + b" HTTP/1.1\r\n" + HOST + b"\r\n", (431, "too_large")),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 500, (400, "invalid_request")),  # TLS
        (b"nonsense\r\n\r\n", (400, "invalid_request")),
        (b"GET /v1/limits HTTP/1.1\r\n\r\n", (421, "unknown_host")),
    ],
    ids=["says 1 GB", "says 23 digits", "says -1", "500 headers", "100k headers", "long header", "long path", "TLS", "nonsense", "no host"],
)
def test_what_is_too_large_or_no_http_is_refused(running, raw, expected):
    assert status_and_error(running.send(raw)) == expected


BODIES = {
    "bad UTF-8": b'{"text": "\xff\xfe"}',
    "100k nested": b"[" * 100_000,
    "100k nested objects": b'{"like":' * 100_000,
    "NaN": b'{"vector": [NaN]}',
    "Infinity": b'{"vector": [1e999]}',
    "twice": b'{"text": "a", "text": "b"}',
    "5,000 digits": b'{"k": ' + b"1" * 5000 + b"}",
    "no JSON": b"text=a",
    "empty": b"",
    "a list": b"[]",
    "null": b"null",
    "half a pair": b'{"text": "\\ud800"}',
    "NUL": b'{"text": "\\u0000", "where": "\\u0000"}',
}


@pytest.mark.parametrize("name", BODIES)
def test_a_body_that_is_no_question_is_400(running, name):
    with httpx.Client(base_url=running.url, headers={"authorization": f"Bearer {TOKEN}"}) as client:
        answer = client.post("/v1/search", content=BODIES[name], headers={"content-type": "application/json"})
    assert (answer.status_code, set(answer.json())) == (400, {"error"})


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", ""])
def test_another_media_type_is_415(running, kind):
    with httpx.Client(base_url=running.url, headers={"authorization": f"Bearer {TOKEN}"}) as client:
        answer = client.post("/v1/search", content=b'{"text": "a"}', headers={"content-type": kind} if kind else {})
    assert (answer.status_code, answer.json()["error"]["code"]) == (415, "unsupported_media_type")


def test_a_body_without_a_length_is_counted_and_takes_no_memory(running):
    before = running.rss_bytes()
    with running.connect() as connection:
        connection.sendall(POST + b"Transfer-Encoding: chunked\r\n\r\n")
        sent = 0
        try:
            while sent < 1 << 30:
                connection.sendall(b"100000\r\n" + b" " * (1 << 20) + b"\r\n")
                sent += 1 << 20
        except OSError:
            pass
        answer = received(connection)
    assert sent < 64 << 20
    assert answer == b"" or status_and_error(answer) == (413, "too_large")  # the answer may be lost where more is sent all the same
    assert running.rss_bytes() - before < 50 << 20


def test_slow_bodies_and_slow_headers_are_ended_and_hold_up_nobody(running):
    """All at once, since each takes the ten seconds that a request may."""
    slow = {
        "no byte": b"",
        "half a line": b"GET /v1/li",
        "half the headers": b"GET /v1/limits HTTP/1.1\r\n" + HOST,
        "half the body": POST + b"Content-Length: 20\r\n\r\n{",
        "half a chunked body": POST + b"Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n",
    }
    found, threads, stop = {}, [], threading.Event()

    def ask(name):
        begun = time.monotonic()
        with running.connect(timeout=BODY_S + 15) as connection:
            connection.sendall(slow[name])
            answer = b""
            while not answer and time.monotonic() < begun + BODY_S + 10:  # a byte a second, as Slowloris does
                connection.settimeout(1.0)
                try:
                    answer = connection.recv(1 << 16)
                    answer += received(connection)
                    break
                except TimeoutError:
                    if name.startswith("half the"):
                        try:
                            connection.sendall(b"x")
                        except OSError:
                            break
        found[name] = status_and_error(answer), time.monotonic() - begun

    for name in slow:
        threads.append(threading.Thread(target=ask, args=(name,)))
        threads[-1].start()
    latest = 0.0
    with httpx.Client(base_url=running.url, headers={"authorization": f"Bearer {TOKEN}"}) as client:
        while any(thread.is_alive() for thread in threads):
            begun = time.monotonic()
            assert client.get("/v1/limits").status_code == 200
            latest = max(latest, time.monotonic() - begun)
            stop.wait(0.2)
    assert {name: answer for name, (answer, _) in found.items()} == dict.fromkeys(slow, (408, "too_slow"))
    assert all(BODY_S - 1 < took < BODY_S + 8 for _, took in found.values())
    assert latest < 5


def test_no_path_leads_out_of_the_media_folder(running):
    """2,000 payloads, as clip ids and before /media."""
    outside = [CANARY, b"root:", b"vidsearch-index"]
    paths = payloads()

    async def ask(path, number):
        reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
        writer.write(
            f"GET /v1/clips/{path}{('', '/media')[number % 2]} HTTP/1.1\r\n".encode() + HOST + BEARER + b"Connection: close\r\n\r\n"
        )
        answer = await reader.read()
        writer.close()
        assert not any(secret in answer for secret in outside), path
        return int(answer[9:12]), answer

    async def ask_all():
        found = []
        for start in range(0, len(paths), 50):
            found += await asyncio.gather(*(ask(path, start + place) for place, path in enumerate(paths[start : start + 50])))
        return found

    found = asyncio.run(ask_all())
    assert len(found) == 2000
    assert {status for status, _ in found} <= {200, 400, 404, 431}
    for path, (status, answer) in zip(paths, found, strict=True):
        if status == 200:  # the clip c0 itself, with a query that means nothing
            assert path.startswith(("c0?", "c0#"))
            assert b'"clip_id":"c0"' in answer


@pytest.mark.parametrize("clip", ["c1", "c2"])  # a link out of the folder, a path out of it
def test_a_clip_outside_of_the_media_folder_is_not_sent(running, clip):
    answer = httpx.get(f"{running.url}/v1/clips/{clip}/media", headers={"authorization": f"Bearer {TOKEN}"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found")
    assert CANARY not in answer.content


def test_ranges_of_a_clip_are_sent(running):
    with httpx.Client(base_url=running.url, headers={"authorization": f"Bearer {TOKEN}"}, timeout=30) as client:
        whole = client.get("/v1/clips/c0/media")
        part = client.get("/v1/clips/c0/media", headers={"range": "bytes=10-19"})
        beyond = client.get("/v1/clips/c0/media", headers={"range": "bytes=999999999-"})
    assert (whole.status_code, part.status_code, part.content) == (200, 206, whole.content[10:20])
    assert (beyond.status_code, beyond.json()["error"]["code"]) == (416, "no_such_bytes")


def test_nothing_that_was_typed_is_logged(running):
    with httpx.Client(base_url=running.url, headers={"authorization": f"Bearer {TOKEN}"}, timeout=30) as client:
        client.post("/v1/search", json={"text": SECRET})
        client.post("/v1/search", json={"like": [SECRET]})
        client.post("/v1/search", json={"vector": [1.0] * 8, "where": f"caption = '{SECRET}' and"})
        client.get(f"/v1/clips/{SECRET}")
        client.get(f"/v1/clips/{SECRET}/media")
        client.get(f"/v1/{SECRET}?{SECRET}")
        client.post("/login", data={"token": SECRET})
    running.send(b"GET " + SECRET.encode() + b"\r\n\r\n")
    assert SECRET.partition(" ")[0] not in running.said()
    assert TOKEN not in running.said()


def test_it_writes_down_what_is_asked_survives_a_kill_and_answers_what_is_under_way_when_it_is_told_to_end(own_root, tmp_path):
    """In one test, since each start takes seconds."""
    with Serving(own_root, tmp_path, "--log-queries") as killed:
        httpx.post(f"{killed.url}/v1/search", json={"vector": [1.0] * 8, "where": f"caption = '{SECRET}'"}).raise_for_status()
        httpx.post(f"{killed.url}/v1/search", json={"like": [SECRET]})
        killed.kill()
        lines = [json.loads(line) for line in killed.said().splitlines() if line.startswith("{")]
    assert [line["outcome"] for line in lines] == ["answered", "QueryError"]
    assert lines[0]["question"] == {"vector": "8 numbers", "where": f"caption = '{SECRET}'"}

    body = b'{"vector": [1, 0, 0, 0, 0, 0, 0, 0]}'
    with Serving(own_root, tmp_path, "--port", str(killed.port)) as serving:
        with serving.connect() as begun:
            begun.sendall(POST + b"Content-Length: %d\r\n\r\n" % len(body) + body[:5])
            assert httpx.get(f"{serving.url}/healthz").status_code == 200  # by now it has seen the other one
            serving.process.terminate()
            _wait_until_refused(serving)
            begun.sendall(body[5:])
            answer = received(begun)
        assert answer.startswith(b"HTTP/1.1 200")
        assert serving.process.wait(20) == 0


def _wait_until_refused(serving):
    until = time.monotonic() + 10
    while time.monotonic() < until:
        try:
            serving.connect(timeout=1).close()
        except ConnectionRefusedError:
            return
        time.sleep(0.02)
    pytest.fail("it still takes connections")


def test_what_cannot_be_served_is_said_in_a_line(root, tmp_path, monkeypatch):
    monkeypatch.delenv(TOKEN_VARIABLE, raising=False)
    open_to_all, short = tmp_path / "token", tmp_path / "short"
    open_to_all.write_text(TOKEN)
    open_to_all.chmod(0o644)
    short.touch(0o600)
    short.write_text("hunter2")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        for options, said in [
            ({"host": "0.0.0.0"}, "a token is needed"),
            ({"token_file": open_to_all}, r"mode 0644\); run: chmod 600"),
            ({"token_file": short}, "must be 16 to 4096"),
            ({"token_file": tmp_path / "none"}, "no token file"),
            ({"token_file": tmp_path}, "no token file"),
            ({"port": taken.getsockname()[1]}, "cannot be used"),
        ]:
            with pytest.raises(VidsearchError, match=said) as error:
                serve(root, page=False, **options)
            assert "\n" not in str(error.value)
            assert "hunter2" not in str(error.value)
        monkeypatch.setenv(TOKEN_VARIABLE, TOKEN)
        with pytest.raises(VidsearchError, match="is no address of this machine"):
            serve(root, page=False, host="no.such.host.invalid")


def test_a_refusal_of_the_command_is_one_line_and_exit_code_2(root, tmp_path):
    command = [sys.executable, "-m", "vidsearch", "serve", str(root), "--host", "0.0.0.0"]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (2, "", 1)
    assert done.stderr.startswith("error: 0.0.0.0 is open to other machines, so a token is needed")

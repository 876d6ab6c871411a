"""The media routes: ranges as RFC 9110 has them, and whatever is asked for, never a byte of anything but the clip's own file."""

import asyncio
import os
import random
import socket
import threading
from contextlib import closing
from urllib.parse import quote

import numpy as np
import pytest
import uvicorn
from fastapi import FastAPI
from hypothesis import given
from hypothesis import strategies as st
from starlette.testclient import TestClient
from support.archives import write_tar
from support.made import made
from support.videos import copy_packets, write_video

from vidsearch import open_index
from vidsearch.playback._ranges import Stretch, Unsatisfiable, read_range
from vidsearch.playback.media import Media
from vidsearch.service.routes.media import CHUNK_BYTES, media_routes
from vidsearch.upkeep.delete import delete

CANARY = b"canary-7f3a91: not for you"
SECRETS = ("id-of-a-clip", "cookie-of-mine", "token-of-mine")
ROWS = [
    "v.mp4",
    "set.tar/v.mp4",
    "v.mkv",
    "link.mp4",
    "pipe.mp4",
    "folder",
    "gone.mp4",
    "v.mp4",
    "big.mp4",
    "swap.mp4",
    "../secret.txt",
    "v.html",
]
DELETED = 7
PAYLOADS = 2000


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    base = tmp_path_factory.mktemp("routes")
    root = base / "videos"
    (root / "folder").mkdir(parents=True)
    (base / "secret.txt").write_bytes(CANARY)
    (root / "secret.txt").write_bytes(CANARY)  # below the root, and no clip's file
    (root / "v.html").write_text("<script>1</script>")
    write_video(root / "v.mp4", frames=30, options={"preset": "ultrafast"})
    copy_packets(root / "v.mp4", root / "v.mkv")
    write_tar(root / "set.tar", [("a", CANARY * 100), ("v.mp4", (root / "v.mp4").read_bytes()), ("z", CANARY * 100)])
    (root / "link.mp4").symlink_to(base / "secret.txt")
    (root / "swap.mp4").write_bytes(b"still a file")
    os.mkfifo(root / "pipe.mp4")
    (root / "big.mp4").write_bytes(random.Random(1).randbytes(20_000_000))
    made(root / "index", np.eye(len(ROWS)), video=ROWS, caption=["x"] * len(ROWS))
    delete(root / "index", clip_ids=[f"c{DELETED}"])
    return root


@pytest.fixture(scope="module")
def application(root, tmp_path_factory):
    media = Media(open_index(root / "index"), root, tmp_path_factory.mktemp("cache"))
    application = FastAPI(openapi_url=None)
    application.include_router(media_routes(lambda: media))
    yield application
    media.close()


@pytest.fixture(scope="module")
def client(application):
    with TestClient(application) as client:
        yield client


@pytest.fixture(scope="module")
def port(application):
    """The application under uvicorn, where raw bytes of a request matter."""
    with closing(socket.socket()) as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()  # so that a request waits for the server
        server = uvicorn.Server(uvicorn.Config(application, log_level="critical"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        yield listening.getsockname()[1]
        server.should_exit = True
        thread.join()


# ranges: a simple model, which lists the positions


def positions(header: str, size: int) -> list[int] | None:
    """Return the positions that a single well-formed range names, the plain way."""
    first, last = header.removeprefix("bytes=").split("-")
    if first:
        return [place for place in range(size) if place >= int(first) and (not last or place <= int(last))]
    return list(range(size))[-int(last) :] if int(last) else []


@given(st.integers(0, 60), st.one_of(st.none(), st.integers(0, 80)), st.one_of(st.none(), st.integers(0, 80)))
def test_a_range_is_what_a_simple_model_says(size, first, last):
    if first is None and last is None:
        assert read_range("bytes=-", size) == Unsatisfiable()
        return
    header = f"bytes={'' if first is None else first}-{'' if last is None else last}"
    found, expected = read_range(header, size), positions(header, size)
    if expected:
        assert found == Stretch(expected[0], expected[-1] + 1)
    else:
        assert found == Unsatisfiable()


@given(st.text(max_size=40).map(lambda text: "bytes=" + text), st.integers(0, 100))
def test_whatever_is_asked_for_lies_in_the_file(header, size):
    found = read_range(header, size)
    assert found is None or isinstance(found, Unsatisfiable) or 0 <= found.start < found.end <= size


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (None, None),
        ("items=0-1", None),
        ("bytes=0-1,3-4", None),
        ("bytes=" + "0-," * 80, None),
        ("bytes=" + "0-1," * 10**6, Unsatisfiable()),
        ("BYTES= 2-4 ", Stretch(2, 5)),
        ("bytes=9-1", Unsatisfiable()),
        ("bytes=10-", Unsatisfiable()),
        ("bytes=-0", Unsatisfiable()),
        ("bytes=1-2-3", Unsatisfiable()),
        ("bytes=-99999", Stretch(0, 10)),
        ("bytes=0-" + "9" * 19, Stretch(0, 10)),
        ("bytes=0-" + "9" * 20, Unsatisfiable()),
        ("bytes=٣-٤", Unsatisfiable()),  # digits, but not ours
    ],
)
def test_ranges_that_are_written_oddly(header, expected):
    assert read_range(header, 10) == expected


def test_a_stretch_of_a_video_is_sent(client, root):
    data = (root / "v.mp4").read_bytes()
    for number in (0, 1):  # a file, and a member of an archive
        for header, start, end in (("bytes=0-9", 0, 10), ("bytes=100-", 100, len(data)), ("bytes=-7", len(data) - 7, len(data))):
            answer = client.get(f"/media/video/c{number}", headers={"Range": header})
            assert (answer.status_code, answer.content) == (206, data[start:end])
            assert answer.headers["content-range"] == f"bytes {start}-{end - 1}/{len(data)}"
        answer = client.get(f"/media/video/c{number}", headers={"Range": f"bytes={len(data)}-"})
        assert (answer.status_code, answer.headers["content-range"]) == (416, f"bytes */{len(data)}")
        assert client.get(f"/media/video/c{number}").content == data


def test_the_headers_are_safe_and_echo_nothing(client):
    sent = {"Cookie": SECRETS[1], "Authorization": SECRETS[2], "X-Other": SECRETS[0]}
    answers = {
        path: client.get(f"/media/{path}", headers=sent) for path in ("video/c0", "poster/c0", "cut/c2", "video/c11", f"video/{SECRETS[0]}")
    }
    types = [answer.headers["content-type"].partition(";")[0] for answer in answers.values()]
    assert types == ["video/mp4", "image/jpeg", "video/mp4", "application/octet-stream", "text/plain"]
    assert [answer.status_code for answer in answers.values()] == [200, 200, 200, 200, 404]
    for answer in answers.values():
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cross-origin-resource-policy"] == "same-origin"
        told = repr(answer.headers).encode() + (answer.content if answer.status_code != 200 else b"")
        assert not any(secret.encode() in told for secret in SECRETS)
    assert answers["video/c0"].headers["content-disposition"] == 'inline; filename="c0.mp4"'
    assert answers["video/c0"].headers["cache-control"].startswith("private")


def test_what_the_browser_has_is_not_sent_again(client):
    first = client.get("/media/video/c0")
    etag = first.headers["etag"]
    assert client.get("/media/video/c0", headers={"If-None-Match": f'"x", W/{etag}'}).status_code == 304
    assert client.get("/media/video/c0", headers={"Range": "bytes=0-1", "If-Range": etag}).status_code == 206
    whole = client.get("/media/video/c0", headers={"Range": "bytes=0-1", "If-Range": '"of another file"'})
    assert (whole.status_code, whole.content) == (200, first.content)


def test_head_tells_the_length_and_sends_nothing(client, root):
    answer = client.head("/media/video/c0", headers={"Range": "bytes=0-1"})
    assert (answer.status_code, answer.content) == (200, b"")
    assert int(answer.headers["content-length"]) == (root / "v.mp4").stat().st_size


def test_playback_is_told_as_json(client):
    assert client.get("/media/playback/c0").json() == {"url": "/media/video/c0", "start_s": 0.0, "end_s": 1.0, "fps": 25.0, "why": ""}
    assert client.get("/media/playback/c6").json()["why"] == "its video is not in the media folder"
    assert client.get("/media/playback/none").status_code == 404


@pytest.mark.parametrize(
    "number", [number for number, video in enumerate(ROWS) if video in ("link.mp4", "pipe.mp4", "folder", "gone.mp4")] + [7, 10]
)
@pytest.mark.parametrize("route", ["video", "cut", "poster"])
def test_what_is_no_file_of_a_clip_is_404(client, route, number):
    answer = client.get(f"/media/{route}/c{number}")
    assert answer.status_code == 404
    assert answer.text.count("\n") == 1
    assert CANARY not in answer.content


def test_a_file_swapped_for_a_link_is_not_followed(client, root):
    assert client.get("/media/video/c9").content == b"still a file"
    (root / "swap.mp4").unlink()
    (root / "swap.mp4").symlink_to(root.parent / "secret.txt")
    assert client.get("/media/video/c9").status_code == 404
    (root / "swap.mp4").unlink()
    (root / "swap.mp4").symlink_to(root.parent)
    assert client.get("/media/video/c9").status_code == 404


@pytest.mark.parametrize("width", ["0", "-1", "161", "1e3", "٣٢٠", "9" * 100, "320x", ""])
def test_a_poster_of_another_width_is_refused(client, width):
    assert client.get("/media/poster/c0", params={"w": width}).status_code == 400


def payloads() -> list[str]:
    """Return paths after /media/video/ that try to leave it, all sorts of, written as they go over the wire."""
    draw = random.Random(39)
    steps = (
        "../",
        "..%2f",
        "%2e%2e/",
        "%2e%2e%2f",
        "....//",
        "..\\",
        "..%5c",
        "%252e%252e%252f",
        "..;/",
        "%c0%ae%c0%ae/",
        "%u002e%u002e/",
        "./",
        "//",
        "%00/",
    )
    ends = (
        "secret.txt",
        "etc/passwd",
        "%65tc/passwd",
        "index/FORMAT",
        "secret.txt%00.mp4",
        "v.mp4/../secret.txt",
        "c0/../../secret.txt",
        "proc/self/environ",
    )
    starts = ("", "/", "c0/", "v.mp4/", "file:", "file:///", "C:\\", "~/", "c0%00", "%2f", "set.tar/", "\u202e", "c0?/", "..", "😀/", "c0#")
    made_up = [draw.choice(starts) + draw.choice(steps) * draw.randint(0, 12) + draw.choice(ends) for _ in range(PAYLOADS - 40)]
    long = [step * count + "secret.txt" for step in steps[:10] for count in (200, 1000, 3000, 6000)]
    return [quote(path, safe="/%.;\\:?#~") for path in made_up + long]


def test_no_path_leads_to_anything_else(port, root):
    outside = [CANARY, b"root:", (root / "index" / "FORMAT").read_bytes()[:40]]
    paths = payloads()
    statuses = asyncio.run(ask_all(port, paths, outside))
    assert len(statuses) == PAYLOADS
    found = {path for path, status in zip(paths, statuses, strict=True) if status == 200}
    assert all(path.startswith(("c0?", "c0#")) for path in found)  # the clip c0, with a query that means nothing
    assert set(statuses) <= {200, 400, 404, 414, 431}


async def ask_all(port: int, paths: list[str], outside: list[bytes]) -> list[int]:
    async def ask(path: str) -> int:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        route = ("video", "cut", "poster", "playback")[len(path) % 4]
        writer.write(f"GET /media/{route}/{path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
        answer = await reader.read()
        writer.close()
        await writer.wait_closed()
        assert not any(secret in answer for secret in outside), path
        return int(answer[9:12])

    statuses = []
    for start in range(0, len(paths), 50):
        statuses += await asyncio.gather(*(ask(path) for path in paths[start : start + 50]))
    return statuses


def test_a_connection_that_is_not_read_holds_up_no_other(port, root):
    asked = b"GET /media/video/c8 HTTP/1.1\r\nHost: localhost\r\n\r\n"
    slow = [socket.create_connection(("127.0.0.1", port)) for _ in range(30)]
    for connection in slow:
        connection.sendall(asked)
    with closing(socket.create_connection(("127.0.0.1", port), timeout=20)) as quick:
        quick.sendall(b"GET /media/video/c0 HTTP/1.1\r\nHost: localhost\r\nRange: bytes=0-9\r\nConnection: close\r\n\r\n")
        assert receive(quick).endswith((root / "v.mp4").read_bytes()[:10])
    for connection in slow:
        connection.close()


def receive(connection: socket.socket) -> bytes:
    data = b""
    while part := connection.recv(1 << 20):
        data += part
    return data


def test_a_video_that_is_cut_short_while_it_plays_ends_the_connection(port, root):
    big = root / "big.mp4"
    data = big.read_bytes()
    try:
        with closing(socket.create_connection(("127.0.0.1", port), timeout=20)) as connection:
            connection.sendall(b"GET /media/video/c8 HTTP/1.1\r\nHost: localhost\r\n\r\n")
            first = connection.recv(1000)
            os.truncate(big, CHUNK_BYTES)
            answer = first + receive(connection)
        head, _, body = answer.partition(b"\r\n\r\n")
        assert f"content-length: {len(data)}".encode() in head
        assert len(body) < len(data)
        assert body == data[: len(body)]
    finally:
        big.write_bytes(data)


def test_many_ranges_at_once_are_each_right(client, root):
    data = (root / "big.mp4").read_bytes()
    draw = random.Random(4)
    for _ in range(30):
        start = draw.randrange(len(data))
        end = min(len(data), start + draw.choice((1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 3 * CHUNK_BYTES)))
        assert client.get("/media/video/c8", headers={"Range": f"bytes={start}-{end - 1}"}).content == data[start:end]

"""Videos and indexes in object storage: a server of S3's protocol on the loopback, asked by the commands in processes of their own."""

import importlib.util
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.contents import check_books, contents

from indexer.toyvideos import write_demo_videos
from vidsearch.storage.address import address_of, folder_of, is_remote

CLIPS = 8
COMMAND = (sys.executable, "-c", "from vidsearch.cli import main; main()")
MODEL = ("--model", "demo-viclip", "--device", "cpu", "--workers", "1")
needs_server = pytest.mark.skipif(importlib.util.find_spec("moto") is None, reason="moto, of the group dev, is not installed")


class Store:
    """A bucket `data` on a server of this machine, and commands that see it."""

    def __init__(self, port: int, cache: Path) -> None:
        self._tail = f"?endpoint_override=127.0.0.1:{port}&scheme=http&region=us-east-1&allow_bucket_creation=true"
        credentials = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_EC2_METADATA_DISABLED": "true"}
        self.cache = cache
        self.env = {**os.environ, **credentials, "VIDSEARCH_CACHE": str(cache), "COLUMNS": "80"}

    def address(self, path: str) -> str:
        return f"s3://data/{path}{self._tail}"

    def vidsearch(self, *words: object, code: int = 0) -> subprocess.CompletedProcess[str]:
        done = subprocess.run([*COMMAND, *map(str, words)], env=self.env, capture_output=True, text=True, check=False, timeout=120)
        assert done.returncode == code, done.stderr
        return done

    def script(self, text: str, *words: object) -> str:
        """Run a few lines that have `bucket`, the whole bucket."""
        opened = f"import sys; from vidsearch.storage.bucket import Bucket; bucket = Bucket({self.address('')!r})\n"
        done = subprocess.run(
            [sys.executable, "-c", opened + text, *map(str, words)], env=self.env, capture_output=True, text=True, check=False, timeout=60
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def put(self, folder: Path, name: str) -> None:
        """Bring the files of a folder into the bucket."""
        self.script(
            "from pathlib import Path\n"
            "for path in sorted(Path(sys.argv[1]).iterdir()): bucket.write(f'{sys.argv[2]}/{path.name}', iter([path.read_bytes()]))",
            folder,
            name,
        )


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> Iterator[Store]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        until = time.monotonic() + 60
        while time.monotonic() < until:
            assert server.poll() is None
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                time.sleep(0.1)
        made = Store(port, tmp_path_factory.mktemp("cache"))
        made.script("bucket._fs.create_dir('data')")
        yield made
    finally:
        server.kill()
        server.wait()


@pytest.fixture(scope="module")
def clips(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("clips")
    rows = list(write_demo_videos(folder, count=CLIPS, seed=5))
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


@pytest.fixture(scope="module")
def alone(clips, store, tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("alone") / "index"
    store.vidsearch("index", clips, "--out", root, *MODEL)
    return root


@needs_server
def test_videos_are_read_and_the_index_is_written_there_and_asked_from_there(store, clips, alone):
    store.put(clips, "clips")
    done = store.vidsearch("index", store.address("clips"), "--out", store.address("index"), *MODEL)
    assert f"{CLIPS} clips indexed" in done.stdout
    assert "MB uploaded to s3://data/index" in done.stdout
    near = folder_of(store.address("index"), store.cache)
    check_books(near)
    assert contents(near) == contents(alone)
    held = sum(path.stat().st_blocks for path in folder_of(store.address("clips"), store.cache).glob("*.mp4"))
    assert held == 0  # the videos are not kept

    shutil.rmtree(store.cache)  # another machine
    found = store.vidsearch("query", "a red circle", "--index", store.address("index"), "--format", "ids").stdout
    assert found == store.vidsearch("query", "a red circle", "--index", alone, "--format", "ids").stdout != ""
    assert contents(near) == contents(alone)
    again = store.vidsearch("index", store.address("clips"), "--out", store.address("index"), *MODEL)
    assert f"{CLIPS} were there already" in again.stdout
    assert contents(near) == contents(alone)


@needs_server
def test_parts_read_from_there_too(store, clips, alone, tmp_path):
    store.put(clips, "parted")
    for number in range(2):
        store.vidsearch("index", store.address("parted"), "--out", tmp_path / "index", *MODEL, "--shard", f"{number}/2", "--job-clips", "3")
    store.vidsearch("commit", tmp_path / "index")
    assert contents(tmp_path / "index") == contents(alone)


@needs_server
def test_what_is_damaged_there_is_not_taken_over(store, clips, alone):
    store.vidsearch("index", clips, "--out", store.address("damaged"), *MODEL)
    shutil.rmtree(store.cache)
    store.script(
        "path = next(found.path for found in bucket.list_files('damaged') if found.path.endswith('vectors.f16'))\n"
        "data = bytearray(b''.join(bucket.chunks(path))); data[5] ^= 1\n"
        "bucket.write(path, iter([bytes(data)]))"
    )
    told = store.vidsearch("query", "a red circle", "--index", store.address("damaged"), code=5).stderr
    assert "vectors.f16 is not what the index was built with" in told
    assert told.count("\n") == 1


@needs_server
@pytest.mark.parametrize(
    ("words", "code", "line"),
    [
        (("query", "x", "--index", "{nowhere}"), 5, "not a vidsearch index (no manifests)"),
        (("index", "{nowhere}", "--out", "{index}"), 2, "nothing to index at s3://data/nowhere"),
        (("index", "{nowhere}"), 2, "where is the index to go? Give --out"),
        (("index", "{clips}", "--out", "{index}", "--shard", "0/2"), 2, "upload the index when it is whole"),
    ],
)
def test_what_cannot_be_done_there_is_one_line(store, clips, words, code, line):
    places = {"nowhere": store.address("nowhere"), "index": store.address("index-2"), "clips": clips}
    told = store.vidsearch(*(word.format(**places) for word in words), *(MODEL if words[0] == "index" else ()), code=code).stderr
    assert line in told.strip().splitlines()[-1]
    assert "Traceback" not in told


@pytest.mark.parametrize("place", ["s3://bucket/path", "s3:/bucket/path", "gs://bucket/path/", Path("s3://bucket/path")])
def test_an_address_is_known_as_text_and_as_a_path(place):
    assert is_remote(place)
    assert address_of(place).split("://")[1] == "bucket/path"


@pytest.mark.parametrize("place", ["s3", "index", "/s3:/x", "http://host/x", "s3://", "./s3:/bucket"])
def test_other_places_are_none(place):
    assert not is_remote(place)

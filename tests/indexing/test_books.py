"""A build that is killed, or that runs out of room: what was committed is there, and the ledger says what is still to come."""

import errno
import json
import signal
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from indexer import build, commits, room
from vidsearch import open_index
from vidsearch.config import external_space
from vidsearch.encoders.base import Encoder, unit_rows
from vidsearch.storage import manifest as manifests
from vidsearch.storage.ledger import Ledger, recount

ROWS = 11
SCRIPT = """
import os, signal, sys
from indexer import build, captions, commits
sys.path.insert(0, sys.argv[1])
from test_books import Letters
captions.TEXTS_AT_ONCE, commits.COMMIT_EVERY_S = 2, -1.0
def die(summary):
    if summary.indexed >= int(sys.argv[3]):
        os.kill(os.getpid(), signal.SIGKILL)
build(sys.argv[2], sys.argv[2] + "/index", encoder=Letters(), from_captions=True, progress=die)
"""


class Letters(Encoder):
    """Counts the letters of a sentence: a model small enough for a process that lives a second."""

    space = replace(external_space(26), encoder="letters", model="letters")

    def encode_texts(self, texts):
        return unit_rows(np.array([[text.count(letter) for letter in "abcdefghijklmnopqrstuvwxyz"] for text in texts], dtype=np.float32))

    def encode_pixels(self, pixels):
        raise AssertionError("there are no videos")


@pytest.fixture
def folder(tmp_path):
    rows = [
        {"YoutubeID": f"video{n:06d}", "Start_timestamp": "00:00:01.000", "End_timestamp": "00:00:02.000", "Caption": f"a {'dog' * n} runs"}
        for n in range(ROWS)
    ]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path


def books(root):
    """Return the clips that are done and those that are pending, the ledger having been compared with the segments."""
    ledger = Ledger.from_settings(manifests.read(root).settings)
    assert ledger.done == recount(open_index(root).segments)
    return ledger.done.clips, ledger.all_pending.clips


@pytest.mark.parametrize("done", [0, 5])
def test_a_killed_build_has_books_that_add_up_and_goes_on(folder, tmp_path_factory, done):
    here = str(__file__).rpartition("/")[0]
    killed = subprocess.run([sys.executable, "-c", SCRIPT, here, str(folder), str(done)], check=False, timeout=60)
    assert killed.returncode == -signal.SIGKILL
    root = folder / "index"
    if Ledger.from_settings(manifests.read(root).settings) is not None:  # else it died before it had planned anything
        kept, pending = books(root)
        assert kept + pending == ROWS
        assert kept == len(open_index(root))
    summary = build(folder, root, encoder=Letters(), from_captions=True)
    assert summary.indexed + summary.already == summary.rows == ROWS
    assert books(root) == (ROWS, 0)


def test_a_build_on_a_disk_without_room_does_not_begin(folder, monkeypatch):
    monkeypatch.setattr(room, "FLOOR_BYTES", 1 << 60)
    with pytest.raises(OSError, match="disk nearly full") as caught:
        build(folder, folder / "index", encoder=Letters(), from_captions=True)
    assert caught.value.errno == errno.ENOSPC
    assert not (folder / "index").exists()


def test_a_build_whose_disk_fills_up_keeps_what_it_has(folder, monkeypatch):
    monkeypatch.setattr("indexer.captions.TEXTS_AT_ONCE", 3)
    monkeypatch.setattr(commits, "COMMIT_EVERY_S", -1.0)

    def fill(summary):
        if summary.indexed:
            room.FLOOR_BYTES = 1 << 60

    monkeypatch.setattr(room, "FLOOR_BYTES", 0)
    with pytest.raises(OSError, match="make room and go on") as caught:
        build(folder, folder / "index", encoder=Letters(), from_captions=True, progress=fill)
    assert caught.value.errno == errno.ENOSPC
    kept, pending = books(folder / "index")
    assert (kept, pending) == (6, ROWS - 6)
    monkeypatch.setattr(room, "FLOOR_BYTES", 0)
    assert build(folder, folder / "index", encoder=Letters(), from_captions=True).indexed == ROWS - 6
    assert books(folder / "index") == (ROWS, 0)

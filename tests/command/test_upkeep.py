"""The commands that keep an index: what they print, their exit codes, and that nothing is lost by a slip."""

import json

import numpy as np
import pytest
from support.made import made

from vidsearch import open_index
from vidsearch.storage import manifest as manifests

ROWS = 30


@pytest.fixture
def root(tmp_path):
    rng = np.random.default_rng(0)
    return made(tmp_path / "index", *(rng.standard_normal((ROWS, 8)) for _ in range(2)), language=["en", "de"] * ROWS).root


def damage(root, name):
    path = root / "segments" / open_index(root).segments[0].uuid / name
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def test_verify_says_whole_or_what_is_damaged(vidsearch, root):
    code, out, _ = vidsearch("verify", root)
    assert (code, out.splitlines()[-1]) == (0, "whole")
    assert "60 clips in 2 segments" in out
    damage(root, "vectors.f16")
    code, out, _ = vidsearch("verify", root)
    assert code == 3
    assert "vectors.f16" in out
    assert "vidsearch repair" in out
    code, out, _ = vidsearch("verify", root, "--json")
    assert (code, json.loads(out)["whole"], json.loads(out)["faults"][0]["rows"]) == (3, False, ROWS)


def test_a_damaged_index_answers_and_says_so_or_refuses(vidsearch, root):
    damage(root, "columns.bin")
    code, out, err = vidsearch("similar", "c40", "--index", root, "--format", "ids", "-k", "3")
    assert (code, out.splitlines()[0]) == (3, "c40")
    assert "30 clips left out" in err
    code, out, err = vidsearch("similar", "c40", "--index", root, "--strict")
    assert (code, out) == (4, "")
    assert err.startswith("error: ")
    assert len(err.splitlines()) == 1


def test_repair_mends_and_says_what_it_could_not_save(vidsearch, root):
    assert vidsearch("repair", root) == (0, "nothing is damaged\n", "")
    damage(root, "vectors.f16")
    code, out, _ = vidsearch("repair", root)
    assert code == 0
    assert "29 of 30 clips saved" in out
    assert vidsearch("verify", root)[0] == 0
    damage(root, "SEGMENT.json")
    code, out, err = vidsearch("repair", root)
    assert code == 3
    assert "nothing can be saved" in out
    assert "--drop" in err
    assert vidsearch("repair", root, "--drop")[0] == 0
    assert vidsearch("verify", root)[0] == 0


def test_gc_only_says_what_would_go_unless_told_to_delete(vidsearch, root):
    assert "2 segment(s) became 1" in vidsearch("compact", root)[1]
    assert "nothing to do: 60 clips" in vidsearch("compact", root)[1]
    before = sorted(root.rglob("*"))
    code, out, _ = vidsearch("gc", root, "--grace", "0", "--versions", "1")
    assert code == 0
    assert "would go; remove them with --delete" in out
    assert sorted(root.rglob("*")) == before
    assert "0.0 MB in 0 places" in vidsearch("gc", root, "--delete")[1]
    code, out, _ = vidsearch("gc", root, "--grace", "0", "--versions", "1", "--delete", "--json")
    assert json.loads(out)["removed"]
    assert len(list((root / "segments").iterdir())) == 1
    assert vidsearch("verify", root)[0] == 0


def test_delete_asks_and_can_be_taken_back(vidsearch, root):
    version = manifests.read(root).version
    code, _, err = vidsearch("delete", "--index", root, "--where", "language = 'en'")
    assert code == 2
    assert "confirm with --yes" in err
    assert len(open_index(root)) == 2 * ROWS
    code, out, err = vidsearch("delete", "--index", root, "--where", "language = 'en'", "--yes")
    assert (code, out.split(";")[0]) == (0, "30 clips deleted")
    assert f"--rollback {version}" in err
    assert vidsearch("query", "--where", "language = 'en'", "--like", "c1", "--index", root)[1] == ""
    assert vidsearch("repair", root, "--rollback", version)[0] == 0
    assert len(open_index(root)) == 2 * ROWS


def test_delete_takes_a_file_of_ids(vidsearch, root, tmp_path):
    (tmp_path / "ids.txt").write_text("c1\nc2\nnot-there\n")
    assert vidsearch("delete", "--index", root, "--ids", tmp_path / "ids.txt", "--yes")[1].startswith("2 clips deleted; 58 are left")
    assert vidsearch("delete", "--index", root, "--ids", tmp_path / "gone.txt", "--yes")[0] == 2
    assert vidsearch("delete", "--index", root, "--yes")[0] == 2


def test_quarantine_lists_and_marks_for_another_try(vidsearch, root):
    code, out, _ = vidsearch("quarantine", "list", "--index", root)
    assert code == 0
    assert "2  OPEN_FAILED" in out
    assert "OPEN_FAILED  x" in out
    assert vidsearch("quarantine", "--index", root)[1] == out
    assert vidsearch("quarantine", "--index", root, "list")[0] == 2
    lines = vidsearch("quarantine", "list", "--index", root, "--format", "jsonl")[1].splitlines()
    assert {json.loads(line)["clip_id"] for line in lines} == {"q0", "q30"}
    assert "nothing is quarantined as EMPTY" in vidsearch("quarantine", "list", "--index", root, "--reason", "EMPTY")[1]
    code, _, err = vidsearch("quarantine", "retry", "--index", root, "--reason", "EMPTY")
    assert (code, "OPEN_FAILED" in err) == (2, True)
    assert vidsearch("quarantine", "retry", "--index", root)[1].startswith("2 entries will be tried again")
    assert manifests.read(root).settings["retry"][0]["reason"] is None


@pytest.mark.parametrize("command", ["verify", "repair", "gc", "compact"])
def test_what_is_no_index_is_one_clear_line(vidsearch, tmp_path, command):
    code, _, err = vidsearch(command, tmp_path)
    assert code == 5
    assert len(err.splitlines()) == 1
    assert "not a vidsearch index" in err
    assert list(tmp_path.iterdir()) == []

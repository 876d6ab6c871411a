"""Garbage collection removes what no version within its grace names, and nothing else."""

import os

import numpy as np
import pytest
from support.made import made

from indexer.fold import fold
from vidsearch import open_index
from vidsearch.errors import IndexCorruptError, UsageError
from vidsearch.storage import garbage
from vidsearch.storage import manifest as manifests
from vidsearch.upkeep.delete import delete

DAY_S = 24 * 3600.0


@pytest.fixture
def root(tmp_path):
    rng = np.random.default_rng(0)
    return made(tmp_path / "index", *(rng.standard_normal((20, 8)) for _ in range(3))).root


def paths(found):
    return {item.path.partition("/")[0] for item in found}


def age(root, seconds):
    """Make everything in an index that much older."""
    for path in [*root.rglob("*"), root]:
        status = path.stat()
        os.utime(path, (status.st_atime - seconds, status.st_mtime - seconds))


def test_nothing_young_is_garbage(root):
    fold(root)
    (root / "staging" / "half").mkdir()
    assert garbage.find(root) == []


def test_what_was_replaced_long_ago_goes_and_what_is_served_stays(root):
    reader = open_index(root)
    before = reader.vectors_of(range(60))
    fold(root)
    age(root, 2 * DAY_S)
    (root / "staging" / "half").mkdir(exist_ok=True)
    found = garbage.collect(root, versions=1)
    assert paths(found) >= {"manifests", "segments"}
    assert (root / "staging" / "half").exists()
    assert sum(item.size_bytes for item in found) > 0
    assert len(list((root / "segments").iterdir())) == 1
    assert len(open_index(root)) == 60
    np.testing.assert_array_equal(reader.vectors_of(range(60)), before)  # opened before, still whole
    assert garbage.find(root, versions=1) == []


def test_the_grace_counts_from_when_a_version_was_replaced(root):
    age(root, 10 * DAY_S)
    fold(root)  # just now: a reader may have found the old version a moment ago
    assert garbage.find(root, versions=1) == [item for item in garbage.find(root, versions=1) if item.path.startswith("manifests")]
    assert garbage.find(root, grace_s=0, versions=1)


def test_newest_versions_are_kept_however_old(root):
    fold(root)
    age(root, 9 * DAY_S)
    assert not garbage.find(root, versions=10)
    version = manifests.read(root).version
    assert f"manifests/{manifests.file_name(version - 1)}" in {item.path for item in garbage.find(root, versions=1)}


def test_tombstones_and_templates_go_with_the_last_version_that_names_them(root):
    delete(root, clip_ids=["c1"])
    delete(root, clip_ids=["c2"])
    garbage.collect(root, grace_s=0, versions=1)
    assert len(list((root / "tombstones").iterdir())) == 1
    fold(root, compact=True, grace_s=0)
    assert list((root / "tombstones").iterdir()) == []


def test_a_torn_version_stops_it_before_anything_is_removed(root):
    fold(root)
    newest = manifests.read(root).version
    (root / "manifests" / manifests.file_name(newest + 1)).write_bytes(b"torn")
    with pytest.raises(IndexCorruptError, match="nothing was removed"):
        garbage.collect(root, grace_s=0, versions=2)
    assert len(list((root / "segments").iterdir())) == 4


def test_a_clock_that_runs_ahead_keeps_more_not_less(root):
    fold(root)
    age(root, -365 * DAY_S)
    assert garbage.find(root, grace_s=0, versions=1) == []


def test_senseless_settings_are_refused(root):
    for arguments in ({"grace_s": -1}, {"versions": 0}):
        with pytest.raises(UsageError, match="0 or more"):
            garbage.find(root, **arguments)

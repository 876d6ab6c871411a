"""Deleted rows are gone for every question, stay gone, and come back only by rolling back."""

import numpy as np
import pytest
from support.made import made

from indexer.fold import fold
from vidsearch import open_index
from vidsearch.curate.near_duplicates import find_near_duplicates
from vidsearch.errors import ConflictError, FilterError, UsageError
from vidsearch.storage import manifest as manifests
from vidsearch.storage.quarantine import DELETED
from vidsearch.storage.rewrite import with_column
from vidsearch.storage.tombstones import bury, read_deleted
from vidsearch.upkeep.delete import delete
from vidsearch.upkeep.repair import roll_back


@pytest.fixture
def index(tmp_path):
    rng = np.random.default_rng(0)
    languages = ["en", "de", "en", None, "fr"] * 10
    captions = [f"a dog number {n}" for n in range(50)]
    return made(tmp_path / "index", *(rng.standard_normal((25, 8)) for _ in range(2)), language=languages, caption=captions)


def found(index, **arguments):
    return {hit.clip_id for hit in index.search(vector=np.ones(8, np.float32), k=100, **arguments)}


def everything(*, but=()):
    return {f"c{n}" for n in range(50)} - set(but)


def test_a_deleted_clip_is_in_no_answer(index):
    opened_before = open_index(index.root)
    assert delete(index.root, clip_ids=["c3", "c30", "no such clip"]) == 2
    after = open_index(index.root)
    gone = {"c3", "c30"}
    assert found(after) == found(after, exact=True) == everything(but=gone)
    assert found(after, where="language = 'en' or language is null") == {f"c{n}" for n in range(50) if n % 5 in (0, 2, 3)} - gone
    assert found(after, texts=["dog number"], mode="keywords") == everything(but=gone) if after.manifest.template else True
    assert len(after) == 48
    assert after.count().rows == 48
    assert dict(after.value_counts("language", after.select(None)))[None] == 9
    with pytest.raises(UsageError, match="no clip 'c30'"):
        after.row_of("c30")
    assert found(opened_before) == everything()


def test_deleting_by_filter_deletes_what_the_filter_finds(index):
    assert delete(index.root, where="language = 'en'") == 20
    after = open_index(index.root)
    assert found(after) == {f"c{n}" for n in range(50) if n % 5 not in (0, 2)}
    assert delete(index.root, where="language = 'en'") == 0
    assert manifests.read(index.root).version == after.manifest.version  # nothing to do, nothing written


def test_what_was_deleted_is_remembered_in_quarantine(index):
    delete(index.root, clip_ids=["c1", "c40"])
    fold(index.root, compact=True, grace_s=0)
    after = open_index(index.root)
    (segment,) = after.segments
    entries = [entry["clip_id"] for entry in segment.quarantine().to_pylist() if entry["reason"] == DELETED]
    assert sorted(entries) == ["c1", "c40"]
    assert segment.rows == 48
    assert found(after) == everything(but=entries)
    assert after.manifest.features == []


def test_near_duplicates_of_deleted_rows_are_no_duplicates(tmp_path):
    index = made(tmp_path / "index", np.array([[1.0, 0], [1.0, 0.001], [0, 1.0]]), np.array([[1.0, 0.0]]))
    assert find_near_duplicates(index).groups == 1
    delete(index.root, clip_ids=["c1", "c3"])
    assert find_near_duplicates(open_index(index.root)).groups == 0
    assert find_near_duplicates(open_index(index.root), all_pairs_rows=0).groups == 0


def test_a_column_added_later_leaves_deleted_rows_deleted(index):
    import pyarrow as pa

    delete(index.root, clip_ids=["c3"])
    with_column(index.root, "number", lambda segment: pa.array(range(segment.rows)))
    assert found(open_index(index.root), where="number >= 0") == everything(but=["c3"])


def test_rolling_back_brings_deleted_clips_back(index):
    delete(index.root, where="language = 'en'")
    roll_back(index.root, index.manifest.version)
    assert found(open_index(index.root)) == everything()


def test_burying_twice_is_fine_and_out_of_range_is_not(index):
    uuid = index.segments[0].uuid
    once = manifests.commit(index.root, lambda manifest: bury(index.root, manifest, {uuid: [4, 7, 4]}))
    again = manifests.commit(index.root, lambda manifest: bury(index.root, manifest, {uuid: np.array([7])}))
    assert once.segments[0].deleted == again.segments[0].deleted
    assert read_deleted(index.root, again.segments[0]).ids.tolist() == [4, 7]
    assert again.rows == 48
    for rows in ([25], [-1]):
        with pytest.raises(UsageError, match="within 0 to 24"):
            bury(index.root, again, {uuid: rows})
    with pytest.raises(ConflictError, match="another process wrote it anew"):
        bury(index.root, again, {"0" * 8 + "-0000-0000-0000-" + "0" * 12: [0]})


def test_what_cannot_be_asked_deletes_nothing(index):
    with pytest.raises(UsageError, match="by a filter or by their ids"):
        delete(index.root)
    with pytest.raises(FilterError):
        delete(index.root, where="no_such_column = 1")
    assert found(open_index(index.root)) == everything()

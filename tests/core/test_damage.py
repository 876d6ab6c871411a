"""A damaged segment is left out of answers, every answer says so, and repairing loses as little as can be."""

import numpy as np
import pytest
from support.made import made

from indexer.fold import fold
from vidsearch import open_index
from vidsearch.errors import DamagedSegmentError, IndexCorruptError, PartialIndexError, UsageError
from vidsearch.storage import manifest as manifests
from vidsearch.storage.seal import dumps, loads
from vidsearch.upkeep.delete import delete
from vidsearch.upkeep.repair import repair, roll_back
from vidsearch.upkeep.verify import verify

ROWS, DIM = 40, 16
FILES = ["SEGMENT.json", "codes.bin", "columns.bin", "quarantine.parquet", "rows.parquet", "vectors.crc32", "vectors.f16"]


@pytest.fixture
def index(tmp_path):
    rng = np.random.default_rng(0)
    languages = ["en", "de"] * ROWS
    return made(tmp_path / "index", *(rng.standard_normal((ROWS, DIM)) for _ in range(2)), language=languages)


def damage(index, name, *, segment=0, place=None):
    path = index.root / "segments" / index.segments[segment].uuid / name
    data = bytearray(path.read_bytes())
    data[len(data) // 2 if place is None else place] ^= 0x10
    path.write_bytes(data)
    return path


def found(index, **arguments):
    return {hit.clip_id for hit in index.search(vector=np.ones(DIM, np.float32), k=200, **arguments)}


def clips(*parts):
    return {f"c{n}" for part in parts for n in range(part * ROWS, (part + 1) * ROWS)}


@pytest.mark.parametrize("name", ["SEGMENT.json", "codes.bin", "columns.bin"])
def test_damage_of_what_is_read_whole_is_found_before_anything_is_answered(index, name):
    damage(index, name)
    hits = open_index(index.root).search(vector=np.ones(DIM, np.float32), k=200)
    assert {hit.clip_id for hit in hits} == clips(1)
    assert len(hits.skipped) == 1
    assert f"{ROWS} clips left out" in hits.skipped[0]
    assert name in hits.skipped[0]
    with pytest.raises(PartialIndexError, match=r"vidsearch verify"):
        open_index(index.root, strict=True).search(vector=np.ones(DIM, np.float32))


def test_a_damaged_vector_is_found_before_it_is_answered(index):
    damage(index, "vectors.f16", place=5 * 2 * DIM)
    opened = open_index(index.root)
    row = index.vectors_of([6])[0]
    assert found(opened, where="language = 'de'") <= clips(0, 1)
    assert opened.search(vector=row, k=200).skipped
    assert found(opened) == clips(1)
    with pytest.raises(DamagedSegmentError, match="row 5"):
        open_index(index.root).vectors_of([4, 5])
    with pytest.raises(PartialIndexError, match="CRC-32"):
        open_index(index.root, strict=True).search(vector=row, k=200)


def test_a_segment_found_damaged_while_asking_leaves_answers_as_if_it_had_never_been(index):
    damage(index, "vectors.f16", place=0)
    opened = open_index(index.root)
    found(opened)
    assert len(opened) == ROWS
    hit = opened.search(vector=np.ones(DIM, np.float32), k=1)[0]
    assert opened.take([opened.row_of(hit.clip_id)], ["clip_id"]) == [{"clip_id": hit.clip_id}]
    assert opened.count(where="language = 'en'").rows == ROWS // 2


@pytest.mark.parametrize("name", FILES)
def test_every_damaged_file_is_a_fault_that_names_it(index, name):
    assert verify(index.root).whole
    damage(index, name)
    report = verify(index.root)
    (fault,) = report.faults
    assert name in fault.detail
    assert (fault.what, fault.segment, fault.rows) == ("segment", index.segments[0].uuid, ROWS)


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("codes.bin", ROWS),
        ("columns.bin", ROWS),
        ("quarantine.parquet", ROWS),
        ("rows.parquet", ROWS),
        ("vectors.crc32", ROWS),
        ("vectors.f16", ROWS - 1),
    ],
)
def test_repairing_keeps_every_clip_whose_vector_and_row_are_whole(index, name, kept):
    names = sorted(clips(0))
    before = dict(zip(names, index.vectors_of([index.row_of(name) for name in names]), strict=True))
    damage(index, name)
    done = repair(index.root)
    assert (len(done.rewritten), done.dropped, done.hopeless) == (1, [], [])
    assert verify(index.root).whole
    after = open_index(index.root)
    assert len(after) == ROWS + kept
    assert not after.skipped
    there = found(after) & clips(0)
    assert len(there) == kept
    for clip in there:
        np.testing.assert_array_equal(after.vector_of(clip), before[clip])
    assert after.count(where="language = 'en'").rows == sum(int(clip[1:]) % 2 == 0 for clip in found(after))


def test_what_cannot_be_saved_is_dropped_only_when_asked(index):
    damage(index, "SEGMENT.json")
    done = repair(index.root)
    assert (done.rewritten, len(done.hopeless)) == ([], 1)
    assert manifests.read(index.root) == index.manifest
    repair(index.root, drop=True)
    assert verify(index.root).whole
    assert found(open_index(index.root)) == clips(1)


def test_deleted_rows_stay_deleted_when_it_is_forgotten_which_they_were(index):
    delete(index.root, clip_ids=["c3", "c50"])
    for path in (index.root / "tombstones").iterdir():
        path.write_bytes(b"\xff" * len(path.read_bytes()))
    assert len(open_index(index.root).skipped) == 2
    repair(index.root)
    assert found(open_index(index.root)) == clips(0, 1) - {"c3", "c50"}


def test_a_torn_newest_version_is_passed_over_reported_and_removed(index, caplog):
    path = index.root / "manifests" / manifests.file_name(index.manifest.version + 1)
    path.write_bytes(b"{}\n")
    assert found(open_index(index.root)) == clips(0, 1)
    assert [fault.what for fault in verify(index.root).faults] == ["version"]
    assert repair(index.root).removed_versions == [index.manifest.version + 1]
    assert verify(index.root).whole
    assert not path.exists()
    assert "trying the version before it" in caplog.text


def test_a_clip_that_is_there_twice_is_a_fault(index):
    first = manifests.read(index.root).segments[0]
    twin = made(index.root.parent / "twin", np.random.default_rng(0).standard_normal((ROWS, DIM)))
    (source,) = (index.root.parent / "twin" / "segments").iterdir()
    source.rename(index.root / "segments" / source.name)
    manifests.commit(index.root, lambda manifest: manifest.with_segments([*manifest.segments, *twin.manifest.segments]))
    assert first in manifests.read(index.root).segments
    (fault,) = verify(index.root).faults
    assert (fault.what, fault.rows) == ("clips", ROWS)


def test_rolling_back_needs_a_version_that_is_whole(index):
    with pytest.raises(UsageError, match=r"no version 99; those on the disk are 1 to 3"):
        roll_back(index.root, 99)
    damage(index, "rows.parquet")
    with pytest.raises(UsageError, match="gone or damaged"):
        roll_back(index.root, index.manifest.version)


def test_a_hostile_manifest_is_refused(index):
    path = index.root / "manifests" / manifests.file_name(index.manifest.version)
    values = loads(path.read_bytes(), path)
    for change in (
        {"segments": [{**values["segments"][0], "uuid": "../../x"}]},
        {"segments": [values["segments"][0], values["segments"][0]]},
        {"segments": [{**values["segments"][0], "deleted": {"uuid": "../../x", "sha256": "0" * 64, "rows": 1}}]},
        {"segments": [{**values["segments"][0], "deleted": {"uuid": values["segments"][0]["uuid"], "sha256": "0" * 64, "rows": 10**9}}]},
        {"segments": [{**values["segments"][0], "rows": 10**12}]},
    ):
        path.write_bytes(dumps({**values, **change}))
        if change["segments"][0]["rows"] > ROWS:  # what the segment itself says wins
            assert len(open_index(index.root).skipped) == 1
        else:
            with pytest.raises(IndexCorruptError, match=path.name):
                open_index(index.root)


def test_folding_goes_around_a_damaged_segment(index, caplog):
    damage(index, "vectors.f16")
    fold(index.root, grace_s=0)
    assert {segment.uuid for segment in open_index(index.root).segments} == {segment.uuid for segment in index.segments}
    assert "left as it is" in caplog.text

"""Sealed files, versions and commits."""

from __future__ import annotations

import json
import logging
import os
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vidsearch.config import Space, viclip_preset
from vidsearch.errors import FormatVersionError, IndexCorruptError, NotAnIndexError, SpaceMismatchError, UsageError, VidsearchError
from vidsearch.storage import files, seal
from vidsearch.storage import manifest as manifests
from vidsearch.storage.manifest import Manifest, SegmentRef

SPACE = Space("viclip", "ViCLIP-B-16", "ab" * 32, 1, viclip_preset("eval"), 8)
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


def reference(number: int) -> SegmentRef:
    return SegmentRef(f"00000000-0000-0000-0000-{number:012d}", f"{number:064x}", number)


def add(number: int):
    return lambda manifest: manifest.with_segments([*manifest.segments, reference(number)])


@pytest.fixture
def root(tmp_path: Path) -> Path:
    manifests.create(tmp_path / "index", SPACE)
    return tmp_path / "index"


def version_file(root: Path, version: int) -> Path:
    return root / "manifests" / f"{version:012d}.json"


@given(st.dictionaries(st.text(), JSON_VALUES, max_size=4))
def test_a_seal_gives_back_what_was_sealed(value: dict[str, seal.JSON]) -> None:
    assert seal.loads(seal.dumps(value), "x") == value


def test_a_seal_shows_every_flipped_bit_truncation_and_added_byte() -> None:
    data = seal.dumps({"rows": 12, "name": "é", "list": [1, 2.5, None]})
    damaged = [data[:n] for n in range(len(data))] + [data + b"\n", data + data]
    for bit in range(8 * len(data)):
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        damaged.append(bytes(flipped))
    for bad in damaged:
        with pytest.raises(IndexCorruptError, match="FILE: torn or changed"):
            seal.loads(bad, "FILE")


@pytest.mark.parametrize("text", ["[1]", "{'a': 1}", '{"a": NaN}', "[" * 100_000, '{"a": ' + "9" * 5000 + "}"], ids=lambda text: text[:9])
def test_a_seal_over_something_else_than_a_json_object_is_refused(text: str) -> None:
    sealed = seal.dumps({})
    line = text.encode() + b"\n"
    with pytest.raises(IndexCorruptError, match="FILE: sealed, but not"):
        seal.loads(line + _sha256(line), "FILE")
    assert seal.loads(sealed, "FILE") == {}


def _sha256(line: bytes) -> bytes:
    from hashlib import sha256

    return sha256(line).hexdigest().encode() + b"\n"


def test_create_makes_an_empty_first_version(root: Path) -> None:
    assert manifests.exists(root)
    assert manifests.read(root) == Manifest(1, SPACE)
    assert json.loads((root / "FORMAT").read_text().splitlines()[0])["magic"] == "vidsearch"
    assert files.list_names(root / "staging") == []


def test_create_again_returns_what_is_there_and_refuses_another_space(root: Path) -> None:
    manifests.commit(root, add(1))
    assert manifests.create(root, replace(SPACE, source="elsewhere")).version == 2
    with pytest.raises(SpaceMismatchError, match=r"index holds vectors of ViCLIP-B-16, not of other"):
        manifests.create(root, replace(SPACE, model="other", weights_sha256="cd" * 32))


def test_create_finishes_what_a_crash_cut_short(root: Path) -> None:
    version_file(root, 1).unlink()
    assert not manifests.exists(root)
    with pytest.raises(NotAnIndexError, match="cut short; run `vidsearch index` again"):
        manifests.read(root)
    assert manifests.create(root, SPACE) == Manifest(1, SPACE)


@pytest.mark.parametrize("name", ["missing", "empty", "a file", "/dev/null"])
def test_read_of_a_place_without_index_says_so_and_makes_nothing(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "a file").write_text("hello")
    before = sorted(tmp_path.rglob("*"))
    assert not manifests.exists(tmp_path / name)
    with pytest.raises(NotAnIndexError, match=rf"{name}: not a vidsearch index \(no FORMAT\)"):
        manifests.read(tmp_path / name)
    assert sorted(tmp_path.rglob("*")) == before


def test_commit_numbers_versions_and_keeps_all_fields(root: Path) -> None:
    manifests.commit(root, add(5))
    made = manifests.commit(root, lambda m: replace(m.with_template(reference(9).uuid), settings={"decoder": "pyav", "sizes": [1, 2.5]}))
    assert made == Manifest(3, SPACE, (reference(5),), reference(9).uuid, {"decoder": "pyav", "sizes": [1, 2.5]})
    assert manifests.read(root) == made
    assert made.rows == 5


def test_commit_of_no_change_writes_nothing(root: Path) -> None:
    assert manifests.commit(root, lambda manifest: manifest).version == 1
    assert not version_file(root, 2).exists()


def test_commit_is_made_anew_when_another_was_first(root: Path) -> None:
    seen = []

    def change(manifest: Manifest) -> Manifest:
        seen.append(manifest.version)
        if len(seen) == 1:
            manifests.commit(root, add(1))
        return add(2)(manifest)

    assert manifests.commit(root, change).segments == (reference(1), reference(2))
    assert seen == [1, 2]


def test_commit_gives_up_when_others_are_always_first(root: Path) -> None:
    numbers = iter(range(1, 1000))

    def change(manifest: Manifest) -> Manifest:
        manifests.commit(root, add(next(numbers)))
        return add(999)(manifest)

    with pytest.raises(VidsearchError, match="20 times in a row; try again"):
        manifests.commit(root, change)
    assert len(manifests.read(root).segments) == 20


def test_racing_commits_and_creations_lose_nothing(tmp_path: Path) -> None:
    failures: list[Exception] = []

    def work(worker: int) -> None:
        try:
            manifests.create(tmp_path / "index", SPACE)
            for step in range(8):
                manifests.commit(tmp_path / "index", add(100 * worker + step))
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(worker,)) for worker in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    manifest = manifests.read(tmp_path / "index")
    assert manifest.version == 33
    assert sorted(s.rows for s in manifest.segments) == sorted(100 * worker + step for worker in range(4) for step in range(8))


def test_a_torn_newest_version_is_passed_over_with_a_warning(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    manifests.commit(root, add(1))
    manifests.commit(root, add(2))
    version_file(root, 3).write_bytes(version_file(root, 3).read_bytes()[:-9])
    with caplog.at_level(logging.WARNING):
        assert manifests.read(root).version == 2
    assert "000000000003.json: torn or changed" in caplog.text
    assert manifests.commit(root, add(3)).version == 4
    assert manifests.read(root).segments == (reference(1), reference(3))


def test_no_whole_version_left_beside_segments_is_corruption_that_names_the_newest(root: Path) -> None:
    manifests.commit(root, add(1))
    (root / "segments" / reference(1).uuid).mkdir()
    for version in (1, 2):
        version_file(root, version).write_bytes(b"")
    with pytest.raises(IndexCorruptError, match=r"000000000002\.json: torn"):
        manifests.read(root)
    assert manifests.exists(root)


def test_a_creation_that_was_torn_is_begun_anew(root: Path) -> None:
    version_file(root, 1).write_bytes(b'{"fea')
    assert not manifests.exists(root)
    with pytest.raises(NotAnIndexError, match="cut short"):
        manifests.read(root)
    assert manifests.create(root, SPACE).version == 2
    assert manifests.read(root).version == 2


def test_lost_manifests_beside_segments_are_corruption_not_a_new_index(root: Path) -> None:
    (root / "segments" / reference(1).uuid).mkdir()
    version_file(root, 1).unlink()
    assert manifests.exists(root)
    with pytest.raises(IndexCorruptError, match="no manifest left"):
        manifests.create(root, SPACE)


def rewrite(path: Path, **changes: seal.JSON) -> None:
    values = json.loads(path.read_bytes().splitlines()[0])
    path.write_bytes(seal.dumps({**values, **changes}))


@pytest.mark.parametrize("name", ["FORMAT", "manifests/000000000001.json"])
@pytest.mark.parametrize("change", [{"format": 999}, {"features": ["tombstones", "telepathy"]}])
def test_a_newer_format_is_refused_with_advice(root: Path, name: str, change: dict[str, seal.JSON]) -> None:
    rewrite(root / name, **change)
    with pytest.raises(FormatVersionError, match=r"written by a newer vidsearch .*(999|telepathy)"):
        manifests.read(root)


def test_another_programs_format_file_is_no_index(root: Path) -> None:
    rewrite(root / "FORMAT", magic="elsewhere")
    with pytest.raises(NotAnIndexError, match="another program's"):
        manifests.read(root)


@pytest.mark.parametrize(
    "change",
    [
        {"segments": [{"uuid": "../../x", "sha256": "0" * 64, "rows": 1}]},
        {"segments": [{"uuid": reference(1).uuid, "sha256": "0" * 63, "rows": 1}]},
        {"segments": [{"uuid": reference(1).uuid, "sha256": "0" * 64, "rows": -1}]},
        {"segments": [{"uuid": reference(1).uuid, "sha256": "0" * 64, "rows": 1}] * 2},
        {"segments": [{"uuid": reference(1).uuid}]},
        {"segments": 7},
        {"template": "/etc/passwd"},
        {"space": {"encoder": "viclip"}},
        {"version": 2},
    ],
    ids=["path", "hash", "rows", "twice", "short", "number", "template", "space", "version"],
)
def test_a_sealed_manifest_that_makes_no_sense_is_refused(root: Path, change: dict[str, seal.JSON]) -> None:
    rewrite(version_file(root, 1), **change)
    with pytest.raises(IndexCorruptError, match=r"000000000001\.json"):
        manifests.read(root)


def test_a_manifest_of_a_gigabyte_is_refused_unread(root: Path) -> None:
    with version_file(root, 2).open("wb") as file:
        file.truncate(1 << 30)  # sparse: takes no room
    with pytest.raises(IndexCorruptError, match="1,073,741,824 bytes are more than"):
        manifests.read(root)


@pytest.mark.parametrize("replaced_by", ["link", "folder", "pipe"])
@pytest.mark.parametrize("name", ["FORMAT", "manifests/000000000001.json"])
def test_something_else_than_a_regular_file_is_refused(root: Path, name: str, replaced_by: str) -> None:
    path = root / name
    path.rename(root / "kept")
    {"link": lambda: path.symlink_to(root / "kept"), "folder": path.mkdir, "pipe": lambda: os.mkfifo(path)}[replaced_by]()
    with pytest.raises(IndexCorruptError, match=rf"{path.name}: (a symbolic link|not a regular file|cannot be read)"):
        manifests.read(root)


def test_values_check_themselves() -> None:
    with pytest.raises(UsageError, match="lower-case uuids"):
        SegmentRef("..", "0" * 64, 1)
    with pytest.raises(UsageError, match="each segment once"):
        Manifest(1, SPACE, (reference(1), reference(1)))
    with pytest.raises(UsageError, match="version 0"):
        Manifest(0, SPACE)

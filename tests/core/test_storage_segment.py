"""Segments and templates: what is written comes back, and damage never does."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import uuid
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vidsearch.config import Space, viclip_preset
from vidsearch.errors import FormatVersionError, IndexCorruptError, UsageError
from vidsearch.storage import manifest as manifests
from vidsearch.storage import seal, template
from vidsearch.storage._rows_file import ROW_GROUP_ROWS
from vidsearch.storage._segment_writer import FILES
from vidsearch.storage.manifest import SegmentRef
from vidsearch.storage.segment import Segment, drop, open_segment, write

SPACE = Space("viclip", "ViCLIP-B-16", "ab" * 32, 1, viclip_preset("eval"), 8)
ROWS = 2 * ROW_GROUP_ROWS + 100
NAMES = (*FILES, "index.faiss")
QUARANTINE = pa.table({"video": ["bad.mp4"], "reason": ["OPEN_FAILED"]})


def table(n: int) -> pa.Table:
    return pa.table(
        {
            "clip_id": [f"{i:06d}" for i in range(n)],
            "language": pa.array(["en", "de", None, "fr"] * (n // 4 + 1), pa.string()).slice(0, n),
            "aesthetic": pa.array(np.arange(n) / 7, pa.float32()),
            "dotted.name": pa.array(range(n), pa.int64()),
            "tags": pa.array([["a"] * (i % 3) for i in range(n)], pa.list_(pa.string())),
        }
    )


def vectors(n: int) -> np.ndarray:
    return np.random.default_rng(n).standard_normal((n, 8)).astype(np.float16)


def write_rows(root: Path, n: int, **changes: object) -> SegmentRef:
    values = {
        "vectors": vectors(n),
        "rows": table(n),
        "index_files": {"index.faiss": b"index" * 50},
        "quarantine": QUARANTINE,
        "info": {"index": "flat"},
    }
    return write(root, **{**values, **changes})  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("segments") / "index"
    manifests.create(folder, SPACE)
    return folder


@pytest.fixture(scope="module")
def big(root: Path) -> Segment:
    return open_segment(root, write_rows(root, ROWS))


@pytest.fixture
def small(tmp_path: Path) -> tuple[Path, SegmentRef]:
    manifests.create(tmp_path, SPACE)
    return tmp_path, write_rows(tmp_path, 40)


def folder_of(root: Path, ref: SegmentRef) -> Path:
    return root / "segments" / ref.uuid


def test_what_is_written_comes_back(big: Segment) -> None:
    assert (big.rows, big.dim, big.info) == (ROWS, 8, {"index": "flat"})
    assert big.vectors.dtype == np.float16
    assert not big.vectors.flags.writeable
    np.testing.assert_array_equal(big.vectors, vectors(ROWS))
    assert big.read_columns(table(1).column_names).equals(table(ROWS))
    assert big.schema.equals(table(1).schema)
    assert big.read_file("index.faiss") == b"index" * 50
    assert big.quarantine().equals(QUARANTINE)
    assert big.size_bytes == sum((big._folder / name).stat().st_size for name in NAMES)


def test_numpy_and_pyarrow_alone_read_it_as_format_md_says(root: Path) -> None:
    ref = write_rows(root, 40)
    folder = folder_of(root, ref)
    np.testing.assert_array_equal(np.fromfile(folder / "vectors.f16", dtype="<f2").reshape(-1, 8), vectors(40))
    assert pq.read_table(folder / "rows.parquet", page_checksum_verification=True).equals(table(40))
    assert pq.read_table(folder / "quarantine.parquet").equals(QUARANTINE)
    sealed = (folder / "SEGMENT.json").read_bytes()
    assert hashlib.sha256(sealed).hexdigest() == ref.sha256
    line, digest = sealed.splitlines()
    assert hashlib.sha256(line + b"\n").hexdigest() == digest.decode()
    for name, promised in json.loads(line)["files"].items():
        data = (folder / name).read_bytes()
        assert promised == {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    assert sorted(json.loads(line)["files"]) == sorted(NAMES)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, ROWS - 1), max_size=12), st.sampled_from([None, ["aesthetic", "clip_id"], ["dotted.name"], ["tags"]]))
def test_take_returns_rows_in_the_order_asked(big: Segment, numbers: list[int], columns: list[str] | None) -> None:
    expected = table(ROWS).take(pa.array(numbers, pa.int64()))
    assert big.take(np.array(numbers, dtype=np.int64), columns) == (expected if columns is None else expected.select(columns)).to_pylist()


def test_a_type_that_only_parquet_holds_is_read_from_the_row_groups_it_needs(root: Path) -> None:
    ref = write_rows(root, ROWS)
    path = folder_of(root, ref) / "rows.parquet"
    segment = open_segment(root, ref)
    assert segment.take([4], ["tags"]) == [{"tags": ["a"]}]  # hashed and mapped; from here on the file is not looked up again
    with path.open("r+b") as file:  # break the last row group's pages in place
        metadata = pq.read_metadata(path).row_group(2)
        chunk = next(metadata.column(n) for n in range(metadata.num_columns) if metadata.column(n).path_in_schema.startswith("tags"))
        file.seek(chunk.dictionary_page_offset)
        file.write(b"\xff" * 64)
    assert segment.take([4, ROW_GROUP_ROWS], ["tags"]) == [{"tags": ["a"]}, {"tags": ["a"] * (ROW_GROUP_ROWS % 3)}]
    with pytest.raises(IndexCorruptError, match=r"rows\.parquet"):
        segment.take([ROWS - 1], ["tags"])
    assert segment.take([ROWS - 1], ["clip_id"]) == [{"clip_id": f"{ROWS - 1:06d}"}]


def test_a_row_or_column_that_is_not_there_is_refused(big: Segment) -> None:
    for numbers in ([-1], [0, ROWS]):
        with pytest.raises(UsageError, match=f"must lie within 0 to {ROWS - 1}"):
            big.take(numbers)
    with pytest.raises(UsageError, match="unknown column 'langage'; choose from clip_id, language"):
        big.read_columns(["langage"])
    assert big.take([1], ["langage", "clip_id"]) == [{"langage": None, "clip_id": "000001"}]
    assert big.take([1, 1], []) == [{}, {}]


def test_no_columns_still_count_rows(big: Segment) -> None:
    assert big.read_columns([]).num_rows == ROWS


def test_an_empty_segment_holds_only_its_quarantine(root: Path) -> None:
    segment = open_segment(root, write_rows(root, 0), verify="full")
    assert segment.vectors.shape == (0, 8)
    assert segment.read_columns(["clip_id"]).num_rows == 0
    assert segment.take([]) == []
    assert segment.schema.equals(table(0).schema)
    assert segment.read_columns(segment.schema.names).equals(table(0))
    assert segment.quarantine().num_rows == 1


def test_vectors_longer_than_a_block_and_strided_come_back(root: Path) -> None:
    wide = np.random.default_rng(0).standard_normal((5000, 1024)).astype(np.float16)[::2]
    ref = write(root, vectors=wide, rows=table(2500), index_files={}, quarantine=pa.table({}), info={})
    segment = open_segment(root, ref, verify="full")
    np.testing.assert_array_equal(segment.vectors, wide)
    assert segment.quarantine().num_columns == 0


@pytest.mark.parametrize(
    "changes",
    [{"vectors": vectors(39)}, {"vectors": vectors(40).astype(np.float32)}, {"vectors": vectors(40).ravel()}],
    ids=["rows", "dtype", "shape"],
)
def test_arrays_that_do_not_fit_are_refused(root: Path, changes: dict[str, np.ndarray]) -> None:
    with pytest.raises(UsageError, match=r"must be float16 \(n, dim\)"):
        write_rows(root, 40, **changes)


def test_index_files_come_back_mapped_and_read_whole(root: Path) -> None:
    parts = [b"abc", memoryview(b"defg"), bytearray(b"")]
    ref = write_rows(root, 4, index_files={"codes.pq4": parts, "lists.bin": memoryview(np.arange(5, dtype="<u4")).cast("B"), "none.x": []})
    segment = open_segment(root, ref, verify="full")
    assert segment.index_files == ("codes.pq4", "lists.bin", "none.x")
    assert segment.read_file("codes.pq4") == bytes(segment.map_file("codes.pq4")) == b"abcdefg"
    assert np.frombuffer(segment.map_file("lists.bin"), "<u4").tolist() == [0, 1, 2, 3, 4]
    assert len(segment.map_file("none.x")) == 0
    with pytest.raises(IndexCorruptError, match=r"has no index\.faiss; its files are codes\.pq4, columns\.bin, lists\.bin"):
        segment.read_file("index.faiss")


@pytest.mark.parametrize("name", ["../x.bin", "x", "X.bin", ".bin", "a/b.c", "rows.parquet", "vectors.f16", "SEGMENT.json", ""])
def test_an_index_file_may_not_have_any_name(root: Path, name: str) -> None:
    with pytest.raises(UsageError, match="cannot be the name of an index file"):
        write_rows(root, 4, index_files={name: b""})


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_vector_that_no_search_finds_is_refused_and_nothing_is_left(root: Path, bad: float) -> None:
    broken = vectors(40)
    broken[17, 3] = bad
    before = sorted(root.rglob("*"))
    with pytest.raises(UsageError, match="NaN or infinity between rows 0 and 40"):
        write_rows(root, 40, vectors=broken)
    assert sorted(root.rglob("*")) == before


def everything(root: Path, ref: SegmentRef) -> None:
    """Read all that a segment holds, checking lengths only when it is opened."""
    segment = open_segment(root, ref)
    segment.read_columns(segment.schema.names)
    segment.read_file("index.faiss")
    segment.quarantine()


@pytest.mark.parametrize("name", [*NAMES, "SEGMENT.json"])
def test_every_flipped_bit_is_found(small: tuple[Path, SegmentRef], name: str) -> None:
    root, ref = small
    path = folder_of(root, ref) / name
    good = path.read_bytes()
    for bit in np.random.default_rng(1).integers(0, 8 * len(good), 120):
        flipped = bytearray(good)
        flipped[bit // 8] ^= 1 << bit % 8
        path.write_bytes(flipped)
        with pytest.raises(IndexCorruptError, match=name):
            open_segment(root, ref, verify="full")
        if name not in ("vectors.f16", "vectors.crc32", "columns.bin"):  # which are not parsed, so that only "full" hashes them
            with pytest.raises(IndexCorruptError, match=name):
                everything(root, ref)
    path.write_bytes(good)
    open_segment(root, ref, verify="full")


DAMAGE: dict[str, Callable[[Path], object]] = {
    "missing": lambda path: path.unlink(),
    "cut": lambda path: path.write_bytes(path.read_bytes()[:-1]),
    "longer": lambda path: path.write_bytes(path.read_bytes() + b"\0"),
    "empty": lambda path: path.write_bytes(b""),
    "link": lambda path: (path.rename(path.with_suffix(".kept")), path.symlink_to(path.with_suffix(".kept"))),
    "folder": lambda path: (path.unlink(), path.mkdir()),
    "pipe": lambda path: (path.unlink(), os.mkfifo(path)),
}


@pytest.mark.parametrize("name", [*NAMES, "SEGMENT.json"])
@pytest.mark.parametrize("damage", DAMAGE)
def test_a_file_that_is_not_what_it_was_is_named(small: tuple[Path, SegmentRef], name: str, damage: str) -> None:
    root, ref = small
    DAMAGE[damage](folder_of(root, ref) / name)
    with pytest.raises(IndexCorruptError, match=name):
        open_segment(root, ref)


def test_a_segment_in_anothers_place_is_refused(small: tuple[Path, SegmentRef]) -> None:
    root, ref = small
    other = write_rows(root, 40)
    folder_of(root, ref).rename(root / "aside")
    folder_of(root, other).rename(folder_of(root, ref))
    with pytest.raises(IndexCorruptError, match="not the file that the manifest names"):
        open_segment(root, ref)
    with pytest.raises(IndexCorruptError, match="describes another segment than the manifest"):
        open_segment(root, replace(other, uuid=ref.uuid))
    with pytest.raises(IndexCorruptError, match="missing, or not a folder"):
        open_segment(root, other)


def test_a_linked_folder_is_refused(small: tuple[Path, SegmentRef]) -> None:
    root, ref = small
    folder_of(root, ref).rename(root / "aside")
    folder_of(root, ref).symlink_to(root / "aside")
    with pytest.raises(IndexCorruptError, match="missing, or not a folder"):
        open_segment(root, ref)


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"format": 2}, FormatVersionError),
        ({"files": 3}, IndexCorruptError),
        ({"files": {}}, IndexCorruptError),
        ({"columns": {}}, IndexCorruptError),
        ({"files": {name: {"size": 0, "sha256": ""} for name in (*FILES, "../../FORMAT")}}, IndexCorruptError),
        ({"dim": 9}, IndexCorruptError),
    ],
)
def test_a_resealed_description_still_has_to_fit(
    small: tuple[Path, SegmentRef], change: dict[str, seal.JSON], error: type[Exception]
) -> None:
    root, ref = small
    path = folder_of(root, ref) / "SEGMENT.json"
    data = seal.dumps({**seal.read_sealed(path), **change})
    path.write_bytes(data)
    with pytest.raises(error, match=r"SEGMENT\.json"):
        open_segment(root, replace(ref, sha256=hashlib.sha256(data).hexdigest()))


def test_drop_removes_only_what_no_manifest_lists(small: tuple[Path, SegmentRef]) -> None:
    root, ref = small
    manifests.commit(root, lambda manifest: manifest.with_segments([ref]))
    held = open_segment(root, ref)
    before = held.vectors.copy()
    with pytest.raises(UsageError, match="commit a manifest without it first"):
        drop(root, ref.uuid)
    manifests.commit(root, lambda manifest: manifest.with_segments([]))
    drop(root, ref.uuid)
    drop(root, ref.uuid)
    assert not folder_of(root, ref).exists()
    assert list((root / "staging").iterdir()) == []
    np.testing.assert_array_equal(held.vectors, before)  # mapped files outlive their names
    with pytest.raises(UsageError, match="lower-case uuids"):
        drop(root, "../manifests")


def test_a_template_comes_back_and_is_named_by_its_bytes(root: Path) -> None:
    name = template.write_template(root, b"trained", {"rows": 7})
    assert template.read_template(root, name) == b"trained"
    assert template.write_template(root, b"trained", {}) == name
    assert template.write_template(root, b"other", {}) != name
    assert name == str(uuid.UUID(hashlib.sha256(b"trained").hexdigest()[:32]))
    about = seal.read_sealed(root / "template" / f"{name}.json")
    assert about["info"] == {"rows": 7}
    assert about["sha256"] == hashlib.sha256(b"trained").hexdigest()


def test_a_damaged_template_is_refused_until_it_is_written_again(root: Path) -> None:
    name = template.write_template(root, b"trained long ago", {})
    path = root / "template" / f"{name}.template"
    path.write_bytes(b"trained long agO")
    with pytest.raises(IndexCorruptError, match=r"\.template: changed"):
        template.read_template(root, name)
    assert template.write_template(root, b"trained long ago", {}) == name
    assert template.read_template(root, name) == b"trained long ago"
    path.unlink()
    with pytest.raises(IndexCorruptError, match=r"\.template: missing"):
        template.read_template(root, name)
    with pytest.raises(UsageError, match="lower-case uuids"):
        template.read_template(root, "../FORMAT")


def test_reading_imports_nothing_heavier_than_pyarrow(root: Path) -> None:
    """Not even pandas, which PyArrow imports for its own conversions where it is installed."""
    ref = write_rows(root, 40)
    code = f"""
import sys
from pathlib import Path
from vidsearch.storage import manifest, template
from vidsearch.storage.segment import SegmentRef, open_segment
root = Path({str(root)!r})
manifest.read(root)
segment = open_segment(root, {ref!r})
print(segment.take([3, 1])[0]["clip_id"], segment.read_columns(["clip_id"]).num_rows, segment.vectors.shape)
segment.read_file("index.faiss")
segment.quarantine()
print(*sys.modules)
"""
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    found, modules = ran.stdout.splitlines()
    assert found == "000003 40 (40, 8)"
    assert "pyarrow.parquet" in modules.split()
    assert not {"faiss", "torch", "sqlglot", "pandas", "av"} & set(modules.split())

"""Vectors made elsewhere become an index: row i stays with row i, nothing is dropped in silence, nothing is added twice."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import indexer.vectors
from indexer import build_from_vectors
from indexer._known_ids import KnownIds
from indexer.readers.base import clip_id, clip_key
from indexer.vectors import read_queries
from vidsearch import Index, open_index
from vidsearch.errors import InputNotFoundError, QueryError, SpaceMismatchError, UsageError
from vidsearch.storage.ledger import Ledger, Tally, recount

DIM = 24


def random_vectors(rows: int, kind: str = "float32") -> np.ndarray:
    return (3 * np.random.default_rng(5).standard_normal((rows, DIM))).astype(kind)


def save(path: Path, vectors: np.ndarray) -> Path:
    np.save(path, vectors)
    return path


def write_lines(path: Path, records: list) -> Path:
    path.write_text("".join((record if isinstance(record, str) else json.dumps(record)) + "\n" for record in records))
    return path


def rows_of(index: Index) -> list[dict]:
    return [row for table in index.read_columns(index.schema.names) for row in table.to_pylist()]


def by_number(index: Index) -> dict[int, int]:
    """Return where each input row, told by its column `n`, lies in the index."""
    return {row["n"]: place for place, row in enumerate(rows_of(index))}


def unit(vectors: np.ndarray) -> np.ndarray:
    wide = vectors.astype(np.float64)
    return wide / np.linalg.norm(wide, axis=1, keepdims=True)


@pytest.mark.parametrize("kind", ["float16", "float32", "float64", ">f4"])
def test_each_vector_is_stored_as_a_unit_row_beside_its_metadata(tmp_path, monkeypatch, kind):
    monkeypatch.setattr(indexer.vectors, "BLOCK_ROWS", 7)
    monkeypatch.setattr(indexer.vectors, "SEGMENT_ROWS", 20)
    vectors = random_vectors(50, kind)
    rows = write_lines(tmp_path / "rows.jsonl", [{"n": n, "caption": f"clip {n}", "language": "en"} for n in range(50)])
    summary = build_from_vectors(save(tmp_path / "v.npy", vectors), tmp_path / "index", metadata=rows)
    index = open_index(tmp_path / "index")
    assert (summary.indexed, summary.rows, len(index)) == (50, 50, 50)
    places = by_number(index)
    np.testing.assert_allclose(index.vectors_of([places[n] for n in range(50)]), unit(vectors), atol=2e-3)
    assert [row["caption"] for row in index.take([places[3], places[49]])] == ["clip 3", "clip 49"]
    hit = index.search(vector=vectors[17].astype(np.float32), k=1, where="language = 'en'")[0]
    assert (hit.caption, hit.video, hit.start_s, hit.end_s) == ("clip 17", "", 0.0, 0.0)


def test_extreme_lengths_lose_no_direction(tmp_path):
    vectors = random_vectors(4, "float64") * np.array([[1e300], [1e-300], [1e-310], [1]])
    build_from_vectors(save(tmp_path / "v.npy", vectors), tmp_path / "index")
    scaled = vectors / np.abs(vectors).max(axis=1, keepdims=True)
    np.testing.assert_allclose(open_index(tmp_path / "index").vectors_of(range(4)), unit(scaled), atol=2e-3)


def test_rows_without_a_direction_are_quarantined_with_their_metadata(tmp_path):
    vectors = random_vectors(6)
    vectors[1], vectors[2, 3], vectors[4, 0] = 0, np.nan, -np.inf
    rows = write_lines(tmp_path / "rows.jsonl", [{"clip_id": f"c{n}", "n": n} for n in range(5)] + ["[1]"])
    summary = build_from_vectors(save(tmp_path / "v.npy", vectors), tmp_path / "index", metadata=rows)
    index = open_index(tmp_path / "index")
    assert dict(summary.skipped) == {"ZERO_VECTOR": 1, "NONFINITE_VECTOR": 2, "METADATA_INVALID": 1}
    assert summary.examples["ZERO_VECTOR"] == ["v.npy row 1 (the first is 0): every number is 0"]
    assert (summary.planned, summary.indexed, summary.failed) == (6, 2, 4)
    assert {row["clip_id"] for row in rows_of(index)} == {"c0", "c3"}
    quarantine = {row["clip_id"]: row["reason"] for row in index.segments[0].quarantine().to_pylist()}
    assert {name: quarantine[name] for name in ("c1", "c2", "c4")} == {
        "c1": "ZERO_VECTOR",
        "c2": "NONFINITE_VECTOR",
        "c4": "NONFINITE_VECTOR",
    }
    assert len(quarantine) == 4


@pytest.mark.parametrize("metadata", [None, {"clip_id": "c{}"}, {"video": "v.mp4", "start_s": "{}", "end_s": "{}.5"}])
def test_the_same_command_again_adds_nothing(tmp_path, metadata):
    vectors = random_vectors(30)
    vectors[7] = 0
    file = save(tmp_path / "v.npy", vectors)
    lines = None
    if metadata is not None:
        lines = write_lines(tmp_path / "r.jsonl", [{name: value.format(n) for name, value in metadata.items()} for n in range(30)])
    build_from_vectors(file, tmp_path / "index", metadata=lines)
    version = open_index(tmp_path / "index").manifest.version
    again = build_from_vectors(file, tmp_path / "index", metadata=lines)
    assert (again.indexed, again.already, again.failed, again.rows) == (0, 29, 1, 29)
    assert open_index(tmp_path / "index").manifest.version == version


def test_a_file_that_has_grown_adds_what_is_new(tmp_path):
    vectors = random_vectors(30)
    build_from_vectors(save(tmp_path / "v.npy", vectors[:20]), tmp_path / "index")
    summary = build_from_vectors(save(tmp_path / "v.npy", vectors), tmp_path / "index")
    assert (summary.already, summary.indexed, summary.rows) == (20, 10, 30)


def test_rows_that_name_a_clip_again_are_counted(tmp_path, monkeypatch):
    monkeypatch.setattr(indexer.vectors, "BLOCK_ROWS", 3)
    rows = write_lines(tmp_path / "r.jsonl", [{"clip_id": name} for name in "abacdbbe"])
    summary = build_from_vectors(save(tmp_path / "v.npy", random_vectors(8)), tmp_path / "index", metadata=rows)
    assert (summary.indexed, summary.duplicates, summary.already) == (5, 3, 0)
    assert sorted(row["clip_id"] for row in rows_of(open_index(tmp_path / "index"))) == list("abcde")


def test_the_ledger_counts_each_clip_once_however_it_came(tmp_path):
    root, vectors = tmp_path / "index", random_vectors(6)
    vectors[[2, 4]] = 0
    rows = write_lines(tmp_path / "r.jsonl", [{"clip_id": name} for name in "abcacd"])
    build_from_vectors(save(tmp_path / "v.npy", vectors), root, metadata=rows)
    vectors[:] = 1
    build_from_vectors(save(tmp_path / "w.npy", vectors), root, metadata=rows)
    index = open_index(root)
    assert sorted(row["clip_id"] for row in rows_of(index)) == list("abcd")
    ledger = Ledger.from_settings(index.manifest.settings)
    assert ledger.planned == ledger.done == recount(index.segments) == Tally.of(pa.array(list("abcd")))


def test_known_ids_are_those_of_a_set():
    rng = np.random.default_rng(3)
    known = KnownIds(lambda ids: np.array([name in ("old1", "old2") for name in ids], dtype=bool))
    seen, new = set(), []
    for _ in range(60):
        ids = [f"c{n}" for n in rng.integers(0, 400, rng.integers(0, 30))]
        places, repeated = known.add([*ids, "old1"], without=[0] if ids else [])
        expected = []
        for place, name in enumerate(ids):
            if place and name not in seen:
                seen.add(name)
                expected.append(place)
        assert places.tolist() == expected
        assert repeated == max(0, len(ids) - 1) - len(expected)
        new += [ids[place] for place in expected]
    assert len(new) == len(seen)
    assert [known.has(name) for name in ("old1", new[0], "c1000")] == [True, True, False]


@pytest.mark.parametrize("kind", [pa.list_(pa.float32()), pa.list_(pa.float16(), DIM), pa.large_list(pa.float64())])
def test_a_parquet_file_brings_vectors_and_their_columns(tmp_path, kind):
    vectors = random_vectors(40)
    lists: list = list(vectors.astype(kind.value_type.to_pandas_dtype()))
    lists[5] = None
    table = pa.table(
        {
            "YoutubeID": [f"video{n % 4:06d}" for n in range(40)],
            "Start_timestamp": [f"00:00:{n:02d}.250" for n in range(40)],
            "End_timestamp": [f"00:01:{n:02d}.250" for n in range(40)],
            "Aesthetic_Score": [str(n / 8) for n in range(40)],
            "tags": [["a", "b"]] * 40,
            "seen": pa.array([n * 1000 for n in range(40)], pa.timestamp("ms")),
            "n": pa.array(range(40), pa.int32()),
            "kind": pa.array(["x", "y"] * 20).dictionary_encode(),
            "clip embedding": pa.array(lists, kind),
        }
    )
    pq.write_table(table, tmp_path / "v.parquet", row_group_size=9)
    summary = build_from_vectors(tmp_path / "v.parquet", tmp_path / "index")
    index = open_index(tmp_path / "index")
    assert (summary.indexed, dict(summary.skipped)) == (39, {"VECTOR_MISSING": 1})
    places = by_number(index)
    np.testing.assert_allclose(index.vectors_of([places[39]])[0], unit(vectors)[39], atol=2e-3)
    row = index.take([places[10]])[0]
    assert (row["youtube_id"], row["video"], row["start_s"], row["end_s"], row["duration_s"]) == (
        "video000002",
        "video000002",
        10.25,
        70.25,
        60.0,
    )
    assert (row["aesthetic"], row["tags"], row["kind"]) == (1.25, '["a", "b"]', "x")
    assert row["clip_id"] == clip_id(clip_key("video000002", 10.25, 70.25))
    assert (index.schema.field("n").type, index.schema.field("seen").type) == (pa.int32(), pa.timestamp("ms"))
    assert "clip embedding" not in index.schema.names


def test_json_columns_get_one_type_over_the_whole_file(tmp_path, monkeypatch):
    monkeypatch.setattr(indexer.vectors, "BLOCK_ROWS", 2)
    records = [
        {"n": 0, "number": 1, "mixed": 1, "late": None},
        {"n": 1},
        {"n": 2, "number": 2.5, "mixed": "x", "nested": {"a": ["\ud800"]}},
        {"n": 3, "video": 7, "clip_id": 12},
        {"n": 4, "late": True},
    ]
    rows = write_lines(tmp_path / "r.jsonl", records)
    build_from_vectors(save(tmp_path / "v.npy", random_vectors(5)), tmp_path / "index", metadata=rows)
    index = open_index(tmp_path / "index")
    found = {row["n"]: row for row in rows_of(index)}
    assert [found[n]["number"] for n in range(5)] == [1.0, None, 2.5, None, None]
    assert [found[n]["mixed"] for n in range(3)] == ["1", None, "x"]
    assert [found[n]["late"] for n in (0, 4)] == [None, True]
    assert (found[2]["nested"], found[3]["video"], found[3]["clip_id"]) == ('{"a": ["?"]}', "7", "12")


def refuse(tmp_path, file: Path, message: str, error: type[Exception] = UsageError, **arguments: object) -> None:
    with pytest.raises(error, match=message):
        build_from_vectors(file, tmp_path / "index", **arguments)
    assert not (tmp_path / "index").exists()


def test_what_does_not_fit_is_said_before_anything_is_written(tmp_path):
    vectors = random_vectors(3)
    file = save(tmp_path / "v.npy", vectors)
    refuse(tmp_path, file, "3 vectors, r.jsonl 2 rows", metadata=write_lines(tmp_path / "r.jsonl", [{}, {}]))
    refuse(tmp_path, file, "no metadata file", FileNotFoundError, metadata=tmp_path / "gone.jsonl")
    refuse(tmp_path, file, "has no columns", vector_column="x")
    refuse(tmp_path, tmp_path / "gone.npy", "no file of vectors", FileNotFoundError)
    refuse(tmp_path, save(tmp_path / "flat.npy", vectors[0]), r"float32 of shape \(24,\)")
    refuse(tmp_path, save(tmp_path / "whole.npy", np.ones((2, 2), int)), "int64")
    (tmp_path / "torn.npy").write_bytes(file.read_bytes()[:200])
    refuse(tmp_path, tmp_path / "torn.npy", "not a whole .npy file")
    (tmp_path / "torn.parquet").write_bytes(b"PAR1")
    refuse(tmp_path, tmp_path / "torn.parquet", "not a whole Parquet file")
    pq.write_table(pa.table({"a": [[1.0]], "b": [[2.0]], "c": [1]}), tmp_path / "two.parquet")
    refuse(tmp_path, tmp_path / "two.parquet", "several: a, b; choose with --vector-column")
    refuse(tmp_path, tmp_path / "two.parquet", "column 'c' is int64; columns of vectors: a, b", vector_column="c")


def test_an_index_takes_vectors_of_one_length(tmp_path):
    build_from_vectors(save(tmp_path / "v.npy", random_vectors(3)), tmp_path / "index")
    with pytest.raises(SpaceMismatchError, match="vectors of 8 numbers, those of external vectors have 24"):
        build_from_vectors(save(tmp_path / "w.npy", np.ones((3, 8))), tmp_path / "index")


def test_without_a_model_a_sentence_is_refused_in_one_line(tmp_path):
    build_from_vectors(save(tmp_path / "v.npy", random_vectors(3)), tmp_path / "index")
    with pytest.raises(QueryError, match="--vector"):
        open_index(tmp_path / "index").search("a dog")


def test_queries_of_another_length_are_refused_before_anything_is_written(tmp_path):
    np.save(tmp_path / "v.npy", np.eye(8, dtype=np.float32))
    with pytest.raises(UsageError, match=r"queries of shape \(3, 4\) must be \(q, 8\)"):
        build_from_vectors(tmp_path / "v.npy", tmp_path / "index", queries=np.ones((3, 4), np.float32))
    assert not (tmp_path / "index").exists()


@pytest.mark.parametrize(
    ("name", "message"), [("none.npy", "no file of queries"), ("text.npy", "not a .npy file"), ("ints.npy", "are floats")]
)
def test_a_file_of_queries_that_is_none_is_refused(tmp_path, name, message):
    (tmp_path / "text.npy").write_text("a dog")
    np.save(tmp_path / "ints.npy", np.ones((3, 4), np.int64))
    with pytest.raises((UsageError, InputNotFoundError), match=message):
        read_queries(tmp_path / name)


def test_queries_come_at_length_one(tmp_path):
    np.save(tmp_path / "q.npy", np.array([[3.0, 4.0], [0.0, 2.0]], np.float16))
    assert np.allclose(read_queries(tmp_path / "q.npy"), [[0.6, 0.8], [0.0, 1.0]], atol=1e-3)

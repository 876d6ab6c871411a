"""Clips in a vector store: the rows, vectors and nearest neighbours that the index has."""

from __future__ import annotations

import socket
import warnings
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from support.made import made

from vidsearch import Index
from vidsearch.curate import store_export
from vidsearch.curate.recipe import Subset
from vidsearch.curate.store_export import STORES, export_to_store
from vidsearch.curate.stores import milvus, qdrant
from vidsearch.curate.stores.base import Batch, Target, plain
from vidsearch.errors import FilterError, ServiceError, UsageError
from vidsearch.query import Query
from vidsearch.registry import names

ROWS, DIM = 90, 8
QUERY = np.random.default_rng(5).standard_normal(DIM).astype(np.float32)
UNIT = QUERY / np.linalg.norm(QUERY)
SUBSETS = {
    "all": Subset(),
    "a filter": Subset(where="language = 'de'"),
    "the best": Subset(Query(vector=QUERY, where="aesthetic > 1"), top=20),
    "nothing": Subset(where="aesthetic > 999"),
}

with warnings.catch_warnings():  # what they say of their own parts while they are imported
    warnings.simplefilter("ignore")
    lancedb = pytest.importorskip("lancedb")
    qdrant_client = pytest.importorskip("qdrant_client")
    pymilvus = pytest.importorskip("pymilvus")


@pytest.fixture(scope="module")
def index(tmp_path_factory) -> Index:
    vectors = np.random.default_rng(4).standard_normal((ROWS, DIM))
    columns = {
        "caption": [None if n % 7 == 6 else f'clip "{n}", café\n' for n in range(ROWS)],
        "language": ["en" if n % 3 else "de" for n in range(ROWS)],
        "aesthetic": [float("nan") if n == 4 else n / 8 for n in range(ROWS)],
        "views": [None if n == 5 else n * 10**9 for n in range(ROWS)],
        "seen": [n % 2 == 0 for n in range(ROWS)],
        "vector": [f"a column of that name, {n}" for n in range(ROWS)],
    }
    return made(tmp_path_factory.mktemp("stores") / "index", vectors[:50], vectors[50:], **columns)


@pytest.fixture(autouse=True)
def small_batches(monkeypatch) -> None:
    monkeypatch.setattr(store_export, "BATCH_ROWS", 13)


def expected(index: Index, subset: Subset) -> dict[str, tuple[dict[str, Any], np.ndarray]]:
    """Return the rows and vectors of a subset by clip id, by other means than the export."""
    every = {row["clip_id"]: row for table in index.read_columns(index.schema.names) for row in table.to_pylist()}
    if subset.query is None:
        chosen = {name: row for name, row in every.items() if passes(row, subset.where)}
    else:
        hits = index.search(vector=QUERY, where=subset.query.where, k=subset.top, exact=True)
        chosen = {hit.clip_id: {"rank": hit.rank, "score": hit.score, **every[hit.clip_id]} for hit in hits}
    return {name: (row, index.vector_of(name)) for name, row in chosen.items()}


def passes(row: dict[str, Any], where: str | None) -> bool:
    if where is None:
        return True
    return row["language"] == "de" if "language" in where else False


def same(found: Any, wanted: Any) -> bool:
    return found == wanted or (isinstance(wanted, float) and np.isnan([found, wanted]).all())


@pytest.mark.parametrize("name", SUBSETS)
def test_lancedb_has_what_the_index_has(index, tmp_path, name):
    done = export_to_store(index, SUBSETS[name], "lancedb", str(tmp_path / "db"))
    wanted = expected(index, SUBSETS[name])
    table = lancedb.connect(tmp_path / "db").open_table("clips")
    rows = table.to_arrow().to_pylist()
    assert (done.rows, len(rows)) == (len(wanted), len(wanted))
    for row in rows:
        values, vector = wanted[row["clip_id"]]
        assert np.array_equal(np.array(row.pop("clip_vector"), np.float32), vector)
        assert row.keys() == values.keys()
        assert all(same(row[column], values[column]) for column in row)
    assert table.schema.metadata[b"vidsearch.metric"] == b"dot"
    assert table.schema.field("clip_vector").type == pa.list_(pa.float32(), DIM)


@pytest.mark.parametrize("name", SUBSETS)
def test_qdrant_has_what_the_index_has(index, tmp_path, name):
    done = export_to_store(index, SUBSETS[name], "qdrant", str(tmp_path / "db"), collection="mine")
    wanted = expected(index, SUBSETS[name])
    client = qdrant_client.QdrantClient(path=str(tmp_path / "db"))
    try:
        points, more = client.scroll("mine", limit=1000, with_vectors=True, with_payload=True)
        assert (done.rows, len(points), more) == (len(wanted), len(wanted), None)
        for point in points:
            values, vector = wanted[point.payload["clip_id"]]
            assert point.id == qdrant.point_id(point.payload["clip_id"])
            assert np.array_equal(np.array(point.vector, np.float32), vector)
            assert point.payload == {column: plain(value) for column, value in values.items()}
        assert client.get_collection("mine").config.params.vectors.distance == qdrant_client.models.Distance.DOT
    finally:
        client.close()


def test_a_store_finds_the_same_neighbours_with_the_same_scores(index, tmp_path):
    hits = index.search(vector=QUERY, k=25, exact=True)
    wanted = [(hit.clip_id, pytest.approx(hit.score, abs=1e-5)) for hit in hits]
    export_to_store(index, Subset(), "lancedb", str(tmp_path / "lance"))
    table = lancedb.connect(tmp_path / "lance").open_table("clips")
    found = table.search(UNIT, vector_column_name="clip_vector").distance_type("dot").limit(25).to_list()
    assert [(row["clip_id"], 1 - row["_distance"]) for row in found] == wanted
    export_to_store(index, Subset(), "qdrant", str(tmp_path / "qdrant"))
    client = qdrant_client.QdrantClient(path=str(tmp_path / "qdrant"))
    try:
        points = client.query_points("clips", query=UNIT.tolist(), limit=25).points
    finally:
        client.close()
    assert [(point.payload["clip_id"], point.score) for point in points] == wanted


@pytest.mark.parametrize("store", ["lancedb", "qdrant"])
def test_a_collection_that_is_there_is_refused_and_left_as_it_is(index, tmp_path, store):
    place = str(tmp_path / "db")
    export_to_store(index, Subset(where="clip_id = 'c1'"), store, place)
    with pytest.raises(UsageError, match="has a collection 'clips' already; choose another with --collection"):
        export_to_store(index, Subset(), store, place)
    assert export_to_store(index, Subset(), store, place, collection="others").rows == ROWS
    assert ids_in(store, place) == ["c1"]


@pytest.mark.parametrize("store", ["lancedb", "qdrant"])
def test_no_half_of_a_collection_stays(index, tmp_path, store, monkeypatch):
    place, read = str(tmp_path / "db"), Index.take

    def failing(self: Index, rows: Any, columns: Any = None) -> Any:
        if 40 in rows:
            raise OSError("the disk is gone")
        return read(self, rows, columns)

    with monkeypatch.context() as patched:
        patched.setattr(Index, "take", failing)
        with pytest.raises((OSError, ServiceError), match="the disk is gone"):
            export_to_store(index, Subset(), store, place)
    assert export_to_store(index, Subset(), store, place).rows == len(ids_in(store, place)) == ROWS


def ids_in(store: str, place: str) -> list[str]:
    if store == "lancedb":
        return lancedb.connect(place).open_table("clips").to_arrow()["clip_id"].to_pylist()
    client = qdrant_client.QdrantClient(path=place)
    try:
        return [point.payload["clip_id"] for point in client.scroll("clips", limit=1000)[0]]
    finally:
        client.close()


@pytest.fixture
def target(index) -> Target:
    return Target("http://127.0.0.1:1", "clips", DIM, pa.schema(list(index.schema)), {"vidsearch.metric": "dot"})


def test_milvus_is_given_a_schema_that_it_accepts(target):
    """There is no Milvus in process here: what it would be given is checked by its own client."""
    schema = milvus.collection_schema(target)
    schema.verify()
    fields = {field.name: field for field in schema.fields}
    kinds = pymilvus.DataType
    assert {name: field.dtype for name, field in fields.items()} == {
        **dict.fromkeys(("clip_id", "video", "caption", "language", "vector"), kinds.VARCHAR),
        **dict.fromkeys(("start_s", "end_s", "duration_s"), kinds.DOUBLE),
        "aesthetic": fields["aesthetic"].dtype,
        "views": kinds.INT64,
        "seen": kinds.BOOL,
        "clip_vector": kinds.FLOAT_VECTOR,
    }
    assert fields["aesthetic"].dtype in (kinds.FLOAT, kinds.DOUBLE)
    assert schema.primary_field.name == "clip_id"
    assert fields["clip_vector"].params["dim"] == DIM
    assert all(field.nullable for name, field in fields.items() if name not in ("clip_id", "clip_vector"))


def test_milvus_is_given_rows_of_the_types_of_its_schema(index, target):
    from pymilvus.client.prepare import Prepare

    rows = np.array([4, 5, 6, 70])
    batch = Batch(index.vectors_of(rows), index.take(rows))
    made = milvus.entities(batch, target)
    assert [row["clip_id"] for row in made] == ["c4", "c5", "c6", "c70"]
    assert (made[0]["aesthetic"], made[1]["views"], made[2]["caption"]) == (None, None, None)
    assert made[3]["views"] == 70 * 10**9
    assert [row["seen"] for row in made] == [True, False, True, True]
    assert np.array_equal(np.array([row["clip_vector"] for row in made], np.float32), batch.vectors)
    fields = milvus.collection_schema(target).to_dict()["fields"]
    request = Prepare.row_insert_param("clips", made, "", fields_info=fields)  # as its client packs them for the wire
    assert request.num_rows == 4
    sent = {column.field_name: column for column in request.fields_data}
    assert list(sent["views"].scalars.long_data.data) == [4 * 10**9, 6 * 10**9, 70 * 10**9]
    assert list(sent["views"].valid_data) == [True, False, True, True]
    assert np.array_equal(np.array(sent["clip_vector"].vectors.float_vector.data, np.float32).reshape(4, DIM), batch.vectors)


def test_a_text_too_long_for_milvus_is_named(target):
    row = dict.fromkeys(target.schema.names) | {"clip_id": "c1", "caption": "é" * 40_000}
    with pytest.raises(UsageError, match="clip c1: caption has more than 65,535 bytes"):
        milvus.entities(Batch(np.zeros((1, DIM), np.float32), [row]), target)


@pytest.mark.parametrize("store", ["qdrant", "milvus"])
def test_a_store_that_is_not_there_is_one_line(index, store, monkeypatch):
    monkeypatch.setattr(milvus, "TIMEOUT_S", 0.5)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and not listening
        with pytest.raises(ServiceError, match=f"cannot write 'clips' to http://127.0.0.1:{taken.getsockname()[1]}") as refused:
            export_to_store(index, Subset(), store, f"http://127.0.0.1:{taken.getsockname()[1]}")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("store", "place", "collection", "kind", "message"),
    [
        ("chroma", "db", "clips", UsageError, "unknown store 'chroma'; choose from lancedb, milvus, qdrant"),
        ("qdrant", "db", "my clips", UsageError, "'my clips' is no name of a collection"),
        ("lancedb", "db", "../x", UsageError, "is no name of a collection"),
        ("lancedb", "no/such/folder/db", "clips", UsageError, "no folder .*folder to write db into"),
        ("qdrant", "no/such/folder/db", "clips", UsageError, "no folder .*folder to write db into"),
        ("milvus", "db", "clips", UsageError, "'db' is no address of a Milvus server"),
    ],
)
def test_what_cannot_be_a_target_is_refused(index, tmp_path, monkeypatch, store, place, collection, kind, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(kind, match=message):
        export_to_store(index, Subset(), store, place, collection=collection)
    assert list(tmp_path.iterdir()) == []


def test_a_wrong_filter_is_refused_before_a_collection_is_there(index, tmp_path):
    for store in ("lancedb", "qdrant"):
        with pytest.raises(FilterError, match="unknown column 'nothing'"):
            export_to_store(index, Subset(where="nothing > 1"), store, str(tmp_path / store))
        assert export_to_store(index, Subset(where="clip_id = 'c1'"), store, str(tmp_path / store)).rows == 1


def test_values_that_json_lacks_become_those_it_has():
    day = datetime(2023, 1, 31, 12, tzinfo=UTC)
    assert plain({"a": [float("nan"), 1.5, None], 2: (day, day.date())}) == {
        "a": [None, 1.5, None],
        "2": ["2023-01-31T12:00:00+00:00", "2023-01-31"],
    }
    assert plain(b"x") == "b'x'"


def test_every_store_is_a_file():
    assert names(STORES) == ("lancedb", "milvus", "qdrant")

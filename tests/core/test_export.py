"""Whole subsets written to files: the rows a naive loop would write, whole or not at all, and the recipe to write them again."""

import csv
import hashlib
import json
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from support.made import made

from vidsearch import Index, __version__, open_index
from vidsearch.archives.inside import open_inside
from vidsearch.curate import export, webdataset
from vidsearch.curate.compare_exports import compare_exports
from vidsearch.curate.recipe import Subset, differences, read_recipe
from vidsearch.curate.recipe import export as write_export
from vidsearch.errors import InputNotFoundError, UsageError
from vidsearch.query import Query

ROWS, DIM = 90, 8
FORMATS = ("parquet", "csv", "jsonl", "ids")


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    """An index of two segments whose model is nowhere: whatever needs one fails."""
    root = tmp_path_factory.mktemp("export") / "index"
    vectors = np.random.default_rng(3).standard_normal((ROWS, DIM))
    vectors[40:50] = vectors[30:40] + 0.01
    columns = {
        "video": [("a.mp4", "sub/b.mkv", "gone.mp4", "../out.mp4", "link.mp4", "")[n % 6] for n in range(ROWS)],
        "caption": [None if n % 7 == 6 else f'clip "{n}", café\n' for n in range(ROWS)],
        "language": ["en" if n % 3 else "de" for n in range(ROWS)],
        "aesthetic": [float("nan") if n == 4 else n / 8 for n in range(ROWS)],
    }
    made(root, vectors[:50], vectors[50:], **columns)
    return root


@pytest.fixture
def index(root, monkeypatch) -> Index:
    monkeypatch.setattr(export, "ROWS_AT_ONCE", 7)
    return open_index(root)


def all_rows(index: Index) -> list[dict]:
    return [row for table in index.read_columns(index.schema.names) for row in table.to_pylist()]


def ids_of(path: Path) -> list[str]:
    return path.read_text().split()


def naive_ranking(index: Index, vector: np.ndarray, least: float = -2.0) -> list[tuple[int, float]]:
    """Score each row alone and sort."""
    wanted = (vector / np.linalg.norm(vector)).astype(np.float32)
    scores = [(row, float((clip * wanted).sum())) for row, clip in enumerate(index.vectors_of(range(len(index))))]
    return sorted([(row, score) for row, score in scores if score >= least], key=lambda found: (-found[1], found[0]))


def read_back(path: Path, form: str) -> list[dict]:
    if form == "parquet":
        return pq.read_table(path).to_pylist()
    if form == "csv":
        with path.open(newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))
    lines = path.read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines] if form == "jsonl" else [{"clip_id": line} for line in lines]


@pytest.mark.parametrize("form", FORMATS)
def test_a_filters_rows_are_written_in_their_order_without_a_model(index, tmp_path, form):
    done, recipe = write_export(index, Subset(where="language = 'de' and aesthetic < 9"), tmp_path / "out", form)
    expected = [row for row in all_rows(index) if row["language"] == "de" and row["aesthetic"] < 9]
    found = read_back(tmp_path / "out", form)
    assert [row["clip_id"] for row in found] == [row["clip_id"] for row in expected]
    assert done.rows == recipe.rows == len(expected) == 24
    if form == "parquet":
        assert found == expected
        assert pq.read_schema(tmp_path / "out").equals(index.schema)
    if form in ("csv", "jsonl"):
        assert [row["caption"] or None for row in found] == [row["caption"] for row in expected]
        assert [float(row["start_s"]) for row in found] == [row["start_s"] for row in expected]


def test_json_has_null_for_what_json_lacks(index, tmp_path):
    write_export(index, Subset(where="clip_id = 'c4'"), tmp_path / "out.jsonl", "jsonl")
    assert json.loads((tmp_path / "out.jsonl").read_text())["aesthetic"] is None


def test_all_clips_from_a_score_on_are_written_best_first(index, tmp_path):
    vector = np.arange(DIM, dtype=np.float32) - 3
    write_export(index, Subset(Query(vector=vector, min_score=0.1)), tmp_path / "out", "parquet")
    expected = naive_ranking(index, vector, 0.1)
    found = pq.read_table(tmp_path / "out").to_pylist()
    assert 10 < len(found) < 60
    assert [row["clip_id"] for row in found] == [f"c{row}" for row, _ in expected]
    assert [row["rank"] for row in found] == list(range(1, len(found) + 1))
    np.testing.assert_allclose([row["score"] for row in found], [score for _, score in expected], atol=1e-6)


def test_the_best_so_many_are_written_with_what_refines_a_ranking(index, tmp_path):
    vector = np.arange(DIM, dtype=np.float32) - 3
    query = Query(vector=vector, per_video=3, where="language = 'en'")
    write_export(index, Subset(query, top=11), tmp_path / "out", "ids")
    rows, expected, taken = all_rows(index), [], {}
    for row, _ in naive_ranking(index, vector):
        video = rows[row]["video"]
        if rows[row]["language"] == "en" and taken.setdefault(video, 0) < 3:
            taken[video] += 1
            expected.append(f"c{row}")
    assert ids_of(tmp_path / "out") == expected[:11]
    write_export(index, Subset(Query(vector=vector, dedupe=0.99), top=ROWS), tmp_path / "folded", "ids")
    assert len(ids_of(tmp_path / "folded")) == ROWS - 10


def test_a_sample_is_drawn_by_its_seed_and_keeps_the_order(index, tmp_path):
    drawn = {}
    for seed in (0, 1):
        for query in (None, Query(vector=np.ones(DIM, np.float32), min_score=-1.0)):
            where = "language = 'en'" if query is None else None
            for time in "ab":
                write_export(index, Subset(query, where, sample=9, seed=seed), tmp_path / f"{seed}{query is None}{time}", "ids")
            first, again = (ids_of(tmp_path / f"{seed}{query is None}{time}") for time in "ab")
            assert first == again
            assert len(set(first)) == 9
            drawn[seed, query is None] = first
    assert drawn[0, True] != drawn[1, True]
    assert drawn[0, True] == sorted(drawn[0, True], key=lambda name: int(name[1:]))
    ranked = [f"c{row}" for row, _ in naive_ranking(index, np.ones(DIM))]
    assert drawn[0, False] == sorted(drawn[0, False], key=ranked.index)


def test_the_recipe_says_what_was_made_of_what(index, root, tmp_path):
    query = Query(vector=np.ones(DIM, np.float32), where="aesthetic > 1", up=("c3",), per_video=2, k=77)
    write_export(index, Subset(query, top=5), tmp_path / "out", "ids")
    values = json.loads((tmp_path / "out.recipe.json").read_text())
    assert values["subset"] == {
        "query": {"vector": [1.0] * DIM, "where": "aesthetic > 1", "up": ["c3"], "per_video": 2},
        "top": 5,
        "seed": 0,
    }
    assert (values["vidsearch"], values["format"], values["rows"]) == (__version__, "ids", 5)
    assert values["ids_sha256"] == hashlib.sha256((tmp_path / "out").read_bytes()).hexdigest()
    assert values["space"] == {"id": index.space.id, "model": "external vectors"}
    manifest = (root / "manifests" / f"{index.manifest.version:012d}.json").read_bytes()
    assert (values["index"]["version"], values["index"]["manifest_sha256"]) == (3, hashlib.sha256(manifest).hexdigest())


def test_a_recipe_made_again_gives_the_same_clips_and_tells_of_another_index(index, tmp_path):
    query = Query(vector=np.arange(DIM, dtype=np.float32), min_score=0.05, down=("c1",))
    done, _ = write_export(index, Subset(query, sample=20, seed=5), tmp_path / "out", "jsonl")
    recipe = read_recipe(tmp_path / "out.recipe.json")
    again, _ = write_export(index, recipe.subset, tmp_path / "again", recipe.format)
    assert again.ids_sha256 == done.ids_sha256 == recipe.ids_sha256
    assert (tmp_path / "again").read_bytes() == (tmp_path / "out").read_bytes()
    assert differences(recipe, index) == []
    other = made(tmp_path / "other", np.eye(4))
    assert [line.partition(",")[0] for line in differences(recipe, other)] == [
        "the recipe was written for another index",
        "the vectors are of external vectors",
    ]


def test_what_fails_midway_leaves_nothing(index, tmp_path):
    for form in (*FORMATS, "webdataset"):
        with pytest.raises(UsageError, match="unknown column"):
            write_export(index, Subset(Query(vector=np.ones(DIM, np.float32), where="no = 1"), top=3), tmp_path / "out", form)
    assert list(tmp_path.iterdir()) == []


def test_what_is_there_is_not_written_over(index, tmp_path):
    (tmp_path / "out").write_text("mine")
    (tmp_path / "new.recipe.json").write_text("mine")
    (tmp_path / "shards-000000.tar").write_text("mine")
    for name, form in (("out", "ids"), ("new", "ids"), ("shards", "webdataset")):
        with pytest.raises(UsageError, match="is there already"):
            write_export(index, Subset(), tmp_path / name, form)
    with pytest.raises(UsageError, match="no folder"):
        write_export(index, Subset(), tmp_path / "none" / "out", "ids")
    assert {path.name for path in tmp_path.iterdir()} == {"out", "new.recipe.json", "shards-000000.tar"}


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (Subset, "ranks every clip"),
        (lambda query: Subset(query, top=0), "top is 0"),
        (lambda _: Subset(top=3), "needs a query"),
        (lambda _: Subset(sample=-1), "sample is -1"),
        (lambda query: Subset(Query(vector=query.vector, group="video"), top=3), "group shapes a page"),
    ],
)
def test_a_subset_without_sense_is_refused(make, message):
    with pytest.raises(UsageError, match=message):
        make(Query(vector=np.ones(DIM, np.float32)))


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", '{"recipe": 1, "subset": {"top": "x"}}', '{"recipe": 1, "subset": {"query": {"k": -1}}}']
)
def test_what_is_no_recipe_is_one_clear_line(tmp_path, content):
    (tmp_path / "r.json").write_text(content)
    with pytest.raises(UsageError, match=r"^[^\n]+$"):
        read_recipe(tmp_path / "r.json")
    (tmp_path / "r.json").write_text('{"recipe": 2}')
    with pytest.raises(UsageError, match="upgrade vidsearch"):
        read_recipe(tmp_path / "r.json")


@pytest.fixture
def media(tmp_path) -> Path:
    folder = tmp_path / "media"
    (folder / "sub").mkdir(parents=True)
    (tmp_path / "out.mp4").write_bytes(b"secret")
    (folder / "a.mp4").write_bytes(b"video a")
    (folder / "sub" / "b.mkv").write_bytes(b"video b")
    (folder / "link.mp4").symlink_to(tmp_path / "out.mp4")
    return folder


def test_shards_hold_row_caption_and_video_and_nothing_from_outside(index, tmp_path, media, monkeypatch):
    monkeypatch.setattr(webdataset, "SHARD_ROWS", 40)
    done, _ = write_export(index, Subset(), tmp_path / "set.tar", "webdataset", media_root=media)
    assert done.media == {"written": 30, "missing": 30, "refused": 30}
    entries: dict[str, bytes] = {}
    sizes = []
    for number in range(3):
        with tarfile.open(tmp_path / f"set-{number:06d}.tar") as tar:
            shard = {entry.name: tar.extractfile(entry).read() for entry in tar}
        sizes.append(sum(name.endswith(".json") for name in shard))
        entries |= shard
    assert sizes == [40, 40, 10]
    for number, row in enumerate(all_rows(index)):
        found = json.loads(entries[f"c{number}.json"])
        assert (found["clip_id"], found["start_s"], found["end_s"]) == (f"c{number}", row["start_s"], row["end_s"])
        assert entries[f"c{number}.txt"].decode() == (row["caption"] or "")
    assert (entries["c0.mp4"], entries["c1.mkv"]) == (b"video a", b"video b")
    assert b"secret" not in entries.values()
    assert {path.name for path in tmp_path.glob("set*")} == {*(f"set-{n:06d}.tar" for n in range(3)), "set.tar.recipe.json"}


@pytest.mark.parametrize(
    ("video", "found"),
    [
        ("a.mp4", b"video a"),
        ("sub/../a.mp4", b"video a"),
        ("../out.mp4", "refused"),
        ("link.mp4", "refused"),
        ("/etc/hostname", "refused"),
        ("sub", "missing"),
        ("no.mp4", "missing"),
        ("", "missing"),
        ("a\0b", "missing"),
        ("x" * 5000, "missing"),
    ],
)
def test_a_path_stays_inside_the_media_folder(media, video, found):
    opened = open_inside(media.resolve(), video)
    if isinstance(opened, str):
        assert opened == found
    else:
        with opened:
            assert opened.read() == found


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_video_inside_an_archive_goes_into_the_shard(tmp_path, method):
    with zipfile.ZipFile(tmp_path / "a.zip", "w", method) as archive:
        archive.writestr("d/v.webm", b"video in a zip file " * 50)
    index = made(tmp_path / "index", np.eye(3), video=["a.zip/d/v.webm", "a.zip/d/no.webm", "a.zip/../../v.webm"])
    done, _ = write_export(index, Subset(), tmp_path / "set", "webdataset", media_root=tmp_path)
    assert done.media == {"written": 1, "missing": 1, "refused": 1}
    with tarfile.open(tmp_path / "set-000000.tar") as tar:
        (video,) = [name for name in tar.getnames() if name.endswith(".webm")]
        assert tar.extractfile(video).read() == b"video in a zip file " * 50


def test_an_id_that_is_no_key_gets_one(tmp_path):
    index = made(tmp_path / "index", np.eye(2), clip_id=["a/b.c", "ü"])
    write_export(index, Subset(), tmp_path / "set", "webdataset")
    with tarfile.open(tmp_path / "set-000000.tar") as tar:
        assert all("/" not in name and name.count(".") == 1 and name.isascii() for name in tar.getnames())
    assert compare_exports(tmp_path / "set", tmp_path / "set").both == ["a/b.c", "ü"]


def test_exports_are_compared_by_clip_whatever_their_format(index, tmp_path):
    vector = np.ones(DIM, dtype=np.float32)
    for form, suffix in (("parquet", "parquet"), ("csv", "csv"), ("jsonl", "jsonl"), ("ids", "txt"), ("webdataset", "tar")):
        write_export(index, Subset(where="aesthetic < 5"), tmp_path / f"a.{suffix}", form)
        write_export(index, Subset(Query(vector=vector, where="aesthetic >= 2"), top=60), tmp_path / f"b.{suffix}", form)
    rows = all_rows(index)
    a = [row["clip_id"] for row in rows if row["aesthetic"] < 5]
    b = ids_of(tmp_path / "b.txt")
    names = ["parquet", "csv", "jsonl", "txt", "tar", "csv.recipe.json", "tar.recipe.json"]
    for one, other in zip(names, names[1:] + names[:1], strict=True):
        found = compare_exports(tmp_path / f"a.{one}", tmp_path / f"b.{other}")
        assert found.only_a == [name for name in a if name not in b]
        assert found.only_b == [name for name in b if name not in a]
        assert found.both == [name for name in a if name in b]
        assert found.reordered


def test_what_cannot_be_compared_is_one_clear_line(tmp_path):
    (tmp_path / "a.txt").write_text("c1\n")
    for name, content in (
        ("x.parquet", b"PAR1"),
        ("x.csv", b"name\na\n"),
        ("x.jsonl", b"[1]\n"),
        ("x.tar", b"none"),
        ("x.txt", b"\xff\xfe"),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(UsageError, match="has no clip ids to compare"):
            compare_exports(tmp_path / "a.txt", tmp_path / name)
    with pytest.raises(InputNotFoundError, match="no file"):
        compare_exports(tmp_path / "a.txt", tmp_path / "gone.csv")


def test_columns_that_are_called_rank_or_score_are_kept(tmp_path):
    index = made(tmp_path / "index", np.eye(3), rank=["high", "low", "low"])
    write_export(index, Subset(Query(vector=np.array([1, 0.5, 0], np.float32)), top=2), tmp_path / "out", "parquet")
    found = pq.read_table(tmp_path / "out").to_pylist()
    assert [(row["query_rank"], row["rank"]) for row in found] == [(1, "high"), (2, "low")]

"""What is taken away: the right clips in each format, in one file that tells how to make it again."""

import csv
import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from support import clips
from support.clips import make_rows, write_index

from ui.asking import uploads
from ui.asking.cart import FORMS, MAX_IDS, write
from ui.asking.ranking import Ranker
from ui.state import Point, State
from vidsearch import open_index
from vidsearch.cli import main
from vidsearch.curate.internvid import internvid_row, timestamp
from vidsearch.curate.recipe import RECIPE_VERSION, Subset, read_recipe
from vidsearch.encoders import load_encoder
from vidsearch.errors import QueryError, UsageError
from vidsearch.query import Query
from vidsearch.upkeep.delete import delete

ROWS = 120
VECTORS, TABLE = make_rows(ROWS, seed=31)
for row in TABLE:
    row["aesthetic"] = None if row["aesthetic"] is None else float(np.float32(row["aesthetic"]))  # as it is stored
TABLE[4]["caption"] = '=SUM(A1), "quoted"\nand a line'
Replay = Callable[[Path, Path], tuple[int, str]]
LASSO = (Point(0, 0), Point(1, 0), Point(0, 1))


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    return write_index(tmp_path_factory.mktemp("cart") / "index", VECTORS, TABLE, parts=2).root


@pytest.fixture
def ranker(root):
    return Ranker(open_index(root), lambda state: np.arange(0, ROWS, 5) if state.lasso else None)


def rows_of(path: Path, form: str) -> list[dict]:
    """Read an export back, from its archive where it comes in one."""
    if form == "parquet":
        return pq.read_table(path).to_pylist()
    with zipfile.ZipFile(path) as archive:
        name, recipe = archive.namelist()
        assert recipe == f"{name}.recipe.json"
        text = archive.read(name).decode()
    if form == "csv":
        return list(csv.DictReader(io.StringIO(text, newline="")))
    return [{"clip_id": line} if form == "ids" else json.loads(line) for line in text.splitlines()]


@pytest.fixture
def replay(capsys, monkeypatch) -> Replay:
    """Make an export again as the command does; return its exit code and what it says."""

    def run(path: Path, out: Path) -> tuple[int, str]:
        monkeypatch.setattr("sys.argv", ["vidsearch", "replay", str(path), "-o", str(out)])
        with pytest.raises(SystemExit) as stopped:
            main()
        return int(stopped.value.code or 0), capsys.readouterr().out.strip()

    return run


@pytest.mark.parametrize("form", FORMS)
def test_selected_clips_come_in_their_order_in_every_format(ranker, tmp_path, form, replay):
    ids = ("c70", "c4", "c3", "c70", "gone", "c119")
    written = write(ranker, ids, form, tmp_path)
    numbers = [70, 4, 3, 119]
    assert (written.rows, written.missing) == (4, 1)
    assert list(tmp_path.iterdir()) == [written.path]
    found = rows_of(written.path, form)
    if form == "internvid":
        assert found == [internvid_row(TABLE[number]) for number in numbers]
        assert written.unnamed == sum(TABLE[number]["youtube_id"] is None for number in numbers)
    else:
        assert [row["clip_id"] for row in found] == [f"c{number}" for number in numbers]
    if form == "parquet":
        assert found == [TABLE[number] for number in numbers]
    if form in ("csv", "jsonl"):
        assert list(found[0]) == list(TABLE[0])
        assert [row["caption"] or None for row in found] == [TABLE[number]["caption"] for number in numbers]
    recipe = read_recipe(written.path)
    assert (recipe.format, recipe.rows) == (form, 4)
    assert recipe.subset == Subset(ids=("c70", "c4", "c3", "gone", "c119"))
    assert recipe.index["uuid"]
    assert recipe.index["version"] == ranker.index.manifest.version
    assert replay(written.path, tmp_path / "again") == (0, "the same 4 clips in the same order")


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("lasso", [(), LASSO])
def test_all_that_pass_a_filter_come_in_the_order_of_the_index(ranker, tmp_path, form, lasso, replay):
    state = State(where="language = 'en' and aesthetic > 2", lasso=lasso, sort="aesthetic", group=True)
    numbers = [n for n, row in enumerate(TABLE) if row["language"] == "en" and (row["aesthetic"] or 0) > 2 and not (lasso and n % 5)]
    written = write(ranker, state, form, tmp_path)
    assert written.rows == len(numbers) > 3
    if form != "internvid":
        assert [row["clip_id"] for row in rows_of(written.path, form)] == [f"c{number}" for number in numbers]
    subset = read_recipe(written.path).subset
    assert subset.where == state.where
    assert subset.ids == (tuple(f"c{n}" for n in range(0, ROWS, 5)) if lasso else None)
    assert replay(written.path, tmp_path / "again") == (0, f"the same {len(numbers)} clips in the same order")


def test_what_answers_a_question_comes_best_first_with_rank_and_score(ranker, tmp_path, replay):
    state = State(q="a dog", nots=("a beach",), like=("c7",), up=("c3",), down=("c9",), pull=0.8, where="language != 'en'", lasso=LASSO)
    written = write(ranker, state, "parquet", tmp_path)
    ranking = ranker.rank(state)
    found = rows_of(written.path, "parquet")
    assert [row["clip_id"] for row in found] == [f"c{row}" for row in ranking.rows]
    assert [row["rank"] for row in found] == list(range(1, len(found) + 1))
    np.testing.assert_allclose([row["score"] for row in found], ranking.scores, atol=1e-6)
    query = read_recipe(written.path).subset.query
    assert (query.exclude, query.like, query.up, query.down, query.where) == (("a beach",), ("c7",), ("c3",), ("c9",), state.where)
    assert replay(written.path, tmp_path / "again") == (0, f"the same {written.rows} clips in the same order")


@pytest.mark.parametrize("mode", ["keywords", "hybrid"])
def test_keywords_can_be_taken_away_too(ranker, tmp_path, mode, replay):
    state = State(q="old red bus", mode=mode)
    written = write(ranker, state, "ids", tmp_path)
    assert [row["clip_id"] for row in rows_of(written.path, "ids")] == [f"c{row}" for row in ranker.rank(state).rows]
    assert replay(written.path, tmp_path / "again") == (0, f"the same {written.rows} clips in the same order")


def test_a_recipe_from_another_version_names_the_clips_that_are_left(tmp_path, replay):
    index = write_index(tmp_path / "index", VECTORS, TABLE, parts=2)
    written = write(Ranker(index), ("c1", "c2", "c3"), "csv", tmp_path)
    delete(index.root, clip_ids=["c2"])
    code, told = replay(written.path, tmp_path / "again.csv")
    assert code == 1
    assert told.startswith("not the same clips: the recipe's export had 3")
    with (tmp_path / "again.csv").open(newline="") as file:
        assert [row["clip_id"] for row in csv.DictReader(file)] == ["c1", "c3"]


def test_a_recipe_holds_what_was_dropped_in_and_not_where_it_lay(demo_ranker, tmp_path, monkeypatch, replay):
    monkeypatch.setattr(uploads, "uploads_folder", lambda: tmp_path / "uploads")
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (48, 48, 3), dtype=np.uint8)).save(tmp_path / "p.png")
    name = uploads.keep(tmp_path / "p.png")
    folder = tmp_path / "out"
    folder.mkdir()
    written = write(demo_ranker, State(upload=name), "jsonl", folder)
    assert [row["clip_id"] for row in rows_of(written.path, "jsonl")] == [
        card.hit.clip_id for card in demo_ranker.page(State(upload=name)).cards
    ]
    with zipfile.ZipFile(written.path) as archive:
        text = archive.read("clips.jsonl.recipe.json").decode()
    assert "uploads" not in text
    (tmp_path / "uploads" / name).unlink()
    assert replay(written.path, folder / "again") == (0, f"the same {written.rows} clips in the same order")
    with pytest.raises(QueryError, match="not kept here any more"):
        write(demo_ranker, State(upload=name), "jsonl", tmp_path)


@pytest.fixture
def demo_ranker(tmp_path, monkeypatch):
    """An index in the space of the demo model, which can look at pictures."""
    space = load_encoder("demo-viclip").space
    monkeypatch.setattr(clips, "SPACE", space)
    vectors = np.random.default_rng(1).standard_normal((20, space.dim))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return Ranker(write_index(tmp_path / "index", vectors.astype(np.float16), TABLE[:20]))


@pytest.mark.parametrize(
    ("wanted", "form", "message"),
    [
        ((), "csv", "no clip is selected"),
        (("c1",), "xlsx", "unknown format 'xlsx'; choose from parquet, csv"),
        (tuple(map(str, range(MAX_IDS + 1))), "csv", "100,001 clips are selected"),
    ],
)
def test_what_cannot_be_written_leaves_nothing_behind(ranker, tmp_path, wanted, form, message):
    with pytest.raises(UsageError, match=message):
        write(ranker, wanted, form, tmp_path)
    assert not list(tmp_path.iterdir())


def test_rows_of_one_version_are_no_subset():
    with pytest.raises(UsageError, match="name the clips with ids"):
        Subset(Query(like=("c1",), within=np.arange(3)), top=1)
    with pytest.raises(UsageError, match="the ids of a subset are a list of texts"):
        Subset.from_json({"ids": ["c1", 2], "seed": 0})


@pytest.mark.parametrize(
    "content", [b"PAR1", b"PK\x05\x06" + bytes(18), b"PK\x03\x04 damaged", b"{}", json.dumps({"recipe": RECIPE_VERSION + 1}).encode()]
)
def test_a_file_without_a_recipe_is_refused_in_one_line(tmp_path, content):
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(UsageError, match=r"is not a recipe of `vidsearch export`, nor holds one|recipe version 2"):
        read_recipe(tmp_path / "file")


@given(st.integers(0, 100 * 3600 * 1000 - 1))
def test_a_timestamp_has_internvid_s_form(milliseconds):
    text = timestamp(milliseconds / 1000)
    hours, minutes, seconds = text.split(":")
    assert len(text) == 12
    assert (int(hours) * 3600 + int(minutes) * 60) * 1000 + round(float(seconds) * 1000) == milliseconds
    assert int(minutes) < 60
    assert float(seconds) < 60


def test_internvid_rows_have_the_names_of_its_file():
    row = {
        "youtube_id": "HdYoyzCSWyw",
        "source_start_s": 190.567,
        "source_end_s": 191.2,
        "start_s": 0.0,
        "end_s": 0.633,
        "caption": None,
        "umt_score": 0.4,
    }
    assert internvid_row(row) == {
        "YoutubeID": "HdYoyzCSWyw",
        "Start_timestamp": "00:03:10.567",
        "End_timestamp": "00:03:11.200",
        "Caption": "",
        "Aesthetic_Score": None,
        "UMT_Score": 0.4,
    }
    own = {"youtube_id": None, "video": "a/b.mp4", "start_s": 1.0, "end_s": 2.0, "source_start_s": None, "source_end_s": None}
    assert list(internvid_row(own).values()) == ["a/b.mp4", "00:00:01.000", "00:00:02.000", "", None, None]

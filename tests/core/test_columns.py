"""columns.bin: its arrays as FORMAT.md has them, what is fetched from them, and damage."""

from __future__ import annotations

import json
from collections import Counter
from math import isnan
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from support.filters import MORE_VALUES, table, trees

from vidsearch.config import Space, viclip_preset
from vidsearch.corpus import Corpus
from vidsearch.errors import IndexCorruptError, QueryError, UsageError
from vidsearch.filters.evaluate import evaluate
from vidsearch.filters.parse import parse
from vidsearch.filters.select import select
from vidsearch.filters.tree import Compare, Filter, IsNull, Not
from vidsearch.storage import _numbers, _texts, columns
from vidsearch.storage import manifest as manifests
from vidsearch.storage.columns import Columns
from vidsearch.storage.segment import Segment, open_segment, write

SPACE = Space("viclip", "ViCLIP-B-16", "ab" * 32, 1, viclip_preset("eval"), 2)


def add(root: Path, rows: pa.Table) -> Segment:
    """Write a segment of some rows, name it, and open it."""
    manifests.create(root, SPACE)
    vectors = np.ones((rows.num_rows, 2), np.float16)
    reference = write(root, vectors=vectors, rows=rows, index_files={}, quarantine=pa.table({}), info={"index": "flat"})
    manifests.commit(root, lambda manifest: manifest.with_segments([*manifest.segments, reference]))
    return open_segment(root, reference)


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few values to a category and short steps in orders, so that small tables have all structures."""
    monkeypatch.setattr(columns, "MAX_VALUES", 4)
    monkeypatch.setattr(_numbers, "SMALLEST_STEP", 3)


def parts(segment: Segment) -> dict[str, dict[str, np.ndarray]]:
    """Read the arrays with NumPy alone, as FORMAT.md says."""
    values = json.loads((segment._folder / "SEGMENT.json").read_bytes().splitlines()[0])
    data = np.memmap(segment._folder / "columns.bin", dtype=np.uint8, mode="r") if (segment._folder / "columns.bin").stat().st_size else b""
    return {
        name: {
            part: np.frombuffer(data, dtype, count=int(np.prod(shape)), offset=offset).reshape(shape) if np.prod(shape) else np.zeros(shape)
            for part, (offset, dtype, shape) in entry["arrays"].items()
        }
        for name, entry in values["columns"]["entries"].items()
    }


def test_a_category_has_codes_bitmaps_of_common_values_and_lists_of_rare_ones(tmp_path: Path) -> None:
    values = ["en"] * 60 + ["zh"] + [None] * 2 + ["de"] * 3 + ["zh", "en"]
    found = parts(add(tmp_path, pa.table({"language": values})))["language"]
    assert found["ends"].tolist() == [0, 2, 4, 6]
    assert found["texts"].tobytes() == b"deenzh"
    assert found["codes"].tolist() == [{"de": 0, "en": 1, "zh": 2, None: 3}[value] for value in values]
    assert found["counts"].tolist() == [3, 61, 2, 2]
    assert found["starts"].tolist() == [0, 0, 0, 2, 4]  # 3 of 68 rows are common, 2 are not
    assert found["postings"].tolist() == [60, 66, 61, 62]
    assert found["bitmaps"].tolist() == [[0, 0xFFFFFFFF << 31 & 0xFFFFFFFF, 0b11], [0xFFFFFFFF, 0x0FFFFFFF, 0b1000]]


def test_the_codes_of_a_category_are_the_places_of_its_values(tmp_path: Path) -> None:
    column = add(tmp_path, pa.table({"language": ["en", None, "de", "en"]})).columns["language"]
    assert (column.values, column.codes.tolist()) == (("de", "en"), [1, 2, 0, 1])


@pytest.mark.usefixtures("short")
def test_numbers_have_their_order_and_a_bitmap_each_few_places(tmp_path: Path) -> None:
    values = [4.0, None, 1.0, float("nan"), 3.0, 0.0, 2.0, 1.0]
    found = parts(add(tmp_path, pa.table({"score": pa.array(values, pa.float32())})))["score"]
    assert found["values"].tolist()[0::4] == [4.0, 3.0]
    assert found["order"].tolist() == [5, 2, 7, 6, 4, 0]
    assert found["samples"].tolist() == [0.0]
    assert found["above"].tolist() == [[0b11110101], [0b01010001]]  # from the first place on, and from the fourth
    assert found["valid"].tolist() == [0b11111101]


@pytest.mark.usefixtures("short")
def test_many_texts_have_a_table_from_hash_to_rows(tmp_path: Path) -> None:
    values = ["b", "a", None, "c", "a", "é", "d"]
    segment = add(tmp_path, pa.table({"clip_id": values}))
    found = parts(segment)["clip_id"]
    assert found["ends"].tolist() == [0, 1, 2, 2, 3, 4, 6, 7]
    assert found["texts"].tobytes() == "bacaéd".encode()
    assert found["hashes"].tolist() == sorted(found["hashes"].tolist())
    assert sorted(found["hashed"].tolist()) == [0, 1, 3, 4, 5, 6]
    assert segment.rows_of("clip_id", "a").ids.tolist() == [1, 4]
    assert [segment.rows_of("clip_id", text).count for text in ("é", "e", "", "\ud800")] == [1, 0, 0, 0]


@pytest.mark.usefixtures("short")
def test_texts_that_share_a_hash_get_another_seed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hashes = _texts.hash_texts
    monkeypatch.setattr(_texts, "hash_texts", lambda texts, seed: hashes(texts, seed) % np.uint64(8))  # many texts share one
    segment = add(tmp_path, pa.table({"clip_id": list("abcde")}))
    assert segment.columns["clip_id"].parts.number("seed") > 0
    assert [segment.rows_of("clip_id", text).ids.tolist() for text in "abcde"] == [[n] for n in range(5)]
    assert [segment.rows_of("clip_id", text).count for text in "fghijklmnop"] == [0] * 11


def test_arrays_begin_at_cache_lines(tmp_path: Path) -> None:
    segment = add(tmp_path, table(33, 0))
    values = json.loads((segment._folder / "SEGMENT.json").read_bytes().splitlines()[0])
    offsets = [offset for entry in values["columns"]["entries"].values() for offset, _, _ in entry["arrays"].values()]
    assert len(offsets) > 50
    assert {offset % 64 for offset in offsets} == {0}


def plain(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{name: "NaN" if isinstance(value, float) and isnan(value) else value for name, value in row.items()} for row in rows]


@pytest.mark.parametrize("rows", [0, 1, 33, 257])
@pytest.mark.parametrize("most_values", [4, 4096])
def test_what_is_fetched_is_what_the_table_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows: int, most_values: int) -> None:
    monkeypatch.setattr(columns, "MAX_VALUES", most_values)
    written = table(rows, rows)
    segment = add(tmp_path, written)
    assert segment.schema.equals(written.schema)
    numbers = np.random.default_rng(0).integers(0, rows, 20) if rows else np.zeros(0, np.int64)
    expected = written.to_pylist()
    assert plain(segment.take(numbers)) == plain([expected[number] for number in numbers])
    read = segment.read_columns(written.column_names)
    read.validate(full=True)
    assert read.schema.equals(written.schema)
    assert plain(read.to_pylist()) == plain(written.to_pylist())


def test_a_sliced_and_chunked_table_is_written_right(tmp_path: Path) -> None:
    whole = table(100, 5)
    chunked = pa.concat_tables([whole.slice(10, 1), whole.slice(40, 0), whole.slice(11, 39)])
    segment = add(tmp_path, chunked)
    expected = whole.slice(10, 40)
    assert plain(segment.take(range(40))) == plain(expected.to_pylist())
    for text in ("language = 'en'", "score > 0", "is_short", "video = 'v3'", "local is null"):
        condition = parse(text, whole.schema)
        np.testing.assert_array_equal(select(condition, segment.columns, 40).mask, evaluate(condition, expected))
    single = add(tmp_path / "single", whole.slice(10, 40))  # one chunk that begins within its buffers
    assert plain(single.take(range(40))) == plain(expected.to_pylist())


def test_what_cannot_be_written_is_refused(tmp_path: Path) -> None:
    bad = pa.Array.from_buffers(pa.string(), 1, [None, pa.py_buffer(np.array([0, 2], np.int32)), pa.py_buffer(b"\xff\xfe")])
    with pytest.raises(UsageError, match="column caption holds text that is not UTF-8"):
        add(tmp_path, pa.table({"caption": bad}))
    with pytest.raises(UsageError, match="two columns have the same name"):
        add(tmp_path, pa.Table.from_arrays([pa.array([1]), pa.array([2])], names=["a", "a"]))


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    """Three segments; the second lacks columns, in the third texts are many and languages too."""
    root = tmp_path_factory.mktemp("corpus")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_numbers, "SMALLEST_STEP", 3)
        for number, rows in enumerate((40, 33, 257)):
            patch.setattr(columns, "MAX_VALUES", 4096 if number < 2 else 4)
            written = table(rows, number).append_column("clip_id", pa.array([f"s{number}-{n}" for n in range(rows)]))
            add(root, written.drop_columns(["language", "year"]) if number == 1 else written)
    return Corpus(root)


@settings(max_examples=40, deadline=None)
@given(trees({name: values for name, values in MORE_VALUES.items() if name != "missing"}))
def test_many_segments_select_what_looking_at_every_value_finds(corpus: Corpus, condition: Any) -> None:
    for selection, rows in zip(corpus.select(condition), corpus.read_columns(corpus.schema.names), strict=True):
        np.testing.assert_array_equal(selection.mask, evaluate(condition, rows))


def test_rows_of_all_segments_are_fetched_in_the_order_asked(corpus: Corpus) -> None:
    everything = [row for rows in corpus.read_columns(corpus.schema.names) for row in rows.to_pylist()]
    numbers = [300, 0, 39, 40, 72, 73, 329, 0]
    assert plain(corpus.take(numbers)) == plain([everything[number] for number in numbers])
    assert corpus.take([40, 0], ["language", "clip_id"])[0] == {"language": None, "clip_id": "s1-0"}
    assert [corpus.row_of(f"s{segment}-{row}") for segment, row in ((0, 0), (1, 32), (2, 256))] == [0, 72, 329]
    with pytest.raises(UsageError, match="row numbers 0 to 330 must lie within 0 to 329"):
        corpus.take([0, 330])
    with pytest.raises(QueryError, match="no clip 's3-0'"):
        corpus.row_of("s3-0")


def test_a_filter_that_was_asked_before_is_not_parsed_again(corpus: Corpus) -> None:
    assert corpus.parse("year = 5") is corpus.parse("year = 5")


def test_each_part_of_a_filter_is_counted_alone(corpus: Corpus) -> None:
    def count(where: str) -> int:
        return sum(selection.count for selection in corpus.select(where))

    expected = [(part, count(part)) for part in ("year = 5", "language = 'nobody'", "score > 0 or is_short = true")]
    assert corpus.explain_filter("year = 5 and language = 'nobody' and (score > 0 or is_short)") == expected
    assert expected[1][1] == 0 < expected[0][1]
    assert corpus.explain_filter("not (year = 5 and score > 0)") == [
        ("not (year = 5 and score > 0)", count("not (year = 5 and score > 0)"))
    ]


@pytest.mark.parametrize("where", [None, "score > 0", "clip_id = 's0-3'", "not is_short", "false"])
@pytest.mark.parametrize("column", ["language", "video", "is_short", "day", "nothing"])
def test_values_are_counted_among_the_selected_rows(corpus: Corpus, column: str, where: str | None) -> None:
    selections = corpus.select(where)
    rows = np.concatenate([selection.ids + offset for selection, offset in zip(selections, corpus.offsets, strict=False)])
    expected = Counter(row[column] for row in corpus.take(rows, [column]))
    found = corpus.value_counts(column, selections)
    assert found == dict(expected)
    assert list(found.values()) == sorted(found.values(), reverse=True)


def test_what_cannot_be_counted_is_refused(corpus: Corpus) -> None:
    with pytest.raises(UsageError, match="unknown column 'langage'"):
        corpus.value_counts("langage", corpus.select(None))
    with pytest.raises(UsageError, match=r"column tags is list<.*>: its values cannot be counted"):
        corpus.value_counts("tags", corpus.select(None))


def use(opened: Columns) -> None:
    """Ask everything of some columns; what comes back must lie within the segment."""
    rows = np.arange(opened.rows)
    for name, values in MORE_VALUES.items():
        if name in opened:
            operators = ("=", "!=") if name == "is_short" else ("=", "!=", ">", "<=")
            conditions: list[Filter] = [IsNull(name), Not(IsNull(name))]
            conditions += [Compare(name, operator, value) for operator in operators for value in values]
            for condition in conditions:
                selected = select(condition, opened, opened.rows)
                assert len(selected.ids) == 0 or int(selected.ids.max()) < opened.rows
                assert len(selected.words) == -(-opened.rows // 32)
            opened[name].cells(rows[::7])
            opened[name].arrow(rows[::5]).to_pylist()
            opened[name].arrow().to_pylist()


@pytest.mark.usefixtures("short")
@pytest.mark.parametrize("seed", range(25))
def test_damage_gives_other_values_or_an_error_and_ends_no_process(tmp_path: Path, seed: int) -> None:
    rng = np.random.default_rng(seed)
    segment = add(tmp_path, table(100, seed).drop_columns(["tags", "price", "nothing"]).append_column("nothing", pa.nulls(100)))
    path = segment._folder / "columns.bin"
    data = bytearray(path.read_bytes())
    for place in rng.integers(0, len(data), 30):
        data[place] ^= 1 << int(rng.integers(0, 8))
    path.write_bytes(data)
    complaint = ""
    try:
        use(segment.columns)
    except IndexCorruptError as error:
        complaint = str(error)
    assert "\n" not in complaint
    assert not complaint or "columns.bin: column " in complaint


OUT_OF_RANGE = [("video", "ends"), ("language", "codes"), ("video", "hashed"), ("score", "order"), ("language", "postings")]


@pytest.mark.usefixtures("short")
@pytest.mark.parametrize(("column", "part"), OUT_OF_RANGE)
def test_what_points_outside_is_an_error(tmp_path: Path, column: str, part: str) -> None:
    rows = table(100, 1).set_column(0, "language", pa.array(["en"] * 98 + ["de", None]))
    segment = add(tmp_path, rows.drop_columns(["tags", "price"]))
    offset, dtype, (count, *_) = segment._directory["entries"][column]["arrays"][part]
    path = segment._folder / "columns.bin"
    data = bytearray(path.read_bytes())
    assert count > 0
    data[offset : offset + count * np.dtype(dtype).itemsize] = b"\x7f" * (count * np.dtype(dtype).itemsize)
    path.write_bytes(data)
    with pytest.raises(IndexCorruptError, match=rf"columns\.bin: column {column}: damaged"):
        use(segment.columns)


def test_a_directory_that_lies_is_refused(tmp_path: Path) -> None:
    segment = add(tmp_path, table(100, 1))
    entries = segment._directory["entries"]
    good = json.dumps(entries)
    for part, lie in [
        ("values", [10**9, "<f8", [100]]),
        ("values", [0, "<f8", [99]]),
        ("values", [0, "O", [100]]),
        ("order", [-8, "<u4", [5]]),
    ]:
        entries.clear()
        entries.update(json.loads(good))
        entries["score"]["arrays"][part] = lie
        opened = Columns(tmp_path / "columns.bin", segment._directory, segment.map_file("columns.bin"), 100, None)  # type: ignore[arg-type]
        with pytest.raises(IndexCorruptError, match="column score"):
            use(opened)

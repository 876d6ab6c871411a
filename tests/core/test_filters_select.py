"""Filters answered from bitmaps, lists and orders: the rows that looking at every value finds."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.filters import MORE_VALUES, table, trees

from vidsearch.errors import FilterError
from vidsearch.filters._ranges import ALL, EMPTY, Ranges, ranges_of
from vidsearch.filters.evaluate import evaluate
from vidsearch.filters.parse import parse
from vidsearch.filters.select import select
from vidsearch.filters.tree import And, Compare, Filter, Like, OneOf, Or
from vidsearch.storage import _numbers, columns
from vidsearch.storage._rows_file import RowsFile, write_table
from vidsearch.storage.columns import Columns
from vidsearch.storage.files import map_bytes

SHAPES = [(0, 0.3), (1, 0.0), (1, 1.0), (2, 0.5), (31, 0.3), (32, 0.0), (33, 1.0), (100, 0.3), (257, 0.02), (257, 0.0)]


def written(folder: Path, rows: pa.Table) -> Columns:
    """Write and open the columns of a table."""
    write_table(folder / "rows.parquet", rows)
    _, directory = columns.write(folder / "columns.bin", rows)
    rows_file = RowsFile(folder / "rows.parquet", lambda: map_bytes(folder / "rows.parquet"), rows.num_rows)
    return Columns(folder / "columns.bin", directory, map_bytes(folder / "columns.bin"), rows.num_rows, rows_file)


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[pa.Table, Columns]]:
    """Random tables of every shape, each with texts as categories and as texts, and with short steps in its orders."""
    made = []
    with pytest.MonkeyPatch.context() as patch:
        for number, (rows, null_share) in enumerate(SHAPES):
            for most_values, step in ((4096, 256), (4, 3)):
                patch.setattr(columns, "MAX_VALUES", most_values)
                patch.setattr(_numbers, "SMALLEST_STEP", step)
                rows_table = table(rows, number, null_share=null_share)
                made.append((rows_table, written(tmp_path_factory.mktemp("columns"), rows_table)))
    return made


def check(condition: Filter, rows: pa.Table, opened: Columns) -> None:
    found = select(condition, opened, rows.num_rows)
    expected = evaluate(condition, rows)
    assert found.count == expected.sum()
    assert found.ids.tolist() == np.flatnonzero(expected).tolist()
    np.testing.assert_array_equal(found.mask, expected)


def test_the_tables_hold_every_kind_of_column(tables: list[tuple[pa.Table, Columns]]) -> None:
    kinds = {opened[name].kind for _, opened in tables for name in opened}
    assert kinds == {"category", "number", "text", "other"}
    assert len(tables[-1][1]["score"]._above) > 60  # type: ignore[union-attr]


@settings(max_examples=120, deadline=None)
@given(st.integers(0, 2 * len(SHAPES) - 1), trees(MORE_VALUES))
def test_random_filters_select_what_looking_at_every_value_finds(
    tables: list[tuple[pa.Table, Columns]], number: int, condition: Filter
) -> None:
    check(condition, *tables[number])


@pytest.mark.parametrize(
    "text",
    [
        "language = 'en' and aesthetic > 5",
        "aesthetic between 0 and 3 and not year = 5",
        "aesthetic > 0 or aesthetic is null",
        "score != 5 and score != 0.1",
        "not (score = 5 or score is null)",
        "video in ('v1', 'v2', 'nobody') or video = 'v3'",
        "video != 'v1' and video not in ('v2', 'v3')",
        "(video = 'v1' or video is null) and (video != 'v1' or language = 'en')",
        "not (video = 'v1' and language = 'en')",
        "caption like '%dog%' and language = 'en'",
        "caption like '%dog%' or language = 'en' or video < 'v2'",
        "video like 'v1%' and not video = 'v1' and year > 0",
        "video < 'v2' or (caption = 'dog' and (video > 'v3' or price > 1))",
        "price > 1 and tags is not null",
        "not price > 1 and language = 'de'",
        "language = 'en' and language = 'de'",
        "language = 'en' or language != 'en' or language is null",
        "is_short or not is_short",
        "missing = 5 or year = 5",
        "missing is null and year = 5",
        "nothing is null and not nothing = 1 or year = 5",
        "true and (false or year = 5)",
        "day in ('2024-01-31', '0001-01-01') and seen_at >= '2024-01-31'",
        "year in (5, 6, 2020) and not year in (6)",
    ],
)
def test_each_way_of_asking_finds_the_same(tables: list[tuple[pa.Table, Columns]], text: str) -> None:
    for rows, opened in tables:
        condition = parse(text, pa.schema([*rows.schema, pa.field("missing", pa.int64())]))
        check(condition, rows, opened)


def test_a_list_of_a_thousand_values_and_a_thousand_terms(tables: list[tuple[pa.Table, Columns]]) -> None:
    rows, opened = tables[-1]
    check(OneOf("score", tuple(n / 8 for n in range(1000))), rows, opened)
    check(Or(tuple(Compare("year", "=", n) for n in range(1000))), rows, opened)
    check(And(tuple(Compare("video", "!=", f"v{n}") for n in range(1000))), rows, opened)


def test_like_is_asked_only_of_the_rows_in_question(tables: list[tuple[pa.Table, Columns]], monkeypatch: pytest.MonkeyPatch) -> None:
    rows, opened = tables[-1]
    asked = []
    arrow = type(opened["caption"]).arrow
    monkeypatch.setattr(type(opened["caption"]), "arrow", lambda column, ids=None: asked.append(ids) or arrow(column, ids))
    condition = And((Like("caption", "%dog%"), Compare("video", "=", "v3")))
    check(condition, rows, opened)
    few = evaluate(Compare("video", "=", "v3"), rows)
    assert [ids.tolist() for ids in asked] == [np.flatnonzero(few).tolist()]


def test_small_answers_stay_lists(tables: list[tuple[pa.Table, Columns]]) -> None:
    rows, opened = tables[-1]
    assert opened["video"].kind == "text"
    for text in ("video = 'v3'", "video = 'v3' and language = 'en'", "video = 'v3' and score > 0 and not is_short"):
        assert select(parse(text, rows.schema), opened, rows.num_rows).listed


def test_another_type_than_the_filter_was_parsed_for_is_refused(tables: list[tuple[pa.Table, Columns]]) -> None:
    _, opened = tables[-1]
    for condition in (Compare("year", "=", "5"), OneOf("language", (5,)), Like("year", "5"), Compare("is_short", "<", True)):
        with pytest.raises(FilterError, match="it cannot be compared with"):
            select(condition, opened, opened.rows)


@pytest.mark.parametrize(
    ("one", "other", "both", "either"),
    [
        (Ranges(False, ((5, True),)), Ranges(True, ((8, True),)), Ranges(False, ((5, True), (8, True))), ALL),
        (Ranges(True, ((5, False),)), Ranges(False, ((5, False),)), EMPTY, ALL),
        (Ranges(True, ((5, False),)), Ranges(False, ((5, True),)), EMPTY, Ranges(True, ((5, False), (5, True)))),
        (Ranges(True, ((5, True),)), Ranges(False, ((5, False),)), Ranges(False, ((5, False), (5, True))), ALL),
        (ALL, Ranges(False, ((1, False), (2, False))), Ranges(False, ((1, False), (2, False))), ALL),
        (EMPTY, Ranges(True, ((1, True),)), EMPTY, Ranges(True, ((1, True),))),
    ],
)
def test_ranges_meet_and_join(one: Ranges, other: Ranges, both: Ranges, either: Ranges) -> None:
    assert (one & other, other & one) == (both, both)
    assert (one | other, other | one) == (either, either)
    assert ~(~one | ~other) == both


@pytest.mark.parametrize(
    ("operator", "value", "column_type", "expected"),
    [
        (">", 5.5, pa.int8(), Ranges(False, ((5, True),))),
        (">=", 5.5, pa.int8(), Ranges(False, ((6, False),))),
        ("<", 128, pa.int8(), ALL),
        (">", -129, pa.int8(), ALL),
        ("=", 128, pa.int8(), EMPTY),
        ("!=", 5.5, pa.int8(), ALL),
        ("<", -1, pa.uint64(), EMPTY),
        ("=", 0.1, pa.float32(), Ranges(False, ((np.float32(0.1), False), (np.float32(0.1), True)))),
        ("<=", "1970-01-02", pa.date32(), Ranges(True, ((1, True),))),
        ("<=", "1970-01-02", pa.date64(), Ranges(True, ((86_400_000, True),))),
        (">", "1970-01-01T00:00:00.5", pa.timestamp("s"), Ranges(False, ((0, True),))),
        (">=", "1970-01-01T00:00:00.5", pa.timestamp("s"), Ranges(False, ((1, False),))),
        ("=", "1970-01-01T00:00:00.5", pa.timestamp("s"), EMPTY),
        ("=", "1970-01-01T01:00:00.5+01:00", pa.timestamp("ns", "UTC"), Ranges(False, ((500_000_000, False), (500_000_000, True)))),
    ],
)
def test_a_comparison_is_a_range(operator: str, value: object, column_type: pa.DataType, expected: Ranges) -> None:
    assert ranges_of(Compare("x", operator, value), column_type) == expected  # type: ignore[arg-type]


def test_what_structures_answer_costs_no_heavy_import(tmp_path: Path) -> None:
    """Neither PyArrow's kernels nor pandas nor numba: a cold query with a filter pays for none of them."""
    rows = table(100, 1).select(["language", "aesthetic", "year", "video", "seen_at"])
    _, directory = columns.write(tmp_path / "columns.bin", rows)
    code = f"""
import sys, json
from pathlib import Path
import numpy as np
from vidsearch.filters.select import select
from vidsearch.filters.tree import And, Compare, IsNull, Not, OneOf, Or
from vidsearch.storage.columns import Columns
from vidsearch.storage.files import map_bytes
folder = Path({str(tmp_path)!r})
opened = Columns(folder / "columns.bin", json.loads(sys.argv[1]), map_bytes(folder / "columns.bin"), 100, None)
tree = And((Or((Compare("language", "=", "en"), Compare("aesthetic", ">", 1))), Not(OneOf("video", ("v1",))), Not(IsNull("year"))))
print(select(tree, opened, 100).count, len(opened["language"].cells(np.arange(3))), len(opened["aesthetic"].cells(np.arange(3))))
print(*sorted(sys.modules))
"""
    ran = subprocess.run([sys.executable, "-c", code, json.dumps(directory)], capture_output=True, text=True, check=True)
    found, modules = ran.stdout.splitlines()
    assert found.endswith(" 3 3")
    assert not {"pyarrow.compute", "numpy.ma", "pandas", "numba", "faiss", "torch", "sqlglot", "pyarrow.parquet"} & set(modules.split())

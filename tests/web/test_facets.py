"""Facets: their counts against looking at every row, which columns they are of, and what a person sees of them."""

from __future__ import annotations

import math
from collections import Counter
from datetime import UTC, date, datetime, timedelta
from functools import cache
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from support.filters import MORE_VALUES, table, trees
from support.tables import index_of

from ui.asking.ranking import Ranker
from ui.filtering.choices import YEARS, kind_of
from ui.filtering.conditions import set_range
from ui.filtering.facets import TOP_VALUES, Facet, facets
from ui.state import Point, State
from vidsearch import Index, open_index
from vidsearch.errors import IndexCorruptError
from vidsearch.filters.evaluate import evaluate
from vidsearch.filters.tree import And, Compare, Filter, IsNull, Not, OneOf
from vidsearch.upkeep.delete import delete

DELETED = "clip_id in ('s0-3', 's2-17', 's2-18') or year = 2021"
OWN: list[Filter] = [
    OneOf("language", ("en", "")),
    IsNull("language"),
    Compare("small", "=", 5),
    And((Compare("score", ">=", -1), Compare("score", "<", 2))),
    Compare("aesthetic", ">", 0.1),
    Compare("is_short", "=", True),
    Compare("day", ">=", "1970-01-01"),
    Compare("seen_at", "<", "2024-01-31T00:00:00.000002"),
]


class Table:
    """The rows of an index that are not deleted, looked at one by one."""

    def __init__(self, index: Index) -> None:
        self.index = index
        self.rows = pa.concat_tables(index.read_columns(index.schema.names))
        self.alive = index.alive_mask
        self._cells: dict[str, list[Any]] = {}
        self._meeting = cache(lambda condition: evaluate(condition, self.rows))

    def passing(self, *conditions: Filter | str) -> np.ndarray:
        """Return the mask of rows that meet all conditions."""
        parsed = [self.index.parse(one) if isinstance(one, str) else one for one in conditions]
        return np.logical_and.reduce([self.alive, *map(self._meeting, parsed)])

    def values(self, column: str, mask: np.ndarray) -> list[Any]:
        if column not in self._cells:
            self._cells[column] = self.rows.column(column).to_pylist()
        cells = [cell for cell, there in zip(self._cells[column], mask, strict=True) if there]
        return [None if isinstance(cell, float) and math.isnan(cell) else cell for cell in cells]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Table:
    """Three segments; the second lacks columns, in each some rows are deleted."""
    parts = [table(rows, seed) for seed, rows in enumerate((40, 33, 160))]
    index = index_of(tmp_path_factory.mktemp("index"), parts[0], parts[1].drop_columns(["language", "year", "score"]), parts[2])
    assert delete(index.root, where=DELETED) > 3
    return Table(open_index(index.root))


@pytest.fixture(scope="module")
def ranker(whole: Table) -> Ranker:
    return Ranker(whole.index, lambda state: np.arange(30, 100) if state.lasso else None)


def check(facet: Facet, whole: Table, counted: np.ndarray) -> None:
    """Compare a facet with the rows it must have counted."""
    values = whole.values(facet.column, counted)
    assert facet.of == len(values)
    assert facet.missing == values.count(None)
    if facet.kind == "values":
        counts = Counter(value.isoformat() if isinstance(value, date) else value for value in values if value is not None)
        shown = {value.value: value.count for value in facet.values if value.value is not None}
        assert shown.items() <= {**dict.fromkeys(shown, 0), **counts}.items()
        assert sorted(filter(None, shown.values()), reverse=True)[:TOP_VALUES] == [count for _, count in counts.most_common(TOP_VALUES)]
        assert facet.more == len([value for value in counts if value not in shown])
        return
    time = kind_of(whole.index.schema.field(facet.column).type) == "time"
    lows = [Compare(facet.column, ">=", facet.text(edge) if time else edge) for edge in facet.edges[:-1]]
    highs = [Compare(facet.column, "<", facet.text(edge) if time else edge) for edge in facet.edges[1:] if not time or edge < YEARS[1]]
    within = zip_longest(lows, highs, fillvalue=Not(IsNull(facet.column)))
    assert list(facet.bins) == [int((whole.passing(*bounds) & counted).sum()) for bounds in within]
    endless = sum(isinstance(value, float) and math.isinf(value) for value in values)
    assert sum(facet.bins) + facet.missing + endless == facet.of


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.sampled_from(OWN), max_size=3, unique_by=lambda part: min(part.columns)),
    st.none() | trees({name: MORE_VALUES[name] for name in ("language", "score", "year", "video", "is_short")}, max_leaves=3),
    st.sampled_from([(), (Point(0, 0), Point(1, 0), Point(0, 1))]),
)
@example([], None, ())
@example([Compare("year", "=", 12345)], None, ())
def test_each_facet_counts_what_the_rest_of_the_filter_leaves(
    whole: Table, ranker: Ranker, own: Any, typed: Filter | None, lasso: Any
) -> None:
    others = [] if typed is None else [And((typed, Compare("video", "!=", "v5")))]  # of two columns: no facet's
    whole_filter = " and ".join(f"({part})" for part in [*own, *map(_kept_whole, others)])
    found = facets(whole.index, State(where=whole_filter, lasso=lasso), ranker)
    inside = np.isin(np.arange(len(whole.alive)), np.arange(30, 100)) if lasso else True
    for facet in found:
        rest = [part for part in own if part.columns != {facet.column}]
        check(facet, whole, whole.passing(*rest, *others) & inside)
    assert {column for part in own for column in part.columns if column != "year"} <= {facet.column for facet in found}


def _kept_whole(condition: Filter) -> str:
    return f"not (not ({condition}))"


@pytest.mark.parametrize("where", ["", "language = 'en'", "language = 'en' and small < 100", "score > 1e9", "video = 'v5' or year = 5"])
def test_with_a_question_its_results_are_counted(whole: Table, where: str) -> None:
    ranker = Ranker(whole.index)
    found = {facet.column: facet for facet in facets(whole.index, State(like=("s0-0",), where=where), ranker)}
    for column, rest in {"language": where.removeprefix("language = 'en'").removeprefix(" and "), "is_short": where}.items():
        hits = whole.index.search(like="s0-0", k=1000, where=rest or None) if whole.passing(*[rest] * bool(rest)).any() else []
        mask = np.isin(whole.rows.column("clip_id").to_pylist(), [hit.clip_id for hit in hits])
        check(found[column], whole, mask)


def test_columns_that_say_something_of_many_clips_are_facets(whole: Table, ranker: Ranker) -> None:
    found = [(facet.column, facet.kind) for facet in facets(whole.index, State(), ranker)]
    assert found == [
        ("language", "values"),
        ("aesthetic", "range"),
        ("wide", "values"),
        ("view", "values"),
        ("score", "range"),
        ("half", "range"),
        ("year", "range"),
        ("small", "values"),
        ("big", "range"),
        ("is_short", "values"),
        ("day", "range"),
        ("seen_at", "range"),
        ("local", "range"),
    ]


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> tuple[Index, Ranker]:
    rows = 1000
    rng = np.random.default_rng(1)
    seconds = np.concatenate([rng.uniform(1, 9, rows - 2), [0.25, 86.0]])
    columns = {
        "note": pa.array([f"note {row}" for row in range(rows)]),
        "topic": pa.array([f"t{int(topic)}" for topic in rng.geometric(0.3, rows)]),
        "year": pa.array((2000 + rng.integers(0, 5, rows)).astype(np.int32)),
        "same": pa.array(["one"] * rows),
        "never": pa.nulls(rows, pa.string()),
        "uploaded": pa.array([date(2019, 1, 1) + timedelta(days=int(day)) for day in rng.integers(0, 1000, rows)]),
        "seen": pa.array([datetime(2024, 1, 1, tzinfo=UTC) + timedelta(seconds=int(s)) for s in rng.integers(0, 6000, rows)]),
        "plays": pa.array(rng.integers(0, 5000, rows)),
        "start_s": pa.array(rng.uniform(0, 100, rows)),
        "duration_s": pa.array(seconds),
        "umt_score": pa.array([None, *rng.uniform(0.2, 0.5, rows - 1)], pa.float32()),
        "type": pa.array(["a'b", "<b>", "ü", ""] * (rows // 4)),
        "language": pa.array(["en"] * (rows - 1) + ["de"]),
    }
    index = index_of(tmp_path_factory.mktemp("clips"), pa.table(columns))
    return index, Ranker(index)


def test_known_columns_come_first_and_those_that_say_nothing_not_at_all(clips: tuple[Index, Ranker]) -> None:
    found = facets(clips[0], State(), clips[1])
    assert [facet.column for facet in found] == [
        "language",
        "type",
        "duration_s",
        "umt_score",
        "topic",
        "year",
        "uploaded",
        "seen",
        "plays",
    ]
    assert [facet.label for facet in found][2:4] == ["duration (s)", "UMT score"]
    chosen = facets(clips[0], State(where="same = 'one' and note = 'note 5' and never is null and year = 2001"), clips[1])
    assert [facet.column for facet in chosen][4:8] == ["year", "same", "never", "topic"]


def test_the_most_frequent_values_are_shown_and_those_that_are_chosen(clips: tuple[Index, Ranker]) -> None:
    topic = next(facet for facet in facets(*[clips[0], State(where="topic in ('t1', 't99', 't12')"), clips[1]]) if facet.column == "topic")
    assert [value.value for value in topic.values] == ["t1", "t2", "t3", "t4", "t5", "t6", "t7", "t8", "t12", "t99"]
    assert [value.value for value in topic.values if value.chosen] == ["t1", "t12", "t99"]
    assert topic.values[-1].count == 0
    counts = clips[0].value_counts("topic", clips[0].select(None))
    assert topic.more == len(counts) - 9
    assert [value.count for value in topic.values[:9]] == [counts[f"t{n}"] for n in (1, 2, 3, 4, 5, 6, 7, 8, 12)]


def test_missing_clips_can_be_chosen(clips: tuple[Index, Ranker]) -> None:
    def umt(where: str) -> Facet:
        return next(facet for facet in facets(clips[0], State(where=where), clips[1]) if facet.column == "umt_score")

    assert [umt(where).missing_chosen for where in ("", "umt_score is null", "umt_score > 0.3 or umt_score is null")] == [False, True, True]
    assert umt("umt_score is null").missing == 1
    assert sum(umt("umt_score is null").bins) == 999


@pytest.mark.parametrize(
    ("where", "column", "low", "high"),
    [
        ("duration_s >= 2 and duration_s < 4.5", "duration_s", 2, 4.5),
        ("duration_s > 2", "duration_s", 2, None),
        ("duration_s = 3", "duration_s", 3, 3),
        ("plays <= 10 or plays is null", "plays", None, 10),
        ("uploaded < '1970-01-03'", "uploaded", None, 172_800),
        ("seen >= '1970-01-01T01:00:00.5'", "seen", 3600.5, None),
        ("language = 'en'", "plays", None, None),
    ],
)
def test_the_range_that_is_chosen_is_told(clips: tuple[Index, Ranker], where: str, column: str, low: Any, high: Any) -> None:
    facet = next(facet for facet in facets(clips[0], State(where=where), clips[1]) if facet.column == column)
    assert (facet.low, facet.high) == (low, high)


def test_edges_are_round_and_stay_where_they_are(clips: tuple[Index, Ranker]) -> None:
    found = {facet.column: facet for facet in facets(clips[0], State(), clips[1])}
    assert found["duration_s"].edges == (0.25, *np.arange(1, 9.5, 0.5), 87)
    assert found["plays"].edges == tuple(range(0, 5001, 250))
    assert [found["uploaded"].text(edge) for edge in found["uploaded"].edges[:2]] == ["2019-01-01", "2019-03-01"]
    assert [found["seen"].text(edge) for edge in found["seen"].edges[:2]] == ["2024-01-01", "2024-01-01T00:05:00"]
    narrowed = {facet.column: facet for facet in facets(clips[0], State(where="language = 'de'"), clips[1])}
    assert all(narrowed[name].edges == facet.edges for name, facet in found.items())


def test_a_bin_that_is_clicked_leaves_the_clips_it_counts(clips: tuple[Index, Ranker]) -> None:
    for facet in facets(clips[0], State(), clips[1]):
        for place, count in enumerate(facet.bins):
            where = set_range(clips[0], "", facet.column, *facet.edges[place : place + 2])
            assert clips[0].count(where=where).rows == count


def test_deleted_clips_of_one_value_leave_no_facet(tmp_path: Path) -> None:
    index = index_of(tmp_path, pa.table({"language": ["en", "en", "de"], "length": [1.0, 2.0, 3.0]}))
    delete(index.root, where="language = 'de'")
    reopened = open_index(index.root)
    (length,) = facets(reopened, State(), Ranker(reopened))
    assert (length.column, length.edges[0], length.edges[-1]) == ("length", 1, 2.05)
    assert [place for place, count in enumerate(length.bins) if count] == [0, len(length.bins) - 1]


def test_what_matches_nothing_has_counts_of_zero(clips: tuple[Index, Ranker]) -> None:
    found = facets(clips[0], State(where="false"), clips[1])
    assert {facet.of for facet in found} == {0}
    assert all(not any(facet.bins) and not facet.values for facet in found)
    assert {len(facets(clips[0], State(like=("s0-0",), where="false"), clips[1]))} == {len(found)}


def test_an_index_without_clips_has_no_facets(tmp_path: Path) -> None:
    empty = index_of(tmp_path / "empty")
    assert facets(empty, State(where="language = 'en'"), Ranker(empty)) == ()
    bare = index_of(tmp_path / "bare", pa.table({"video": ["a", "b"]}))
    assert facets(bare, State(), Ranker(bare)) == ()


def test_a_damaged_segment_is_not_counted(tmp_path: Path) -> None:
    parts = [pa.table({"language": [*languages] * 20}) for languages in (("en", "de"), ("en", "fr"), ("en", "de"))]
    index = index_of(tmp_path, *parts)
    path = index.root / "segments" / index.segments[1].uuid / "columns.bin"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0x10
    path.write_bytes(data)
    reopened = open_index(index.root)
    (facet,) = facets(reopened, State(), Ranker(reopened))
    assert {value.value: value.count for value in facet.values} == {"en": 40, "de": 40}
    assert len(reopened.skipped) == 1


def test_a_segment_left_out_later_is_counted_no_more(tmp_path: Path) -> None:
    index = index_of(tmp_path, *(pa.table({"language": [language, "en"] * 10}) for language in ("fr", "de")))
    ranker = Ranker(index)
    assert [value.value for value in facets(index, State(where="language is not null"), ranker)[0].values] == ["en", "de", "fr"]
    index.leave_out(0, IndexCorruptError("found later"))
    assert [value.value for value in facets(index, State(where="language is not null"), ranker)[0].values] == ["de", "en"]


def test_segments_of_unlike_types_are_counted_together(tmp_path: Path) -> None:
    times = [datetime(2024, 1, 1), datetime(2024, 1, 3, 12)]
    parts = [
        pa.table({"size": pa.array([1, 2, None], pa.int32()), "at": pa.array([*times, None], pa.timestamp("s"))}),
        pa.table({"size": pa.array([2.5, 9.0, math.nan]), "at": pa.array([*times, None], pa.timestamp("us"))}),
    ]
    index = index_of(tmp_path, *parts)
    size, at = facets(index, State(), Ranker(index))
    assert (size.missing, sum(size.bins)) == (2, 4)
    assert {at.text(edge): count for edge, count in zip(at.edges, at.bins, strict=False) if count} == {
        "2024-01-01": 2,
        "2024-01-03T12:00:00": 2,
    }

"""The filter as conditions: what a click makes of the text, and that the rows are those meant."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.filters import MORE_VALUES, table, trees
from support.tables import index_of

from ui.filtering.conditions import choices, conditions, drop, set_range, toggle, without
from vidsearch import Index
from vidsearch.errors import FilterError
from vidsearch.filters.evaluate import evaluate
from vidsearch.filters.tree import And, Compare, Filter, IsNull, OneOf, Or

VALUES = {name: values for name, values in MORE_VALUES.items() if name not in ("missing", "nothing")}
VALUES |= {"a column": ["x", "it's", "ü"], 'in"ner': [1, 2], "select": ["a", "b"]}
ROWS = 60


@pytest.fixture(scope="module")
def rows() -> pa.Table:
    """Random rows with a column of each type, and some whose names need quoting."""
    made = table(ROWS, 0)
    named = {"a column": ["x", "it's", "ü", None], 'in"ner': [1, 2, 3, None], "select": ["a", "b", None, "A"]}
    for name, values in named.items():
        made = made.append_column(name, pa.array(values * (ROWS // 4)))
    return made


@pytest.fixture(scope="module")
def index(rows: pa.Table, tmp_path_factory: pytest.TempPathFactory) -> Index:
    return index_of(tmp_path_factory.mktemp("index"), rows)


@pytest.fixture(scope="module")
def passing(index: Index, rows: pa.Table) -> Callable[[str | Filter], list[int]]:
    """What looking at every row of the table finds."""

    def find(where: str | Filter) -> list[int]:
        condition = index.parse(where) if isinstance(where, str) and where else where
        return list(range(ROWS)) if condition == "" else np.flatnonzero(evaluate(condition, rows)).tolist()

    return find


def own_parts(values: dict[str, list[Any]]) -> st.SearchStrategy[Filter]:
    """Draw what facets write, and what people write instead: several parts of few columns."""

    def of(column: str) -> st.SearchStrategy[Filter]:
        if not values[column]:
            return st.just(IsNull(column))
        value = st.sampled_from(values[column])
        equal = st.builds(Compare, st.just(column), st.just("="), value) | st.just(IsNull(column))
        equal |= st.builds(OneOf, st.just(column), st.lists(value, min_size=1, max_size=3).map(tuple))
        text = column not in ("language", "caption", "video", "wide", "view", "is_short", "a column", "select")
        bound = st.builds(Compare, st.just(column), st.sampled_from(["<", "<=", ">", ">="]), value) if text else equal
        return equal | bound | st.builds(And, st.tuples(bound, bound)) | st.builds(Or, st.tuples(bound, equal))

    return st.lists(st.sampled_from(sorted(values)), min_size=1, max_size=2).flatmap(
        lambda columns: st.lists(st.sampled_from(columns).flatmap(of), min_size=1, max_size=4).map(lambda terms: And(tuple(terms)))
    )


FILTERS = own_parts(VALUES) | trees(VALUES, max_leaves=4).filter(lambda tree: bool(tree.columns))
CLICKS = st.sampled_from(sorted(VALUES)).flatmap(lambda column: st.tuples(st.just(column), st.sampled_from([None, *VALUES[column]])))


@settings(max_examples=40, deadline=None)
@given(FILTERS)
def test_chips_say_the_same_as_the_filter(index: Index, passing: Any, tree: Filter) -> None:
    found = conditions(index, str(tree))
    assert set(passing(str(tree))) == set.intersection(set(range(ROWS)), *(set(passing(one.text)) for one in found))
    assert len({one.column for one in found if one.column}) == sum(one.column is not None for one in found)


@settings(max_examples=40, deadline=None)
@given(FILTERS, CLICKS)
def test_the_same_click_twice_changes_nothing(index: Index, passing: Any, tree: Filter, click: tuple[str, Any]) -> None:
    once = toggle(index, str(tree), *click)
    assert passing(toggle(index, once, *click)) == passing(str(tree))


@settings(max_examples=40, deadline=None)
@given(FILTERS, st.sampled_from(sorted(VALUES.keys() - {"seen_at"})), st.data())  # of which two texts can be one time
def test_clicks_gather_the_rows_of_their_values(index: Index, passing: Any, tree: Filter, column: str, data: st.DataObject) -> None:
    values = data.draw(st.lists(st.sampled_from([None, *dict.fromkeys(VALUES[column])]), min_size=1, max_size=3, unique=True))
    where = rest = without(index, str(tree), column)
    assert column not in choices(index, rest)
    for value in values:
        where = toggle(index, where, column, value)
    found = {row for value in values for row in passing(IsNull(column) if value is None else Compare(column, "=", value))}
    assert passing(where) == sorted(found.intersection(passing(rest)))


@settings(max_examples=40, deadline=None)
@given(FILTERS, st.sampled_from(["aesthetic", "score", "half", "year", "big", "small", "day", "local", "price", 'in"ner']), st.data())
def test_a_range_leaves_the_rows_within(index: Index, passing: Any, tree: Filter, column: str, data: st.DataObject) -> None:
    low, high = data.draw(st.tuples(*[st.sampled_from(VALUES[column])] * 2))
    least, greatest = sorted((low, high))
    rest = without(index, str(tree), column)
    typed = isinstance(high, str)
    where = rest if typed else str(tree)  # where an end that was typed stays as it is, another test tells
    before = choices(index, where).get(column)
    missing = passing(IsNull(column)) if before is not None and None in before.values else []

    def expected(*bounds: Filter) -> list[int]:
        return sorted(set(passing(rest)).intersection({*passing(And(bounds)), *missing}))

    upper = Compare(column, "<=" if typed or low == high else "<", greatest)
    assert passing(set_range(index, where, column, low, high)) == expected(Compare(column, ">=", least), upper)
    assert passing(set_range(index, where, column, low, None)) == expected(Compare(column, ">=", low))
    assert passing(set_range(index, where, column, None, high)) == expected(Compare(column, "<=" if typed else "<", high))
    assert passing(set_range(index, where, column, None, None)) == passing(rest)


@settings(max_examples=25, deadline=None)
@given(FILTERS)
def test_without_its_chips_a_filter_is_none(index: Index, passing: Any, tree: Filter) -> None:
    where = str(tree)
    for number in reversed(range(len(conditions(index, where)))):
        texts = [condition.text for condition in conditions(index, where)]
        where = drop(index, where, number)
        assert [condition.text for condition in conditions(index, where)] == texts[:number]
    assert where == ""


@pytest.mark.parametrize(
    ("where", "labels"),
    [
        ("", []),
        ("  ", []),
        ("language = 'en'", ["language: en"]),
        ("LANGUAGE in ('en', 'de') or language is null", ["language: en, de, missing"]),
        ("language = 'en' or aesthetic > 5", ["language = 'en' or aesthetic > 5"]),
        ("score between 4.5 and 6 and year < 2020", ["score: 4.5 to 6", "year: below 2020"]),
        ("score >= 2 and not video like 'v%'", ["score: 2 and more", "not video like 'v%'"]),
        ("score > 12345.5 and score <= 1e20", ["score: above 12345.5 to 1e+20"]),
        ("is_short", ["is short: yes"]),
        ("day >= '2024-01-31' and language = ''", ["day: 2024-01-31 and more", "language: (empty)"]),
        ("seen_at < '2024-01-31T02:00+02:00'", ["seen at: below 2024-01-31"]),
        ("small in (1, 2, 3, 4, 5, 6)", ["small: 1, 2, 3, 4 and 2 more"]),
        ("language = 'en' and language = 'de'", ["language: en", "language: de"]),
        ("language = 'en' and language in ('en', 'de')", ["language: en"]),
        ("language = 'a\tb'", ["language: a b"]),
        ("true", ["true"]),
    ],
)
def test_a_chip_is_readable(index: Index, where: str, labels: list[str]) -> None:
    assert [condition.label for condition in conditions(index, where)] == labels


@pytest.mark.parametrize(
    ("where", "column", "value", "after"),
    [
        ("", "language", "en", "language = 'en'"),
        ("language = 'en'", "language", "en", ""),
        ("language = 'en'", "language", "it's", "language in ('en', 'it''s')"),
        ("language in ('en','de')", "language", None, "language in ('en', 'de') or language is null"),
        ("score > 1 and language is null", "language", None, "score > 1"),
        ("(language LIKE 'e%')", "language", "en", "language like 'e%' and language = 'en'"),
        ("aesthetic = 5.1", "aesthetic", float(np.float32(5.1)), ""),
        ("aesthetic >= 5", "aesthetic", None, "aesthetic >= 5 or aesthetic is null"),
        ("is_short", "is_short", False, "is_short in (true, false)"),
        ("", 'in"ner', 2, '"in""ner" = 2'),
        ("", "a column", "ü", "\"a column\" = 'ü'"),
        ("year = 5.0", "year", 5, ""),
        ("seen_at = '2024-01-31T02:00:00+02:00'", "seen_at", "2024-01-31", ""),
        ("language = 'en' and language = 'de'", "language", "de", "language = 'en' and language = 'de' and language = 'de'"),
    ],
)
def test_a_click_writes_plain_text(index: Index, where: str, column: str, value: Any, after: str) -> None:
    assert toggle(index, where, column, value) == after


@pytest.mark.parametrize(
    ("where", "column", "low", "high", "after"),
    [
        ("", "score", 4.5, 6, "score >= 4.5 and score < 6"),
        ("score > 1 and language = 'en' and score < 3", "score", "2", None, "score >= 2 and language = 'en'"),
        ("score = 4", "score", None, "1,000.5", "score <= 1000.5"),
        ("score > 1 and score < 3", "score", "1", "4", "score > 1 and score <= 4"),
        ("score > 1 and score < 3", "score", "2", "3.0", "score >= 2 and score < 3"),
        ("score > 1 and score < 3", "score", 1, 3, "score >= 1 and score < 3"),
        ("score > 4 or score is null", "score", 6, 5, "score >= 5 and score < 6 or score is null"),
        ("", "aesthetic", 4.1, 4.1, "aesthetic >= 4.1 and aesthetic <= 4.1"),
        ("", "day", 86_400 * 2, "2024-01-31", "day >= '1970-01-03' and day <= '2024-01-31'"),
        ("", "local", 3600.5, None, "local >= '1970-01-01T01:00:00.500000'"),
        ("day is null", "day", None, None, ""),
        ("", "day", -62_135_596_800, 253_402_300_800, ""),
    ],
)
def test_a_range_writes_plain_text(index: Index, where: str, column: str, low: Any, high: Any, after: str) -> None:
    assert set_range(index, where, column, low, high) == after


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda index: conditions(index, "language ="), "something is missing"),
        (lambda index: conditions(index, "nobody = 1"), "unknown column 'nobody'"),
        (lambda index: toggle(index, "", "nobody", 1), "unknown column 'nobody'; choose from language, caption"),
        (lambda index: toggle(index, "", "language", 3), "give text in single quotes"),
        (lambda index: toggle(index, "", "score", float("nan")), "nan is no value of a column"),
        (lambda index: toggle(index, "", "score", ["x"]), "is no value of a column"),
        (lambda index: toggle(index, "", "year", 10**400), "too large"),
        (lambda index: toggle(index, "", "language", "x" * 9000), "too long"),
        (lambda index: set_range(index, "", "language", "a", None), "column language has no range"),
        (lambda index: set_range(index, "", "score", "four", None), "'four' is not a number"),
        (lambda index: set_range(index, "", "day", 1e30, None), "no time in seconds since 1970"),
        (lambda index: set_range(index, "", "day", "yesterday", None), "not a date or time"),
        (lambda index: drop(index, "true", 1), "no condition 1"),
    ],
)
def test_what_cannot_be_written_is_refused_in_one_line(index: Index, change: Callable[[Index], Any], complaint: str) -> None:
    with pytest.raises(FilterError, match=complaint) as raised:
        change(index)
    assert "\n" not in str(raised.value)


def test_an_index_without_rows_keeps_what_was_typed(tmp_path: Path) -> None:
    index = index_of(tmp_path)
    assert [condition.label for condition in conditions(index, "language = 'en'")] == ["language = 'en'"]
    assert conditions(index, "") == ()
    assert drop(index, "language = 'en'", 0) == ""
    assert choices(index, "language = 'en'") == {}
    with pytest.raises(FilterError, match="unknown column"):
        toggle(index, "", "language", "en")

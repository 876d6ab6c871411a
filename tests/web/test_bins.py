"""Where the bins of histograms end: round, few, and around every value."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vidsearch.evaluation.bins import MOST_BINS, core, number_edges, time_edges


@pytest.mark.parametrize(
    ("least", "greatest", "whole", "edges"),
    [
        (0.0, 1.0, False, [*(round(0.05 * n, 2) for n in range(22))]),
        (3.1, 6.9, False, [round(3 + 0.2 * n, 1) for n in range(21)]),
        (0, 30, True, [*range(0, 33, 2)]),
        (1, 3, True, [1, 2, 3, 4]),
        (-5, 40_000, True, [*range(-2000, 42_001, 2000)]),
        (3.0, 3.0, False, [3.0, 3.5]),
        (0.0, 0.0, False, [0.0, 1.0]),
        (7, 7, True, [7, 8]),
        (-2.5e-7, 2.5e-7, False, [float(f"{n}e-9") for n in range(-250, 276, 25)]),
        (0.1, 0.3, False, [round(0.1 + 0.01 * n, 2) for n in range(22)]),
    ],
)
def test_numbers_have_round_edges(least: float, greatest: float, whole: bool, edges: list[float]) -> None:
    assert list(number_edges(least, greatest, (least, greatest), whole=whole)) == edges


@settings(max_examples=80, deadline=None)
@given(st.lists(st.floats(-1e305, 1e305) | st.floats(-100, 100), min_size=1, max_size=60))
def test_edges_enclose_every_number(values: list[float]) -> None:
    least, greatest = min(values), max(values)
    edges = number_edges(least, greatest, core(least, greatest, np.array(values)), whole=False)
    assert edges[0] <= least
    assert edges[-1] > greatest
    assert all(low < high for low, high in pairwise(edges))
    assert len(edges) <= MOST_BINS + 5


@settings(max_examples=80, deadline=None)
@given(st.lists(st.integers(-(2**63), 2**64) | st.integers(-20, 20), min_size=1, max_size=60))
def test_edges_enclose_every_whole_number(values: list[int]) -> None:
    least, greatest = min(values), max(values)
    edges = number_edges(least, greatest, core(least, greatest, np.array(values, np.float64)), whole=True)
    assert edges[0] <= least
    assert edges[-1] > greatest
    assert all(isinstance(edge, int) for edge in edges)
    assert all(low < high for low, high in pairwise(edges))


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(-62_135_596_800, 253_402_300_799), min_size=1, max_size=30), st.sampled_from([1, 86_400]))
def test_edges_enclose_every_time(values: list[int], shortest_s: int) -> None:
    least, greatest = min(values), max(values)
    edges = time_edges(least, greatest, core(least, greatest, np.array(values)), shortest_s=shortest_s)
    assert edges[0] <= least
    assert edges[-1] > greatest
    assert all(high - low >= shortest_s for low, high in pairwise(edges))


@pytest.mark.parametrize(
    ("first", "last", "shown"),
    [
        ((2024, 1, 1, 10, 0, 3), (2024, 1, 1, 10, 4), ["2024-01-01T10:00:00", "2024-01-01T10:00:10"]),
        ((2024, 1, 1), (2024, 1, 15), ["2024-01-01T00:00:00", "2024-01-02T00:00:00"]),
        ((2019, 2, 3), (2021, 1, 3), ["2019-02-01T00:00:00", "2019-03-01T00:00:00"]),
        ((1999, 5, 5), (2024, 1, 1), ["1998-01-01T00:00:00", "2000-01-01T00:00:00"]),
    ],
)
def test_times_have_edges_of_the_calendar(first: tuple[int, ...], last: tuple[int, ...], shown: list[str]) -> None:
    ends = [datetime(*moment, tzinfo=UTC).timestamp() for moment in (first, last)]
    edges = time_edges(ends[0], ends[1], (ends[0], ends[1]))
    assert [datetime.fromtimestamp(edge, UTC).replace(tzinfo=None).isoformat() for edge in edges[:2]] == shown


def test_a_few_values_far_away_do_not_squeeze_the_others() -> None:
    rng = np.random.default_rng(0)
    values = np.concatenate([rng.normal(5, 1, 10_000), [1e6]])
    low, high = core(float(values.min()), 1e6, values)
    assert 2 < low < 3
    assert 7 < high < 8
    edges = number_edges(float(values.min()), 1e6, (low, high), whole=False)
    assert edges[-1] == 1.1e6
    assert edges[-2] < 8
    assert core(0.0, 1.0, rng.random(1000)) == (0.0, 1.0)

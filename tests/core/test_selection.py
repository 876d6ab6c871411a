"""Rows of a segment as lists and bitmaps: the same rows in either form, and joined in any."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vidsearch.selection import Selection, count_bits, everything, full, nothing, pack


def _both(mask: np.ndarray) -> Selection:
    selection = Selection.of_mask(mask)
    assert len(selection.ids) == mask.sum()
    return selection


FORMS: dict[str, Callable[[np.ndarray], Selection]] = {
    "bitmap": Selection.of_mask,
    "list": lambda mask: Selection.of_ids(len(mask), np.flatnonzero(mask)),
    "both": _both,
}
ROWS = st.sampled_from([0, 1, 31, 32, 33, 64, 100, 1000])


def made(rows: int, seed: int, share: float, form: str) -> tuple[np.ndarray, Selection]:
    mask = np.random.default_rng(seed).random(rows) < share
    return mask, everything(rows) if mask.all() and form == "list" else FORMS[form](mask)


SHARES = st.sampled_from([0.0, 0.01, 0.5, 0.99, 1.0])
MADE = st.tuples(st.integers(0, 99), SHARES, st.sampled_from(sorted(FORMS)))


def check(selection: Selection, mask: np.ndarray) -> None:
    assert selection.rows == len(mask)
    assert selection.count == mask.sum()
    assert selection.everything == mask.all()
    assert (selection.ids.dtype, selection.words.dtype) == (np.uint32, np.uint32)
    np.testing.assert_array_equal(selection.ids, np.flatnonzero(mask))
    np.testing.assert_array_equal(selection.mask, mask)
    assert len(selection.words) == -(-len(mask) // 32)
    assert int(np.bitwise_count(selection.words).sum()) == selection.count  # none beyond the last row


@settings(max_examples=200, deadline=None)
@given(ROWS, MADE, MADE)
def test_joined_selections_are_the_joined_masks(rows: int, one: tuple[int, float, str], other: tuple[int, float, str]) -> None:
    (mask, selection), (other_mask, other_selection) = made(rows, *one), made(rows, *other)
    kept = selection.words.copy() if one[2] == "bitmap" else None
    check(selection & other_selection, mask & other_mask)
    check(selection | other_selection, mask | other_mask)
    check(~selection, ~mask)
    check(~~selection, mask)
    if kept is not None:
        np.testing.assert_array_equal(selection.words, kept)  # nothing is changed in place


def test_bits_are_where_the_words_say() -> None:
    mask = np.zeros(70, dtype=np.bool_)
    mask[[0, 31, 32, 69]] = True
    assert pack(mask).tolist() == [1 | 1 << 31, 1, 1 << 5]
    assert Selection.of_ids(70, np.array([0, 31, 32, 69])).words.tolist() == [1 | 1 << 31, 1, 1 << 5]
    assert full(70).tolist() == [2**32 - 1, 2**32 - 1, 2**6 - 1]
    assert full(64).tolist() == [2**32 - 1, 2**32 - 1]
    assert count_bits(pack(mask)) == 4


def test_few_rows_stay_a_list() -> None:
    many = Selection.of_mask(np.arange(100_000) % 2 == 0)
    few = Selection.of_ids(100_000, np.array([3, 4, 70_000]))
    assert (many & few).listed
    assert (few & many).ids.tolist() == [4, 70_000]
    assert (few | Selection.of_ids(100_000, np.array([4, 9]))).ids.tolist() == [3, 4, 9, 70_000]
    assert (few | Selection.of_ids(100_000, np.array([4, 9]))).listed
    assert not (many | few).listed


@pytest.mark.parametrize("rows", [0, 1, 32, 33])
def test_all_and_none(rows: int) -> None:
    check(everything(rows), np.ones(rows, dtype=np.bool_))
    check(nothing(rows), np.zeros(rows, dtype=np.bool_))
    assert repr(everything(rows)) == f"Selection({rows} of {rows})"

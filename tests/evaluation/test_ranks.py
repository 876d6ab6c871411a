"""Ranks and what is made of them: against dense formulas, another library's metrics, and numbers worked out by hand."""

from __future__ import annotations

from math import comb

import ir_measures
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ir_measures import RR, Success

from vidsearch.errors import UsageError
from vidsearch.evaluation import ranks as ranking
from vidsearch.evaluation.metrics import retrieval_metrics
from vidsearch.evaluation.ranks import Blocks, Ranks, cosines, dual_softmax, rank


def given_scores(matrix: np.ndarray, step: int = 3) -> Blocks:
    return lambda: (matrix[start : start + step] for start in range(0, len(matrix), step))


def unit(rng: np.random.Generator, rows: int, dim: int = 16) -> np.ndarray:
    vectors = rng.standard_normal((rows, dim)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def test_a_literal_matrix():
    scores = np.array([[0.9, 0.1, 0.2], [0.8, 0.3, 0.4], [0.5, 0.5, 0.5]], dtype=np.float32)
    found = rank(given_scores(scores, 2), np.arange(3), np.arange(3))
    assert (found.above.tolist(), found.ties.tolist(), found.rights.tolist()) == ([0, 2, 0], [0, 0, 2], [1, 1, 1])
    assert found.expected().tolist() == [1, 3, 2]
    assert found.hit(1).tolist() == pytest.approx([1, 0, 1 / 3])
    assert found.hit(2).tolist() == pytest.approx([1, 0, 2 / 3])
    assert found.hit(10).tolist() == [1, 1, 1]


def test_the_best_of_several_right_answers_counts():
    scores = np.array([[0.1, 0.7, 0.6, 0.2]], dtype=np.float32)
    found = rank(given_scores(scores), np.array([5]), np.array([5, 3, 5, 5]))
    assert (found.above.tolist(), found.expected().tolist()) == ([1], [2])


@given(above=st.integers(0, 6), ties=st.integers(0, 8), rights=st.integers(1, 4), k=st.integers(1, 12))
def test_ties_count_as_every_order_of_the_equals_does(above, ties, rights, k):
    """Right answers take each of the C(t + m, m) sets of places equally often."""
    found = Ranks(*(np.array([number]) for number in (above, ties, rights)))
    places = range(1, ties + rights + 1)
    ways = [comb(ties + rights - first, rights - 1) for first in places]  # in so many sets the first right answer stands at that place
    total = comb(ties + rights, rights)
    assert found.hit(k)[0] == pytest.approx(sum(way for first, way in zip(places, ways, strict=True) if above + first <= k) / total)
    assert found.expected()[0] == pytest.approx(sum((above + first) * way for first, way in zip(places, ways, strict=True)) / total)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), queries=st.integers(1, 30), clips=st.integers(1, 12), block=st.integers(1, 200))
def test_blocks_give_what_the_whole_matrix_does(seed, queries, clips, block):
    rng = np.random.default_rng(seed)
    scores = rng.integers(0, 4, (queries, clips)).astype(np.float32)  # with many ties
    of_query = rng.integers(0, clips, queries)
    found = rank(given_scores(scores, block), of_query, np.arange(clips))
    for number, row in enumerate(scores):
        wrong = np.delete(row, of_query[number])
        assert found.above[number] == (wrong > row[of_query[number]]).sum()
        assert found.ties[number] == (wrong == row[of_query[number]]).sum()


def test_vectors_are_scored_in_blocks_of_a_bounded_size(monkeypatch):
    rng = np.random.default_rng(0)
    texts, clips = unit(rng, 101), unit(rng, 37)
    monkeypatch.setattr(ranking, "BLOCK_SCORES", 37 * 10)
    blocks = list(cosines(texts, clips)())
    assert max(block.size for block in blocks) == 370
    np.testing.assert_allclose(np.concatenate(blocks), texts @ clips.T, atol=1e-6)


@pytest.mark.parametrize("captions", [1, 5])
@pytest.mark.parametrize("k", [1, 5, 10])
def test_a_constant_model_scores_chance_exactly(captions, k):
    clips = 40
    texts, shown, of_text = (
        np.ones((clips * captions, 4), np.float32),
        np.ones((clips, 4), np.float32),
        np.arange(clips * captions) // captions,
    )
    assert rank(cosines(texts, shown), of_text, np.arange(clips)).hit(k).mean() == pytest.approx(k / clips, abs=1e-12)
    backwards = rank(cosines(shown, texts), np.arange(clips), of_text)
    every = comb(clips * captions, k)
    assert backwards.hit(k).mean() == pytest.approx(1 - comb(clips * captions - captions, k) / every, abs=1e-12)
    assert rank(dual_softmax(cosines(texts, shown)), of_text, np.arange(clips)).hit(k).mean() == pytest.approx(k / clips, abs=1e-12)


def test_a_random_model_scores_chance():
    rng = np.random.default_rng(3)
    found = rank(cosines(unit(rng, 2000), unit(rng, 2000)), np.arange(2000), np.arange(2000))
    measured = retrieval_metrics(found, np.arange(2000))
    assert measured["r10"].low <= 100 * 10 / 2000 <= measured["r10"].high
    assert measured["mean"].low <= 1000.5 <= measured["mean"].high
    assert measured["median"].value == pytest.approx(1000, abs=60)


@pytest.mark.parametrize("temperature", [1.0, 0.01])
def test_dual_softmax_is_the_dense_formula(temperature):
    rng = np.random.default_rng(1)
    texts, clips = unit(rng, 50), unit(rng, 20)
    dense = (texts @ clips.T).astype(np.float64)
    shares = np.exp(dense / temperature)
    expected = dense * shares / shares.sum(axis=0)
    for step in (1, 7, 50):
        blocks = dual_softmax(given_scores(texts @ clips.T, step), temperature=temperature)
        np.testing.assert_allclose(np.concatenate(list(blocks())), expected, rtol=1e-4, atol=1e-7)


def test_dual_softmax_of_two_by_two():
    """Query 0 prefers clip 1, which query 1 asks for more: by DSL clip 0 is left to it."""
    scores = np.array([[0.5, 0.6], [0.1, 0.9]], dtype=np.float32)
    assert rank(given_scores(scores), np.arange(2), np.arange(2)).above.tolist() == [1, 0]
    assert rank(dual_softmax(given_scores(scores), temperature=0.1), np.arange(2), np.arange(2)).above.tolist() == [0, 0]


def test_metrics_are_those_of_ir_measures():
    rng = np.random.default_rng(5)
    clips, of_text = 30, rng.permutation(np.repeat(np.arange(30), 3))
    scores = rng.permutation(90 * clips).reshape(90, clips).astype(np.float32)  # no ties
    run = {f"q{q}": {f"v{v}": float(scores[q, v]) for v in range(clips)} for q in range(90)}
    judged = {f"q{q}": {f"v{of_text[q]}": 1} for q in range(90)}
    found = rank(given_scores(scores), of_text, np.arange(clips))
    assert_like_ir_measures(found, judged, run)
    backwards = rank(given_scores(scores.T), np.arange(clips), of_text)
    run = {f"v{v}": {f"q{q}": float(scores[q, v]) for q in range(90)} for v in range(clips)}
    judged = {f"v{v}": {f"q{q}": 1 for q in np.flatnonzero(of_text == v)} for v in range(clips)}
    assert_like_ir_measures(backwards, judged, run)


def assert_like_ir_measures(found: Ranks, judged: dict, run: dict) -> None:
    theirs = ir_measures.calc_aggregate([Success @ 1, Success @ 5, Success @ 10, RR], judged, run)
    ours = retrieval_metrics(found, np.arange(len(found.above)))
    for k in (1, 5, 10):
        assert ours[f"r{k}"].value / 100 == pytest.approx(theirs[Success @ k], abs=1e-9)
    assert (1 / found.expected()).mean() == pytest.approx(theirs[RR], abs=1e-9)


def test_intervals_hold_the_truth_95_times_of_100():
    """Queries whose hit is a coin of 30 %: the interval of each sample of 100 should hold 30 in 95 % of all."""
    rng = np.random.default_rng(11)
    held = 0
    for seed in range(100):
        above = np.where(rng.random(100) < 0.3, 0, 50)
        estimate = retrieval_metrics(Ranks(above, np.zeros(100, int), np.ones(100, int)), np.arange(100), seed=seed)["r1"]
        held += estimate.low <= 30 <= estimate.high
    assert 88 <= held <= 100


def test_queries_of_one_video_are_drawn_together():
    """Ten captions a video, all found or all missed: as many independent facts as there are videos, so the interval is as wide."""
    above = np.where(np.arange(100) < 50, 0, 99)
    one = Ranks(above, np.zeros(100, int), np.ones(100, int))
    ten = Ranks(*(np.repeat(values, 10) for values in (one.above, one.ties, one.rights)))
    single = retrieval_metrics(one, np.arange(100))["r1"]
    grouped = retrieval_metrics(ten, np.repeat(np.arange(100), 10))["r1"]
    assert (grouped.value, grouped.low, grouped.high) == (single.value, single.low, single.high)
    assert single.high - single.low == pytest.approx(2 * 1.96 * 5, rel=0.1)


def test_medians_are_those_of_the_values_drawn():
    above = np.array([0, 2, 4, 9])
    measured = retrieval_metrics(Ranks(above, np.zeros(4, int), np.ones(4, int)), np.arange(4))
    assert (measured["median"].value, measured["mean"].value) == (4, 4.75)
    assert (measured["median"].low, measured["median"].high) == (1, 10)


def test_a_query_without_a_right_answer_is_refused():
    with pytest.raises(UsageError, match="1 queries have no right answer"):
        rank(given_scores(np.zeros((2, 2), np.float32)), np.array([0, 7]), np.arange(2))

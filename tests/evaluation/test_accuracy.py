"""Top-1, top-5 and AVG by literal examples and against scikit-learn; prompts are averaged by their cosines."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import recall_score, top_k_accuracy_score

from vidsearch.encoders._tokens import clean_caption
from vidsearch.errors import UsageError
from vidsearch.evaluation.accuracy import measure_accuracy
from vidsearch.evaluation.prompts import ACTION_PROMPTS, check_prompts, mean_of_prompts, sentences


def blocks(scores, step=7):
    scores = np.asarray(scores, dtype=np.float32)
    return lambda: (scores[start : start + step] for start in range(0, len(scores), step))


def test_avg_is_the_mean_of_top1_and_top5():
    scores = [[9, 8, 7, 6, 5, 4], [9, 8, 7, 6, 5, 4], [9, 8, 7, 6, 5, 4], [9, 8, 7, 6, 5, 4]]
    got = measure_accuracy(blocks(scores), np.array([0, 1, 4, 5]), 6)  # first, second, fifth, sixth
    assert (got.top1.value, got.top5.value, got.average.value) == (25, 75, 50)
    assert got.average.low <= 50 <= got.average.high


def test_it_is_what_scikit_learn_says():
    rng = np.random.default_rng(3)
    scores, labels = rng.standard_normal((500, 20)), rng.integers(0, 20, 500)
    scores[np.arange(500), labels] += 1
    scores = scores.astype(np.float32)
    got = measure_accuracy(blocks(scores), labels, 20)
    assert got.top1.value == pytest.approx(100 * top_k_accuracy_score(labels, scores, k=1, labels=range(20)), abs=1e-9)
    assert got.top5.value == pytest.approx(100 * top_k_accuracy_score(labels, scores, k=5, labels=range(20)), abs=1e-9)
    assert got.class_mean == pytest.approx(100 * recall_score(labels, scores.argmax(axis=1), average="macro"), abs=1e-9)


def test_a_model_without_an_opinion_is_at_chance():
    labels = np.arange(40)
    got = measure_accuracy(blocks(np.zeros((40, 40))), labels, 40)
    assert got.top1.value == pytest.approx(2.5)
    assert got.top5.value == pytest.approx(12.5)
    assert got.class_mean == pytest.approx(2.5)


def test_equal_scores_share_their_places():
    got = measure_accuracy(blocks([[5, 5, 1], [1, 5, 5]]), np.array([0, 0]), 3)
    assert got.top1.value == pytest.approx((50 + 0) / 2)


def test_a_random_model_is_at_chance():
    rng = np.random.default_rng(0)
    got = measure_accuracy(blocks(rng.standard_normal((20_000, 50)), 1000), rng.integers(0, 50, 20_000), 50)
    assert got.top1.value == pytest.approx(2, abs=0.5)
    assert got.top5.value == pytest.approx(10, abs=1)
    assert got.top1.low < 2.5
    assert got.top1.high > 1.5


def test_intervals_are_as_wide_as_theory_has_them():
    labels = np.zeros(400, dtype=np.int64)
    scores = np.zeros((400, 10))
    scores[:, 1] = np.where(np.arange(400) < 100, 1, -1)  # a quarter wrong
    scores[:, 0] = 0.5
    got = measure_accuracy(blocks(scores, 64), labels, 10)
    half = 1.96 * (0.75 * 0.25 / 400) ** 0.5 * 100
    assert (got.top1.value, got.top1.low, got.top1.high) == pytest.approx((75, 75 - half, 75 + half), abs=0.7)


def test_a_class_without_clips_counts_for_nothing():
    got = measure_accuracy(blocks([[1, 0, 0], [1, 0, 0], [1, 0, 0]]), np.array([0, 0, 1]), 3)
    assert got.clips_of.tolist() == [2, 1, 0]
    assert got.per_class[:2].tolist() == [100, 0]
    assert np.isnan(got.per_class[2])
    assert got.class_mean == 50


def test_what_is_taken_for_what_is_counted():
    scores = np.eye(3)[[1, 1, 2, 0, 2]]
    got = measure_accuracy(blocks(scores, 2), np.array([0, 0, 0, 0, 1]), 3)
    assert got.confused == ((0, 1, 2), (0, 2, 1), (1, 2, 1))


def test_no_clip_is_refused():
    with pytest.raises(UsageError, match="no clip is left"):
        measure_accuracy(blocks(np.zeros((0, 3))), np.zeros(0, dtype=np.int64), 3)


# --- prompts ---------------------------------------------------------------------------------------------------------------------------


def test_there_are_sixteen_prompts_in_the_published_spelling():
    assert len(set(ACTION_PROMPTS)) == 16
    said = sentences(["ice skating"])
    assert said[:4] == [
        "a photo of action ice skating",
        "a picture of action ice skating",
        "human action of ice skating",
        "ice skating an action",
    ]
    assert said[11:13] == ["can you recognize the action of ice skating", "video classification of ice skating"]
    assert [clean_caption(text) for text in said] == said


def test_a_class_is_scored_by_the_mean_of_cosines_and_not_by_the_cosine_of_the_mean():
    """The first class's prompts scatter: their mean is short, which lowers the mean of the cosines, and not the cosine of the mean."""
    clip = np.array([[1, 0, 0]], dtype=np.float32)
    scattered = [[0.6, 0.8, 0], [0.6, -0.8, 0]]  # cosines 0.6 and 0.6; the mean points at the clip
    together = [[0.8, 0, 0.6], [0.8, 0, 0.6]]  # cosines 0.8
    means = mean_of_prompts(np.array([*scattered, *together], dtype=np.float32), 2)
    np.testing.assert_allclose(clip @ means.T, [[0.6, 0.8]], atol=1e-7)
    renormalised = means / np.linalg.norm(means, axis=1, keepdims=True)
    np.testing.assert_allclose(clip @ renormalised.T, [[1.0, 0.8]], atol=1e-7)  # the other way round


def test_a_prompt_without_a_place_for_the_class_is_refused():
    with pytest.raises(UsageError, match=r"'a video' has no place for the class; write it as \{\}"):
        check_prompts(["a video of {}", "a video"])
    assert sentences(["yo yo", "{0}"], ["See {} and {}!"]) == ["see yo yo and yo yo", "see {0} and {0}"]

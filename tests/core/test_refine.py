"""Refinements against naive loops. Vectors are of few whole numbers, so that every cosine is a clear case."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vidsearch.answers.refine import ORDER_SLACK_S, best_chain, best_first, diversify, fuse_ranks, fuse_scores, keep, scale

DIRECTIONS = np.array([v for v in itertools.product((-1, 0, 1), repeat=3) if any(v)], dtype=np.float32)
DIRECTIONS /= np.linalg.norm(DIRECTIONS, axis=1, keepdims=True)

rankings = st.lists(st.tuples(st.integers(0, len(DIRECTIONS) - 1), st.integers(0, 4)), max_size=600)


def naive_keep(vectors, videos, per_video, threshold):
    kept, duplicates = [], []
    for row in range(len(videos)):
        same = [place for place, other in enumerate(kept) if threshold is not None and vectors[row] @ vectors[other] >= threshold - 1e-6]
        if same:
            duplicates[same[0]] += 1
        elif per_video is None or sum(videos[other] == videos[row] for other in kept) < per_video:
            kept.append(row)
            duplicates.append(0)
    return kept, duplicates


@given(rankings, st.none() | st.integers(1, 3), st.none() | st.sampled_from([0.3, 0.6, 0.75, 0.95, 1.0]))
def test_what_is_kept_is_what_a_naive_loop_keeps(ranking, per_video, threshold):
    vectors = DIRECTIONS[[direction for direction, _ in ranking]] if ranking else np.zeros((0, 3), np.float32)
    videos = np.array([video for _, video in ranking], dtype=np.int64)
    kept = keep(len(videos), videos=videos, per_video=per_video, vectors=vectors, threshold=threshold)
    expected, duplicates = naive_keep(vectors, videos, per_video, threshold)
    assert kept.positions.tolist() == expected
    assert kept.duplicates.tolist() == duplicates


@given(rankings, st.integers(0, 600), st.integers(1, 3), st.sampled_from([0.6, 0.95]))
def test_a_longer_ranking_changes_nothing_that_was_kept(ranking, shorter, per_video, threshold):
    vectors = DIRECTIONS[[direction for direction, _ in ranking]] if ranking else np.zeros((0, 3), np.float32)
    videos = np.array([video for _, video in ranking], dtype=np.int64)
    whole = keep(len(videos), videos=videos, per_video=per_video, vectors=vectors, threshold=threshold)
    part = keep(len(videos[:shorter]), videos=videos[:shorter], per_video=per_video, vectors=vectors[:shorter], threshold=threshold)
    assert part.positions.tolist() == whole.positions[: len(part.positions)].tolist()


def naive_mmr(relevance, vectors, wanted, tradeoff):
    low, high = relevance.min(), relevance.max()
    scaled = (relevance - low) / (high - low) if high > low else np.ones_like(relevance)
    chosen = [int(relevance.argmax())]
    while len(chosen) < min(wanted, len(relevance)):
        gains = {
            row: tradeoff * scaled[row] - (1 - tradeoff) * max(float(vectors[row] @ vectors[other]) for other in chosen)
            for row in range(len(relevance))
            if row not in chosen
        }
        chosen.append(max(gains, key=lambda row: gains[row]))
    return chosen


@pytest.mark.parametrize("tradeoff", [0.0, 0.3, 0.5, 0.9, 1.0])
def test_variety_is_what_a_naive_loop_gives(tradeoff):
    rng = np.random.default_rng(3)
    vectors = rng.standard_normal((40, 8)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    relevance = np.sort(rng.random(40).astype(np.float32))[::-1]
    assert diversify(relevance, vectors, 25, tradeoff).tolist() == naive_mmr(relevance, vectors, 25, tradeoff)


def test_relevance_alone_leaves_the_ranking_and_variety_alone_takes_what_is_farthest():
    vectors = np.array([[1, 0], [1, 0], [0, 1], [-1, 0]], dtype=np.float32)
    relevance = np.array([0.9, 0.8, 0.7, 0.6], dtype=np.float32)
    assert diversify(relevance, vectors, 4, 1.0).tolist() == [0, 1, 2, 3]
    assert diversify(relevance, vectors, 3, 0.0).tolist() == [0, 3, 2]
    assert diversify(relevance[:0], vectors[:0], 3, 0.5).tolist() == []


@given(st.permutations(range(12)), st.permutations(range(6, 18)))
def test_fused_ranks_are_sums_of_reciprocals(first, second):
    rows, scores = fuse_ranks([np.array(first), np.array(second)])
    expected = {row: sum(1 / (60 + ranking.index(row) + 1) for ranking in (first, second) if row in ranking) for row in {*first, *second}}
    assert sorted(rows.tolist()) == sorted(expected)
    assert rows.tolist() == sorted(expected, key=lambda row: (-expected[row], row))
    assert scores == pytest.approx([expected[row] for row in rows.tolist()], rel=1e-5)


def test_fused_ranks_of_nothing_are_nothing():
    rows, scores = fuse_ranks([np.zeros(0, np.int64), np.zeros(0, np.int64)])
    assert (len(rows), len(scores)) == (0, 0)


def test_fused_scores_are_a_weighted_sum_on_one_scale():
    rows, cosines, keywords = np.array([3, 5, 7]), np.array([0.1, 0.2, 0.3], np.float32), np.array([8.0, 0.0, 2.0], np.float32)
    fused, scores = fuse_scores(rows, cosines, keywords, 0.25)
    assert fused.tolist() == [3, 7, 5]
    assert scores == pytest.approx([0.75 * 1, 0.25 * 1 + 0.75 * 0.25, 0.25 * 0.5])
    assert fuse_scores(rows, cosines, keywords, 1.0)[0].tolist() == [7, 5, 3]
    assert fuse_scores(rows, cosines, np.zeros(3, np.float32), 0.0)[0].tolist() == [3, 5, 7]


def test_equal_scores_are_ordered_by_row():
    rows, _ = best_first(np.array([9, 4, 6]), np.array([0.5, 0.5, 0.7]))
    assert rows.tolist() == [6, 4, 9]
    assert scale(np.full(3, 0.2, np.float32)).tolist() == [1, 1, 1]


spans = st.lists(st.tuples(st.integers(0, 20), st.integers(0, 8)), min_size=1, max_size=7)


@given(spans, st.integers(1, 3), st.data())
def test_the_best_chain_is_the_best_of_all_chains_in_order(spans, stages, data):
    starts = np.array([start for start, _ in spans], dtype=np.float64)
    ends = starts + np.array([length for _, length in spans])
    score = st.integers(-100, 100).map(lambda value: value / 100) | st.just(-np.inf)
    scores = np.array(data.draw(st.lists(st.lists(score, min_size=len(spans), max_size=len(spans)), min_size=stages, max_size=stages)))
    sums = [
        sum(scores[stage, clip] for stage, clip in enumerate(chain))
        for chain in itertools.permutations(range(len(spans)), stages)
        if all(
            ends[a] <= starts[b] + ORDER_SLACK_S and (ends[a] > starts[a] or starts[a] < starts[b]) for a, b in itertools.pairwise(chain)
        )
    ]
    best = max((total for total in sums if total > -np.inf), default=None)
    found = best_chain(starts, ends, scores.astype(np.float32))
    assert (found is None) == (best is None)
    if found is not None and best is not None:
        chain, total = found
        assert total == pytest.approx(best, abs=1e-5)
        assert total == pytest.approx(sum(scores[stage, clip] for stage, clip in enumerate(chain)), abs=1e-5)
        assert len(set(chain)) == stages
        assert all(ends[a] <= starts[b] + ORDER_SLACK_S for a, b in itertools.pairwise(chain))

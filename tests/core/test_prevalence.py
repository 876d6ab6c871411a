"""How many clips show something, from a labelled sample: literal cases, and what the interval promises on corpora whose truth is known."""

import numpy as np
import pytest

from vidsearch.curate.prevalence import Labelled, allocate, cut, draw, estimate
from vidsearch.errors import UsageError

TRIALS = 100


def labelled_corpus(rows: int, prevalence: float, separation: float, *, labels: int, seed: int):
    """Return the strata of a simulated corpus, labelled, and its true number of right clips."""
    rng = np.random.default_rng(seed)
    right = rng.random(rows) < prevalence
    right = right[np.argsort(-(rng.standard_normal(rows) + separation * right))]
    edges = cut(rows, labels)
    sizes = np.diff(edges)
    shares = np.clip(3 * np.add.reduceat(right, edges[:-1]) / sizes, 0.001, 0.9)  # expected thrice too often
    ranks = draw(edges, allocate(sizes, np.sqrt(shares * (1 - shares)), labels), seed=seed)
    strata = [Labelled(int(size), len(chosen), int(right[chosen].sum())) for size, chosen in zip(sizes, ranks, strict=True)]
    return strata, int(right.sum())


@pytest.mark.parametrize("prevalence", [0.0, 0.001, 0.02, 0.3])
@pytest.mark.parametrize(("rows", "separation"), [(300, 2.0), (20_000, 1.0), (20_000, 4.0)])
def test_the_interval_holds_the_truth_in_ninety_of_a_hundred_trials(rows, separation, prevalence):
    held, errors = 0, []
    for seed in range(TRIALS):
        strata, truth = labelled_corpus(rows, prevalence, separation, labels=200, seed=seed)
        found = estimate(strata, seed=seed)
        held += found.low <= truth <= found.high
        errors.append(found.rows - truth)
        assert found.low <= found.rows <= found.high <= rows
    assert held >= 90
    assert abs(np.mean(errors)) <= 4 * np.std(errors) / np.sqrt(TRIALS)  # right on average, though what was expected is wrong


def test_a_corpus_that_is_all_labelled_leaves_no_doubt():
    found = estimate([Labelled(10, 10, 4), Labelled(5, 5, 0)])
    assert (found.rows, found.low, found.high, found.labelled) == (4.0, 4.0, 4.0, 15)


def test_few_labels_cannot_show_that_nothing_is_there():
    found = estimate([Labelled(100_000, 100, 0)])
    assert (found.rows, found.low) == (0.0, 0.0)
    assert found.high == pytest.approx(100_000 * (1 - 0.025 ** (1 / 100)), rel=0.02)  # 1 - (1 - p)^100 = 0.975


def test_the_estimate_is_the_sum_of_shares():
    found = estimate([Labelled(100, 20, 15), Labelled(1000, 50, 1)])
    assert found.rows == pytest.approx(75 + 20)
    assert found.words.startswith("about 95 of 1,100 clips")


def test_strata_cover_every_rank_once_and_grow_downwards():
    for rows in (0, 1, 5, 63, 64, 65, 300, 5000, 1_000_000):
        edges = cut(rows, 60)
        assert edges[0] == 0
        assert edges[-1] == rows
        sizes = np.diff(edges)
        assert len(sizes) == 1 or (np.all(sizes > 0) and np.all(np.diff(sizes) >= 0))


def test_labels_go_where_they_tell_most_and_are_all_used():
    sizes = np.array([100, 400, 10_000])
    counts = allocate(sizes, np.array([0.5, 0.3, 0.0]), 200)
    assert counts.sum() == 200
    assert np.all(counts >= 200 * 0.1 // 3)
    assert counts[0] / sizes[0] > counts[1] / sizes[1] > counts[2] / sizes[2]
    assert allocate(np.array([3, 4]), np.ones(2), 200).tolist() == [3, 4]
    assert allocate(np.array([50, 50, 50]), np.ones(3), 2).sum() == 2


def test_a_sample_is_drawn_anew_by_its_seed_alone():
    edges, counts = cut(1000, 60), allocate(np.diff(cut(1000, 60)), np.ones(6), 60)
    one, same, other = (draw(edges, counts, seed=seed) for seed in (3, 3, 4))
    assert all(np.array_equal(a, b) for a, b in zip(one, same, strict=True))
    assert not all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))
    for chosen, first, last in zip(one, edges, edges[1:], strict=False):
        assert len(set(chosen.tolist())) == len(chosen)
        assert np.all((chosen >= first) & (chosen < last))


def test_a_stratum_that_nobody_looked_at_is_an_error():
    with pytest.raises(UsageError, match="none of the 5 clips of stratum 2 is labelled"):
        estimate([Labelled(10, 3, 1), Labelled(5, 0, 0)])
    with pytest.raises(UsageError, match="cannot have 4 labelled and 5 right"):
        Labelled(10, 4, 5)

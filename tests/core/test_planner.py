import pytest

from vidsearch.planner import plan


@pytest.mark.parametrize(
    ("rows", "matching", "trained", "kind"),
    [
        (0, 0, False, "none"),
        (1000, 0, True, "none"),
        (1000, 1000, False, "exact"),
        (1_000_000, 1_000_000, False, "exact"),  # never trained: there are no lists to probe
        (1_000_000, 30_000, True, "exact"),
        (1_000_000, 30_001, True, "ivf"),
        (1_000_000, 1_000_000, True, "ivf"),
    ],
)
def test_plan_by_number_of_matching_rows(rows, matching, trained, kind):
    assert plan(rows=rows, matching=matching, k=10, trained=trained).kind == kind


def test_a_rarer_filter_visits_more_lists():
    shares = [plan(rows=10_000_000, matching=n, k=10, trained=True).probed_share for n in (10_000_000, 1_000_000, 100_000)]
    assert shares == sorted(shares)
    assert shares[-1] <= 1


def test_rerank_depth_follows_rows_and_k():
    assert plan(rows=1_000_000, matching=1_000_000, k=10, trained=True).rerank == 300
    assert plan(rows=100_000, matching=100_000, k=500, trained=True).rerank == 5000

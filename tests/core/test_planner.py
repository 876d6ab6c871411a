import pytest

from vidsearch.calibration import TARGETS, Calibration, Point
from vidsearch.planner import Costs, plan

COSTS = Costs(vector=1536, code=96)
POINTS = tuple(Point(t, s, share, depth, t + 0.005, t - 0.02, t + 0.01)
               for t, grow in zip(TARGETS, (0.5, 0.8, 1, 1.2, 1.5), strict=True)
               for s, share, depth in ((1.0, 0.3 * grow, 200), (0.1, 0.5 * grow, 100), (0.01, 0.6 * grow, 80)))  # fmt: skip
MEASURED = Calibration(POINTS, 1_000_000, 200, "captions of the index")


def planned(rows: int, matching: int, blocks: int | None = None, *, k: int = 10, recall: float = 0.95, costs: Costs | None = COSTS):
    blocks = min(matching, -(-rows // 32)) if blocks is None else blocks
    return plan(rows=rows, matching=matching, blocks=blocks, k=k, costs=costs, calibration=MEASURED, recall=recall)


@pytest.mark.parametrize(
    ("rows", "matching", "blocks", "kind"),
    [
        (0, 0, 0, "none"),
        (1_000, 0, 0, "none"),
        (1_000_000, 1_000_000, 31_250, "ivf"),
        (1_000_000, 100_000, 30_000, "ivf"),
        (200_000, 2_100, 2_000, "exact"),  # scattered: their blocks' codes cost as much as scoring them
        (200_000, 2_100, 100, "ivf"),
        (1_000_000, 20_000, 1_000, "ivf"),  # in runs: few blocks hold them all
        (1_000_000, 5_000, 160, "exact"),  # rarer than anything that was measured
        (3_000, 300, 94, "exact"),
    ],
)
def test_plan_by_what_each_way_costs(rows, matching, blocks, kind):
    assert planned(rows, matching, blocks).kind == kind


def test_without_codes_every_row_is_scored():
    assert planned(1_000_000, 1_000_000, costs=None).kind == "exact"


def test_a_recall_that_no_setting_reached_is_answered_exactly():
    assert planned(1_000_000, 1_000_000, recall=0.999).kind == "exact"


def test_a_higher_recall_compares_more():
    shares = [planned(1_000_000, 1_000_000, recall=recall).estimate.share for recall in (0.8, 0.9, 0.95, 0.98)]
    assert shares == sorted(shares)
    assert shares[0] < shares[-1]


def test_settings_between_two_measured_selectivities_lie_between_theirs():
    estimate = MEASURED.settings(0.3, rows=1_000_000, k=10, recall=0.95)
    assert 0.3 < estimate.share < 0.5
    assert 100 < estimate.depth < 200
    assert (estimate.low, estimate.high) == pytest.approx((0.93, 0.96))


def test_more_results_and_more_rows_take_more_candidates():
    few, many = (MEASURED.settings(1.0, rows=1_000_000, k=k, recall=0.95).depth for k in (10, 110))
    assert many == few + 400
    assert MEASURED.settings(1.0, rows=4_000_000, k=10, recall=0.95).depth == 4 * few


def test_an_unmeasured_index_has_settings_that_claim_no_recall():
    estimate = Calibration().settings(1.0, rows=100_000, k=10, recall=0.95)
    assert estimate.recall is None
    assert Calibration().settings(1.0, rows=100_000, k=10, recall=0.99) is None


def test_a_calibration_comes_back_from_json():
    assert Calibration.from_json(MEASURED.to_json()) == Calibration(POINTS, 1_000_000, 200, "captions of the index")
    assert Calibration.from_json(None) == Calibration()

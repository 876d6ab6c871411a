import pytest

from vidsearch.calibration import TARGETS, Calibration, Point
from vidsearch.planner import Costs, plan

COSTS = Costs(vector=1536, code=96)
POINTS = tuple(
    Point(target, selectivity, concentration, min(1.0, share * grow * scale), depth, target + 0.005, target - 0.02, target + 0.01)
    for target, grow in zip(TARGETS, (0.5, 0.8, 1, 1.2, 1.5), strict=True)
    for selectivity, share, depth in ((1.0, 0.3, 200), (0.1, 0.5, 100), (0.01, 0.6, 80))
    for concentration, scale in (((1.0, 1.0),) if selectivity == 1 else ((0.5, 0.5), (1.0, 1.0), (2.0, 1.6)))
)
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
        (200_000, 4_100, 4_000, "exact"),  # scattered: their blocks' codes cost as much as scoring them
        (200_000, 4_100, 100, "ivf"),
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
    shares = [planned(1_000_000, 1_000_000, recall=recall).settings.plain.share for recall in (0.8, 0.9, 0.95, 0.98)]
    assert shares == sorted(shares)
    assert shares[0] < shares[-1]


def test_settings_between_two_measured_selectivities_lie_between_theirs():
    estimate = MEASURED.settings(0.3, rows=1_000_000, k=10, recall=0.95).at(1.0)
    assert 0.3 < estimate.share < 0.5
    assert 100 < estimate.depth < 200
    assert (estimate.low, estimate.high) == pytest.approx((0.93, 0.96))


def test_a_filter_that_prefers_what_is_near_compares_more_of_its_rows():
    known = MEASURED.settings(0.1, rows=1_000_000, k=10, recall=0.95)
    shares = [known.at(concentration).share for concentration in (0.01, 0.5, 0.7, 1.0, 1.4, 2.0, 9.0)]
    assert shares == sorted(shares)
    assert (shares[0], shares[3], shares[-1]) == pytest.approx((0.25, 0.5, 0.8))


def test_no_setting_at_one_selectivity_is_no_setting():
    some = Calibration(tuple(point for point in POINTS if point.selectivity < 1), 1_000_000, 200)
    assert some.settings(1.0, rows=1_000_000, k=10, recall=0.95) is None
    assert some.settings(0.05, rows=1_000_000, k=10, recall=0.95) is not None


def test_more_results_and_more_rows_take_more_candidates():
    few, many = (MEASURED.settings(1.0, rows=1_000_000, k=k, recall=0.95).plain.depth for k in (10, 110))
    assert many == few + 400
    assert MEASURED.settings(1.0, rows=4_000_000, k=10, recall=0.95).plain.depth == 2 * few


def test_an_unmeasured_index_has_settings_that_claim_no_recall():
    estimate = Calibration().settings(1.0, rows=100_000, k=10, recall=0.95).plain
    assert estimate.recall is None
    assert Calibration().settings(1.0, rows=100_000, k=10, recall=0.99) is None


def test_a_calibration_comes_back_from_json():
    assert Calibration.from_json(MEASURED.to_json()) == Calibration(POINTS, 1_000_000, 200, "captions of the index")
    assert Calibration.from_json(None) == Calibration()

"""Which points a lasso holds, against an exact rule for one point at a time."""

from fractions import Fraction
from itertools import pairwise

import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st
from support.made import made

from ui.plots.map import Map
from ui.plots.positions import project_all
from ui.plots.regions import inside, rows_inside
from ui.state import Point
from vidsearch import open_index
from vidsearch.upkeep.delete import delete

NUMBER = st.integers(-12, 12).map(float) | st.floats(-12, 12, width=32)
PLACE = st.tuples(NUMBER, NUMBER)


def exact(place, corners):
    """Return 1 inside, 0 outside, None on the border: the angle that a point sees the border turn by, in quarters, exactly."""
    x, y = map(Fraction, place)
    odd = False
    border = [tuple(map(Fraction, corner)) for corner in corners]
    for (x1, y1), (x2, y2) in pairwise([*border, border[0]]):
        side = (x2 - x1) * (y - y1) - (y2 - y1) * (x - x1)
        if side == 0 and min(x1, x2) <= x <= max(x1, x2) and min(y1, y2) <= y <= max(y1, y2):
            return None
        if (y1 <= y < y2 and side < 0) or (y2 <= y < y1 and side > 0):
            odd = not odd
    return int(odd)


@given(st.lists(PLACE, max_size=30), st.lists(PLACE, min_size=3, max_size=12))
@example([(0.0, 0.0), (3.0, 0.0)], [(-1.0, -1.0), (1.0, -1.0), (1.0, 1.0), (-1.0, 1.0)])
@example([(0.0, 0.0)], [(-4.0, -4.0), (4.0, 4.0), (4.0, -4.0), (-4.0, 4.0)])  # crosses itself
@example([(0.0, 1.0)], [(-2.0, 1.0), (-1.0, 1.0), (0.0, 3.0), (1.0, 1.0), (2.0, 1.0), (0.0, -3.0)])  # corners as high as the point
def test_a_polygon_holds_the_points_that_an_exact_rule_says(places, corners):
    found = inside(np.array(places, np.float32).reshape(-1, 2), [Point(*corner) for corner in corners])
    for place, held in zip(places, found.tolist(), strict=True):
        said = exact(np.float32(place).tolist(), corners)
        assert said is None or held == bool(said) or _is_within_rounding(place, corners)


def _is_within_rounding(place, corners):
    """Whether a tiny shift of the point changes what is exact: double precision may then say either."""
    shifts = [(dx, dy) for dx in (-1e-12, 0, 1e-12) for dy in (-1e-12, 0, 1e-12)]
    return len({exact((place[0] + dx, place[1] + dy), corners) for dx, dy in shifts}) > 1


@given(st.lists(PLACE, max_size=40))
def test_regions_side_by_side_share_no_point_and_lose_none(places):
    points = np.array(places, np.float32).reshape(-1, 2)
    left = inside(points, [Point(-20, -20), Point(0, -20), Point(0, 20), Point(-20, 20)])
    right = inside(points, [Point(0, -20), Point(20, -20), Point(20, 20), Point(0, 20)])
    assert not (left & right).any()
    assert (left | right).all()


def test_fewer_than_three_corners_hold_nothing():
    assert not inside(np.zeros((5, 2), np.float32), [Point(-1, -1), Point(1, 1)]).any()


def test_a_lasso_chooses_from_all_clips_that_are_not_deleted(tmp_path):
    rng = np.random.default_rng(5)
    made(tmp_path / "i", rng.normal(size=(300, 12)), rng.normal(size=(200, 12)), year=[row % 7 for row in range(500)])
    delete(tmp_path / "i", where="year = 3")
    index = open_index(tmp_path / "i")
    drawn = Map(index, tmp_path / "cache")
    corners = [Point(-0.3, -0.2), Point(0.1, -0.3), Point(0.25, 0.3), Point(-0.1, 0.1)]
    points = project_all(index, drawn.layout.plane)
    wanted = [row for row in range(500) if row % 7 != 3 and exact(points[row].tolist(), corners)]
    assert 20 < len(wanted) < 300
    assert rows_inside(drawn, corners).tolist() == wanted
    again = Map(open_index(tmp_path / "i"), tmp_path / "cache")  # from the file that the first one kept
    assert rows_inside(again, corners).tolist() == wanted

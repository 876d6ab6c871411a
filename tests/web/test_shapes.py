"""The geometry of the map's script, in the browser that runs it, against plain loops here."""

import math

import numpy as np
import pytest
from support.pages import link, settle

CORNERS = 40


@pytest.fixture
def run(site, open_page):
    page = settle(open_page(link(site.url)))
    return lambda code, given: page.evaluate(f"async (given) => {{ const shapes = await import('/page/shapes.js'); {code} }}", given)


def test_the_script_simplifies_places_and_finds(run):
    rng = np.random.default_rng(0)
    turn = np.linspace(0, 2 * math.pi, 900)
    radius = 3 + np.sin(7 * turn)
    path = np.stack([radius * np.cos(turn), radius * np.sin(turn)], axis=1) + rng.normal(scale=0.01, size=(900, 2))
    corners = np.array(run(f"return shapes.simplified(given, {CORNERS})", path.tolist()))
    assert 15 < len(corners) <= CORNERS
    assert {tuple(corner) for corner in corners.tolist()} <= {tuple(place) for place in path.tolist()}
    assert max(_off_path(place, corners) for place in path) < 0.4  # of 8 across

    labels = [{"text": "x" * int(size), "x": float(x), "y": float(y)} for size, x, y in rng.uniform((1, 0, 0), (12, 400, 300), (60, 3))]
    placed = run("return shapes.placed(given, (text) => 7 * text.length, 400, 300)", labels)
    assert 8 < len(placed) < 60
    assert placed[0]["text"] == labels[0]["text"]
    boxes = [(one["x"] - 3.5 * len(one["text"]), one["y"] - 8, one["x"] + 3.5 * len(one["text"]), one["y"] + 8) for one in placed]
    for number, (left, top, right, bottom) in enumerate(boxes):
        assert min(left, top, 400 - right, 300 - bottom) >= 0
        assert not any(left < other[2] and other[0] < right and top < other[3] and other[1] < bottom for other in boxes[:number])

    points = rng.normal(size=(500, 2)).astype(np.float32)
    asked = rng.normal(size=(200, 2)).tolist()
    code = """const grid = new shapes.Grid(new Float32Array(given.points.flat()));
              return given.asked.map(([x, y]) => grid.nearest(x, y, 0.2, (i) => i % 3 > 0))"""
    found = run(code, {"points": points.tolist(), "asked": asked})
    wanted = np.arange(500) % 3 > 0
    for place, number in zip(asked, found, strict=True):
        distance = np.where(wanted, ((points - place) ** 2).sum(axis=1), np.inf)
        assert number == (int(distance.argmin()) if distance.min() <= 0.2**2 else -1)
    assert run("return new shapes.Grid(new Float32Array()).nearest(0, 0, 9, () => true)", None) == -1


def _off_path(place, corners):
    """Return how far a place is from a line of corners."""
    starts, along = corners[:-1], np.diff(corners, axis=0)
    share = np.clip(((place - starts) * along).sum(axis=1) / (along**2).sum(axis=1), 0, 1)
    return float(np.sqrt(((starts + share[:, None] * along - place) ** 2).sum(axis=1)).min())

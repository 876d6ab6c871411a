"""The map: places, groups, names, colours, and what is sent of them, each against the plain formula."""

import base64
import json
import math
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from support.made import made

from ui.plots import clusters, map_cli, pacmap_store
from ui.plots import map as maps
from ui.plots.colors import colors_of
from ui.plots.map import Map, layout_key
from ui.plots.positions import fit, project_rows
from ui.plots.regions import inside, rows_inside
from ui.state import Point
from vidsearch import open_index
from vidsearch.errors import MissingExtraError, QueryError, UsageError
from vidsearch.upkeep.delete import delete

COUNT = 500
CAPTIONS = ("a dog swims", "a red car", "zwei Katzen", "people cook", "snow falls")


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("map") / "index"
    rng = np.random.default_rng(0)
    turn = np.arange(COUNT) % 5 * 2 * np.pi / 5  # five clouds on a circle
    vectors = 0.2 * rng.normal(size=(COUNT, 16))
    vectors[:, 0] += 3 * np.cos(turn)
    vectors[:, 1] += 2 * np.sin(turn)
    made(
        root,
        vectors[:300],
        vectors[300:],
        caption=[None if row % 50 == 49 else CAPTIONS[row % 5] for row in range(COUNT)],
        kind=[None if row % 10 == 0 else f"k{row % 9}" for row in range(COUNT)],
        score=[None if row % 8 == 0 else float(row) for row in range(COUNT)],
        loud=[row % 2 == 0 for row in range(COUNT)],
    )
    delete(root, where="score >= 100 and score < 120")
    return root


@pytest.fixture(scope="module")
def index(root):
    return open_index(root)


@pytest.fixture
def drawn(index, tmp_path):
    return Map(index, tmp_path)


def floats(text):
    return np.frombuffer(base64.b64decode(text), "<f4").reshape(-1, 2)


def test_places_are_the_first_two_principal_components(index, drawn):
    rows = drawn.layout.rows
    vectors = index.vectors_of(rows).astype(np.float64)
    centred = vectors - vectors.mean(axis=0)
    _, sizes, axes = np.linalg.svd(centred, full_matrices=False)
    axes = axes[:2] * np.sign(axes[:2][[0, 1], np.abs(axes[:2]).argmax(axis=1)])[:, None]
    np.testing.assert_allclose(drawn.layout.points, centred @ axes.T, atol=1e-4)
    np.testing.assert_allclose(drawn.layout.plane.explained, sizes[:2] ** 2 / (sizes**2).sum(), atol=1e-4)
    assert rows.tolist() == np.flatnonzero(index.alive_mask).tolist()
    again = fit(index, rows)
    np.testing.assert_array_equal(project_rows(index, again, rows), drawn.layout.points)


def test_a_sample_is_drawn_of_a_larger_index(index, tmp_path, monkeypatch):
    monkeypatch.setattr(maps, "SAMPLE", 60)
    drawn = Map(index, tmp_path)
    assert len(drawn.layout.rows) == 60
    assert index.alive_mask[drawn.layout.rows].all()
    assert np.diff(drawn.layout.rows).min() > 0
    corners = [Point(-9, -9), Point(9, -9), Point(9, 9), Point(-9, 9)]
    assert rows_inside(drawn, corners).tolist() == np.flatnonzero(index.alive_mask).tolist()  # of all clips, not of the sample
    assert f"60 clips drawn at random from {len(index)}" in drawn.payload()["note"]


def test_clouds_of_points_are_groups_of_their_own():
    rng = np.random.default_rng(1)
    middles = np.array([(0, 0), (10, 0), (0, 10), (10, 10)], np.float32)
    cloud = np.repeat(np.arange(4), 50)
    points = (middles[cloud] + rng.normal(scale=0.5, size=(200, 2))).astype(np.float32)
    labels = clusters.group(points, 4)
    assert len({(one, other) for one, other in zip(cloud.tolist(), labels.tolist(), strict=True)}) == 4
    assert sorted(set(labels.tolist())) == [0, 1, 2, 3]
    np.testing.assert_array_equal(clusters.group(points, 4), labels)


@pytest.mark.parametrize("points", [[], [(1, 1)], [(1, 1)] * 5, [(0, 0), (1, 1)]])
def test_few_points_make_as_many_groups_as_places(points):
    labels = clusters.group(np.array(points, np.float32).reshape(-1, 2), 8)
    assert len(set(labels.tolist())) == len(set(points))


def test_names_are_the_words_of_greatest_weight():
    rng = np.random.default_rng(2)
    words = ["alpha", "beta", "gamma", "delta", "common"]
    captions = ["also " + " ".join(rng.choice(words, 4)) + (" sunset" if row % 2 else " harbour") for row in range(80)]
    labels = np.arange(80) % 2
    documents = [Counter(word for caption in captions[half::2] for word in set(caption.split())) for half in (0, 1)]
    average = sum(sum(document.values()) for document in documents) / 2
    for label, name in enumerate(clusters.names(captions, labels)):
        document, both = documents[label], documents[0] + documents[1]
        size = sum(document.values())
        weights = {
            word: math.sqrt(count / size) * math.log(1 + average / both[word]) for word, count in document.items() if both[word] <= 60
        }
        assert name.split(", ") == sorted(weights, key=lambda word: (-weights[word], word))[: clusters.NAME_WORDS]


def test_words_of_scripts_without_spaces_are_pairs():
    assert clusters.words_of("A DOG 在海里游泳, ok") == ["dog", "在海", "海里", "里游", "游泳"]


def test_groups_of_the_map_are_named_from_their_captions(index, drawn):
    layout = drawn.layout
    captions = [row["caption"] for row in index.take(layout.rows, ["caption"])]
    for group in layout.groups:
        held = inside(layout.points, [Point(*corner) for corner in group["border"]])
        own = Counter(caption for caption, inner in zip(captions, held.tolist(), strict=True) if inner)
        common = own.most_common(1)[0][0]
        assert group["name"].split(", ")[0] in clusters.words_of(common)


def test_the_border_of_a_group_holds_its_points_and_no_others(drawn):
    layout = drawn.layout
    whole = np.zeros(len(layout.rows), int)
    for group in layout.groups:
        held = inside(layout.points, [Point(*corner) for corner in group["border"]])
        assert held.sum() == group["count"]
        assert len(group["border"]) <= maps.HULL_CORNERS
        whole += held
    assert (whole == 1).all()


def test_values_have_codes_by_how_frequent_they_are(index):
    rows = np.flatnonzero(index.alive_mask)
    codes, legend = colors_of(index, rows, "kind")
    values = [row["kind"] for row in index.take(rows, ["kind"])]
    entries = {entry["code"]: entry for entry in legend["entries"]}
    counts = Counter(values)
    missing = counts.pop(None)
    ranked = [count for _, count in counts.most_common()]
    assert [entries[code]["count"] for code in range(7)] == ranked[:7]
    assert (entries[7]["label"], entries[7]["count"]) == ("2 more", sum(ranked[7:]))
    assert (entries[255]["count"], entries[255]["value"]) == (missing, None)
    shown = {entry["value"] for code, entry in entries.items() if code < 7}
    for value, code in zip(values, codes.tolist(), strict=True):
        assert code == 255 if value is None else code == 7 if value not in shown else entries[code]["value"] == value


def test_numbers_have_codes_along_a_scale(index):
    rows = np.flatnonzero(index.alive_mask)
    codes, legend = colors_of(index, rows, "score")
    values = np.array([np.nan if row["score"] is None else row["score"] for row in index.take(rows, ["score"])])
    low, high = np.nanquantile(values, (0.02, 0.98))
    known = ~np.isnan(values)
    assert (codes[~known] == 255).all()
    np.testing.assert_array_equal(codes[known], np.clip(np.round((values[known] - low) / (high - low) * 254), 0, 254))
    assert legend == {"kind": "numbers", "low": f"{low:.3g}", "high": f"{high:.3g}", "missing": int((~known).sum())}


def test_what_the_page_is_sent(index, drawn):
    results = np.array([411, 7, 300, 8])
    selections = index.select("loud")
    said = json.loads(json.dumps(drawn.payload("kind", results, selections)))
    rows = drawn.layout.rows
    np.testing.assert_array_equal(floats(said["points"]), drawn.layout.points)
    bits = np.unpackbits(np.frombuffer(base64.b64decode(said["passing"]), np.uint8), bitorder="little", count=len(rows))
    assert bits.tolist() == [int(row["loud"]) for row in index.take(rows, ["loud"])]
    marked = np.frombuffer(base64.b64decode(said["results"]), "<u4")
    assert set(rows[marked].tolist()) == set(results.tolist())
    assert [one["id"] for one in said["top"]] == [row["clip_id"] for row in index.take(results, ["clip_id"])]
    places = project_rows(index, drawn.layout.plane, results)
    np.testing.assert_allclose([(one["x"], one["y"]) for one in said["top"]], places, atol=1e-6)
    again = drawn.payload("score", have=said["key"])
    assert (again["points"], again["key"], again["legend"]["kind"]) == ("", said["key"], "numbers")
    assert {"kind", "score", "loud"} <= {column["name"] for column in said["columns"]}


def test_what_is_not_there_is_refused(drawn):
    with pytest.raises(UsageError, match="cannot be coloured by 'caption'; choose from"):
        drawn.payload("caption")
    with pytest.raises(QueryError, match="no point 500"):
        drawn.point(500)
    assert drawn.point(3)["clip_id"] == "c3"


def test_places_kept_beside_the_index_are_used_for_its_version_alone(root, tmp_path):
    index = open_index(root)
    points = (np.random.default_rng(3).uniform(100, 200, size=(len(index), 2))).astype(np.float32)
    path = pacmap_store.save(root, layout_key(index), points)
    assert path.parent == root.with_name("index.map")
    drawn = Map(index, tmp_path)
    np.testing.assert_array_equal(floats(drawn.payload()["points"]), points)
    corners = [Point(120, 120), Point(160, 120), Point(160, 160), Point(120, 160)]
    near = ((points > 120) & (points < 160)).all(axis=1)
    assert rows_inside(drawn, corners).tolist() == drawn.layout.rows[near].tolist()
    assert [one["id"] for one in drawn.payload(highlighted=np.array([4, 5]))["top"]] == ["c4", "c5"]
    path.write_bytes(path.read_bytes()[:-8])
    assert Map(index, tmp_path).layout.plane is not None  # what is damaged is passed over
    path.unlink()
    pacmap_store.save(root, layout_key(index)[:-1] + "9", points)
    assert Map(index, tmp_path).layout.plane is not None


def test_pacmap_that_cannot_be_used_is_one_line(monkeypatch):
    with pytest.raises(UsageError, match="19 clips are too few for PaCMAP; 20 are needed"):
        pacmap_store.embed(np.zeros((19, 4), np.float32))
    monkeypatch.setitem(sys.modules, "pacmap", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'vidsearch\[map\]'"):
        pacmap_store.embed(np.zeros((20, 4), np.float32))


@pytest.mark.slow
def test_pacmap_keeps_clouds_apart(root, capsys, tmp_path):
    map_cli.map_(root)
    path = Path(capsys.readouterr().out.splitlines()[-1])
    try:
        drawn = Map(open_index(root), tmp_path)
        assert drawn.payload()["method"] == "PaCMAP"
        points, rows = drawn.layout.points.astype(float), drawn.layout.rows
        distance = ((points[:, None] - points[None]) ** 2).sum(axis=2)
        np.fill_diagonal(distance, np.inf)
        assert np.mean(rows[distance.argmin(axis=1)] % 5 == rows % 5) > 0.98
        assert (points.min(axis=0).tolist(), points.max()) == ([pacmap_store.OFFSET] * 2, pacmap_store.OFFSET + pacmap_store.WIDTH)
    finally:
        path.unlink()


def test_a_segment_left_out_makes_another_map(root, tmp_path):
    index = open_index(root)
    drawn = Map(index, tmp_path)
    before = drawn.layout
    path = next(root.glob(f"segments/{index.segments[0].uuid}/columns.bin"))
    kept = path.read_bytes()
    try:
        path.write_bytes(bytes(len(kept)))
        damaged = open_index(root)
        drawn = Map(damaged, tmp_path)
        damaged.select(None)
        assert len(damaged) == 200
        assert drawn.layout.key != before.key
        assert len(drawn.layout.rows) == 200
    finally:
        path.write_bytes(kept)

"""The generator of `benchmarks/search.py` has the properties it claims, and its true answers are those of a naive loop."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from _search_columns import ASKED_PASSING, CELLS, table
from _search_data import ASKED_SHARE, DIM, World
from _search_report import fit
from _search_truth import K, exact

ROWS = 8_192


@pytest.fixture(scope="module")
def world() -> World:
    return World(seed=3)


@pytest.fixture(scope="module")
def vectors(world: World) -> np.ndarray:
    return world.vectors(0, ROWS).astype(np.float32)


@pytest.fixture(scope="module")
def rows(world: World) -> pa.Table:
    return table(world, 0)


def test_vectors_are_unit_rows_in_a_cone(vectors: np.ndarray) -> None:
    assert vectors.shape == (ROWS, DIM)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-3)
    assert np.linalg.norm(vectors.mean(axis=0)) == pytest.approx(0.5**0.5, abs=0.05)


def test_covariance_has_a_participation_ratio_of_about_113(vectors: np.ndarray) -> None:
    spectrum = np.linalg.eigvalsh(np.cov(vectors[::2].T))
    assert spectrum.sum() ** 2 / np.square(spectrum).sum() == pytest.approx(113, rel=0.25)


def test_clips_of_one_video_lie_close_together_and_some_nearly_coincide(world: World, vectors: np.ndarray) -> None:
    video = world.videos(0).of_row[:ROWS]
    neighbours = np.einsum("ij,ij->i", vectors[:-1], vectors[1:])
    together = video[:-1] == video[1:]
    assert neighbours[together].mean() > neighbours[~together].mean() + 0.2
    assert np.mean(neighbours[together] > 0.95) == pytest.approx(1 / 3, abs=0.05)


def test_texts_have_a_cone_of_their_own(world: World, vectors: np.ndarray) -> None:
    texts = world.test_queries
    assert np.mean(texts @ texts[::7].T) > 0.5
    assert np.mean(texts @ vectors[::64].T) < 0.2


def test_a_text_resembles_its_own_topics_clips(world: World, vectors: np.ndarray) -> None:
    nearest = np.argmax(world.test_queries @ vectors.T, axis=1)
    videos = world.videos(0)
    found = world.asked[videos.topic[videos.of_row[nearest]]]
    assert found.mean() > 2 * ASKED_SHARE


def test_a_block_depends_on_its_number_alone(world: World, vectors: np.ndarray) -> None:
    again = World(seed=3)
    again.vectors(5, 10)
    np.testing.assert_array_equal(again.vectors(0, 700), vectors[:700].astype(np.float16))
    assert not np.array_equal(again.vectors(1, 10), again.vectors(0, 10))
    assert table(again, 0, 50).equals(table(world, 0).slice(0, 50))


def test_queries_to_learn_from_are_not_those_measured(world: World) -> None:
    assert np.max(world.train_queries @ world.test_queries.T) < 0.95


def test_rows_have_one_id_each_and_times_within_a_video_go_on(rows: pa.Table) -> None:
    assert len(set(rows["clip_id"].to_pylist())) == rows.num_rows
    video, start, end = (rows[name].to_numpy() for name in ("video", "start_s", "end_s"))
    same = video[:-1] == video[1:]
    np.testing.assert_allclose(start[1:][same], end[:-1][same], atol=2e-3)
    assert np.mean(np.asarray(rows["language"]) == "en") == pytest.approx(0.6, abs=0.03)


@pytest.mark.parametrize("cell", [cell for cell in CELLS if cell.share >= 0.01], ids=lambda cell: cell.name)
def test_filters_pass_their_share_of_rows(rows: pa.Table, cell) -> None:
    assert np.mean(cell.mask(rows)) == pytest.approx(cell.share, rel=0.12)


@pytest.mark.parametrize("kind", ["cat", "num"])
@pytest.mark.parametrize("correlation", ASKED_PASSING)
def test_filters_prefer_or_avoid_what_queries_ask_about(world: World, rows: pa.Table, kind: str, correlation: str) -> None:
    cell = next(cell for cell in CELLS if (cell.kind, cell.correlation, cell.share) == (kind, correlation, 0.1))
    videos = world.videos(0)
    asked = world.asked[videos.topic][videos.of_row]
    assert asked[cell.mask(rows)].mean() == pytest.approx(ASKED_PASSING[correlation], abs=0.03)


def test_true_answers_are_those_of_a_naive_loop(world: World, rows: pa.Table, vectors: np.ndarray) -> None:
    count, queries = 3_000, world.test_queries[:5]
    blocks = [
        (vectors[start : start + 700].astype(np.float16)[: count - start], rows.slice(start, min(700, count - start)))
        for start in range(0, count, 700)
    ]
    truth = exact(queries, iter(blocks), CELLS)
    for number, cell in enumerate(CELLS):
        passing = np.flatnonzero(cell.mask(rows.slice(0, count)))
        assert truth.matching[number] == len(passing)
        for query, found in zip(queries, truth.ids[number], strict=True):
            naive = sorted(passing, key=lambda row: -float(vectors[row] @ query))[:K]
            assert found[found >= 0].tolist() == naive
            assert np.all(found[len(naive) :] == -1)


def test_recall_counts_the_true_rows_found() -> None:
    rng = np.random.default_rng(0)
    blocks = [(rng.standard_normal((40, 8)).astype(np.float16), pa.table({"cat_none": ["s10"] * 4 + ["rest"] * 36}))]
    cells = [CELLS[0], next(cell for cell in CELLS if cell.column == "cat_none" and cell.value == "s10")]
    truth = exact(rng.standard_normal((2, 8), dtype=np.float32), iter(blocks), cells)
    best = truth.ids[0].tolist()
    assert truth.recall(0, [best[0], best[1][:5]]) == [1.0, 0.5]
    assert truth.recall(1, [[0, 1, 2, 3], [0, 7]]) == [1.0, 0.25]


def test_growth_is_a_line_on_logarithmic_axes() -> None:
    assert fit([250_000, 1_000_000, 4_000_000], [1.0, 2.0, 4.0]) == pytest.approx((2.0, 0.5))

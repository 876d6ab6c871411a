"""Folding segments: same rows, same answers, better shape."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from indexer.fold import fold, index_kind
from indexer.rows import clips_table
from vidsearch import Index, open_index
from vidsearch.config import Space, viclip_preset
from vidsearch.errors import UsageError
from vidsearch.storage import manifest as manifests
from vidsearch.storage import segment as segments
from vidsearch.storage.quarantine import quarantine_table

DIM = 16


def clustered(rng: np.random.Generator, rows: int) -> np.ndarray:
    centres = rng.standard_normal((10, DIM))
    vectors = centres[rng.integers(0, 10, rows)] + 0.3 * rng.standard_normal((rows, DIM))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float16)


def add_segment(root: Path, vectors: np.ndarray, *, first: int, quarantine: tuple[str, ...] = (), **columns: list) -> None:
    rows = [
        {"clip_id": f"c{first + n}", "video": "v.mp4", "start_s": 0.0, "end_s": 1.0, "duration_s": 1.0}
        | {name: values[n] for name, values in columns.items()}
        for n in range(len(vectors))
    ]
    reference = segments.write(
        root,
        vectors=vectors,
        rows=clips_table(rows),
        index_files={},
        quarantine=quarantine_table([{"clip_id": name, "video": "x", "reason": "DECODE_ERROR"} for name in quarantine]),
        info={"index": "flat"},
    )
    manifests.commit(root, lambda manifest: manifest.with_segments([*manifest.segments, reference]))


@pytest.fixture
def root(tmp_path) -> Path:
    manifests.create(tmp_path / "index", Space("viclip", "no model", "0" * 64, 1, viclip_preset("eval"), DIM))
    return tmp_path / "index"


def ids(index: Index) -> list[str]:
    return [name for table in index.read_columns(["clip_id"]) for name in table["clip_id"].to_pylist()]


def answers(index: Index, queries: np.ndarray, **arguments: object) -> list[list[tuple[str, float]]]:
    return [[(hit.clip_id, hit.score) for hit in index.search(vector=query, **arguments)] for query in queries]


def test_small_segments_become_one_with_the_same_answers(root):
    rng = np.random.default_rng(0)
    add_segment(root, clustered(rng, 30), first=0, language=["en"] * 30)
    add_segment(root, clustered(rng, 20), first=30, quarantine=("c3", "bad"), views=list(range(20)))
    queries = rng.standard_normal((5, DIM)).astype(np.float32)
    before = answers(open_index(root), queries)
    fold(root, grace_s=0)
    index = open_index(root)
    assert len(index.segments) == 1
    assert ids(index) == [f"c{n}" for n in range(50)]
    assert answers(index, queries) == before
    assert index.segments[0].quarantine()["clip_id"].to_pylist() == ["bad"]  # c3 has been indexed since
    assert len(list((root / "segments").iterdir())) == 1


@pytest.mark.parametrize(("factory", "kind"), [("IVF4,PQ8", "faiss_factory"), ("ivfpq", "ivfpq")])
def test_exact_segments_become_trained_ones_with_exact_scores(root, factory, kind):
    rng = np.random.default_rng(1)
    add_segment(root, clustered(rng, 600), first=0, language=["en", "zh"] * 300)
    add_segment(root, clustered(rng, 400), first=600, language=["ko"] * 400)
    queries = rng.standard_normal((5, DIM)).astype(np.float32)
    before, filtered = answers(open_index(root), queries), answers(open_index(root), queries, where="language = 'zh'")
    fold(root, index_factory=factory)
    index = open_index(root)
    assert index_kind(index) == kind
    assert index.manifest.template is not None
    assert same(answers(index, queries, exact=True), before)
    assert same(answers(index, queries, where="language = 'zh'", exact=True), filtered)
    template = index.manifest.template
    add_segment(root, clustered(rng, 100), first=1000)
    fold(root)
    grown = open_index(root)
    assert (len(grown), grown.manifest.template) == (1100, template)  # trained once
    assert {segment.info["index"] for segment in grown.segments} == {kind}


def same(found: list[list[tuple[str, float]]], expected: list[list[tuple[str, float]]]) -> bool:
    return all(
        [name for name, _ in one] == [name for name, _ in other] and np.allclose([s for _, s in one], [s for _, s in other], atol=1e-6)
        for one, other in zip(found, expected, strict=True)
    )


def test_rows_of_a_trained_segment_lie_by_list_then_language(root):
    rng = np.random.default_rng(1)
    add_segment(root, clustered(rng, 1000), first=0, language=[("en", "zh", "ko")[n % 3] for n in range(1000)])
    fold(root, index_factory="ivfpq")
    index = open_index(root)
    languages = index.segments[0].read_columns(["language"])["language"].to_pylist()
    lists = index.index_of(0).list_of(np.arange(1000)).tolist()
    keys = list(zip(lists, languages, strict=True))
    assert [lists, len(set(keys))] == [sorted(lists), 1 + sum(a != b for a, b in pairwise(keys))]
    assert sorted(ids(index)) == sorted(f"c{n}" for n in range(1000))


def test_an_index_measures_its_settings_on_queries_it_was_not_trained_with(root):
    rng = np.random.default_rng(4)
    rows = clustered(rng, 3000)
    add_segment(root, rows, first=0)
    queries = rows[:400].astype(np.float32) + 0.3 * rng.standard_normal((400, DIM)).astype(np.float32)
    queries /= np.linalg.norm(queries, axis=1, keepdims=True)
    fold(root, index_factory="ivfpq", queries=queries)
    index = open_index(root)
    calibration = index.calibration
    assert (calibration.rows, calibration.queries, calibration.source) == (3000, 200, "the queries given")
    for point in calibration.points:
        assert point.low <= point.recall <= point.high
        assert point.recall >= point.target
    fresh = rows[1000:1200].astype(np.float32)
    wanted = index.nearest(fresh, 10, exact=True)
    found = index.nearest(fresh, 10, recall=0.9)
    recall = np.mean([len(set(a.rows.tolist()) & set(b.rows.tolist())) / 10 for a, b in zip(wanted, found, strict=True)])
    assert recall > 0.85


def test_adding_a_few_clips_writes_only_those_anew(root):
    rng = np.random.default_rng(5)
    add_segment(root, clustered(rng, 2000), first=0)
    fold(root, index_factory="ivfpq")
    large = open_index(root).segments[0].uuid
    for number in range(3):
        add_segment(root, clustered(rng, 20), first=2000 + 20 * number)
        fold(root)
    index = open_index(root)
    assert large in {segment.uuid for segment in index.segments}
    assert (len(index), len(index.segments)) == (2060, 4)
    for number in range(3, 9):
        add_segment(root, clustered(rng, 20), first=2000 + 20 * number)
        fold(root)
    index = open_index(root)
    assert large in {segment.uuid for segment in index.segments}
    assert len(index.segments) < 5  # eight of a size became one
    assert sorted(ids(index)) == sorted(f"c{n}" for n in range(2180))


@pytest.mark.parametrize(("factory", "message"), [("ivfpq", "at least 256"), ("IVF4,PQ8", "cannot be trained on 30 vectors")])
def test_too_few_clips_for_a_factory_say_so_and_keep_the_exact_index(root, factory, message):
    add_segment(root, clustered(np.random.default_rng(2), 30), first=0)
    with pytest.raises(UsageError, match=message):
        fold(root, index_factory=factory)
    assert len(open_index(root)) == 30


def test_folding_nothing_changes_nothing(root):
    fold(root)
    assert open_index(root).manifest.version == 1


def test_queries_of_any_float_type_are_answered_alike(root):
    rng = np.random.default_rng(6)
    add_segment(root, clustered(rng, 1000), first=0)
    fold(root, index_factory="ivfpq")
    index = open_index(root)
    queries = clustered(rng, 3).astype(np.float32)
    for found, same_found in zip(index.nearest(queries, 5), index.nearest(queries.astype(np.float64), 5), strict=True):
        assert np.array_equal(found.rows, same_found.rows)
        assert same_found.scores.dtype == np.float32

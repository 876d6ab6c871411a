"""Folding segments: same rows, same answers, better shape."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from indexer.fold import fold, index_kind
from indexer.merge import commit_merged, merge
from indexer.rows import clips_table
from vidsearch import Index, open_index
from vidsearch.config import Space, viclip_preset
from vidsearch.corpus import Corpus
from vidsearch.describe import training
from vidsearch.errors import ConflictError, QueryError, UsageError
from vidsearch.storage import manifest as manifests
from vidsearch.storage import segment as segments
from vidsearch.storage.quarantine import quarantine_table
from vidsearch.upkeep.delete import delete

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


def test_clips_deleted_while_segments_are_written_anew_stay_deleted(root, monkeypatch):
    rng = np.random.default_rng(6)
    add_segment(root, clustered(rng, 600), first=0)
    add_segment(root, clustered(rng, 400), first=600)
    delete(root, clip_ids=["c5"])
    index = Corpus(root)
    merged = merge(index, [0, 1], kind="flat", template=None)
    delete(root, clip_ids=["c7", "c650"])  # by another process, meanwhile
    commit_merged(root, [merged])
    after = open_index(root)
    gone = {"c5", "c7", "c650"}
    assert {name for name in ids(after) if name not in gone} == {f"c{n}" for n in range(1000)} - gone
    assert len(after) == 997
    for name in gone:
        with pytest.raises(QueryError):
            after.row_of(name)


def test_two_who_write_the_same_segments_anew_do_not_both_succeed(root):
    rng = np.random.default_rng(6)
    add_segment(root, clustered(rng, 30), first=0)
    add_segment(root, clustered(rng, 30), first=30)
    index = Corpus(root)
    one, other = (merge(index, [0, 1], kind="flat", template=None) for _ in range(2))
    commit_merged(root, [one])
    with pytest.raises(ConflictError, match="run the command again"):
        commit_merged(root, [other])
    assert sorted(ids(open_index(root))) == sorted(f"c{n}" for n in range(60))
    assert not (root / "segments" / other.segment.uuid).exists()


def test_compacting_leaves_one_segment_without_deleted_rows(root):
    rng = np.random.default_rng(7)
    add_segment(root, clustered(rng, 1000), first=0)
    fold(root, index_factory="ivfpq")
    for number in range(3):
        add_segment(root, clustered(rng, 30), first=1000 + 30 * number)
        fold(root)
    delete(root, clip_ids=["c4", "c1001"])
    assert len(open_index(root).segments) > 2
    fold(root, compact=True, grace_s=0)
    after = open_index(root)
    (segment,) = after.segments
    assert (segment.rows, segment.info["index"]) == (1088, "ivfpq")
    assert sorted(ids(after)) == sorted(f"c{n}" for n in range(1090) if n not in (4, 1001))
    version = after.manifest.version
    fold(root, compact=True, grace_s=0)
    assert open_index(root).manifest.version == version  # nothing left to do


def test_much_deleted_segments_are_written_anew_without_being_asked(root):
    add_segment(root, clustered(np.random.default_rng(7), 100), first=0)
    delete(root, clip_ids=[f"c{n}" for n in range(10)])
    fold(root)
    assert open_index(root).slots == 90  # with the deletion's own segment
    assert len(open_index(root)) == 90


def test_an_index_whose_data_has_drifted_says_so_and_trains_anew_from_what_is_stored(root):
    rng = np.random.default_rng(8)
    add_segment(root, clustered(rng, 1500), first=0)
    fold(root, index_factory="ivfpq")
    before = training(open_index(root))
    assert (before["retrain"], before["rows"]) == (False, 1500)
    assert before["error_now"] == pytest.approx(before["error"], rel=0.1)
    add_segment(root, clustered(np.random.default_rng(99), 6000), first=1500)  # other centres
    fold(root)
    drifted = open_index(root)
    found = training(drifted)
    assert found["retrain"]
    assert "when they were trained" in found["reason"]
    queries = rng.standard_normal((5, DIM)).astype(np.float32)
    exact = answers(drifted, queries, exact=True)
    fold(root, retrain=True, grace_s=0)
    after = open_index(root)
    assert after.manifest.template != drifted.manifest.template
    assert training(after)["error_now"] < found["error_now"]
    assert not training(after)["retrain"]
    assert {segment.info["template"] for segment in after.segments} == {after.manifest.template}
    assert same(answers(after, queries, exact=True), exact)
    assert [path.stem for path in (root / "template").glob("*.template")] == [after.manifest.template]


def test_a_query_during_a_fold_is_answered_from_the_version_it_opened(root):
    rng = np.random.default_rng(9)
    add_segment(root, clustered(rng, 600), first=0, language=["en", "zh"] * 300)
    add_segment(root, clustered(rng, 400), first=600, language=["ko"] * 400)
    opened = open_index(root)
    fold(root, index_factory="ivfpq", grace_s=0)
    queries = rng.standard_normal((5, DIM)).astype(np.float32)
    assert same(answers(opened, queries, where="language = 'zh'"), answers(open_index(root), queries, where="language = 'zh'", exact=True))
    assert opened.segments[0].record().num_rows == 600

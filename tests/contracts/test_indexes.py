"""Every index plug-in against the exact answer, by value."""

from __future__ import annotations

import struct
import subprocess
import sys
from functools import cache
from pathlib import Path
from types import ModuleType

import faiss
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vidsearch.errors import IndexCorruptError, QueryError, UsageError
from vidsearch.indexes import _gpu, flat, ivfpq
from vidsearch.indexes._exact import widen
from vidsearch.indexes.base import SearchSettings, VectorIndex, default_settings, kind_for, lists_for, sample_rows
from vidsearch.registry import names, plugin

KINDS = names("vidsearch.indexes")
DIM = 64
faiss.omp_set_num_threads(1)


@cache
def clustered(rows: int, seed: int = 0) -> npt.NDArray[np.float16]:
    """(rows, 64) unit rows around 200 centres, as clips of the same topic lie."""
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(99).standard_normal((200, DIM))
    points = centres[rng.integers(0, 200, rows)] + 0.7 * rng.standard_normal((rows, DIM))
    return (points / np.linalg.norm(points, axis=1, keepdims=True)).astype(np.float16)


@cache
def template(kind: str) -> bytes:
    return plugin("vidsearch.indexes", kind).train(clustered(4_000).astype(np.float32), rows=20_000, seed=0)


@cache
def index_of(kind: str, rows: int = 20_000) -> VectorIndex:
    return built(kind, clustered(rows))


def built(kind: str, vectors: npt.NDArray[np.float16]) -> VectorIndex:
    module = plugin("vidsearch.indexes", kind)
    return module.load(module.build(vectors, template(kind)), vectors)


QUERIES = clustered(40, seed=1).astype(np.float32)


def oracle(vectors: npt.NDArray[np.float16], queries: npt.NDArray[np.float32], k: int, allowed: npt.NDArray[np.bool_] | None = None):
    """Scores and ids by NumPy's own arithmetic in double precision, ties by row."""
    scores = queries.astype(np.float64) @ vectors.astype(np.float64).T
    if allowed is not None:
        scores[:, ~allowed] = -np.inf
    ids = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(scores, ids, axis=1), ids


def recall(found: npt.NDArray[np.int64], expected: npt.NDArray[np.int64]) -> float:
    return float(np.mean([len(set(a.tolist()) & set(b.tolist())) / len(b) for a, b in zip(found, expected, strict=True)]))


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def module(kind: str) -> ModuleType:
    return plugin("vidsearch.indexes", kind)


def test_both_kinds_are_here() -> None:
    assert KINDS == ("flat", "ivfpq")


def test_scores_are_the_exact_cosines_of_the_rows_they_name(kind: str) -> None:
    scores, ids = index_of(kind).search(QUERIES, 10)
    assert (scores.dtype, ids.dtype, scores.shape, ids.shape) == (np.float32, np.int64, (40, 10), (40, 10))
    vectors = clustered(20_000).astype(np.float64)
    np.testing.assert_allclose(scores, np.einsum("qkd,qd->qk", vectors[ids], QUERIES), atol=1e-6)
    assert (np.diff(scores, axis=1) <= 0).all()
    assert all(len(set(row.tolist())) == 10 for row in ids)


def test_default_settings_find_what_the_oracle_finds(kind: str) -> None:
    _, expected = oracle(clustered(20_000), QUERIES, 10)
    found = recall(index_of(kind).search(QUERIES, 10)[1], expected)
    assert found == 1 if kind == "flat" else found >= 0.9


def test_all_lists_and_all_candidates_are_the_exact_answer(kind: str) -> None:
    index = index_of(kind)
    expected_scores, expected = oracle(clustered(20_000), QUERIES, 10)
    scores, ids = index.search(QUERIES, 10, settings=SearchSettings(nprobe=10**6, rerank=19_999))
    np.testing.assert_array_equal(ids, expected)
    np.testing.assert_allclose(scores, expected_scores, atol=1e-6)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(0, 1), st.integers(1, 30), st.sampled_from(KINDS))
def test_only_allowed_rows_are_found_and_as_many_as_there_are(seed: int, share: float, k: int, kind: str) -> None:
    vectors = clustered(20_000)
    allowed = np.random.default_rng(seed).random(20_000) < share**4  # mostly few
    scores, ids = index_of(kind).search(QUERIES[:4], k, allowed=allowed)
    count = min(k, int(allowed.sum()))
    assert (ids[:, :count] >= 0).all()
    assert allowed[ids[:, :count]].all()
    assert (ids[:, count:] == -1).all()
    assert np.isneginf(scores[:, count:]).all()
    expected_scores, expected = oracle(vectors, QUERIES[:4], k, allowed)
    if kind == "flat" or allowed.sum() <= ivfpq.EXACT_ROWS:
        np.testing.assert_array_equal(ids[:, :count], expected[:, :count])
        np.testing.assert_allclose(scores[:, :count], expected_scores[:, :count], atol=1e-6)


@pytest.mark.parametrize("share", [0.9, 0.6])
def test_a_wide_filter_is_searched_through_the_lists(share: float) -> None:
    allowed = np.random.default_rng(3).random(20_000) < share
    assert allowed.sum() > ivfpq.EXACT_ROWS
    _, expected = oracle(clustered(20_000), QUERIES, 10, allowed)
    chosen = default_settings(20_000, 10, share)
    _, found = index_of("ivfpq").search(QUERIES, 10, allowed=allowed, settings=chosen)
    assert allowed[found].all()
    assert recall(found, expected) >= 0.9


def test_lists_that_hold_too_few_allowed_rows_are_not_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """One list probed, the rows in it forbidden: the search goes on through all lists."""
    monkeypatch.setattr(ivfpq, "EXACT_ROWS", 0)
    index = index_of("ivfpq")
    tight = SearchSettings(nprobe=1, rerank=50)
    _, near = index.search(QUERIES[:1], 2000, settings=SearchSettings(nprobe=1, rerank=2000))
    allowed = np.ones(20_000, dtype=np.bool_)
    allowed[near[0]] = False
    _, ids = index.search(QUERIES[:1], 50, allowed=allowed, settings=tight)
    assert (ids >= 0).all()
    assert allowed[ids].all()


def test_more_results_than_rows_end_in_minus_one(kind: str) -> None:
    vectors = clustered(20_000)[:7]
    scores, ids = built(kind, vectors).search(QUERIES, 12)
    expected_scores, expected = oracle(vectors, QUERIES, 7)
    np.testing.assert_array_equal(ids[:, :7], expected)
    np.testing.assert_allclose(scores[:, :7], expected_scores, atol=1e-6)
    assert (ids[:, 7:] == -1).all()
    assert np.isneginf(scores[:, 7:]).all()


def test_an_empty_index_an_empty_filter_and_no_queries_find_nothing(kind: str) -> None:
    empty = built(kind, clustered(20_000)[:0])
    assert empty.rows == 0
    for index, allowed in ((empty, None), (index_of(kind), np.zeros(20_000, np.bool_))):
        scores, ids = index.search(QUERIES, 3, allowed=allowed)
        assert (ids == -1).all()
        assert np.isneginf(scores).all()
    assert index_of(kind).search(QUERIES[:0], 3)[1].shape == (0, 3)


def test_equal_rows_have_equal_scores_and_come_in_order(kind: str) -> None:
    vectors = clustered(20_000)[:500].copy()
    twins = [3, 17, 18, 250, 499]
    vectors[twins] = vectors[3]
    scores, ids = built(kind, vectors).search(vectors[3:4].astype(np.float32), 9)
    assert ids[0, :5].tolist() == twins
    assert len(set(scores[0, :5].tolist())) == 1


def test_many_equal_rows_do_not_push_out_lower_numbers() -> None:
    vectors = np.repeat(clustered(20_000)[:1], 5000, axis=0)
    _, ids = built("flat", vectors).search(QUERIES[:2], 20)
    assert (ids == np.arange(20)).all()


def test_two_segments_of_one_template_merge_to_one_index(kind: str) -> None:
    vectors = clustered(20_000)
    tries = SearchSettings(nprobe=9, rerank=7_999)  # every row of the lists probed is ranked, so both ways see the same rows
    whole_scores, whole_ids = index_of(kind).search(QUERIES, 10, settings=tries)
    parts = [built(kind, part).search(QUERIES, 10, settings=tries) for part in (vectors[:8_000], vectors[8_000:])]
    scores = np.concatenate([s for s, _ in parts], axis=1)
    ids = np.concatenate([parts[0][1], parts[1][1] + 8_000], axis=1)
    order = np.lexsort((ids, -scores), axis=1)[:, :10]
    np.testing.assert_array_equal(np.take_along_axis(ids, order, axis=1), whole_ids)
    np.testing.assert_array_equal(np.take_along_axis(scores, order, axis=1), whole_scores)


def test_rows_longer_than_a_block_of_building_are_all_there(kind: str) -> None:
    assert index_of(kind).rows > ivfpq.BLOCK_ROWS
    last = clustered(20_000)[-3:].astype(np.float32)
    assert index_of(kind).search(last, 1)[1].ravel().tolist() == [19_997, 19_998, 19_999]


@pytest.mark.parametrize(
    ("queries", "k", "message"),
    [
        (np.full((1, DIM), np.nan, np.float32), 5, "NaN or infinity"),
        (np.full((1, DIM), np.inf, np.float32), 5, "NaN or infinity"),
        (np.zeros((1, DIM - 1), np.float32), 5, r"\(1, 63\) must be \(q, 64\)"),
        (np.zeros(DIM, np.float32), 5, r"\(64,\) must be \(q, 64\)"),
        (QUERIES, 0, r"k 0 must be 1\.\.100000"),
        (QUERIES, 10**9, r"k 1000000000 must be"),
    ],
    ids=["nan", "inf", "dim", "1d", "k0", "k1e9"],
)
def test_a_query_that_cannot_be_asked_is_refused(kind: str, queries: npt.NDArray[np.float32], k: int, message: str) -> None:
    with pytest.raises(QueryError, match=message):
        index_of(kind).search(queries, k)


@pytest.mark.parametrize("allowed", [np.ones(19_999, np.bool_), np.ones(20_000, np.uint8)], ids=["length", "dtype"])
def test_a_mask_that_does_not_fit_is_refused(kind: str, allowed: npt.NDArray[np.bool_]) -> None:
    with pytest.raises(UsageError, match=r"must be bool \(20000,\)"):
        index_of(kind).search(QUERIES, 5, allowed=allowed)


def serialized(index: faiss.Index) -> bytes:
    return faiss.serialize_index(index).tobytes()


def small_ivfpq(metric: int = faiss.METRIC_INNER_PRODUCT, *, bits: int = 8, residual: bool = True) -> faiss.IndexIVFPQ:
    quantizer = faiss.IndexFlatIP(DIM) if metric == faiss.METRIC_INNER_PRODUCT else faiss.IndexFlatL2(DIM)
    index = faiss.IndexIVFPQ(quantizer, DIM, 4, 8, bits, metric)
    index.cp.min_points_per_centroid = index.pq.cp.min_points_per_centroid = 1
    index.by_residual = residual
    index.train(clustered(600).astype(np.float32))
    index.add(clustered(600).astype(np.float32))
    return index


def l2_flat() -> faiss.Index:
    index = faiss.IndexScalarQuantizer(DIM, faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_L2)
    index.add(clustered(600).astype(np.float32))
    return index


def bytes_flat() -> faiss.Index:
    index = faiss.IndexScalarQuantizer(DIM, faiss.ScalarQuantizer.QT_8bit_direct, faiss.METRIC_INNER_PRODUCT)
    index.add(clustered(600).astype(np.float32))
    return index


def ivf_flat() -> faiss.Index:
    index = faiss.IndexIVFFlat(faiss.IndexFlatIP(DIM), DIM, 4, faiss.METRIC_INNER_PRODUCT)
    index.train(clustered(600).astype(np.float32))
    index.add(clustered(600).astype(np.float32))
    return index


WRONG = {
    "flat": {"metric is 1, not inner product": l2_flat, "codes are not half floats": bytes_flat, "not a flat index": ivf_flat},
    "ivfpq": {
        "metric is 1, not inner product": lambda: small_ivfpq(faiss.METRIC_L2),
        "not of residuals": lambda: small_ivfpq(residual=False),
        "not of 8-bit codes": lambda: small_ivfpq(bits=6),
        "not an IVF-PQ index": ivf_flat,
    },
}


@pytest.mark.parametrize(("kind", "complaint"), [(kind, complaint) for kind in WRONG for complaint in WRONG[kind]])
def test_a_faiss_file_of_another_kind_or_metric_is_refused(kind: str, complaint: str) -> None:
    with pytest.raises(IndexCorruptError, match=complaint):
        plugin("vidsearch.indexes", kind).load(serialized(WRONG[kind][complaint]()), clustered(600))


def test_data_of_other_vectors_are_refused(module: ModuleType, kind: str) -> None:
    data = module.build(clustered(600), template(kind))
    with pytest.raises(IndexCorruptError, match="holds 600 x 64 vectors instead of 599 x 64"):
        module.load(data, clustered(600)[:599])
    with pytest.raises(IndexCorruptError, match="holds 600 x 64 vectors instead of 1200 x 32"):
        module.load(data, clustered(600).reshape(1200, 32))


def test_cut_and_lengthened_data_are_refused(module: ModuleType, kind: str) -> None:
    data = module.build(clustered(600), template(kind))
    lengths = {*range(1, 200), *np.random.default_rng(0).integers(1, len(data), 100).tolist(), len(data) - 1}
    for bad in [data[:length] for length in lengths] + [data + b"\0", data + data]:
        with pytest.raises(IndexCorruptError, match=r"index\.faiss"):
            module.load(bad, clustered(600))


def test_lists_on_disk_are_refused_before_faiss_opens_the_file_they_name(tmp_path: Path) -> None:
    """FAISS maps whatever file an `ilod` section names."""
    index = small_ivfpq()
    codes = faiss.OnDiskInvertedLists(4, index.code_size, str(tmp_path / "other"))
    codes.merge_from_1(index.invlists, False)
    index.replace_invlists(codes, False)
    data = serialized(index)
    assert b"ilod" in data
    with pytest.raises(IndexCorruptError, match="inverted lists are not arrays"):
        ivfpq.load(data, clustered(600))


def test_impossible_lengths_are_refused_without_taking_the_memory() -> None:
    data = bytearray(ivfpq.build(clustered(600), template("ivfpq")))
    lists = struct.unpack_from("<Q", data, 37)[0]
    for offset in (37, 37 + 16 + 37, 37 + 16 + 45 + 4 * lists * DIM + 1):  # lists, centroids' values, direct map
        bad = data.copy()
        struct.pack_into("<Q", bad, offset, 2**62)
        with pytest.raises(IndexCorruptError, match=r"index\.faiss"):
            ivfpq.load(bytes(bad), clustered(600))


def test_a_row_number_out_of_range_is_not_returned() -> None:
    data = bytearray(ivfpq.build(clustered(600), template("ivfpq")))
    struct.pack_into("<q", data, len(data) - 8, 10**9)  # the last id of the last list
    index = ivfpq.load(bytes(data), clustered(600))
    with pytest.raises(IndexCorruptError, match="names row 1000000000 of 600"):
        index.search(QUERIES, 10, settings=SearchSettings(nprobe=1000, rerank=599))


def test_the_flat_file_is_a_faiss_index_of_the_same_vectors() -> None:
    vectors = clustered(2000)
    data = flat.build(vectors, None)
    assert data.endswith(vectors.tobytes())
    index = faiss.deserialize_index(np.frombuffer(data, np.uint8))
    assert (index.metric_type, index.ntotal, index.d) == (faiss.METRIC_INNER_PRODUCT, 2000, DIM)
    scores, ids = index.search(QUERIES, 10)
    ours, our_ids = flat.load(data, vectors).search(QUERIES, 10)
    np.testing.assert_array_equal(ids, our_ids)
    np.testing.assert_allclose(scores, ours, atol=1e-5)


def test_an_exact_search_does_not_load_faiss() -> None:
    code = (
        "import sys, numpy as np; from vidsearch.indexes import flat;"
        "v = np.eye(4, dtype=np.float16); print(flat.load(b'', v).search(np.eye(4, dtype=np.float32), 1)[1].ravel().tolist());"
        "print('faiss' in sys.modules)"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.split("\n")[:2] == ["[0, 1, 2, 3]", "False"]


def test_widening_is_exact_for_every_half_float() -> None:
    halves = np.arange(1 << 16, dtype=np.uint16).view(np.float16)
    halves = halves[np.isfinite(halves)][None]
    np.testing.assert_array_equal(widen(halves, np.empty((2, halves.shape[1]), np.float32)), halves.astype(np.float32))


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 300), st.integers(1, 20), st.integers(1, 40), st.integers(0, 2**32 - 1))
def test_the_oracle_is_right_at_any_shape(rows: int, dim: int, k: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    vectors = rng.integers(-3, 4, (rows, dim)).astype(np.float16)  # small integers: many ties, and no rounding anywhere
    queries = rng.integers(-3, 4, (3, dim)).astype(np.float32)
    expected_scores, expected = oracle(vectors, queries, k)
    scores, ids = flat.load(b"", vectors).search(queries, k)
    np.testing.assert_array_equal(ids[:, :rows], expected)
    np.testing.assert_array_equal(scores[:, :rows], expected_scores)


def test_training_is_repeatable_and_sized_by_rows_and_sample() -> None:
    sample = clustered(2000).astype(np.float32)
    first, again, other = (ivfpq.train(sample, rows=20_000, seed=seed) for seed in (5, 5, 6))
    assert first == again != other
    assert ivfpq.load(first, clustered(20_000)[:0]).lists == 2000 // 39
    assert index_of("ivfpq").lists == 78


def test_a_factory_string_is_taken_if_it_is_ivfpq() -> None:
    sample = clustered(1000).astype(np.float32)
    trained = ivfpq.train(sample, rows=20_000, seed=0, factory="IVF50,PQ16")
    assert ivfpq.load(ivfpq.build(clustered(600), trained), clustered(600)).lists == 50
    for factory in ("Flat", "IVF50,Flat", "IVF50,PQ16x4", "IVF50_HNSW8,PQ16", "IVF50,PQ7", "nonsense", "PCA32,IVF50,PQ16"):
        with pytest.raises(UsageError, match=f"factory '{factory}'"):
            ivfpq.train(sample, rows=20_000, seed=0, factory=factory)
    with pytest.raises(UsageError, match="1000 vectors cannot train 5000 lists"):
        ivfpq.train(sample, rows=20_000, seed=0, factory="IVF5000,PQ16")


@pytest.mark.parametrize("sample", [np.zeros((255, 8)), np.full((300, 8), np.nan), np.zeros(300)], ids=["few", "nan", "1d"])
def test_a_sample_that_trains_nothing_is_refused(sample: npt.NDArray[np.float64]) -> None:
    with pytest.raises(UsageError, match="n at least 256, all finite"):
        ivfpq.train(sample.astype(np.float32), rows=1000, seed=0)


def test_ivfpq_without_its_template_is_refused() -> None:
    with pytest.raises(UsageError, match="needs the template"):
        ivfpq.build(clustered(600), None)
    with pytest.raises(IndexCorruptError, match="holds 600 x 64 vectors instead of 0 x 64"):
        ivfpq.build(clustered(600), ivfpq.build(clustered(600), template("ivfpq")))


def test_settings_check_themselves() -> None:
    with pytest.raises(UsageError, match="nprobe 0 and rerank 5 must be 1 or more"):
        SearchSettings(nprobe=0, rerank=5)


@pytest.mark.parametrize(
    ("dim", "expected"), [(64, 8), (256, 32), (384, 48), (512, 64), (640, 64), (768, 96), (1024, 64), (100, 20), (96, 12), (7, 1), (10, 2)]
)
def test_codes_are_an_eighth_of_the_dimension_that_a_gpu_can_search(dim: int, expected: int) -> None:
    assert ivfpq.code_bytes(dim) == expected


@pytest.mark.parametrize(
    ("rows", "kind", "lists", "sample"),
    [
        (0, "flat", 1, 0),
        (1000, "flat", 3, 1000),
        (20_000, "flat", 78, 16_384),
        (20_001, "ivfpq", 78, 16_384),
        (99_999, "ivfpq", 390, 24_960),
        (100_000, "ivfpq", 195, 16_384),
        (999_999, "ivfpq", 1953, 124_992),
        (1_000_000, "ivfpq", 1250, 80_000),
        (10**9, "ivfpq", 65_536, 4_194_304),
    ],
)
def test_sizes_follow_from_the_number_of_rows(rows: int, kind: str, lists: int, sample: int) -> None:
    assert (kind_for(rows), lists_for(rows), sample_rows(rows)) == (kind, lists, sample)


@pytest.mark.parametrize(
    ("rows", "k", "selectivity", "nprobe", "rerank"),
    [
        (20_000, 10, 1.0, 32, 300),
        (1_000_000, 10, 1.0, 200, 300),
        (1_000_000, 100, 1.0, 200, 1000),
        (10_000_000, 10, 1.0, 2000, 3000),
        (1_000_000, 10, 0.1, 503, 300),
        (1_000_000, 10, 0.001, 1250, 300),
        (1_000_000, 10, 0.0, 1250, 300),
        (10, 10, 1.0, 1, 300),
    ],
)
def test_default_settings_grow_with_rows_and_narrow_filters(rows: int, k: int, selectivity: float, nprobe: int, rerank: int) -> None:
    assert default_settings(rows, k, selectivity) == SearchSettings(nprobe, rerank)


def test_without_a_gpu_the_cpu_is_used_and_a_failing_gpu_is_not_the_end(caplog: pytest.LogCaptureFixture) -> None:
    if faiss.get_num_gpus() == 0:
        assert _gpu.attempt(lambda _: pytest.fail("there is no GPU")) is None
    _gpu._complain.cache_clear()
    for _ in range(2):
        _gpu._complain("out of memory")
    assert caplog.text.count("falls back to the CPU: out of memory") == 1


@pytest.mark.gpu
def test_a_gpu_trains_builds_and_finds_as_the_cpu_does() -> None:
    assert faiss.get_num_gpus() > 0
    rng = np.random.default_rng(0)
    centres = rng.standard_normal((300, 768))
    points = centres[rng.integers(0, 300, 60_000)] + 0.7 * rng.standard_normal((60_000, 768))
    vectors = (points / np.linalg.norm(points, axis=1, keepdims=True)).astype(np.float16)
    trained = ivfpq.train(vectors[:20_000].astype(np.float32), rows=60_000, seed=0)
    index = ivfpq.load(ivfpq.build(vectors, trained), vectors)
    queries = vectors[::997].astype(np.float32)
    assert recall(index.search(queries, 10)[1], oracle(vectors, queries, 10)[1]) >= 0.9
    depth, nprobe = 100, 32
    on_gpu, on_cpu = index._probe_on_gpu(queries, depth, nprobe), index._probe_on_cpu(queries, depth, nprobe, None)
    assert recall(on_gpu, on_cpu) >= 0.97  # half-float look-up tables order near ties otherwise

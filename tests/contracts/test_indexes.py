"""Every index plug-in against the exact answer, by value, through the same ranking that the engine uses."""

from __future__ import annotations

import struct
import subprocess
import sys
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import faiss
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vidsearch.calibration import Estimate, Settings
from vidsearch.errors import IndexCorruptError, UsageError
from vidsearch.indexes import faiss_factory, ivfpq
from vidsearch.indexes._codes import Template, pack, unpack
from vidsearch.indexes._exact import rank_with_kernel, rank_with_numpy, widen
from vidsearch.indexes._projection import fit, width_for
from vidsearch.indexes.base import VectorIndex, kind_for, lists_for, sample_rows
from vidsearch.nearest import Found, Part, by_codes, by_score
from vidsearch.registry import names, plugin
from vidsearch.selection import Selection, everything

KINDS = names("vidsearch.indexes")
DIM = 64
faiss.omp_set_num_threads(1)


def effort(share: float, depth: int) -> Settings:
    return Settings((Estimate(share, depth),))


ALL = effort(1.0, 3000)


@cache
def clustered(rows: int, seed: int = 0) -> npt.NDArray[np.float16]:
    """(rows, 64) unit rows around 200 centres, as clips of the same topic lie."""
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(99).standard_normal((200, DIM))
    points = centres[rng.integers(0, 200, rows)] + 0.7 * rng.standard_normal((rows, DIM))
    return (points / np.linalg.norm(points, axis=1, keepdims=True)).astype(np.float16)


QUERIES = clustered(40, seed=1).astype(np.float32)


class Held:
    """The files of a segment that was never written."""

    def __init__(self, files: dict[str, Any]) -> None:
        self.files = {name: memoryview(data).cast("B") for name, data in files.items()}

    def map_file(self, name: str) -> memoryview:
        return self.files[name]

    def read_file(self, name: str) -> bytes:
        return bytes(self.files[name])


@cache
def template(kind: str) -> Any:
    module = plugin("vidsearch.indexes", kind)
    factory = "IVF32,PQ16x4" if kind == "faiss_factory" else None
    sample = clustered(4_000).astype(np.float32)
    return module.load_template(module.train(sample, queries=QUERIES[:20], rows=20_000, seed=0, factory=factory))


def part_of(kind: str, vectors: npt.NDArray[np.float16], selection: Selection | None = None, first: int = 0) -> Part:
    """Build a segment's index from its files, rows in the order the kind wants them."""
    module, trained = plugin("vidsearch.indexes", kind), template(kind)
    lists = module.assign(vectors, trained)
    if lists is not None:
        order = np.argsort(lists, kind="stable")
        vectors, lists = vectors[order], lists[order]
    index: VectorIndex = module.load(Held(module.build(vectors, trained, lists)), vectors, trained)
    return Part(vectors, everything(len(vectors)) if selection is None else selection, first, index)


@cache
def whole(kind: str) -> Part:
    return part_of(kind, clustered(20_000))


def with_mask(part: Part, mask: npt.NDArray[np.bool_]) -> Part:
    return Part(part.vectors, Selection.of_mask(mask), part.first, part.index)


def oracle(part: Part, query: npt.NDArray[np.float32], k: int) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """Scores and rows by NumPy's own arithmetic in double precision, ties by row."""
    scores = part.vectors.astype(np.float64) @ query.astype(np.float64)
    scores[~part.selection.mask] = -np.inf
    rows = np.argsort(-scores, kind="stable")[: min(k, part.selection.count)]
    return scores[rows], rows + part.first


def recall(found: list[Found], part: Part, queries: npt.NDArray[np.float32], k: int = 10) -> float:
    return float(np.mean([len(set(one.rows) & set(oracle(part, query, k)[1])) / k for one, query in zip(found, queries, strict=True)]))


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def module(kind: str) -> ModuleType:
    return plugin("vidsearch.indexes", kind)


def test_all_kinds_are_here() -> None:
    assert KINDS == ("faiss_factory", "flat", "ivfpq")


def test_scores_are_the_exact_cosines_of_the_rows_they_name(kind: str) -> None:
    part = whole(kind)
    for found, query in zip(by_codes([part], QUERIES, 10, effort(0.4, 300)), QUERIES, strict=True):
        assert np.allclose(found.scores, part.vectors[found.rows].astype(np.float64) @ query, atol=1e-5)
        assert (np.diff(found.scores) <= 0).all()
        assert len(set(found.rows.tolist())) == 10


def test_a_part_of_the_lists_finds_most_and_all_of_them_nearly_everything(kind: str) -> None:
    part = whole(kind)
    assert recall(by_codes([part], QUERIES, 10, effort(0.4, 300)), part, QUERIES) > 0.9
    assert recall(by_codes([part], QUERIES, 10, ALL), part, QUERIES) > 0.995


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([0.0005, 0.01, 0.3, 0.9]), st.sampled_from([1, 7, 60]))
def test_only_rows_that_pass_are_found_and_as_many_as_there_are(seed: int, share: float, k: int) -> None:
    for kind in KINDS:
        mask = np.random.default_rng(seed).random(20_000) < share
        part = with_mask(whole(kind), mask)
        for found in by_codes([part], QUERIES[:3], k, ALL):
            assert mask[found.rows].all()
            assert len(found.rows) == min(k, mask.sum())


def test_every_row_scored_is_the_oracles_answer() -> None:
    part = with_mask(whole("ivfpq"), np.random.default_rng(3).random(20_000) < 0.05)
    for kernels in (False, True):
        for found, query in zip(by_score([part], QUERIES, 25, kernels=kernels), QUERIES, strict=True):
            scores, rows = oracle(part, query, 25)
            assert np.array_equal(found.rows, rows)
            assert np.allclose(found.scores, scores, atol=1e-6)
            assert found.scored == part.selection.count


def test_two_segments_of_one_template_answer_like_one(kind: str) -> None:
    rows = clustered(6_000, seed=5)
    one = part_of(kind, rows)
    two = [part_of(kind, rows[:2_500]), part_of(kind, rows[2_500:], first=2_500)]
    for alone, merged in zip(by_codes([one], QUERIES, 10, ALL), by_codes(two, QUERIES, 10, ALL), strict=True):
        assert np.allclose(alone.scores, merged.scores, atol=1e-6)


def test_many_queries_at_once_are_answered_like_each_alone(kind: str) -> None:
    part, setting = whole(kind), effort(0.3, 200)
    together = by_codes([part], QUERIES, 10, setting)
    for query, found in zip(QUERIES, together, strict=True):
        assert np.array_equal(by_codes([part], query[None], 10, setting)[0].rows, found.rows)


def test_a_trained_segment_and_one_that_is_not_answer_together() -> None:
    rows = clustered(3_000, seed=6)
    mixed = [part_of("ivfpq", rows[:2_000]), Part(rows[2_000:], everything(1_000), 2_000)]
    ordered = Part(np.concatenate([mixed[0].vectors, rows[2_000:]]), everything(3_000), 0)
    assert recall(by_codes(mixed, QUERIES, 10, ALL), ordered, QUERIES) > 0.995


def test_equal_rows_have_equal_scores_and_come_in_order(kind: str) -> None:
    rows = np.repeat(clustered(50, seed=7), 40, axis=0)
    part = part_of(kind, rows)
    for found in by_codes([part], QUERIES[:5], 60, ALL):
        keys = list(zip((-found.scores).tolist(), found.rows.tolist(), strict=True))
        assert keys == sorted(keys)
        assert len(np.unique(found.scores)) <= 3  # 60 rows of 40 copies each


def test_no_row_that_passes_and_no_query_find_nothing(kind: str) -> None:
    part = with_mask(whole(kind), np.zeros(20_000, np.bool_))
    assert [len(found.rows) for found in by_codes([part], QUERIES[:2], 5, ALL)] == [0, 0]
    assert by_codes([whole(kind)], QUERIES[:0], 5, ALL) == []


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "flat"])  # which has no files of its own
def test_files_of_other_vectors_or_cut_short_are_refused(module: ModuleType, kind: str) -> None:
    trained, rows = template(kind), clustered(2_000)
    lists = module.assign(rows, trained)
    rows, lists = (rows, None) if lists is None else (rows[np.argsort(lists)], np.sort(lists))
    files = {name: bytes(data) for name, data in module.build(rows, trained, lists).items()}
    with pytest.raises(IndexCorruptError):
        module.load(Held(files), rows[:-40], trained)
    with pytest.raises(IndexCorruptError):
        module.load(Held({name: data[: len(data) // 2] for name, data in files.items()}), rows, trained)


@pytest.mark.parametrize("sample", [np.zeros((255, 8)), np.full((300, 8), np.nan), np.zeros(300)], ids=["few", "nan", "1d"])
def test_a_sample_that_trains_nothing_is_refused(sample: npt.NDArray[np.float64]) -> None:
    with pytest.raises(UsageError, match="sample of shape"):
        ivfpq.train(sample.astype(np.float32), rows=1000, seed=0)


@pytest.mark.parametrize("factory", ["IVF", "nonsense", "IVF64,PQ7"])
def test_a_factory_string_that_faiss_does_not_know_is_refused(factory: str) -> None:
    with pytest.raises(UsageError, match="index factory"):
        faiss_factory.train(clustered(4_000).astype(np.float32), rows=4_000, seed=0, factory=factory)


@pytest.mark.parametrize("factory", ["HNSW16", "PCA32,IVF16,PQ16", "SQ8", "IVF32,Flat"])
def test_other_factory_strings_find_what_the_oracle_finds(factory: str) -> None:
    rows = clustered(3_000, seed=8)
    trained = faiss_factory.load_template(faiss_factory.train(rows.astype(np.float32), rows=3_000, seed=0, factory=factory))
    files = faiss_factory.build(rows, trained, None)
    index = faiss_factory.load(Held(files), rows, trained)
    part = Part(rows, Selection.of_mask(np.arange(3_000) % 3 == 0), 0, index)
    assert recall(by_codes([part], QUERIES, 10, effort(1.0, 300)), part, QUERIES) > 0.97


def test_lists_on_disk_are_refused_before_faiss_opens_the_file_they_name(tmp_path: Path) -> None:
    """FAISS maps whatever file an `ilod` section names."""
    index = faiss.index_factory(DIM, "IVF4,Flat", faiss.METRIC_INNER_PRODUCT)
    index.train(clustered(600).astype(np.float32))
    index.add(clustered(600).astype(np.float32))
    codes = faiss.OnDiskInvertedLists(4, index.code_size, str(tmp_path / "other"))
    codes.merge_from_1(index.invlists, False)
    index.replace_invlists(codes, False)
    data = faiss.serialize_index(index).tobytes()
    assert b"ilod" in data
    with pytest.raises(IndexCorruptError, match="lie in another file"):
        faiss_factory.load(Held({"index.faiss": data}), clustered(600), template("faiss_factory"))


def test_a_row_number_out_of_range_is_not_returned() -> None:
    part = part_of("faiss_factory", clustered(600))
    files = faiss_factory.build(part.vectors, template("faiss_factory"), None)
    data = bytearray(files["index.faiss"])
    struct.pack_into("<q", data, len(data) - 8, 10**9)  # the last id of the last list
    index = faiss_factory.load(Held({"index.faiss": bytes(data)}), part.vectors, template("faiss_factory"))
    with pytest.raises(IndexCorruptError, match="names row 1000000000 of 600"):
        by_codes([Part(part.vectors, part.selection, 0, index)], QUERIES, 600, ALL)


def test_training_is_repeatable() -> None:
    sample = clustered(4_000).astype(np.float32)
    assert ivfpq.train(sample, rows=20_000, seed=3) == ivfpq.train(sample, rows=20_000, seed=3)
    assert ivfpq.train(sample, rows=20_000, seed=3) != ivfpq.train(sample, rows=20_000, seed=4)


def test_a_template_comes_back_as_it_was_and_damage_is_refused() -> None:
    saved = template("ivfpq").save()
    assert Template.load(saved).save() == saved
    for damaged in (saved[:100], saved[:-8], b"", saved.replace(b"codebook", b"codeboor")):
        with pytest.raises(IndexCorruptError, match="template"):
            Template.load(damaged)


def test_the_faiss_file_is_an_index_of_the_same_rows_for_faiss_itself() -> None:
    trained, part = template("ivfpq"), whole("ivfpq")
    files = ivfpq.build(part.vectors, trained, trained.assign(part.vectors))
    index = faiss.deserialize_index(np.frombuffer(files["index.faiss"], dtype=np.uint8))
    assert (index.ntotal, index.metric_type) == (20_000, faiss.METRIC_INNER_PRODUCT)
    index.nprobe = index.nlist
    found = index.search(QUERIES @ trained.projection.queries.T, 300)[1]
    hits = [len(set(row) & set(oracle(part, query, 10)[1])) for row, query in zip(found, QUERIES, strict=True)]
    assert np.mean(hits) > 9.5


def test_codes_in_blocks_sum_to_what_the_codebook_says() -> None:
    trained, part = template("ivfpq"), whole("ivfpq")
    assert isinstance(part.index, ivfpq.IvfPqIndex)
    lists = part.index.list_of(np.arange(len(part.vectors)))
    codes = trained.encode(part.vectors[:96], lists[:96].astype(np.int32))
    assert np.array_equal(pack(codes), part.index.codes[:3])
    nibbles = np.stack([codes & 15, codes >> 4], axis=2).reshape(96, -1)
    residuals = trained.codebook[np.arange(nibbles.shape[1]), nibbles].reshape(96, -1)
    decoded = trained.centroids[lists[:96]] + residuals
    prepared = part.index.prepare(QUERIES[:1])
    sums = prepared.tables[0][np.arange(nibbles.shape[1]), nibbles].sum(axis=1, dtype=np.int64)
    approximate = prepared.nearness[0, lists[:96]] + prepared.starts[0] + prepared.steps[0] * sums
    assert np.allclose(approximate, decoded @ (trained.projection.queries @ QUERIES[0]), atol=0.01)


@pytest.mark.parametrize("rows", [0, 1, 31, 32, 100])
def test_codes_come_back_out_of_their_blocks(rows: int) -> None:
    codes = np.random.default_rng(rows).integers(0, 256, (rows, 7), dtype=np.uint8)
    assert np.array_equal(unpack(pack(codes), rows), codes)


@pytest.mark.gpu
def test_a_gpu_finds_what_the_cpu_finds(monkeypatch: pytest.MonkeyPatch) -> None:
    part = whole("ivfpq")
    assert isinstance(part.index, ivfpq.IvfPqIndex)
    assert part.index._on_gpu is not None
    on_gpu = by_codes([part], QUERIES, 10, effort(0.5, 300))
    monkeypatch.setattr(part.index, "_on_gpu", None)
    for a, b in zip(on_gpu, by_codes([part], QUERIES, 10, effort(0.5, 300)), strict=True):
        assert np.allclose(a.scores, b.scores, atol=1e-6)


def test_the_plain_kernel_sums_like_the_vectorised_one() -> None:
    from vidsearch.indexes import _kernels

    rng = np.random.default_rng(0)
    codes = rng.integers(0, 256, (6, 32), dtype=np.uint8)
    room = np.zeros(12 * 16 + 16, np.uint8)
    start = -room.ctypes.data % 16
    tables = room[start : start + 192].reshape(12, 16)
    tables[:] = rng.integers(0, 128, tables.shape)
    expected = np.zeros(32, np.int64)
    for pair in range(6):
        in_order = np.concatenate([codes[pair, ::2], codes[pair, 1::2]])
        expected += tables[2 * pair][in_order & 15].astype(np.int64) + tables[2 * pair + 1][in_order >> 4]
    for kernel in {_kernels.block_hits, _kernels._block_hits_plain}:
        sums = np.zeros(32, np.uint16)
        hits = kernel(codes.ctypes.data, tables.ctypes.data, 6, 700, sums)
        assert np.array_equal(sums, expected)
        assert [bool(hits >> row & 1) for row in range(32)] == (expected > 700).tolist()


def test_a_projection_of_full_width_keeps_every_product() -> None:
    sample = clustered(2_000).astype(np.float32)
    kept = fit(sample, QUERIES, width=DIM, seed=0)
    assert np.allclose((QUERIES @ kept.queries.T) @ (sample[:50] @ kept.rows.T).T, QUERIES @ sample[:50].T, atol=1e-4)


def test_a_projection_in_the_metric_of_the_queries_keeps_their_products_better() -> None:
    rng = np.random.default_rng(0)
    queries = (rng.standard_normal((500, DIM)) * np.exp(-np.arange(DIM) / 6)).astype(np.float32)
    sample = rng.standard_normal((2_000, DIM)).astype(np.float32)

    def error(kept: Any) -> float:
        return float(np.square((queries @ kept.queries.T) @ (sample @ kept.rows.T).T - queries @ sample.T).mean())

    assert error(fit(sample, queries, width=16, seed=0)) < 0.5 * error(fit(sample, None, width=16, seed=0))


@pytest.mark.parametrize(("dim", "width"), [(768, 384), (512, 256), (64, 32), (16, 16), (7, 4), (4096, 1024)])
def test_half_the_dimensions_are_kept(dim: int, width: int) -> None:
    assert width_for(dim) == width


@pytest.mark.parametrize(("rows", "kind", "lists", "sample"), [
    (20_000, "flat", 50, 16_384), (20_001, "ivfpq", 50, 16_384), (1_000_000, "ivfpq", 2_500, 160_000),
    (10_000_000, "ivfpq", 4_988, 319_232), (0, "flat", 1, 0),
])  # fmt: skip
def test_sizes_follow_from_the_number_of_rows(rows: int, kind: str, lists: int, sample: int) -> None:
    assert (kind_for(rows), lists_for(rows), sample_rows(rows)) == (kind, lists, sample)


def test_a_filter_near_the_query_is_told_from_one_far_from_it() -> None:
    part = whole("ivfpq")
    scores = part.vectors.astype(np.float32) @ QUERIES[0]
    nearer = with_mask(part, scores > np.quantile(scores, 0.7))
    farther = with_mask(part, scores < np.quantile(scores, 0.7))
    far, neither, near = Estimate(0.2, 50, concentration=0.5), Estimate(0.4, 50), Estimate(0.8, 50, concentration=2.0)
    settings_known = Settings((far, neither, near))
    chosen = [by_codes([one], QUERIES[:1], 10, settings_known)[0].estimate for one in (farther, part, nearer)]
    assert [estimate.share for estimate in chosen if estimate] == pytest.approx([0.25, 0.4, 0.8], abs=0.06)


def test_widening_is_exact_for_every_half_float() -> None:
    halves = np.arange(1 << 16, dtype=np.uint16).view(np.float16)
    halves = halves[np.isfinite(halves)].reshape(-1, 2)
    out = np.empty(halves.shape, np.float32)
    assert np.array_equal(widen(halves, out), halves.astype(np.float32))


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 200), st.integers(1, 40), st.integers(1, 60), st.integers(0, 2**32 - 1))
def test_both_ways_to_rank_rows_agree(rows: int, dim: int, k: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    vectors = rng.standard_normal((rows, dim)).astype(np.float16)
    query = rng.standard_normal(dim).astype(np.float32)
    ids = rng.permutation(rows)[: 1 + rows // 2]
    exact = vectors[ids].astype(np.float64) @ query
    for ranked in (rank_with_numpy, rank_with_kernel):
        scores, found = ranked(query, vectors, ids, k)
        assert np.allclose(scores, np.sort(exact)[::-1][:k], atol=1e-4)
        assert np.allclose(scores, vectors[found].astype(np.float64) @ query, atol=1e-4)
        assert len(set(found.tolist())) == min(k, len(ids))


def test_an_exact_search_loads_neither_faiss_nor_numba() -> None:
    code = (
        "import sys, numpy as np; from vidsearch.nearest import *; from vidsearch.selection import everything\n"
        "part = Part(np.eye(8, dtype=np.float16), everything(8), 0)\n"
        "print(by_score([part], np.eye(8, dtype=np.float32)[:1], 3, kernels=False)[0].rows[0])\n"
        "print([m for m in ('faiss', 'numba', 'torch') if m in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "0\n[]\n"

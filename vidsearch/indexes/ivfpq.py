"""IVF-PQ through FAISS: inverted lists of 8-bit codes find candidates, the stored float16 vectors rank them exactly.

All segments of an index are cut from one trained template, so that their scores can be merged. Eight-bit codes of the lengths below are
what both the CPU and the GPU library search; training, adding and unfiltered searching use a CUDA device where there is one.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import faiss
import numpy as np

from vidsearch.errors import IndexCorruptError, UsageError
from vidsearch.indexes import _gpu
from vidsearch.indexes._exact import rank, scan
from vidsearch.indexes._layout import check_ivfpq
from vidsearch.indexes.base import Best, Ids, Mask, Queries, SearchSettings, VectorIndex, Vectors, default_settings, lists_for

GPU_CODE_BYTES = (1, 2, 3, 4, 8, 12, 16, 20, 24, 28, 32, 40, 48, 56, 64, 96)  # what faiss-gpu can search
BITS = 8
CENTROIDS = 1 << BITS
MIN_POINTS_A_LIST = 39  # below, k-means leaves lists that stand for noise
BLOCK_ROWS = 16_384
EXACT_ROWS = 10_000  # a filter that leaves no more is answered exactly: 6 ms at 768 dimensions, and right whatever it is


def train(sample: Queries, *, rows: int, seed: int, factory: str | None = None) -> bytes:
    """Return a template: lists and codebook, no rows.

    Args:
        sample: (n, dim) float32, n at least 256; `base.sample_rows` says how many are worth giving.
        rows: vectors expected in all segments together; sets the number of lists.
        seed: of the k-means.
        factory: a FAISS factory string such as "IVF1024,PQ64" in place of the sizes chosen here.

    Raises:
        UsageError: too small a sample, or a factory string of another kind of index.
    """
    sample = np.ascontiguousarray(sample, dtype=np.float32)
    if sample.ndim != 2 or len(sample) < CENTROIDS or not np.isfinite(sample).all():
        raise UsageError(
            f"a sample of shape {sample.shape} must be (n, dim), n at least {CENTROIDS}, all finite; use the flat index below that"
        )
    index = _untrained(sample.shape[1], min(lists_for(rows), max(1, len(sample) // MIN_POINTS_A_LIST)), factory)
    for settings in (index.cp, index.pq.cp):
        settings.seed = seed
        settings.min_points_per_centroid = 1  # FAISS prints a warning below 39; the choice above has been made
    index.cp.spherical = True
    index.do_polysemous_training = False  # a factory string asks for it unless told; a minute's work that no search here uses
    try:
        if _gpu.attempt(lambda held: _train_on_gpu(held, index, sample)) is None:
            index.train(sample)
    except RuntimeError as error:
        raise UsageError(f"{len(sample)} vectors cannot train {index.nlist} lists: {_last_line(error)}") from error
    return _serialized(index)


def _untrained(dim: int, lists: int, factory: str | None) -> Any:
    if factory is None:
        return faiss.IndexIVFPQ(faiss.IndexFlatIP(dim), dim, lists, code_bytes(dim), BITS, faiss.METRIC_INNER_PRODUCT)
    try:
        index = faiss.index_factory(dim, factory, faiss.METRIC_INNER_PRODUCT)
    except RuntimeError as error:
        raise UsageError(f"index factory {factory!r} does not fit {dim} dimensions: {_last_line(error)}") from error
    if (
        type(index) is not faiss.IndexIVFPQ
        or index.pq.nbits != BITS
        or not isinstance(faiss.downcast_index(index.quantizer), faiss.IndexFlat)
    ):
        raise UsageError(f"index factory {factory!r} is not one of IVF-PQ with 8-bit codes; write it like 'IVF1024,PQ{code_bytes(dim)}'")
    return index


def _train_on_gpu(held: Any, index: Any, sample: Queries) -> bool:
    with _gpu.clustering(held, index):
        index.train(sample)
    return True


def code_bytes(dim: int) -> int:
    """Return the bytes of a code: an eighth of the dimension, or the nearest number that divides it and that a GPU can search."""
    fitting = [size for size in GPU_CODE_BYTES if dim % size == 0]
    return next((size for size in fitting if 8 * size >= dim), fitting[-1])


def build(vectors: Vectors, template: bytes | None) -> bytes:
    """Return index.faiss over float16 vectors (n, dim): the template with one code a vector, ids 0 to n - 1."""
    if template is None:
        raise UsageError("an IVF-PQ index needs the template that its index was trained with")
    index = _parsed(template, rows=0, dim=vectors.shape[1])
    built = _gpu.attempt(lambda held: _added(_gpu.copy_to(held, index), vectors))
    if built is not None:
        built = faiss.index_gpu_to_cpu(built)
    return _serialized(built if built is not None else _added(index, vectors))


def _added(index: Any, vectors: Vectors) -> Any:
    for start in range(0, len(vectors), BLOCK_ROWS):
        index.add(vectors[start : start + BLOCK_ROWS].astype(np.float32))
    return index


def load(data: bytes, vectors: Vectors) -> IvfPqIndex:
    """Return a searchable index over the vectors (n, dim) that `data` was built from."""
    return IvfPqIndex(_parsed(data, rows=len(vectors), dim=vectors.shape[1]), vectors)


def _parsed(data: bytes, *, rows: int, dim: int) -> Any:
    layout = check_ivfpq(data)
    if (layout.rows, layout.dim) != (rows, dim):
        raise IndexCorruptError(f"index.faiss: holds {layout.rows} x {layout.dim} vectors instead of {rows} x {dim}")
    table = 4 * CENTROIDS * layout.lists * layout.code_bytes  # of distances; FAISS counts it though inner product has none
    faiss.set_deserialization_vector_byte_limit(len(data) + table)
    faiss.set_deserialization_loop_limit(max(layout.lists, CENTROIDS))
    try:
        index = faiss.deserialize_index(np.frombuffer(data, dtype=np.uint8))
    except RuntimeError as error:
        raise IndexCorruptError(f"index.faiss: {_last_line(error)}") from error
    as_written = type(index) is faiss.IndexIVFPQ and index.metric_type == faiss.METRIC_INNER_PRODUCT and index.is_trained
    if not as_written or (index.ntotal, index.d) != (rows, dim):
        raise IndexCorruptError(f"index.faiss: {type(index).__name__} of metric {index.metric_type} is not what vidsearch writes")
    return index


def _serialized(index: Any) -> bytes:
    data: bytes = faiss.serialize_index(index).tobytes()
    check_ivfpq(data)  # what cannot be loaded must not be written
    return data


class IvfPqIndex(VectorIndex):
    """Probes lists, then ranks the candidates by their stored vectors."""

    def __init__(self, index: Any, vectors: Vectors) -> None:
        self.rows, self.dim = vectors.shape
        self.lists = index.nlist
        self._index = index
        self._vectors = vectors
        self._gpu_lock = threading.Lock()  # a GPU index answers one caller at a time

    def __repr__(self) -> str:
        return f"IvfPqIndex({self.rows} x {self.dim}, {self.lists} lists)"

    def _nearest(self, queries: Queries, k: int, allowed: Mask | None, settings: SearchSettings | None) -> Sequence[Best]:
        matching = self.rows if allowed is None else int(np.count_nonzero(allowed))
        settings = settings or self._default(k, matching)
        depth = max(k, settings.rerank)
        if matching <= depth or (allowed is not None and matching <= EXACT_ROWS):
            return scan(queries, self._vectors, k, allowed)
        candidates = self._probe(queries, depth, settings.nprobe, allowed)
        short = np.count_nonzero(candidates >= 0, axis=1) < k
        if short.any():  # the lists probed hold too few rows that pass; all lists hold enough
            candidates[short] = self._probe(queries[short], depth, self.lists, allowed)
        return [rank(query, self._vectors, ids[ids >= 0], k) for query, ids in zip(queries, candidates, strict=True)]

    def _default(self, k: int, matching: int) -> SearchSettings:
        """Settings by this segment's size, the lists by the template's number of them."""
        chosen = default_settings(self.rows, k, matching / self.rows)
        return SearchSettings(math.ceil(chosen.nprobe * self.lists / lists_for(self.rows)), chosen.rerank)

    def _probe(self, queries: Queries, depth: int, nprobe: int, allowed: Mask | None) -> Ids:
        """Return (q, depth) row numbers by approximate score, -1 where there are fewer."""
        nprobe = min(nprobe, self.lists)
        ids = None
        if allowed is None and max(depth, nprobe) <= _gpu.MAX_K:  # a GPU takes no selector
            ids = _gpu.attempt(lambda _: self._probe_on_gpu(queries, depth, nprobe))
        if ids is None:
            ids = self._probe_on_cpu(queries, depth, nprobe, allowed)
        if ids.size and ids.max() >= self.rows:
            raise IndexCorruptError(f"index.faiss: names row {ids.max()} of {self.rows}")
        return ids

    def _probe_on_cpu(self, queries: Queries, depth: int, nprobe: int, allowed: Mask | None) -> Ids:
        # FAISS keeps bare pointers to the bitmap and the selector: both must outlive the search.
        bitmap = None if allowed is None else np.packbits(allowed, bitorder="little")
        selector = None if bitmap is None else faiss.IDSelectorBitmap(len(bitmap), faiss.swig_ptr(bitmap))
        ids: Ids = self._index.search(queries, depth, params=_parameters(nprobe, selector))[1]
        del bitmap, selector
        return ids

    def _probe_on_gpu(self, queries: Queries, depth: int, nprobe: int) -> Ids:
        with self._gpu_lock:
            ids: Ids = self._on_gpu.search(queries, depth, params=_parameters(nprobe, None))[1]
        return ids

    @cached_property
    def _on_gpu(self) -> Any:
        return _gpu.copy_to(_gpu.resources(), self._index)


def _parameters(nprobe: int, selector: Any) -> Any:
    parameters = faiss.SearchParametersIVF()
    parameters.nprobe, parameters.sel = nprobe, selector
    return parameters


def _last_line(error: RuntimeError) -> str:
    """FAISS names its source line first and says what is wrong last."""
    return str(error).strip().splitlines()[-1].rpartition("Error: ")[2]

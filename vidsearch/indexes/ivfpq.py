"""IVF-PQ: inverted lists of 4-bit codes find candidates, the stored float16 vectors rank them exactly.

Rows lie in the order of their lists, so a list is a range of rows, a filter is a bitmap over 32-row blocks of codes, and blocks without a
row that passes are never read. All segments of an index are cut from one trained template, so that their scores can be merged.
FAISS trains and encodes; the scan is `_kernels.py`; `index.faiss` holds the same lists and codes for FAISS itself, and for its GPU library.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from vidsearch.errors import IndexCorruptError, UsageError
from vidsearch.indexes import _gpu
from vidsearch.indexes._codes import Codes, Template, pack, unpack
from vidsearch.indexes._codes import train as train_template
from vidsearch.indexes._projection import Matrix
from vidsearch.indexes.base import Candidates, Files, Ids, Queries, Scores, VectorIndex, Vectors, lists_for
from vidsearch.indexes.flat import merge
from vidsearch.selection import WORD_ROWS, Selection

CODES, LISTS, FAISS = "codes.pq4", "lists.i64", "index.faiss"
ENCODED_ROWS = 8192  # at once
MIN_POINTS_A_LIST = 39  # below, k-means leaves lists that stand for noise
FIRST_LISTS = 16  # of each query in a batch are visited before all others: they raise its floor


def train(sample: Queries, *, queries: Queries | None = None, rows: int, seed: int, factory: str | None = None) -> bytes:
    """Return a template.

    Args:
        sample: (n, dim) float32, n at least 256; `base.sample_rows` says how many are worth giving.
        queries: (q, dim) float32, text queries; None chooses dimensions by the sample alone.
        rows: vectors expected in all segments together; sets the number of lists.
        seed: of the k-means.
        factory: must be None; `faiss_factory` takes a FAISS factory string.

    Raises:
        UsageError: too small a sample.
    """
    if factory is not None:
        raise UsageError(f"index factory {factory!r} is for the plug-in faiss_factory")
    lists = min(lists_for(rows), max(1, len(sample) // MIN_POINTS_A_LIST))
    return train_template(sample, queries, lists=lists, seed=seed).save()


def load_template(data: bytes) -> Template:
    """Return a template; anything but what `train` returned raises IndexCorruptError."""
    return Template.load(data)


def assign(vectors: Vectors, template: Template) -> npt.NDArray[np.int32]:
    """Return the inverted list of each vector, (n,) int32."""
    parts = [template.assign(vectors[start : start + ENCODED_ROWS]) for start in range(0, len(vectors), ENCODED_ROWS)]
    return np.concatenate([np.zeros(0, np.int32), *parts])


def build(vectors: Vectors, template: Template, lists: npt.NDArray[np.int32]) -> dict[str, bytes | memoryview]:
    """Return the files of one segment over vectors (n, dim) in ascending order of their lists (n,)."""
    if len(lists) != len(vectors) or (np.diff(lists) < 0).any():
        raise UsageError("vectors must come in the order of their lists")
    parts = [
        template.encode(vectors[start : start + ENCODED_ROWS], lists[start : start + ENCODED_ROWS])
        for start in range(0, len(vectors), ENCODED_ROWS)
    ]
    codes = np.concatenate([np.zeros((0, template.code_bytes), np.uint8), *parts])
    offsets = np.searchsorted(lists, np.arange(template.lists + 1)).astype("<i8")
    return {CODES: pack(codes).data.cast("B") if len(codes) else b"", LISTS: offsets.tobytes(), FAISS: _for_faiss(template, codes, offsets)}


def _for_faiss(template: Template, codes: Codes, offsets: Ids) -> memoryview:
    """Return the segment as FAISS's IndexIVFPQ of projected vectors, ids the row numbers, serialized."""
    import faiss

    return faiss.serialize_index(faiss_index(template, codes, offsets)).data


def faiss_index(template: Template, codes: Codes, offsets: Ids) -> Any:
    """Return FAISS's IndexIVFPQ of rows with those codes (n, code_bytes), list by list."""
    import faiss

    index = _untouched(template)
    ids = np.arange(len(codes), dtype=np.int64)
    for number in np.flatnonzero(np.diff(offsets)):
        start, end = int(offsets[number]), int(offsets[number + 1])
        index.invlists.add_entries(int(number), end - start, faiss.swig_ptr(ids[start:end]), faiss.swig_ptr(codes[start:end]))
    index.ntotal = len(codes)
    return index


def _untouched(template: Template) -> Any:
    import faiss

    lists, width = template.centroids.shape
    coarse: Any = faiss.IndexFlatIP(width)
    coarse.add(template.centroids)
    index: Any = faiss.IndexIVFPQ(coarse, width, lists, len(template.codebook), 4, faiss.METRIC_INNER_PRODUCT)
    faiss.copy_array_to_vector(template.codebook.ravel(), index.pq.centroids)
    index.is_trained = True
    coarse.this.disown()  # the index frees it
    index.own_fields = True
    return index


def load(files: Files, vectors: Vectors, template: Template) -> IvfPqIndex:
    """Return a searchable index over the vectors (n, dim) that the files were built from; codes are mapped, not read."""
    held = files.read_file(LISTS)
    offsets = np.frombuffer(held[: len(held) // 8 * 8], dtype="<i8").copy()
    if len(held) != 8 * (template.lists + 1) or offsets[0] != 0 or offsets[-1] != len(vectors) or (np.diff(offsets) < 0).any():
        raise IndexCorruptError(f"{LISTS}: does not part {len(vectors)} rows into {template.lists} lists")
    data, blocks = files.map_file(CODES), -(-len(vectors) // WORD_ROWS)
    if len(data) != blocks * WORD_ROWS * template.code_bytes:
        raise IndexCorruptError(f"{CODES}: {len(data):,} bytes are not the codes of {len(vectors)} rows")
    codes = np.frombuffer(data, dtype=np.uint8).reshape(blocks, template.code_bytes, WORD_ROWS)
    return IvfPqIndex(template, codes, offsets, vectors)


@dataclass(frozen=True)
class Prepared:
    """Queries as the lists and codes see them.

    Attributes:
        projected: (q, width) float32.
        nearness: (q, lists) float32, products with the centroids.
        tables, steps, starts: what codes add, see `Template.tables`.
    """

    projected: Matrix
    nearness: Matrix
    tables: Codes
    steps: Scores
    starts: Scores


class IvfPqIndex(VectorIndex):
    """Codes of one segment, mapped from its file."""

    def __init__(self, template: Template, codes: Codes, offsets: Ids, vectors: Vectors) -> None:
        self.rows, self.dim = vectors.shape
        self.lists = template.lists
        self.template, self.codes, self.offsets = template, codes, offsets
        self._sizes: Ids = np.diff(offsets)

    def __repr__(self) -> str:
        return f"IvfPqIndex({self.rows} x {self.dim}, {self.lists} lists)"

    def prepare(self, queries: Queries) -> Prepared:
        projected: Queries = queries @ self.template.projection.queries.T
        return Prepared(projected, projected @ self.template.centroids.T, *self.template.tables(projected))

    def nearest_lists(self, prepared: Prepared) -> Ids:
        return np.argsort(-prepared.nearness, axis=1).astype(np.int64, copy=False)

    def list_of(self, rows: Ids) -> Ids:
        """Return the inverted list of each row of this segment."""
        return np.searchsorted(self.offsets, rows, side="right") - 1

    @property
    def sizes(self) -> Ids:
        return self._sizes

    def counts(self, selection: Selection) -> Ids:
        if selection.everything:
            return self.sizes
        from vidsearch.indexes._kernels import count_by_list

        words = selection.words
        counted: Ids = count_by_list(words.ctypes.data, self.offsets)
        return counted

    def collect(
        self, prepared: Prepared, visits: Sequence[Ids], selection: Selection, *, share: float, depth: int, first: int, into: Candidates
    ) -> None:
        del share
        if selection.everything and self._collect_on_gpu(prepared, visits, depth=depth, first=first, into=into):
            return
        from vidsearch.indexes._kernels import scan_codes

        lists, askers = _in_order(visits)
        biases = prepared.nearness[askers, lists] + prepared.starts[askers]
        words = None if selection.everything else selection.words
        into.compared += scan_codes(
            self.codes.ctypes.data,
            self.template.code_bytes,
            self.offsets,
            0 if words is None else words.ctypes.data,
            first,
            lists,
            askers,
            biases,
            prepared.tables,
            prepared.steps,
            depth,
            into.rows,
            into.scores,
            into.counts,
            into.floors,
        )

    def _collect_on_gpu(self, prepared: Prepared, visits: Sequence[Ids], *, depth: int, first: int, into: Candidates) -> bool:
        if self._on_gpu is None:
            return False
        nprobe = max(len(lists) for lists in visits)
        found = _gpu.search(self._on_gpu, prepared.projected, min(depth, self.rows), nprobe)
        if found is None:
            return False
        merge([(line[rows >= 0], rows[rows >= 0]) for line, rows in zip(*found, strict=True)], depth=depth, first=first, into=into)
        into.compared += int(self.rows * nprobe / self.lists) * len(visits)
        return True

    @cached_property
    def _on_gpu(self) -> Any | None:
        return _gpu.copy_to_device(lambda: faiss_index(self.template, unpack(self.codes, self.rows), self.offsets))


def _in_order(visits: Sequence[Ids]) -> tuple[Ids, Ids]:
    """Return all visits as (lists, askers): of a single query as they are; of several list by list, so that codes are read once for all."""
    if len(visits) == 1:
        return visits[0], np.zeros(len(visits[0]), dtype=np.int64)
    lists = np.concatenate(visits)
    askers = np.repeat(np.arange(len(visits)), [len(lists_of_one) for lists_of_one in visits])
    late = np.concatenate([np.arange(len(lists_of_one)) >= FIRST_LISTS for lists_of_one in visits])
    order = np.lexsort((lists, late))
    return lists[order], askers[order]

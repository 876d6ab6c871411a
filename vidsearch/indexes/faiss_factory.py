"""Any index FAISS makes from a factory string ("IVF1024,PQ64", "HNSW32", "OPQ32_128,IVF256,PQ32"), by inner product, with exact re-ranking.

For those who want to compare, or have a string they trust. Filters go in as a selector; what takes none is scanned exactly under a filter.
FAISS parses `index.faiss` whole, after its hash was checked: open such an index only from people you trust.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import faiss
import numpy as np

from vidsearch.errors import IndexCorruptError, UsageError
from vidsearch.indexes._exact import rank_with_kernel, scan
from vidsearch.indexes.base import Candidates, Files, Ids, Queries, VectorIndex, Vectors
from vidsearch.indexes.flat import merge
from vidsearch.selection import Selection

FILE = "index.faiss"
BLOCK_ROWS = 16_384
ON_DISK = re.compile(rb"ilod.{4}\0{4}.{2}\0{6}", re.DOTALL)  # lists that FAISS would map from a file they name, and their two sizes


@dataclass(frozen=True)
class Template:
    """A trained index without rows, serialized; and the bytes of one row's codes."""

    data: bytes
    code_bytes: int


def train(sample: Queries, *, queries: Queries | None = None, rows: int, seed: int, factory: str | None = None) -> bytes:
    """Return a trained index without rows.

    Args:
        sample: (n, dim) float32.
        queries, rows, seed: not used; FAISS has its own ways.
        factory: a FAISS factory string.

    Raises:
        UsageError: FAISS does not know the string, or cannot train it on so few vectors.
    """
    del queries, rows, seed
    if factory is None:
        raise UsageError("the plug-in faiss_factory needs a factory string such as 'IVF1024,PQ64'")
    sample = np.ascontiguousarray(sample, dtype=np.float32)
    try:
        index = faiss.index_factory(sample.shape[1], factory, faiss.METRIC_INNER_PRODUCT)
    except RuntimeError as error:
        raise UsageError(f"index factory {factory!r} does not fit {sample.shape[1]} dimensions: {_last_line(error)}") from error
    innermost = _innermost(index)
    if hasattr(innermost, "do_polysemous_training"):  # one of product quantizers
        innermost.do_polysemous_training = False  # a minute's work that no search here uses
        innermost.pq.cp.min_points_per_centroid = 1  # FAISS warns below 39; whoever writes the string has chosen
    if isinstance(innermost, faiss.IndexIVF):
        innermost.cp.min_points_per_centroid = 1
    try:
        index.train(sample)
        index.add(sample[:1])  # some types train and cannot add, or have another metric than was asked
        index.reset()
    except RuntimeError as error:
        raise UsageError(f"index factory {factory!r} cannot be trained on {len(sample)} vectors: {_last_line(error)}") from error
    if index.metric_type != faiss.METRIC_INNER_PRODUCT:
        raise UsageError(f"index factory {factory!r} does not search by inner product; choose another")
    data: bytes = faiss.serialize_index(index).tobytes()
    return data


def load_template(data: bytes) -> Template:
    """Return a template; bytes that FAISS cannot read raise IndexCorruptError."""
    index = _parsed(data)
    try:
        code_bytes = int(index.sa_code_size())
    except RuntimeError:  # graphs have no codes
        code_bytes = 4 * index.d
    return Template(data, code_bytes)


def assign(vectors: Vectors, template: Template) -> None:
    """Return None: rows may lie in any order."""
    del vectors, template


def build(vectors: Vectors, template: Template, lists: None) -> dict[str, memoryview]:
    """Return index.faiss over float16 vectors (n, dim), ids 0 to n - 1."""
    del lists
    index = _parsed(template.data)
    for start in range(0, len(vectors), BLOCK_ROWS):
        index.add(vectors[start : start + BLOCK_ROWS].astype(np.float32))
    return {FILE: faiss.serialize_index(index).data}


def load(files: Files, vectors: Vectors, template: Template) -> FactoryIndex:
    """Return a searchable index over the vectors (n, dim) that the file was built from."""
    del template
    index = _parsed(files.read_file(FILE))
    if (index.ntotal, index.d) != vectors.shape or index.metric_type != faiss.METRIC_INNER_PRODUCT:
        raise IndexCorruptError(f"{FILE}: holds {index.ntotal} x {index.d} vectors instead of {len(vectors)} x {vectors.shape[1]}")
    return FactoryIndex(index, vectors)


def _innermost(index: Any) -> Any:
    while isinstance(index, faiss.IndexPreTransform):
        index = faiss.downcast_index(index.index)
    return index


def _parsed(data: bytes) -> Any:
    if ON_DISK.search(data):
        raise IndexCorruptError(f"{FILE}: its inverted lists lie in another file, which an index never names")
    faiss.set_deserialization_vector_byte_limit(16 * len(data) + (1 << 30))  # tables that FAISS makes are counted too
    faiss.set_deserialization_loop_limit(max(len(data), 1 << 16))
    try:
        return faiss.deserialize_index(np.frombuffer(data, dtype=np.uint8))
    except RuntimeError as error:
        raise IndexCorruptError(f"{FILE}: {_last_line(error)}") from error


class FactoryIndex(VectorIndex):
    """One segment's FAISS index; it chooses its own lists."""

    def __init__(self, index: Any, vectors: Vectors) -> None:
        self.rows, self.dim = vectors.shape
        self._index = index
        self._vectors = vectors

    def __repr__(self) -> str:
        return f"FactoryIndex({self.rows} x {self.dim}, {type(self._index).__name__})"

    def collect(
        self,
        prepared: Queries,
        visits: Sequence[Ids],
        selection: Selection,
        *,
        share: float,
        depth: int,
        first: int,
        into: Candidates,
    ) -> None:
        del visits
        found = self._search(prepared, selection, share=share, depth=min(depth, selection.count))
        into.compared += round(share * self.rows) * len(prepared)
        merge(found, depth=depth, first=first, into=into)

    def _search(self, queries: Queries, selection: Selection, *, share: float, depth: int) -> Sequence[tuple[Any, Ids]]:
        # FAISS keeps bare pointers to the bitmap and the selector: both must outlive the search.
        words = None if selection.everything else selection.words.view(np.uint8)
        selector = None if words is None else faiss.IDSelectorBitmap(len(words), faiss.swig_ptr(words))
        try:
            scores, ids = self._index.search(queries, depth, params=_parameters(self._index, selector, share, depth))
        except RuntimeError:  # this type takes no selector, or no parameters
            return scan(queries, self._vectors, depth, selection, rank=rank_with_kernel)
        if ids.size and ids.max() >= self.rows:
            raise IndexCorruptError(f"{FILE}: names row {ids.max()} of {self.rows}")
        return [(line[rows >= 0], rows[rows >= 0]) for line, rows in zip(scores, ids, strict=True)]


def _parameters(index: Any, selector: Any, share: float, depth: int) -> Any:
    kinds: Any = faiss  # whose types for Python know no keywords
    if isinstance(index, faiss.IndexPreTransform):
        return kinds.SearchParametersPreTransform(index_params=_parameters(faiss.downcast_index(index.index), selector, share, depth))
    if isinstance(index, faiss.IndexIVF):
        return kinds.SearchParametersIVF(sel=selector, nprobe=max(1, math.ceil(share * index.nlist)))
    if isinstance(index, faiss.IndexHNSW):
        return kinds.SearchParametersHNSW(sel=selector, efSearch=2 * depth)
    return kinds.SearchParameters(sel=selector)


def _last_line(error: RuntimeError) -> str:
    """FAISS names its source line first and says what is wrong last."""
    return str(error).strip().splitlines()[-1].rpartition("Error: ")[2]

"""The exact index: every allowed row is scored. Small indexes use it, and every other index is tested against it."""

from __future__ import annotations

from collections.abc import Sequence

from vidsearch.indexes._exact import scan
from vidsearch.indexes._layout import check_flat
from vidsearch.indexes.base import Best, Mask, Queries, SearchSettings, VectorIndex, Vectors

BLOCK_ROWS = 16_384


def train(sample: Queries, *, rows: int, seed: int) -> bytes:
    """Return b"": there is nothing to train."""
    del sample, rows, seed
    return b""


def build(vectors: Vectors, template: bytes | None) -> bytes:
    """Return a FAISS index of the same half floats (n, dim), for other FAISS tools and GPUs; `load` needs only the vectors."""
    import faiss  # not at the top: an exact search does without

    del template
    index = faiss.IndexScalarQuantizer(vectors.shape[1], faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT)
    for start in range(0, len(vectors), BLOCK_ROWS):
        index.add(vectors[start : start + BLOCK_ROWS].astype("float32"))
    data: bytes = faiss.serialize_index(index).tobytes()
    check_flat(data, dim=vectors.shape[1], rows=len(vectors))
    return data


def load(data: bytes, vectors: Vectors) -> FlatIndex:
    """Return an exact index over the vectors (n, dim); `data` is checked if it is not empty, but not needed."""
    if data:
        check_flat(data, dim=vectors.shape[1], rows=len(vectors))
    return FlatIndex(vectors)


class FlatIndex(VectorIndex):
    """Scans the stored float16 rows, without FAISS."""

    def __init__(self, vectors: Vectors) -> None:
        self.rows, self.dim = vectors.shape
        self._vectors = vectors

    def __repr__(self) -> str:
        return f"FlatIndex({self.rows} x {self.dim})"

    def _nearest(self, queries: Queries, k: int, allowed: Mask | None, settings: SearchSettings | None) -> Sequence[Best]:
        del settings
        return scan(queries, self._vectors, k, allowed)

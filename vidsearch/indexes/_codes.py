"""The template that all IVF-PQ segments share: what vectors, queries and inverted lists become."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from vidsearch.errors import IndexCorruptError, UsageError
from vidsearch.indexes._projection import SLICE_DIM, Matrix, Projection, fit, width_for
from vidsearch.selection import WORD_ROWS as BLOCK_ROWS

CENTROIDS = 16  # of a 4-bit code
MIN_SAMPLE = 256
ROUNDS = 10  # of k-means: more move recall by less than its noise
MAX_STEP = 127  # two of them must fit a byte
ALIGNMENT = 16  # bytes; a register's worth

Codes = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Template:
    """Trained once for an index.

    Attributes:
        projection: to fewer dimensions, the queries' side apart from the rows'.
        centroids: (lists, width) float32, middles of the inverted lists, projected.
        codebook: (codes, 16, slice) float32, what a code stands for in its slice of a residual.
    """

    projection: Projection
    centroids: Matrix
    codebook: Matrix

    @property
    def dim(self) -> int:
        return int(self.projection.rows.shape[1])

    @property
    def lists(self) -> int:
        return len(self.centroids)

    @property
    def code_bytes(self) -> int:
        """Bytes of one row's codes."""
        return len(self.codebook) // 2

    def save(self) -> bytes:
        """Return it in the safetensors format."""
        from safetensors.numpy import save

        return save(
            {
                "projection.rows": self.projection.rows,
                "projection.queries": self.projection.queries,
                "centroids": self.centroids,
                "codebook": self.codebook,
            }
        )

    @classmethod
    def load(cls, data: bytes) -> Template:
        """Read back what `save` returned; anything else raises IndexCorruptError."""
        from safetensors import SafetensorError
        from safetensors.numpy import load

        try:
            held = load(data)
            rows, queries = held["projection.rows"], held["projection.queries"]
            template = cls(Projection(rows, queries), held["centroids"], held["codebook"])
        except (SafetensorError, KeyError, ValueError) as error:
            raise IndexCorruptError(f"template: not what vidsearch writes ({error})") from error
        width, codes = rows.shape[0], len(template.codebook)
        shapes = (rows.shape == queries.shape, template.centroids.shape[1:] == (width,), template.codebook.shape[1:2] == (CENTROIDS,))
        if not all(shapes) or codes % 2 or codes * template.codebook.shape[2] != width:
            raise IndexCorruptError("template: its parts do not fit together")
        return template

    def project(self, vectors: npt.NDArray[Any]) -> Matrix:
        """Return stored vectors (n, dim) in the dimensions of the codes, (n, width) float32."""
        projected: Matrix = np.asarray(vectors, dtype=np.float32) @ self.projection.rows.T
        return projected

    def assign(self, vectors: npt.NDArray[Any]) -> npt.NDArray[np.int32]:
        """Return the inverted list of each vector, (n,) int32: the nearest centroid."""
        halves = 0.5 * np.einsum("ij,ij->i", self.centroids, self.centroids)
        nearness = self.project(vectors) @ self.centroids.T
        nearness -= halves
        lists: npt.NDArray[np.int32] = nearness.argmax(axis=1).astype(np.int32)
        return lists

    def encode(self, vectors: npt.NDArray[Any], lists: npt.NDArray[np.int32]) -> Codes:
        """Return the codes (n, code_bytes) of vectors in those lists, two a byte, the first in the low half."""
        residuals = self.project(vectors) - self.centroids[lists]
        codes: Codes = self.quantizer().compute_codes(np.ascontiguousarray(residuals))
        return codes

    def reconstruct(self, vectors: npt.NDArray[Any]) -> tuple[float, float]:
        """Return the sum of squares of what codes miss of vectors (n, dim), and that of the vectors, in the dimensions of codes."""
        projected, lists = self.project(vectors), self.assign(vectors)
        codes = self.encode(vectors, lists)
        pairs = np.stack([codes & 15, codes >> 4], axis=2).reshape(len(codes), -1)[:, : len(self.codebook)]
        decoded = self.codebook[np.arange(len(self.codebook)), pairs].reshape(projected.shape)
        missed = projected - self.centroids[lists] - decoded
        return float(np.square(missed, dtype=np.float64).sum()), float(np.square(projected, dtype=np.float64).sum())

    def quantizer(self) -> Any:
        """Return the codebook as FAISS's ProductQuantizer."""
        import faiss

        quantizer = faiss.ProductQuantizer(self.centroids.shape[1], len(self.codebook), 4)
        faiss.copy_array_to_vector(self.codebook.ravel(), quantizer.centroids)
        return quantizer

    def tables(self, queries: Matrix) -> tuple[Codes, npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """Return what codes add to the score of projected queries (q, width).

        Returns:
            (q, codes, 16) uint8 steps of at most 127, aligned to 16 bytes; (q,) what a step is worth; (q,) what the sum starts from.
        """
        from vidsearch.indexes._kernels import make_tables

        count, codes = len(queries), len(self.codebook)
        room = np.empty(count * codes * CENTROIDS + ALIGNMENT, dtype=np.uint8)
        start = -room.ctypes.data % ALIGNMENT
        tables = room[start : start + count * codes * CENTROIDS].reshape(count, codes, CENTROIDS)
        steps, starts = np.empty(count, dtype=np.float32), np.empty(count, dtype=np.float32)
        make_tables(self.codebook, queries, MAX_STEP, tables, steps, starts)
        return tables, steps, starts


def train(sample: Matrix, queries: Matrix | None, *, lists: int, seed: int) -> Template:
    """Train a template.

    Args:
        sample: (n, dim) float32, n at least 256.
        queries: (q, dim) float32, text queries, in whose metric the dimensions are chosen; None for a plain PCA.
        lists: inverted lists.
        seed: of the rotation and the k-means.
    """
    import faiss

    sample = np.ascontiguousarray(sample, dtype=np.float32)
    if sample.ndim != 2 or len(sample) < MIN_SAMPLE or not np.isfinite(sample).all():
        raise UsageError(f"a sample of shape {sample.shape} must be (n, dim), n at least {MIN_SAMPLE}, all finite")
    width = width_for(sample.shape[1])
    projection = fit(sample, queries, width=width, seed=seed)
    projected = np.ascontiguousarray(sample @ projection.rows.T)
    coarse: Any = faiss.Kmeans(width, lists, niter=ROUNDS, seed=seed, min_points_per_centroid=1, max_points_per_centroid=256)
    coarse.train(projected)
    nearest = coarse.index.search(projected, 1)[1][:, 0]
    quantizer = faiss.ProductQuantizer(width, width // SLICE_DIM, 4)
    quantizer.cp.seed, quantizer.cp.min_points_per_centroid = seed, 1
    quantizer.train(projected - coarse.centroids[nearest])
    codebook = faiss.vector_to_array(quantizer.centroids).reshape(quantizer.M, CENTROIDS, SLICE_DIM)
    return Template(projection, np.ascontiguousarray(coarse.centroids), np.ascontiguousarray(codebook))


def pack(codes: Codes) -> Codes:
    """Return codes (n, pairs) as blocks (ceil(n / 32), pairs, 32): byte 2 r is row r of its block, byte 2 r + 1 row 16 + r."""
    count, pairs = codes.shape
    blocks = -(-count // BLOCK_ROWS)
    padded = np.zeros((blocks * BLOCK_ROWS, pairs), dtype=np.uint8)
    padded[:count] = codes
    halves = padded.reshape(blocks, 2, BLOCK_ROWS // 2, pairs)
    return np.ascontiguousarray(halves.transpose(0, 3, 2, 1)).reshape(blocks, pairs, BLOCK_ROWS)


def unpack(blocks: Codes, rows: int) -> Codes:
    """Return the codes (rows, pairs) of blocks that `pack` made."""
    count, pairs, _ = blocks.shape
    halves = blocks.reshape(count, pairs, BLOCK_ROWS // 2, 2)
    return np.ascontiguousarray(halves.transpose(0, 3, 2, 1).reshape(count * BLOCK_ROWS, pairs)[:rows])

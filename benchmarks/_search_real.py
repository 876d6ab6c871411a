"""Real CLIP vectors for `search.py`: a gallery and real text queries from a .npz, with filter columns that know nothing of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from _search_columns import CELLS, SHARES
from _search_truth import Files

REAL_CELLS = tuple(cell for cell in CELLS if cell.correlation == "none")
NOISE = 0.35  # length of what a copy differs by from its vector of length 1: cosine 0.94, as of clips of one video


def write_real(work: Path, source: Path, *, copies: int, seed: int) -> Files:
    """Write a data set from `gallery` (n, dim) and `queries` (q, dim) of a .npz file; every other query is for training.

    Args:
        copies: of the gallery; all but the first have Gaussian noise added.
    """
    with np.load(source) as kept:
        gallery, queries = kept["gallery"].astype(np.float32), kept["queries"].astype(np.float32)
    rng = np.random.default_rng(seed)
    parts = [gallery]
    for _ in range(copies - 1):
        noisy = gallery + rng.standard_normal(gallery.shape, dtype=np.float32) * np.float32(NOISE / gallery.shape[1] ** 0.5)
        parts.append(noisy / np.linalg.norm(noisy, axis=1, keepdims=True))
    vectors = np.concatenate(parts).astype(np.float16)
    files = Files(work / f"real-seed{seed}-{len(vectors)}", len(vectors), seed)
    files.folder.mkdir(parents=True, exist_ok=True)
    np.save(files.vectors, vectors)
    np.save(files.queries, queries[1::2])
    np.save(files.train_queries, queries[::2])
    words = np.searchsorted(np.cumsum(list(SHARES.values())), rng.random(len(vectors)), side="right")
    rows = {
        "clip_id": pa.array([f"c{number:09d}" for number in range(len(vectors))]),
        "cat_none": pa.array([*SHARES, "rest"]).take(pa.array(words)),
        "num_none": pa.array(rng.random(len(vectors), dtype=np.float32)),
    }
    pq.write_table(pa.table(rows), files.metadata)
    return files

"""Indexes of tables that a test thought of."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa

from vidsearch import Index, open_index
from vidsearch.config import external_space
from vidsearch.storage import manifest as manifests
from vidsearch.storage import segment as segments
from vidsearch.storage.quarantine import quarantine_table

DIM = 4


def index_of(root: Path, *tables: pa.Table) -> Index:
    """Make an index with a segment for each table; vectors are random, and a column `clip_id` is added."""
    manifests.create(root, external_space(DIM))
    rng = np.random.default_rng(0)
    for number, table in enumerate(tables):
        vectors = rng.normal(size=(table.num_rows, DIM))
        reference = segments.write(
            root,
            vectors=(vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float16),
            rows=table.append_column("clip_id", pa.array([f"s{number}-{row}" for row in range(table.num_rows)], pa.string())),
            index_files={},
            quarantine=quarantine_table([]),
            info={"index": "flat"},
        )
        manifests.commit(root, lambda manifest, new=reference: manifest.with_segments([*manifest.segments, new]))
    return open_index(root)

"""Small real indexes of vectors that a test thought of."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from indexer.rows import clips_table
from vidsearch import Index, open_index
from vidsearch.config import external_space
from vidsearch.storage import manifest as manifests
from vidsearch.storage import segment as segments
from vidsearch.storage.quarantine import quarantine_table


def made(root: Path, *parts: np.ndarray, **columns: list) -> Index:
    """Make an index with a segment for each part."""
    manifests.create(root, external_space(parts[0].shape[1]))
    first = 0
    for part in parts:
        place = {"video": "v.mp4", "start_s": 0.0, "end_s": 1.0, "duration_s": 1.0}
        rows = [{"clip_id": f"c{first + n}", **place} for n in range(len(part))]
        for name, values in columns.items():
            for row, value in zip(rows, values[first:], strict=False):
                row[name] = value
        quarantine = quarantine_table([{"clip_id": f"q{first}", "video": "x", "reason": "OPEN_FAILED"}])
        vectors = (part / np.linalg.norm(part, axis=1, keepdims=True)).astype(np.float16)
        reference = segments.write(
            root,
            vectors=vectors,
            rows=clips_table(rows),
            index_files={"codes.bin": str(first).encode()},
            quarantine=quarantine,
            info={"index": "flat", "note": first},
        )
        manifests.commit(root, lambda manifest, new=reference: manifest.with_segments([*manifest.segments, new]))
        first += len(part)
    return open_index(root)

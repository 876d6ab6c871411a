"""Small real indexes of random unit vectors, with everything in their rows that questions are asked about."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from indexer.rows import clips_table
from vidsearch import Hits, Index, open_index
from vidsearch.encoders import conse
from vidsearch.storage import manifest as manifests
from vidsearch.storage import segment as segments
from vidsearch.storage.quarantine import quarantine_table

SPACE = conse.SPACE  # a real model's, whose text side loads fast
DIM = SPACE.dim
NOUNS, PLACES = ("dog", "cat", "red car", "old red bus"), ("beach", "street", "forest")

Row = dict[str, Any]


def make_rows(count: int, *, seed: int) -> tuple[npt.NDArray[np.float16], list[Row]]:
    """Return vectors (count, DIM) and rows of clips: of 1/8 near-duplicates, a third cut from videos that a column names."""
    rng = np.random.default_rng(seed)
    vectors = rng.standard_normal((count, DIM))
    for number in range(3, count, 8):
        vectors[number] = vectors[number - 3] + 0.1 * rng.standard_normal(DIM)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    rows: list[Row] = []
    for number in range(count):
        video, start = int(rng.integers(0, max(1, count // 8))), float(rng.integers(0, 40))
        cut = video % 3 == 0
        rows.append(
            {
                "clip_id": f"c{number}",
                "video": f"cut{number}.mp4" if cut else f"v{video}.mp4",
                "start_s": 0.0 if cut else start,
                "end_s": 2.0 if cut else start + 2.0,
                "duration_s": 2.0,
                "caption": None if number % 10 == 9 else f"A {NOUNS[number % 4]} on the {PLACES[number % 3]}, number {number}",
                "youtube_id": f"source{video}" if cut else None,
                "source_start_s": start if cut else None,
                "source_end_s": start + 2.0 if cut else None,
                "language": ("en", "de", "zh")[int(rng.integers(0, 3))],
                "aesthetic": None if number % 7 == 6 else float(rng.integers(0, 100)) / 10,
            }
        )
    return vectors.astype(np.float16), rows


def write_index(root: Path, vectors: npt.NDArray[np.float16], rows: list[Row], *, parts: int = 1) -> Index:
    """Write an exact index of so many segments and open it."""
    manifests.create(root, SPACE)
    for part in np.array_split(np.arange(len(rows)), parts):
        reference = segments.write(
            root,
            vectors=vectors[part],
            rows=clips_table([rows[number] for number in part]),
            index_files={},
            quarantine=quarantine_table([]),
            info={"index": "flat"},
        )
        manifests.commit(root, lambda manifest, new=reference: manifest.with_segments([*manifest.segments, new]))
    return open_index(root)


def pages(index: Index, **arguments: Any) -> Iterator[Hits]:
    """Yield the pages of an answer, from cursor to cursor."""
    cursor = None
    while True:
        hits = index.search(cursor=cursor, **arguments)
        yield hits
        cursor = hits.cursor
        if cursor is None:
            return

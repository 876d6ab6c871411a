"""What every build ends with: segments are folded together, and what the index holds now is counted."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from indexer.fold import index_kind
from indexer.opening import Progress
from indexer.summary import FOLDING, Summary
from vidsearch.engine import open_index


@contextmanager
def folding(summary: Summary, progress: Progress) -> Iterator[None]:
    """Say that segments are folded together, and count the time it takes as writing."""
    summary.stage = FOLDING
    progress(summary)
    timer = time.perf_counter()
    yield
    summary.write_s += time.perf_counter() - timer


def count_all(root: Path, summary: Summary) -> None:
    """Note in a summary what the index holds."""
    index = open_index(root)
    summary.rows, summary.size_bytes, summary.index_kind = len(index), index.size_bytes, index_kind(index)

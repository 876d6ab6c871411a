"""What is done and not yet committed; a thread of its own writes it, so that neither decoding nor embedding waits for the disk.

One commit names a new segment, takes its clips off the ledger's pending ones, and deletes the rows that its rows replace.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pyarrow as pa

from indexer.books import Before, Finished, joined
from indexer.known import KnownRows
from indexer.part import Half, Part
from indexer.room import ensure_room
from indexer.summary import Summary
from vidsearch.storage import manifest as manifests
from vidsearch.storage.manifest import Manifest

SEGMENT_ROWS = 65_536  # a segment is committed when it is this large, or this old:
COMMIT_EVERY_S = 60.0  # so a crash costs at most a minute of work
ROW_BYTES = 1000  # of a row's metadata, generously


class Commits:
    """Takes what is done, and commits it as segments fill or age.

    Args:
        root: the index.
        dim: of its vectors.
        source, run: the input and the build, as the ledger names them.
        known: segments that were there when the work was planned: no clip that was fresh then has a row in them.
    """

    def __init__(self, root: Path, *, dim: int, source: str, run: str, known: set[str], summary: Summary) -> None:
        self.root, self._dim, self._source, self._run, self._summary = root, dim, source, run, summary
        self._known, self._own = known, set[str]()
        self._rows = KnownRows(root)
        self._part = Part()
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="writer")
        self._under_way: Future[None] | None = None

    def add(self, rows: pa.Table, vectors: Half, *, planned: Sequence[str], unplanned: Sequence[str] = (), replacing: bool = False) -> None:
        """Take over some rows and their vectors, as `Sink.add` says."""
        self._part.add(rows, vectors, planned=planned, unplanned=unplanned, replacing=replacing)

    def skip(self, entry: dict[str, Any], *, planned: bool = False, unplanned: bool = False) -> None:
        """Take over a quarantine entry."""
        self._part.skip(entry, planned=planned, unplanned=unplanned)

    def commit_if_due(self) -> None:
        """Commit when enough has come together; then raise OSError (ENOSPC) if there is no room for as much again."""
        if self._due:
            rows = self._part.rows
            self.commit()
            ensure_room(self.root, rows * (2 * self._dim + ROW_BYTES))

    @property
    def _due(self) -> bool:
        part = self._part
        number = part.rows + len(part.quarantine)
        return number >= SEGMENT_ROWS or (number > 0 and time.monotonic() - part.since > COMMIT_EVERY_S)

    def commit(self) -> None:
        """Have what was taken over written as one segment; waits until the one before is committed."""
        self.wait()
        if self._part.rows or self._part.quarantine:
            self._under_way = self._thread.submit(self._write, self._part)
            self._part = Part()

    def wait(self) -> None:
        """Wait until what `commit` has handed on is durable; what went wrong with it is raised here."""
        if self._under_way is not None:
            under_way, self._under_way = self._under_way, None
            under_way.result()

    def close(self) -> None:
        """Commit the rest."""
        try:
            self.commit()
            self.wait()
        finally:
            self._thread.shutdown()

    def _write(self, part: Part) -> None:
        timer = time.perf_counter()
        reference, rows = part.write(self.root, dim=self._dim)
        self._own.add(reference.uuid)
        finished = Finished(reference, self._source, self._run, part.planned, part.unplanned, part.replacing, lambda: rows)
        manifests.commit(self.root, lambda manifest: self._change(manifest, finished))
        self._summary.write_s += time.perf_counter() - timer

    def _change(self, manifest: Manifest, finished: Finished) -> Manifest:
        foreign = {segment.uuid for segment in manifest.segments} - self._known - self._own
        return joined(manifest, finished, Before(self.root, manifest, foreign=foreign, rows=self._rows))

"""What is done and not yet committed; a thread of its own writes it, so that neither decoding nor embedding waits for the disk.

One commit names a new segment, takes its clips off the ledger's pending ones, and deletes the rows that its rows replace.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from indexer.known import KnownBad, KnownRows, State
from indexer.room import ensure_room
from indexer.rows import CORE_SCHEMA, EMBEDDED_FROM, concatenate
from indexer.summary import Summary
from vidsearch.storage import manifest as manifests
from vidsearch.storage import segment as segments
from vidsearch.storage.ledger import Ledger, Tally
from vidsearch.storage.manifest import Manifest, SegmentRef
from vidsearch.storage.quarantine import quarantine_table
from vidsearch.storage.tombstones import bury

SEGMENT_ROWS = 65_536  # a segment is committed when it is this large, or this old:
COMMIT_EVERY_S = 60.0  # so a crash costs at most a minute of work
ROW_BYTES = 1000  # of a row's metadata, generously

Half = npt.NDArray[np.float16]  # (n, dim)


@dataclass
class _Part:
    """Rows with their vectors, and quarantine entries, that become one segment."""

    tables: list[pa.Table] = field(default_factory=list)
    vectors: list[Half] = field(default_factory=list)
    quarantine: list[dict[str, Any]] = field(default_factory=list)
    planned: list[str] = field(default_factory=list)  # clips that are done with this and were pending in the ledger
    unplanned: list[str] = field(default_factory=list)  # those that the ledger knows nothing of, such as shots
    replacing: bool = False  # whether some may have a row already, made of the caption
    rows: int = 0
    since: float = field(default_factory=time.monotonic)


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
        self._part = _Part()
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="writer")
        self._under_way: Future[None] | None = None

    def add(self, rows: pa.Table, vectors: Half, *, planned: Sequence[str], unplanned: Sequence[str] = (), replacing: bool = False) -> None:
        """Take over some rows and their vectors; call `commit_if_due` now and then.

        Args:
            rows: with the core columns; vectors: (n, dim) float16.
            planned: the clips among them that are pending in the ledger.
            unplanned: those that the ledger knows nothing of, such as shots.
            replacing: whether some may have a row already, made of the caption.
        """
        part = self._part
        part.tables.append(rows)
        part.vectors.append(vectors)
        part.rows += len(vectors)
        part.replacing = part.replacing or replacing
        part.planned.extend(planned)
        part.unplanned.extend(unplanned)

    def skip(self, entry: dict[str, Any], *, planned: bool = False, unplanned: bool = False) -> None:
        """Take over a quarantine entry."""
        self._part.quarantine.append(entry)
        self._part.planned.extend([entry["clip_id"]] * planned)
        self._part.unplanned.extend([entry["clip_id"]] * unplanned)

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
            self._part = _Part()

    def wait(self) -> None:
        """Wait until what `commit` has handed on is durable; what went wrong with it is raised here."""
        if self._under_way is not None:
            under_way, self._under_way = self._under_way, None
            under_way.result()

    @property
    def busy(self) -> bool:
        """Whether the commit before is still being written."""
        return self._under_way is not None and not self._under_way.done()

    def close(self) -> None:
        """Commit the rest."""
        try:
            self.commit()
            self.wait()
        finally:
            self._thread.shutdown()

    def _write(self, part: _Part) -> None:
        timer = time.perf_counter()
        rows = concatenate([CORE_SCHEMA.empty_table(), *part.tables])
        reference = segments.write(
            self.root,
            vectors=np.concatenate([np.zeros((0, self._dim), dtype=np.float16), *part.vectors]),
            rows=rows,
            index_files={},
            quarantine=quarantine_table(part.quarantine),
            info={"index": "flat"},
        )
        self._own.add(reference.uuid)
        manifests.commit(self.root, lambda manifest: self._change(manifest, reference, part, rows))
        self._summary.write_s += time.perf_counter() - timer

    def _change(self, manifest: Manifest, reference: SegmentRef, part: _Part, rows: pa.Table) -> Manifest:
        """Return the next version: with the segment, without the rows it replaces or that others were first to bring, the ledger kept."""
        changed = manifest.with_segments([*manifest.segments, reference])
        foreign = {segment.uuid for segment in manifest.segments} - self._known - self._own
        twice: set[str] = set()
        if foreign or part.replacing:
            others = KnownRows(self.root)
            bad = KnownBad(segment.quarantine() for segment in others.see(manifest, only=foreign))
            if rows.num_rows:
                changed = bury(self.root, changed, self._replaced(manifest, reference, rows, bad))
            twice = _done([*part.planned, *part.unplanned], others, bad)
        ledger = (Ledger.from_settings(manifest.settings) or Ledger()).settle(
            self._source,
            self._run,
            done=_tally(part.planned),
            twice=_tally(name for name in part.planned if name in twice),
            added=_tally(name for name in part.unplanned if name not in twice),
        )
        return changed.with_settings(ledger.into(manifest.settings))

    def _replaced(self, manifest: Manifest, reference: SegmentRef, rows: pa.Table, bad: KnownBad) -> dict[str, list[int]]:
        """Return which rows are to be deleted: older ones made of a caption, and new ones whose clip others indexed or deleted."""
        self._rows.see(manifest)
        found = list(self._rows.find(rows["clip_id"].to_pylist()))
        states = np.zeros(rows.num_rows, dtype=np.uint8)
        for older in found:
            np.maximum.at(states, older.places, older.states)
        by_video = pc.equal(rows[EMBEDDED_FROM], "video").to_numpy(zero_copy_only=False)
        superfluous = (states == State.BY_VIDEO) | ((states == State.BY_CAPTION) & ~by_video) | bad.are_deleted(rows["clip_id"])
        buried = {reference.uuid: np.flatnonzero(superfluous).tolist()}
        for older in found:
            replaced = (older.states == State.BY_CAPTION) & ~superfluous[older.places]
            buried[older.segment] = older.rows[replaced].tolist()
        return buried


def _done(ids: list[str], rows: KnownRows, bad: KnownBad) -> set[str]:
    """Return which clips have a row or a quarantine entry."""
    done = (rows.states(ids) != State.UNKNOWN) | bad.has(pa.array(ids, pa.string()))
    return {ids[place] for place in np.flatnonzero(done).tolist()}


def _tally(ids: Iterable[str]) -> Tally:
    return Tally.of(pa.array(ids, pa.string()))

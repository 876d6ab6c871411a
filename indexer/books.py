"""One more segment in a manifest: without the rows it replaces or that others were first to bring, and with the ledger kept."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from indexer.known import KnownBad, KnownRows, State
from indexer.rows import EMBEDDED_FROM
from vidsearch.storage.ledger import Ledger, Tally
from vidsearch.storage.manifest import Manifest, SegmentRef
from vidsearch.storage.tombstones import bury


@dataclass(frozen=True)
class Finished:
    """A segment that is written, and what the ledger is to know of it.

    Attributes:
        source, run: the input and the build, as the ledger names them.
        planned: its clips that are pending in the ledger.
        unplanned: those that the ledger knows nothing of, such as shots.
        replacing: whether some may have a row already, made of the caption.
        rows: gives its rows, `clip_id` and `embedded_from` among them.
    """

    segment: SegmentRef
    source: str
    run: str
    planned: Sequence[str]
    unplanned: Sequence[str]
    replacing: bool
    rows: Callable[[], pa.Table]


class Before:
    """What a version of an index holds before more segments join it.

    Args:
        root: the index.
        manifest: that version.
        foreign: segments that came from other builds since the work was planned.
        rows: looks up rows; what it has opened is kept.
    """

    def __init__(self, root: Path, manifest: Manifest, *, foreign: Collection[str], rows: KnownRows) -> None:
        self.root, self.foreign = root, foreign
        self._manifest, self._rows = manifest, rows

    @cached_property
    def rows(self) -> KnownRows:
        self._rows.see(self._manifest)
        return self._rows

    @cached_property
    def others(self) -> tuple[KnownRows, KnownBad]:
        """What the foreign segments have of clips."""
        rows = KnownRows(self.root)
        return rows, KnownBad(segment.quarantine() for segment in rows.see(self._manifest, only=self.foreign))


def joined(manifest: Manifest, finished: Finished, before: Before) -> Manifest:
    """Return a manifest with one more segment.

    Args:
        manifest: the version that was there before, perhaps with other segments that join it now.
        finished: the segment; it has no clip in common with those.
        before: that version.
    """
    changed = manifest.with_segments([*manifest.segments, finished.segment])
    twice: set[str] = set()
    if before.foreign or finished.replacing:
        others, bad = before.others
        rows = finished.rows()
        if rows.num_rows:
            changed = bury(before.root, changed, _replaced(finished.segment, rows, before.rows, bad))
        twice = _done([*finished.planned, *finished.unplanned], others, bad)
    ledger = (Ledger.from_settings(manifest.settings) or Ledger()).settle(
        finished.source,
        finished.run,
        done=_tally(finished.planned),
        twice=_tally(name for name in finished.planned if name in twice),
        added=_tally(name for name in finished.unplanned if name not in twice),
    )
    return changed.with_settings(ledger.into(manifest.settings))


def _replaced(reference: SegmentRef, rows: pa.Table, before: KnownRows, bad: KnownBad) -> dict[str, list[int]]:
    """Return which rows are to be deleted: older ones made of a caption, and new ones whose clip others indexed or deleted."""
    found = list(before.find(rows["clip_id"].to_pylist()))
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

"""From rows to work: what is neither indexed nor known to be bad, each clip once, in memory that does not grow with the rows.

Rows are looked up in the index as they come, some hundred thousand at a time. What is left waits in a `Spill`, all rows of one source
together, so that clips named twice meet, and the clips of one video become one job.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from indexer._spill import Spill
from indexer.jobs import FRESH, TRIES, WAY, Job, Way, bad_rows_of, file_state, jobs_of, rows_of
from indexer.known import MOST_TRIES, TRANSIENT, KnownBad, KnownRows, State
from indexer.readers.base import Block
from indexer.rows import concatenate
from vidsearch.storage.ledger import Tally
from vidsearch.storage.quarantine import DELETED

BATCH_ROWS = 262_144  # looked up together; an input of no more is never spilled

Mask = npt.NDArray[np.bool_]
Codes = npt.NDArray[np.uint8]
_COUNTED = ["clip_id", WAY, FRESH]


class WorkList:
    """What one run has to do, and what it need not do again.

    Attributes:
        clips: to decode or to embed by caption; videos that are cut first are in `uncut` until their clips are known.
        fresh: the clips and bad rows that the index knows nothing of, for its ledger.
        already, duplicates: rows whose clip an earlier run indexed; rows that name a clip a second time.
        known_bad: clips and rows quarantined before, whose file has not changed, by reason.
    """

    def __init__(
        self, *, rows: KnownRows, bad: KnownBad, videos: Path, scratch: Path, from_captions: bool = False, cut: bool = False
    ) -> None:
        self._known, self._bad, self._videos, self._from_captions, self._cut = rows, bad, videos, from_captions, cut
        self._spill = Spill(scratch)
        self.clips = self.uncut = self.already = self.duplicates = 0
        self.fresh = Tally()
        self.known_bad: Counter[str] = Counter()
        self._ways: Counter[Way] = Counter()

    def __enter__(self) -> WorkList:
        return self

    def __exit__(self, *_: object) -> None:
        self._spill.close()

    def read(self, blocks: Iterable[Block]) -> Iterator[int]:
        """Take in all rows; yields how many have been read, now and then."""
        waiting: list[pa.Table] = []
        read = 0
        for block in blocks:
            waiting.extend(table for table in (rows_of(block), bad_rows_of(block)) if table.num_rows)
            read += block.clips.num_rows + len(block.bad)
            if sum(table.num_rows for table in waiting) >= BATCH_ROWS:
                self._spill.add(self._to_do(concatenate(waiting)))
                waiting = []
            yield read
        if waiting:
            self._spill.add(self._to_do(concatenate(waiting)))
        self._count()

    def _to_do(self, batch: pa.Table) -> pa.Table:
        """Return those rows of a batch that are neither indexed nor known to be bad, and note what is to become of each."""
        batch = self._without_repeats(batch)
        states = self._known.states(batch["clip_id"].to_pylist())
        there = batch["there"].to_numpy()
        ways = self._ways_of(batch, there)
        entries = self._bad.entries(batch["clip_id"])
        wanted = (states <= State.BURIED) | ((states == State.BY_CAPTION) & there)
        self.already += int(np.count_nonzero((states >= State.BY_CAPTION) & ~wanted))
        tries = self._leave_bad(wanted, batch["video"], ways, entries)
        if self._cut:
            self._leave_cut(wanted, batch["video"], ways)
        fresh = (states == State.UNKNOWN) & (entries["seen"] == 0)
        return _with_plan(batch, ways, fresh, tries).filter(pa.array(wanted))

    def _without_repeats(self, batch: pa.Table) -> pa.Table:
        first = first_places(batch["clip_id"])
        self.duplicates += batch.num_rows - int(np.count_nonzero(first))
        return batch if first.all() else batch.filter(pa.array(first))

    def _ways_of(self, batch: pa.Table, there: Mask) -> npt.NDArray[np.uint8]:
        ways: Codes = batch[WAY].to_numpy().copy()
        if not self._cut:
            ways[ways == Way.CUT] = Way.DECODE
        has_caption = np.zeros(len(ways), dtype=np.bool_)
        if self._from_captions and "caption" in batch.column_names:
            has_caption = pc.fill_null(pc.greater(pc.utf8_length(batch["caption"]), 0), False).to_numpy()
        by_caption = (ways != Way.QUARANTINE) & ~there & has_caption
        ways[~there] = Way.QUARANTINE
        ways[by_caption] = Way.EMBED_CAPTION
        return ways

    def _leave_bad(self, wanted: Mask, videos: pa.ChunkedArray, ways: Codes, entries: npt.NDArray[Any]) -> Codes:
        """Take those off the wanted rows that were quarantined and would end the same way; return how often the others were tried."""
        known = wanted & (entries["seen"] > 0) & ~self._bad.again(entries)
        reasons = [np.isin(entries["reason"], self._bad.codes(names)) for names in ((DELETED,), ("NOT_FOUND",), TRANSIENT)]
        deleted, absent, transient = (known & mask for mask in reasons)
        same = deleted | (known & (ways == Way.QUARANTINE) & (entries["size_bytes"] == 0) & (entries["mtime_ns"] == 0))
        tries = np.where(transient, entries["attempts"], 0).astype(np.uint8)
        for place in np.flatnonzero(known & ~deleted & ~absent & (ways < Way.EMBED_CAPTION)).tolist():
            entry = entries[place]
            unchanged = (entry["size_bytes"], entry["mtime_ns"]) == file_state(self._videos / videos[place].as_py())
            same[place] = unchanged and not (transient[place] and entry["attempts"] < MOST_TRIES)
            tries[place] *= unchanged
        self.known_bad.update(self._bad.reasons[code] for code in entries["reason"][same].tolist())
        wanted &= ~same
        return tries

    def _leave_cut(self, wanted: Mask, videos: pa.ChunkedArray, ways: Codes) -> None:
        """Take those off the wanted rows that are videos all of whose shots are indexed or quarantined."""
        places = np.flatnonzero(wanted & (ways == Way.CUT))
        names = [videos[place].as_py() for place in places.tolist()]
        for place, name, cut in zip(places.tolist(), names, self._known.cut_videos(names), strict=True):
            if cut is None:
                continue
            failed = self._bad.failed_shots(name, file_state(self._videos / name), but=cut.clips)
            if len(cut.clips) + failed >= cut.shots:
                wanted[place] = False
                self.already += len(cut.clips)

    def _count(self) -> None:
        """Count what is to be done; clips that were named in different batches meet here."""
        for part in self._spill.parts(_COUNTED):
            first = first_places(part["clip_id"])
            self.duplicates += part.num_rows - int(np.count_nonzero(first))
            for way, count in enumerate(np.bincount(part[WAY].to_numpy()[first], minlength=len(Way)).tolist()):
                self._ways[Way(way)] += count
            planned = first & part[FRESH].to_numpy() & (part[WAY].to_numpy() != Way.CUT)
            self.fresh += Tally.of(part["clip_id"].filter(pa.array(planned)))
        self.clips, self.uncut = self._ways[Way.DECODE] + self._ways[Way.EMBED_CAPTION], self._ways[Way.CUT]

    def rows(self, *ways: Way) -> Iterator[pa.Table]:
        """Yield the rows that are to go one of some ways, all of one source together; each clip once."""
        if not any(self._ways[way] for way in ways):
            return
        for part in self._spill.parts():
            chosen = first_places(part["clip_id"]) & np.isin(part[WAY].to_numpy(), [int(way) for way in ways])
            if chosen.any():
                yield part.filter(pa.array(chosen))

    @property
    def videos(self) -> bool:
        """Whether there is anything to decode."""
        return self._ways[Way.DECODE] + self._ways[Way.CUT] > 0

    def jobs(self) -> Iterator[Job]:
        """Yield the videos to decode."""
        for rows in self.rows(Way.DECODE, Way.CUT):
            yield from jobs_of(rows)

    def are_fresh(self, video: str, ids: Sequence[str]) -> list[bool | None]:
        """Return for each shot of a video None when it need not be indexed, else whether the index knows nothing of it."""
        states, names = self._known.states(ids), pa.array(ids, pa.string())
        entries = self._bad.entries(names)
        done = (states >= State.BY_CAPTION) | self._bad.are_deleted(names) | self._bad.last(entries, file_state(self._videos / video))
        fresh = (states == State.UNKNOWN) & (entries["seen"] == 0)
        return [None if is_done else is_fresh for is_done, is_fresh in zip(done.tolist(), fresh.tolist(), strict=True)]


def first_places(ids: pa.ChunkedArray) -> Mask:
    """Return which ids are not a repeat of an earlier one, (n,) bool."""
    codes = ids.combine_chunks().dictionary_encode().indices.to_numpy()  # numbered in order of first appearance
    return codes > np.maximum.accumulate(np.append(-1, codes[:-1])) if len(codes) else np.zeros(0, dtype=np.bool_)


def _with_plan(batch: pa.Table, ways: npt.NDArray[np.uint8], fresh: Mask, tries: npt.NDArray[np.uint8]) -> pa.Table:
    for name, values in ((WAY, ways), (FRESH, fresh), (TRIES, tries)):
        batch = batch.set_column(batch.column_names.index(name), name, pa.array(values))
    return batch

"""What an index knows of clips: which have a row, made of what, and which are quarantined, why and since when.

Rows are looked up in the segments, so that a thousand clips cost a thousand lookups however large the index; quarantine entries are held as
digests, 26 bytes each.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import datetime
from enum import IntEnum
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from indexer.rows import EMBEDDED_FROM, SHOTS
from vidsearch.selection import Selection, has_bits
from vidsearch.storage.ledger import Digests, digests
from vidsearch.storage.lookup import find, holds
from vidsearch.storage.manifest import Manifest, SegmentRef
from vidsearch.storage.quarantine import DELETED, SCHEMA
from vidsearch.storage.segment import Segment, open_segment
from vidsearch.storage.tombstones import read_alive

ENTRY = np.dtype(
    [("digest", "u8"), ("seen", "u4"), ("size_bytes", "i8"), ("mtime_ns", "i8"), ("reason", "u1"), ("attempts", "u1")]
)  # `seen` in seconds since 1970, never 0
SHOT = np.dtype([("video", "u8"), ("digest", "u8")])
TRANSIENT = ("CHANGED_DURING_READ", "DECODER_OOM")  # may pass by themselves: tried again by later runs
MOST_TRIES = 3


class State(IntEnum):
    """What rows tell of a clip; of two, the higher counts. A row is buried when it is replaced, or deleted: then the quarantine says so."""

    UNKNOWN = 0
    BURIED = 1
    BY_CAPTION = 2
    BY_VIDEO = 3


class Found(NamedTuple):
    """What a segment has of some clips: their places among those asked for, their rows and states, (m,) each."""

    segment: str
    places: npt.NDArray[np.int64]
    rows: npt.NDArray[np.int64]
    states: npt.NDArray[np.uint8]


class CutVideo(NamedTuple):
    """A video that was cut: into how many shots, and the ids of those that have a row."""

    shots: int
    clips: list[str]


class KnownRows:
    """The rows of one version of an index; segments that a later version has too are opened once."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._opened: dict[str, Segment] = {}
        self._alive: dict[SegmentRef, Selection] = {}
        self._seen: list[SegmentRef] = []

    def see(self, manifest: Manifest, *, only: Collection[str] | None = None) -> list[Segment]:
        """Look at a version from now on, or at some segments of it, and return them."""
        self._seen = [reference for reference in manifest.segments if only is None or reference.uuid in only]
        before, self._opened = self._opened, {}
        for reference in self._seen:
            self._opened[reference.uuid] = before.get(reference.uuid) or open_segment(self._root, reference)
        self._alive = {r: self._alive[r] if r in self._alive else read_alive(self._root, r) for r in self._seen}
        return list(self._opened.values())

    def states(self, ids: Sequence[str]) -> npt.NDArray[np.uint8]:
        """Return the state of each clip, (m,)."""
        states = np.zeros(len(ids), dtype=np.uint8)
        for found in self.find(ids):
            np.maximum.at(states, found.places, found.states)
        return states

    def find(self, ids: Sequence[str]) -> Iterator[Found]:
        """Yield what each segment has of those clips; nothing of one that has none."""
        segments = list(self._opened.values())
        for reference, segment, rows in zip(self._seen, segments, find(segments, "clip_id", ids), strict=True):
            places = np.flatnonzero(rows >= 0)
            if len(places):
                yield Found(reference.uuid, places, rows[places], _states(segment, self._alive[reference], rows[places]))

    def cut_videos(self, videos: Sequence[str]) -> list[CutVideo | None]:
        """Return what rows tell of videos that were cut into shots; None for any other."""
        cut: dict[str, dict[str, int]] = {}
        segments = list(self._opened.values())
        for segment, first in zip(segments, find(segments, "video", videos), strict=True):
            for place in np.flatnonzero(first >= 0).tolist() if SHOTS in segment.columns else ():
                for row in segment.take(segment.rows_of("video", videos[place]).ids, ["clip_id", SHOTS]):
                    if row[SHOTS] is not None:
                        cut.setdefault(videos[place], {})[row["clip_id"]] = row[SHOTS]
        return [CutVideo(max(cut[video].values()), list(cut[video])) if video in cut else None for video in videos]


def _states(segment: Segment, alive: Selection, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.uint8]:
    states = np.full(len(rows), State.BY_VIDEO, dtype=np.uint8)
    states[holds(segment, EMBEDDED_FROM, "caption", rows)] = State.BY_CAPTION
    if not alive.everything:
        states[~has_bits(alive.words, rows.astype(np.uint32))] = State.BURIED
    return states


class KnownBad:
    """The newest quarantine entry of each clip.

    Args:
        tables: the quarantines of an index's segments.
        retry: the manifest's setting RETRY.

    Attributes:
        reasons: their names, by code.
    """

    def __init__(self, tables: Iterable[pa.Table], retry: Any = ()) -> None:
        self.reasons: list[str] = []
        self._retry = [(rule.get("reason"), datetime.fromisoformat(str(rule["before"])).timestamp()) for rule in retry]
        parts = [(_entries(table, self.reasons), _shots(table)) for table in tables if table.num_rows]
        entries = np.concatenate([np.zeros(0, ENTRY), *(entries for entries, _ in parts)])
        entries = entries[np.lexsort((np.arange(len(entries)), entries["seen"], entries["digest"]))]
        last = np.append(entries["digest"][1:] != entries["digest"][:-1], True)[: len(entries)]
        self._entries = entries[last]
        self._shots = np.unique(np.concatenate([np.zeros(0, SHOT), *(shots for _, shots in parts)]))  # sorted by video

    def __len__(self) -> int:
        return len(self._entries)

    def entries(self, ids: pa.Array | pa.ChunkedArray) -> npt.NDArray[Any]:
        """Return each clip's entry, (m,) of ENTRY; `seen` is 0 where there is none."""
        return self._entries_of(digests(ids))

    def _entries_of(self, wanted: Digests) -> npt.NDArray[Any]:
        found = np.zeros(len(wanted), dtype=ENTRY)
        if len(self._entries) and len(wanted):
            places = np.minimum(np.searchsorted(self._entries["digest"], wanted), len(self._entries) - 1)
            hits = self._entries["digest"][places] == wanted
            found[hits] = self._entries[places[hits]]
        return found

    def are_deleted(self, ids: pa.Array | pa.ChunkedArray) -> npt.NDArray[np.bool_]:
        """Return which clips a person deleted and does not want back, (m,) bool."""
        entries = self.entries(ids)
        deleted: npt.NDArray[np.bool_] = (entries["seen"] > 0) & np.isin(entries["reason"], self.codes((DELETED,))) & ~self.again(entries)
        return deleted

    def has(self, ids: pa.Array | pa.ChunkedArray) -> npt.NDArray[np.bool_]:
        """Return which clips have an entry, (m,) bool."""
        found: npt.NDArray[np.bool_] = self.entries(ids)["seen"] > 0
        return found

    def codes(self, reasons: Sequence[str]) -> list[int]:
        """Return the codes of some reasons."""
        return [code for code, reason in enumerate(self.reasons) if reason in reasons]

    def again(self, entries: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
        """Return which entries the user asked to be tried again, (m,) bool; deleted clips only if they were named."""
        again = np.zeros(len(entries), dtype=np.bool_)
        for reason, before in self._retry:
            named = [name for name in self.reasons if name == reason or (reason is None and name != DELETED)]
            again |= (entries["seen"] < before) & np.isin(entries["reason"], self.codes(named))
        return again

    def failed_shots(self, video: str, state: tuple[int, int], *, but: Sequence[str]) -> int:
        """Return how many shots of a video that has not changed are quarantined, for good, and are not those clips."""
        wanted = digests(pa.array([video]))
        start, stop = (int(np.searchsorted(self._shots["video"], wanted, side=side)[0]) for side in ("left", "right"))
        others = np.setdiff1d(self._shots["digest"][start:stop], digests(pa.array(but, pa.string())))
        return int(np.count_nonzero(self.last(self._entries_of(others), state)))

    def last(self, entries: npt.NDArray[Any], state: tuple[int, int]) -> npt.NDArray[np.bool_]:
        """Return which entries of a file that is in some state would be the same if they were tried again, (m,) bool."""
        passing = np.isin(entries["reason"], self.codes(TRANSIENT)) & (entries["attempts"] < MOST_TRIES)
        same = (entries["seen"] > 0) & (entries["size_bytes"] == state[0]) & (entries["mtime_ns"] == state[1])
        last: npt.NDArray[np.bool_] = same & ~passing & ~self.again(entries)
        return last


def _entries(table: pa.Table, reasons: list[str]) -> npt.NDArray[Any]:
    entries = np.zeros(table.num_rows, dtype=ENTRY)
    entries["digest"] = digests(table["clip_id"])
    encoded = table["reason"].combine_chunks().dictionary_encode()
    reasons.extend(reason for reason in encoded.dictionary.to_pylist() if reason not in reasons)
    codes = np.array([reasons.index(reason) for reason in encoded.dictionary.to_pylist()], dtype=np.uint8)
    entries["reason"] = codes[encoded.indices.to_numpy()]
    # Parquet gives milliseconds back
    entries["seen"] = np.maximum(1, _numbers(table["seen_at"].cast(SCHEMA.field("seen_at").type).cast(pa.int64())))
    for name in ("size_bytes", "mtime_ns"):
        entries[name] = _numbers(table[name])
    entries["attempts"] = np.minimum(255, _numbers(table["attempts"]))
    return entries


def _shots(table: pa.Table) -> npt.NDArray[Any]:
    """Return which entries are parts of a video, with the video: clips of which a start or an end within it is known."""
    part = pc.or_(pc.greater(pc.fill_null(table["start_s"], 0.0), 0.0), pc.is_valid(table["end_s"]))
    table = table.filter(part)
    shots = np.zeros(table.num_rows, dtype=SHOT)
    shots["video"], shots["digest"] = digests(table["video"]), digests(table["clip_id"])
    return shots


def _numbers(column: pa.ChunkedArray) -> npt.NDArray[Any]:
    numbers: npt.NDArray[Any] = pc.fill_null(column, 0).to_numpy()
    return numbers

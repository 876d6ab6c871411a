"""What is to be done: clips, the videos they are cut from, and how both stand in a table while they wait."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import IntEnum
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from indexer.readers.base import PLACE_SCHEMA, BadRow, Block, clip_id
from vidsearch.archives.members import stat_media
from vidsearch.decoders.base import Span

AT_ONCE = 4096  # rows that become Python objects together

# What a row that waits has before its metadata; `key` becomes `clip_id`. The others' names cannot be those of metadata that matters.
WAY, FRESH, TRIES = "plan.way", "plan.fresh", "plan.tries"
REASON, DETAIL = "plan.reason", "plan.detail"


class Way(IntEnum):
    """What is to become of a row."""

    DECODE = 0
    CUT = 1  # into shots, which are then decoded
    EMBED_CAPTION = 2
    QUARANTINE = 3  # its video is not there, or it is wrong


@dataclass(frozen=True, slots=True)
class Clip:
    """One clip to index.

    Attributes:
        id: of the clip, for ever.
        video: the file, relative to the videos' folder.
        there: whether it is.
        start_s, end_s: seconds in that file, half-open; None is the end of the video.
        metadata: caption and every other column.
        fresh: whether the index knows nothing of it, not even in its quarantine.
        planned: whether it was counted when the run began; a shot was not.
        tries: how often it has failed before, for a reason that may pass.
    """

    id: str
    video: str
    there: bool = True
    start_s: float = 0.0
    end_s: float | None = None
    metadata: dict[str, Any] = field(default_factory=dict)
    fresh: bool = True
    tries: int = 0
    planned: bool = True


@dataclass(frozen=True, slots=True)
class BadClip:
    """A row that cannot be indexed, with a reason of the quarantine."""

    clip: Clip
    reason: str
    detail: str


@dataclass(frozen=True)
class Job:
    """One video and the clips wanted of it; `uncut` is a whole video to be cut into clips, which stands in for them."""

    video: str
    clips: tuple[Clip, ...] = ()
    uncut: Clip | None = None

    @property
    def spans(self) -> tuple[Span, ...]:
        return tuple(Span(clip.start_s, clip.end_s) for clip in self.clips)


def bad_row_id(row: BadRow) -> str:
    return clip_id(f"bad|{row.source}|{row.reason}")


def file_state(path: Path) -> tuple[int, int]:
    """Return (bytes, modification time in ns) of a file, or of the archive it lies in; zeros where there is none."""
    try:
        status = stat_media(path)
    except OSError:
        return 0, 0
    return status.st_size, status.st_mtime_ns


def rows_of(block: Block) -> pa.Table:
    """Return the rows of a block as they wait: `key`, then what a Clip has, then the metadata; nothing is known of them yet."""
    clips, count = block.clips, block.clips.num_rows
    ids = pa.array([clip_id(key) for key in clips["key"].to_pylist()], pa.string())
    plan = {
        WAY: pa.array([Way.CUT if block.uncut else Way.DECODE] * count, pa.uint8()),
        FRESH: pa.array([True] * count, pa.bool_()),
        TRIES: pa.array([0] * count, pa.uint8()),
    }
    places = {name: clips[name] for name in PLACE_SCHEMA.names if name != "key"}
    metadata = {name: clips[name] for name in clips.column_names if name not in PLACE_SCHEMA.names and name not in plan}
    return pa.table({"key": clips["key"], "clip_id": ids, **places, **plan, **metadata})


def bad_rows_of(block: Block) -> pa.Table:
    """Return the bad rows of a block as they wait, with reason and detail."""
    bad, count = block.bad, len(block.bad)
    ids = [bad_row_id(row) for row in bad]
    return pa.table(
        {
            "key": pa.array(ids, pa.string()),
            "clip_id": pa.array(ids, pa.string()),
            "video": pa.array([row.video for row in bad], pa.string()),
            "there": pa.array([False] * count, pa.bool_()),
            "start_s": pa.array([0.0] * count, pa.float64()),
            "end_s": pa.nulls(count, pa.float64()),
            WAY: pa.array([Way.QUARANTINE] * count, pa.uint8()),
            FRESH: pa.array([True] * count, pa.bool_()),
            TRIES: pa.array([0] * count, pa.uint8()),
            REASON: pa.array([row.reason for row in bad], pa.string()),
            DETAIL: pa.array([row.detail for row in bad], pa.string()),
        }
    )


def clips_of(rows: pa.Table) -> Iterator[Clip]:
    """Yield the clips of rows that wait."""
    hidden = [name for name in ("key", REASON, DETAIL) if name in rows.column_names]
    for batch in rows.drop_columns(hidden).to_batches(max_chunksize=AT_ONCE):
        for record in batch.to_pylist():
            name, video, there, start_s, end_s = (record.pop(name) for name in ("clip_id", "video", "there", "start_s", "end_s"))
            record.pop(WAY)
            fresh, tries = record.pop(FRESH), record.pop(TRIES)
            yield Clip(name, video, there, start_s, end_s, record, fresh, tries)


def bad_rows_in(rows: pa.Table) -> Iterator[BadClip]:
    """Yield rows that wait to be quarantined."""
    for batch in rows.to_batches(max_chunksize=AT_ONCE):
        for record in batch.to_pylist():
            clip = Clip(record["clip_id"], record["video"], record["there"], fresh=record[FRESH])
            yield BadClip(clip, record.get(REASON) or "NOT_FOUND", record.get(DETAIL) or f"no video {clip.video}")


def jobs_of(rows: pa.Table) -> Iterator[Job]:
    """Yield the jobs of rows that wait to be decoded: by video, in order of first appearance."""
    videos = rows["video"].combine_chunks().dictionary_encode()
    rows = rows.take(pa.array(np.argsort(videos.indices.to_numpy(), kind="stable")))
    cut = (rows[WAY].to_numpy() == Way.CUT).tolist()
    for video, clips in groupby(zip(clips_of(rows), cut, strict=True), key=lambda pair: pair[0].video):
        pairs = list(clips)
        whole = tuple(clip for clip, is_cut in pairs if not is_cut)
        if whole:
            yield Job(video, whole)
        yield from (Job(video, uncut=clip) for clip, is_cut in pairs if is_cut)

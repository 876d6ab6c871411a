"""From rows to jobs: one video with all its clips that are neither indexed nor known to be bad."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

from indexer.readers.base import PLACE_SCHEMA, BadRow, Block, clip_id
from vidsearch.decoders.base import Span


@dataclass(frozen=True, slots=True)
class Clip:
    """One clip to index.

    Attributes:
        id: of the clip, for ever.
        video: the file, relative to the videos' folder.
        there: whether it is.
        start_s, end_s: seconds in that file, half-open; None is the end of the video.
        metadata: caption and every other column.
    """

    id: str
    video: str
    there: bool = True
    start_s: float = 0.0
    end_s: float | None = None
    metadata: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Job:
    """One video and the clips wanted of it."""

    video: str
    clips: tuple[Clip, ...]

    @property
    def spans(self) -> tuple[Span, ...]:
        return tuple(Span(clip.start_s, clip.end_s) for clip in self.clips)


@dataclass
class WorkList:
    """What one run has to do, and what it need not do again.

    Attributes:
        jobs: videos to decode.
        bad: rows that cannot be indexed and were not known before.
        missing: clips whose video is not there.
        videos: every video that any row names.
        already, duplicates: clips indexed before; rows that name a clip a second time.
        known_bad: clips and rows quarantined before, whose file has not changed, by reason.
    """

    jobs: list[Job] = field(default_factory=list)
    bad: list[BadRow] = field(default_factory=list)
    missing: list[Clip] = field(default_factory=list)
    videos: set[str] = field(default_factory=set)
    already: int = 0
    known_bad: Counter[str] = field(default_factory=Counter)
    duplicates: int = 0

    @property
    def clips(self) -> int:
        return sum(len(job.clips) for job in self.jobs)


@dataclass(frozen=True)
class KnownBad:
    """A quarantined clip: while its file has this size and time, trying again would end the same way."""

    reason: str
    size_bytes: int
    mtime_ns: int


def bad_row_id(row: BadRow) -> str:
    return clip_id(f"bad|{row.source}|{row.reason}")


def file_state(path: Path) -> tuple[int, int]:
    """Return (bytes, modification time in ns) of a file, zeros where there is none."""
    try:
        status = path.stat()
    except OSError:
        return 0, 0
    return status.st_size, status.st_mtime_ns


def clips_of(block: Block) -> Iterator[Clip]:
    """Yield the clips of a block."""
    for record in block.clips.to_pylist():
        key, video, there, start_s, end_s = (record.pop(name) for name in PLACE_SCHEMA.names)
        yield Clip(clip_id(key), video, there, start_s, end_s, record)


def plan_work(blocks: Iterable[Block], *, videos: Path, indexed: set[str], quarantined: dict[str, KnownBad]) -> WorkList:
    """Sort rows into jobs by video, in order of first appearance, leaving out what is done."""
    work = WorkList()
    clips: dict[str, list[Clip]] = {}
    seen: set[str] = set()
    rows: Iterable[Clip | BadRow] = chain.from_iterable(chain(clips_of(block), block.bad) for block in blocks)
    for row in rows:
        name = row.id if isinstance(row, Clip) else bad_row_id(row)
        if name in seen:
            work.duplicates += 1
            continue
        seen.add(name)
        work.videos.add(row.video)
        known = quarantined.get(name)
        if name in indexed:
            work.already += 1
        elif isinstance(row, BadRow):
            if known is None:
                work.bad.append(row)
            else:
                work.known_bad[known.reason] += 1
        elif known is not None and (known.size_bytes, known.mtime_ns) == file_state(videos / row.video):
            work.known_bad[known.reason] += 1
        elif row.there:
            clips.setdefault(row.video, []).append(row)
        else:
            work.missing.append(row)
    work.jobs = [Job(video, tuple(wanted)) for video, wanted in clips.items()]
    return work

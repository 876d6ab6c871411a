"""From rows to jobs: one video with all its clips that are neither indexed nor known to be bad."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from indexer.readers.base import BadRow, ClipRow
from vidsearch.decoders.base import Span

ID_DIGITS = 20  # 80 bits: a clash among 230 million clips has a chance of 2e-8


@dataclass(frozen=True)
class Job:
    """One video and the clips wanted of it."""

    video: str
    clips: tuple[ClipRow, ...]

    @property
    def spans(self) -> tuple[Span, ...]:
        return tuple(Span(clip.start_s, clip.end_s) for clip in self.clips)


@dataclass
class WorkList:
    """What one run has to do, and what it need not do again.

    Attributes:
        jobs: videos to decode.
        bad: rows that cannot be indexed and were not known before.
        videos: every video that any row names.
        already, duplicates: clips indexed before; rows that name a clip a second time.
        known_bad: clips and rows quarantined before, whose file has not changed, by reason.
    """

    jobs: list[Job] = field(default_factory=list)
    bad: list[BadRow] = field(default_factory=list)
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


def clip_id(row: ClipRow) -> str:
    """Return the clip's name for ever: 20 hex digits over its source and times, whatever machine or run made it."""
    end = "end" if row.end_s is None else f"{row.end_s:.3f}"
    return _digest(f"{row.source}|{row.start_s:.3f}|{end}")


def bad_row_id(row: BadRow) -> str:
    return _digest(f"bad|{row.source}|{row.reason}")


def file_state(path: Path) -> tuple[int, int]:
    """Return (bytes, modification time in ns) of a file, zeros where there is none."""
    try:
        status = path.stat()
    except OSError:
        return 0, 0
    return status.st_size, status.st_mtime_ns


def plan_work(rows: Iterable[ClipRow | BadRow], *, videos: Path, indexed: set[str], quarantined: dict[str, KnownBad]) -> WorkList:
    """Sort rows into jobs by video, in order of first appearance, leaving out what is done."""
    work = WorkList()
    clips_of: dict[str, list[ClipRow]] = {}
    seen: set[str] = set()
    for row in rows:
        name = bad_row_id(row) if isinstance(row, BadRow) else clip_id(row)
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
        else:
            clips_of.setdefault(row.video, []).append(row)
    work.jobs = [Job(video, tuple(clips)) for video, clips in clips_of.items()]
    return work


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:ID_DIGITS]

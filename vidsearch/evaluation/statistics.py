"""The figures of a data set, after InternVid's own page: what its clips are, for those of them that pass a filter."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from pyarrow import types

from vidsearch.corpus import Corpus
from vidsearch.errors import DamagedSegmentError, IndexCorruptError
from vidsearch.evaluation import counting
from vidsearch.evaluation.captions import CaptionLengths
from vidsearch.evaluation.counting import SHORT_S, Selections
from vidsearch.evaluation.distribution import Distribution, distribution
from vidsearch.upkeep import quarantined

FIRST = ("language", "type", "duration_s", "aesthetic", "umt_score", "clip_score")  # the columns of InternVid's page
# Who a clip is and where it lies, not what it is; captions and pictures' sizes are counted otherwise.
UNCOUNTED = ("clip_id", "video", "caption", "youtube_id", "start_s", "end_s", "source_start_s", "source_end_s", "width", "height")
LISTED = 100  # values of a column that are named, most clips first
SIDES = (240, 360, 480, 720, 1080, 1440, 2160)  # pixels of a picture's shorter side from which a resolution has its name

Kind = Literal["values", "numbers", "times", "texts", "other"]


@dataclass(frozen=True)
class ColumnFigures:
    """One column.

    Attributes:
        kind: "values" are few texts or truth values, "texts" many, whose values are not counted.
        clips: with a value.
        values: the most frequent, each with its clips.
        distinct: values there are; None where they are not counted.
        distribution: of numbers, and of times in seconds since 1970.
    """

    name: str
    kind: Kind
    clips: int
    values: tuple[tuple[str | bool, int], ...] = ()
    distinct: int | None = None
    distribution: Distribution | None = None


@dataclass(frozen=True)
class Statistics:
    """The figures of the clips that pass.

    Attributes:
        index, version: which.
        where: the filter, None for all.
        clips: that pass, of so many in the index.
        segments, deleted: of the whole index, whatever the filter; deleted clips are counted nowhere.
        hours: of footage; None where no clip's length is known.
        short: share of the clips with a length that last at most 10 s.
        videos: source videos; the YouTube id names one where a clip has it, else its file.
        per_video: videos with one clip, two and so on.
        most_per_video: clips of one video.
        words: of the captions; None where there are none.
        resolutions: clips by the shorter side of their picture, of those whose width and height are known.
        columns: all others, those of InternVid's page first.
        missing: clips without a value, by column, most first.
        quarantine: what could not be indexed, by reason, whatever the filter.
        skipped: damaged segments that could not be counted, a line each.
    """

    index: str
    version: int
    where: str | None
    clips: int
    of: int
    segments: int
    deleted: int
    hours: float | None
    short: float | None
    videos: int
    per_video: tuple[tuple[str, int], ...]
    most_per_video: int
    words: Distribution | None
    resolutions: tuple[tuple[str, int], ...]
    columns: tuple[ColumnFigures, ...]
    missing: tuple[tuple[str, int], ...]
    quarantine: tuple[tuple[str, int], ...]
    skipped: tuple[str, ...] = ()

    def column(self, name: str) -> ColumnFigures | None:
        return next((column for column in self.columns if column.name == name), None)

    def to_json(self) -> dict[str, Any]:
        """Return all of it, ready for JSON."""
        pairs = ("per_video", "resolutions", "missing", "quarantine")
        found = asdict(self) | {name: dict(getattr(self, name)) for name in pairs}
        found["words"] = None if self.words is None else self.words.to_json()
        found["columns"] = {column.name: _column_json(column) for column in self.columns}
        return found | {"skipped": list(self.skipped)}


def _column_json(column: ColumnFigures) -> dict[str, Any]:
    found: dict[str, Any] = {"kind": column.kind, "clips": column.clips}
    if column.distinct is not None:
        found |= {"distinct": column.distinct, "values": {str(value): count for value, count in column.values}}
    return found | ({} if column.distribution is None else column.distribution.to_json())


def statistics(index: Corpus, where: str | None = None, *, progress: Callable[[int], None] = lambda done: None) -> Statistics:
    """Count the clips that pass a filter.

        statistics(open_index("shards"), "language = 'en'").column("aesthetic").distribution.mean

    Exact, no sample. Of ten million clips about 8 s on one core, two columns of them in memory at a time (8 bytes a clip) and 4 bytes a
    caption; most of the time goes into the hashes of what is read.

    Args:
        index: an open index; a segment that turns out to be damaged is left out and named in `skipped`.
        where: a filter, as in SQL.
        progress: told how many clips' captions have been counted.

    Raises:
        FilterError: the filter cannot be parsed, or names an unknown column.
    """
    _hash_together(index)
    return index.answered(lambda: _count(index, where, progress))


def _hash_together(index: Corpus) -> None:
    """Hash what is read of the segments at once, on as many cores as there are; what is damaged is found again when it is asked for."""

    def check(number: int) -> None:
        with suppress(IndexCorruptError):
            index.segments[number].check(index.segments[number].asked_files)

    with ThreadPoolExecutor() as pool:
        list(pool.map(check, range(len(index.segments))))


def _count(index: Corpus, where: str | None, progress: Callable[[int], None]) -> Statistics:
    selections = index.select(where)
    names = index.schema.names if index.segments else []
    videos = counting.clips_per_video(index, selections)
    ordered = [*(name for name in FIRST if name in names), *(name for name in names if name not in (*FIRST, *UNCOUNTED))]
    columns = tuple(column_figures(index, selections, name) for name in ordered)
    duration = next((column.distribution for column in columns if column.name == "duration_s"), None)
    absent = Counter({name: count for name in names if (count := counting.missing(index, selections, name))})
    return Statistics(
        index=str(index.root),
        version=index.manifest.version,
        where=where,
        clips=sum(selection.count for selection in selections),
        of=len(index),
        segments=len(index.segments),
        deleted=index.slots - len(index),
        hours=None if duration is None else duration.total / 3600,
        short=None if duration is None else float(np.mean(counting.numbers(index, selections, "duration_s") <= SHORT_S)),
        videos=len(videos),
        per_video=tuple(counting.per_video(videos)),
        most_per_video=int(videos.max()) if len(videos) else 0,
        words=_words(index, selections, progress),
        resolutions=_resolutions(index, selections),
        columns=columns,
        missing=tuple(absent.most_common()),
        quarantine=tuple(_quarantine(index).items()),
        skipped=index.skipped,
    )


def _quarantine(index: Corpus) -> dict[str, int]:
    """Return how many clips could not be indexed, by reason."""
    for number, segment in enumerate(index.segments):
        try:
            segment.check(["quarantine.parquet"])  # which is none of the files that are hashed at the first question
        except IndexCorruptError as error:
            raise DamagedSegmentError(str(error), number) from error
    return quarantined.reasons(index)


def _words(index: Corpus, selections: Selections, progress: Callable[[int], None]) -> Distribution | None:
    lengths = CaptionLengths(index)

    def count(number: int) -> Any:
        return lengths.of(number, selections[number])

    found, done = [np.zeros(0, np.int32)], 0
    with ThreadPoolExecutor() as pool:
        for part, selection in zip(pool.map(count, range(len(selections))), selections, strict=True):
            found.append(part)
            done += selection.count
            progress(done)
    return distribution(np.concatenate(found), whole=True)


def _resolutions(index: Corpus, selections: Selections) -> tuple[tuple[str, int], ...]:
    sides = counting.short_sides(index, selections)
    if not len(sides):
        return ()
    counts = np.bincount(np.searchsorted(SIDES, sides, side="right"), minlength=len(SIDES) + 1).tolist()
    labels = [f"below {SIDES[0]}p", *(f"{side}p" for side in SIDES)]
    return tuple((label, count) for label, count in zip(labels, counts, strict=True) if count)


def column_figures(index: Corpus, selections: Selections, name: str) -> ColumnFigures:
    """Count one column of the selected clips."""
    kind = _kind_of(index, name)
    clips = sum(selection.count for selection in selections) - counting.missing(index, selections, name)
    if kind == "values":
        counts = index.value_counts(name, selections)
        counts.pop(None, None)
        ranked = sorted(counts.items(), key=lambda pair: (-pair[1], str(pair[0])))
        return ColumnFigures(name, kind, clips, tuple(ranked[:LISTED]), len(ranked))
    if kind == "numbers":
        values = counting.numbers(index, selections, name)
        return ColumnFigures(name, kind, clips, distribution=distribution(values, whole=values.dtype.kind in "iu"))
    if kind == "times":
        return ColumnFigures(name, kind, clips, distribution=distribution(counting.times_s(index, selections, name), times=True))
    return ColumnFigures(name, kind, clips)


def _kind_of(index: Corpus, name: str) -> Kind:
    """Return how a column is counted; one that is kept in another way in some segments by what is common to all."""
    columns = [column for segment in index.segments if (column := segment.columns.get(name)) is not None]
    kinds = {column.kind for column in columns if not types.is_null(column.type)}
    if kinds == {"number"}:
        return "times" if any(types.is_temporal(column.type) for column in columns) else "numbers"
    if kinds <= {"category"}:
        return "values"
    return "texts" if kinds <= {"category", "text"} else "other"

"""Which source video a clip was cut from, and when in it: a column says so for clips cut beforehand, the clip's own file for the others."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from vidsearch.corpus import Corpus, Rows
    from vidsearch.filters.tree import Filter

SOURCE, FILE = "youtube_id", "video"  # a clip with the first is of that video, whichever file it lies in
TIMES = ("source_start_s", "source_end_s", "start_s", "end_s")


class Source(NamedTuple):
    """A source video: the column that names it, and the name there."""

    column: str
    name: str


class Sources(NamedTuple):
    """Of some rows: their source videos (m), and when in those they start and end (m,) seconds."""

    videos: list[Source]
    starts_s: npt.NDArray[np.float64]
    ends_s: npt.NDArray[np.float64]


def sources_of(corpus: Corpus, rows: Rows) -> Sources:
    """Return where each row's clip was cut from."""
    known = [name for name in (SOURCE, FILE, *TIMES) if name in corpus.schema.names]
    taken = corpus.take(rows, known)
    videos = [Source(SOURCE, str(row[SOURCE])) if row.get(SOURCE) is not None else Source(FILE, row[FILE]) for row in taken]
    starts = [row["start_s"] if row.get("source_start_s") is None else row["source_start_s"] for row in taken]
    ends = [row["end_s"] if row.get("source_end_s") is None else row["source_end_s"] for row in taken]
    return Sources(videos, np.array(starts, dtype=np.float64), np.array(ends, dtype=np.float64))


def numbered(videos: Sequence[Source]) -> npt.NDArray[np.int64]:
    """Return the same number (m,) for the same video, counting from 0 in the order they first come."""
    numbers: dict[Source, int] = {}
    return np.array([numbers.setdefault(video, len(numbers)) for video in videos], dtype=np.int64)


def within(corpus: Corpus, videos: Iterable[Source]) -> Filter:
    """Return the filter that the clips of some videos pass."""
    from vidsearch.filters.tree import And, IsNull, OneOf, Or

    wanted = set(videos)
    named = sorted(video.name for video in wanted if video.column == SOURCE)
    files = OneOf(FILE, tuple(sorted(video.name for video in wanted if video.column == FILE)))
    if SOURCE not in corpus.schema.names:
        return files
    return Or((OneOf(SOURCE, tuple(named)), And((IsNull(SOURCE), files))))

"""The figures of a data set in words and bars, the same for the terminal and for the report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from vidsearch.evaluation.captions import ABOUT_WORDS
from vidsearch.evaluation.distribution import Distribution
from vidsearch.evaluation.statistics import ColumnFigures, Statistics

NAMED = 10  # values of a column with a bar of their own
FEW_VALUES = 256  # a column of more distinct texts names its clips one by one: its values say nothing of the whole

Pairs = Sequence[tuple[str, int]]


@dataclass(frozen=True)
class Chart:
    """Bars.

    Attributes:
        note: what the numbers come to, in a line.
        bars: what each stands for, and its clips.
        edges: (bars + 1,) as they are read, of a histogram; () where bars stand for values, which lie in no row.
        clips: that the bars are shares of.
        about: how they were counted, where that is not plain.
    """

    title: str
    note: str
    bars: tuple[tuple[str, int], ...]
    clips: int
    edges: tuple[str, ...] = ()
    about: str = ""


def headlines(found: Statistics) -> list[tuple[str, str, str]]:
    """Return the totals: what, how much, and what to know of it."""
    deleted = f"{found.deleted:,} more are deleted" if found.deleted else ""
    passing = f"{share(found.clips, found.of)} of {found.of:,}" if found.where is not None else deleted
    lines = [("Clips", f"{found.clips:,}", passing)]
    if found.videos:
        lines.append(
            ("Source videos", f"{found.videos:,}", f"{found.clips / found.videos:.1f} clips each, {found.most_per_video:,} at most")
        )
    duration = found.column("duration_s")
    if found.hours is not None and found.short is not None and duration is not None and duration.distribution is not None:
        spread = duration.distribution
        lines.append(("Footage", length(found.hours), ""))
        lines.append(("Clip length", f"{spread.mean:.1f} s", f"median {spread.median:.1f} s; {percent(found.short)} last at most 10 s"))
    if found.words is not None:
        lines.append(
            ("Caption", f"{found.words.mean:.1f} words", f"median {found.words.median:.0f}; {found.words.total:,.0f} words in all")
        )
    elif found.clips:
        lines.append(("Caption", "none", "no clip has one"))
    return lines


def charts(found: Statistics) -> list[Chart]:
    """Return what there is to draw, InternVid's figures first."""
    drawn = [chart for column in found.columns if (chart := _of_column(column, found.clips)) is not None]
    first = sum(chart.title in ("language", "type", "duration_s") for chart in drawn)
    told: list[Chart] = []
    if found.words is not None:
        told.append(replace(_histogram("words a caption", found.words), about=ABOUT_WORDS))
    if found.resolutions:
        told.append(Chart("resolution", "by the shorter side", found.resolutions, _total(found.resolutions)))
    if found.per_video:
        told.append(Chart("clips a source video", f"{found.videos:,} videos", found.per_video, found.videos))
    drawn[first:first] = told
    if found.missing:
        drawn.append(Chart("missing values", f"of {found.clips:,} clips", merged(found.missing), found.clips))
    if found.quarantine:
        reasons = _total(found.quarantine)
        drawn.append(Chart("not indexed, by reason", f"{reasons:,} clips, whatever the filter", merged(found.quarantine), reasons))
    return drawn


def _of_column(column: ColumnFigures, clips: int) -> Chart | None:
    if column.distribution is not None:
        return _histogram(column.name, column.distribution, times=column.kind == "times")
    if column.kind != "values" or not column.values or (column.distinct or 0) > FEW_VALUES:
        return None
    distinct = "1 value" if column.distinct == 1 else f"{column.distinct:,} values"
    shown = [(_value(value), count) for value, count in column.values]
    rest = column.clips - _total(shown)
    bars = merged(shown, more=(column.distinct or 0) - len(shown), rest=rest)
    return Chart(
        column.name, distinct if column.clips == clips else f"{distinct}, of {column.clips:,} clips that have one", bars, column.clips
    )


def _histogram(title: str, found: Distribution, *, times: bool = False) -> Chart:
    edges = tuple(_time(edge) if times else f"{edge:.12g}" for edge in found.edges)
    read = _time if times else number
    spread = f"median {read(found.median)}, 90 % from {read(found.quantiles[0])} to {read(found.quantiles[-1])}"
    bars = tuple((f"{low} to {high}", count) for low, high, count in zip(edges[:-1], edges[1:], found.counts, strict=True))
    return Chart(title, spread if times else f"mean {number(found.mean)}, {spread}", bars, found.count, edges)


def merged(pairs: Pairs, *, more: int = 0, rest: int = 0) -> tuple[tuple[str, int], ...]:
    """Return the first pairs, and one for all others together, among which may be some that are not there to be counted."""
    others = pairs[NAMED:]
    more, rest = more + len(others), rest + _total(others)
    return (*pairs[:NAMED], *([(f"{more:,} more", rest)] if more else []))


def share(part: int, whole: int) -> str:
    return percent(part / whole if whole else 0.0)


def percent(part: float) -> str:
    """Return a share in words: 12 %, 0.3 %."""
    return f"{100 * part:.0f} %" if part >= 0.0995 or part == 0 else f"{100 * part:.1f} %" if part >= 0.0005 else "below 0.1 %"


def length(hours: float) -> str:
    return f"{hours:,.0f} h" if hours >= 100 else f"{hours:.1f} h" if hours >= 1 else f"{60 * hours:.0f} min" if hours else "0 s"


def number(value: float) -> str:
    """Return a number without noise: 4.501, 12,345."""
    return f"{value:,.0f}" if 10_000 <= abs(value) < 1e15 else f"{value:.4g}"


def _total(pairs: Pairs) -> int:
    return sum(count for _, count in pairs)


def _value(value: str | bool) -> str:
    return ("yes" if value else "no") if isinstance(value, bool) else value if value.strip() else "(empty)"


def _time(seconds: float) -> str:
    return str(np.datetime64(int(seconds), "s")).removesuffix("T00:00:00")

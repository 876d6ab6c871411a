"""What a data set consists of, for those of its clips that pass a filter: headline numbers and charts, after InternVid's own page."""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from pyarrow import types

from ui.filtering.choices import kind_of
from ui.filtering.coded import Coded, Counts
from ui.filtering.facets import CODING, FIRST, NEVER
from ui.filtering.labels import edge, heading, shown, unit
from ui.plots.figures import Bar, Figure, histogram, lying, share, standing, top
from vidsearch.corpus import Corpus
from vidsearch.evaluation import counting
from vidsearch.evaluation.captions import ABOUT_WORDS, CaptionLengths
from vidsearch.evaluation.counting import SHORT_S, Selections
from vidsearch.evaluation.distribution import distribution
from vidsearch.upkeep import quarantined

KEPT = 16  # filters whose figures are remembered
FEW_VALUES = 50  # a column of at most so many distinct values is worth a chart
MOST_CHARTS = 24

Rows = npt.NDArray[np.integer]


class Dataset:
    """The figures of an index; those of the filters asked last are remembered."""

    def __init__(self, index: Corpus) -> None:
        self._index = index
        self._lengths = CaptionLengths(index)
        self._kept: OrderedDict[str, dict[str, Any]] = OrderedDict()
        self._lock = threading.Lock()

    def figures(self, selections: Selections) -> dict[str, Any]:
        """Return headline numbers and charts of the selected clips, ready for JSON.

        The first time of all takes a second or two a million clips, another filter some tenths, the same one again no time.
        """
        key = _key(self._index, selections)
        with self._lock:  # two who ask the same count once
            if key not in self._kept:
                self._kept[key] = _Count(self._index, selections, self._lengths).figures()
            self._kept.move_to_end(key)
            while len(self._kept) > KEPT:
                self._kept.popitem(last=False)
            return self._kept[key]


def figures(index: Corpus, selections: Selections) -> dict[str, Any]:
    """Return headline numbers and charts of the selected clips, ready for JSON; `Dataset` remembers what can be used again."""
    return _Count(index, selections, CaptionLengths(index)).figures()


def _key(index: Corpus, selections: Selections) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for segment, selection in zip(index.segments, selections, strict=True):
        digest.update(segment.uuid.encode())
        digest.update(b"all" if selection.everything else selection.words.tobytes())
    return digest.hexdigest()


class _Count:
    """What is counted of one selection."""

    def __init__(self, index: Corpus, selections: Selections, lengths: CaptionLengths) -> None:
        self.index, self.selections = index, selections
        self.total = sum(selection.count for selection in selections)
        self.names = index.schema.names if index.segments else []
        self.rows = self._rows()
        parts = [np.zeros(0, np.int32), *(lengths.of(number, selection) for number, selection in enumerate(selections))]
        self.words = np.concatenate(parts)
        self.videos = counting.clips_per_video(index, selections)

    def _rows(self) -> Rows | None:
        """Return the row numbers, None for all."""
        if self.total == len(self.index):
            return None
        return np.concatenate([part.ids + np.intp(first) for part, first in zip(self.selections, self.index.offsets, strict=False)])

    def figures(self) -> dict[str, Any]:
        first, others = [name for name in FIRST if name in self.names], [name for name in self.names if name not in (*FIRST, *NEVER)]
        found = [*map(self._column, first), self._captions(), self._per_video(), *map(self._column, others)]
        drawn = [chart for chart in found if chart is not None][:MOST_CHARTS]
        drawn += [chart for chart in (self._missing(), self._quarantine()) if chart is not None]
        return {
            "clips": self.total,
            "of": len(self.index),
            "numbers": [{"label": label, "value": value, "note": note} for label, value, note in self._headlines()],
            "charts": drawn,
        }

    def _headlines(self) -> list[tuple[str, str, str]]:
        whole, videos = len(self.index), len(self.videos)
        found = [("Clips", f"{self.total:,}", "" if self.total == whole else f"{share(self.total / whole)} of {whole:,}")]
        found.append(("Source videos", f"{videos:,}", f"{self.total / videos:.1f} clips each" if videos else ""))
        seconds = counting.numbers(self.index, self.selections, "duration_s")
        if len(seconds):
            found.append(("Footage", _length(float(seconds.sum(dtype=np.float64))), ""))
            found.append(("Median clip", f"{np.median(seconds):.1f} s", f"mean {seconds.mean(dtype=np.float64):.1f} s"))
        for column, title in (("language", "Languages"), ("type", "Types")):
            bars = self._values(column)
            if bars:
                found.append((title, f"{len(bars):,}", f"{bars[0].label} {share(bars[0].count / self.total)}"))
        if len(self.words):
            found.append(("Words a caption", f"{self.words.mean():.1f}", f"{int(self.words.sum(dtype=np.int64)):,} in all"))
        for name in self.names:
            if self.total and types.is_boolean(self.index.schema.field(name).type):
                yes = next((bar.count for bar in self._values(name) if bar.action and bar.action["value"] is True), 0)
                found.append((_title(name), share(yes / self.total), f"{yes:,} clips"))
        return found

    def _counts(self, coded: Coded) -> Counts:
        return coded.totals if self.rows is None else coded.count(self.rows)

    def _values(self, name: str) -> list[Bar]:
        """Return the values of a column that some clip has, most first."""
        coded = CODING.of(self.index, name) if name in self.names else None
        if coded is None or coded.edges:
            return []
        counts = self._counts(coded)
        order = np.argsort(-counts[: coded.missing], kind="stable").tolist()
        return [_bar(name, coded.values[place], int(counts[place])) for place in order if counts[place]]

    def _column(self, name: str) -> Figure | None:
        coded = CODING.of(self.index, name)
        if coded is None or not (coded.varies or name in FIRST) or (len(coded.values) > FEW_VALUES and name not in FIRST):
            return None
        if coded.edges:
            return self._histogram(name, coded)
        if kind_of(self.index.schema.field(name).type) == "other":
            bars = self._values(name)
            return lying(name, _title(name), top(bars), note=f"{len(bars):,} values" if len(bars) != 1 else "1 value")
        counts = self._counts(coded)[: coded.missing].tolist()
        bars = [_bar(name, value, count) for value, count in zip(coded.values, counts, strict=True)]
        return standing(name, _title(name), bars, note=self._spread(name))

    def _histogram(self, name: str, coded: Coded) -> Figure:
        time = kind_of(self.index.schema.field(name).type) == "time"
        edges, counts = coded.edges, self._counts(coded)[: coded.missing].tolist()
        read = [edge(value, time=time) for value in edges]
        ends: list[float | None] = [*edges] if len(counts) == 1 else [None, *edges[1:-1], None]
        bars = [
            Bar(_interval(read, place, unit(name)), count, {"kind": "range", "column": name, "low": ends[place], "high": ends[place + 1]})
            for place, count in enumerate(counts)
        ]
        return histogram(name, _title(name), bars, read, note="" if time else self._spread(name))

    def _spread(self, name: str) -> str:
        values = counting.numbers(self.index, self.selections, name)
        if not len(values):
            return "no values"
        after = f" {unit(name)}" if unit(name) else ""
        note = f"median {np.median(values):.3g}{after}, mean {values.mean(dtype=np.float64):.3g}{after}"
        return note + (f"; {share(float(np.mean(values <= SHORT_S)))} last at most 10 s" if name == "duration_s" else "")

    def _captions(self) -> Figure | None:
        found = distribution(self.words, whole=True)
        if found is None:
            return None
        read = [edge(value, time=False) for value in found.edges]
        bars = [Bar(_interval(read, place, "words"), count) for place, count in enumerate(found.counts)]
        note = f"median {found.median:.0f}, mean {found.mean:.1f}"
        return histogram("caption", "Words a caption", bars, read, note=note) | {"about": ABOUT_WORDS}

    def _per_video(self) -> Figure | None:
        if not len(self.videos):
            return None
        note = f"{len(self.videos):,} videos; {int(self.videos.max()):,} clips at most"
        bars = [Bar(label, count) for label, count in counting.per_video(self.videos)]
        return standing("clips_per_video", "Clips per source video", bars, note=note)

    def _missing(self) -> Figure | None:
        missing = {name: count for name in self.names if (count := counting.missing(self.index, self.selections, name))}
        ranked = sorted(missing.items(), key=lambda pair: -pair[1])
        bars = [Bar(name, count, {"kind": "toggle", "column": name, "value": None}) for name, count in ranked]
        return lying("missing", "Missing values", top(bars), note=f"of {self.total:,} clips") if bars else None

    def _quarantine(self) -> Figure | None:
        reasons = quarantined.reasons(self.index)
        bars = [Bar(reason, count) for reason, count in reasons.items()]
        note = f"{sum(reasons.values()):,} clips, whatever the filter"
        return lying("quarantine", "Not indexed, by reason", top(bars), note=note) if bars else None


def _bar(name: str, value: Any, count: int) -> Bar:
    return Bar(shown(name, value), count, {"kind": "toggle", "column": name, "value": value})


def _interval(edges: Sequence[str], place: int, after: str) -> str:
    return f"{edges[place]} to {edges[place + 1]} {after}".rstrip()


def _title(name: str) -> str:
    text = heading(name)
    return text[:1].upper() + text[1:]


def _length(seconds: float) -> str:
    hours = seconds / 3600
    return f"{hours:,.0f} h" if hours >= 100 else f"{hours:.1f} h" if hours >= 1 else f"{seconds / 60:.0f} min"

"""What a data set consists of, for those of its clips that pass a filter: headline numbers and charts, after InternVid's own page."""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import types

from ui.figures import Figure, bars, bins_of, histogram, share, steps
from ui.labels import heading, unit
from ui.words import CaptionLengths
from vidsearch.answers.videos import FILE, SOURCE
from vidsearch.corpus import Corpus
from vidsearch.selection import Selection
from vidsearch.upkeep import quarantined

KEPT = 16  # filters whose figures are remembered
FEW_VALUES = 50  # a column of at most so many distinct values is worth a chart
MOST_CHARTS = 24
FIRST = ("language", "type", "duration_s", "aesthetic", "umt_score")
PLACES = ("start_s", "end_s", "source_start_s", "source_end_s")  # where a clip lies says nothing of the set
NAMES = ("clip_id", "video", "youtube_id", "caption")
PER_VIDEO = ((1, 1), (2, 2), (3, 3), (4, 4), (5, 5), (6, 10), (11, 20), (21, 50), (51, 100), (101, None))

Selections = Sequence[Selection]


class Dataset:
    """The figures of an index; those of the filters asked last are remembered."""

    def __init__(self, index: Corpus) -> None:
        self._index = index
        self._lengths = CaptionLengths(index)
        self._kept: OrderedDict[str, dict[str, Any]] = OrderedDict()
        self._lock = threading.Lock()

    def figures(self, selections: Selections) -> dict[str, Any]:
        """Return headline numbers and charts of the selected clips, ready for JSON; about a second a million clips, then at once."""
        key = _key(self._index, selections)
        with self._lock:  # two who ask the same count once
            if key not in self._kept:
                self._kept[key] = _figures(self._index, selections, self._lengths)
            self._kept.move_to_end(key)
            while len(self._kept) > KEPT:
                self._kept.popitem(last=False)
            return self._kept[key]


def figures(index: Corpus, selections: Selections) -> dict[str, Any]:
    """Return headline numbers and charts of the selected clips, ready for JSON."""
    return _figures(index, selections, CaptionLengths(index))


def _key(index: Corpus, selections: Selections) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for segment, selection in zip(index.segments, selections, strict=True):
        digest.update(segment.uuid.encode())
        digest.update(b"all" if selection.everything else selection.words.tobytes())
    return digest.hexdigest()


def _figures(index: Corpus, selections: Selections, lengths: CaptionLengths) -> dict[str, Any]:
    total = sum(selection.count for selection in selections)
    if not index.segments:
        return {"clips": 0, "of": 0, "numbers": [], "charts": []}
    words = np.concatenate([lengths.of(number, selection) for number, selection in enumerate(selections)])
    videos = _clips_per_video(index, selections)
    seconds = _numbers(index, selections, "duration_s")
    charts = [_column_chart(index, selections, name) for name in _charted(index)]
    charts[len(FIRST) : len(FIRST)] = [_word_chart(words), _video_chart(videos)]
    charts += [_missing_chart(index, selections, total), _quarantine_chart(index)]
    return {
        "clips": total,
        "of": len(index),
        "numbers": _headlines(index, selections, total, videos=videos, seconds=seconds, words=words),
        "charts": [chart for chart in charts if chart is not None],
    }


def _headlines(
    index: Corpus,
    selections: Selections,
    total: int,
    *,
    videos: npt.NDArray[np.int64],
    seconds: npt.NDArray[Any],
    words: npt.NDArray[np.int32],
) -> list[dict[str, str]]:
    whole = len(index)
    found = [("Clips", f"{total:,}", "" if total == whole else f"{share(total / whole)} of {whole:,}")]
    found.append(("Source videos", f"{len(videos):,}", f"{total / len(videos):.1f} clips each on average" if len(videos) else ""))
    if len(seconds):
        found.append(("In all", _length(float(seconds.sum(dtype=np.float64))), ""))
        found.append(("Median duration", f"{np.median(seconds):.1f} s", f"mean {seconds.mean(dtype=np.float64):.1f} s"))
    for column, title in (("language", "Languages"), ("type", "Types")):
        if column in index.schema.names:
            counts = {value: count for value, count in index.value_counts(column, selections).items() if value is not None}
            note = f"{next(iter(counts))} {share(max(counts.values()) / total)}" if counts else ""
            found.append((title, f"{len(counts):,}", note))
    if len(words):
        found.append(("Words a caption", f"{words.mean():.1f}", f"{int(words.sum(dtype=np.int64)):,} in all"))
    for field in index.schema:
        if types.is_boolean(field.type):
            yes = index.value_counts(field.name, selections).get(True, 0)
            found.append((_title(field.name), share(yes / total) if total else "–", f"{yes:,} clips"))
    return [{"label": label, "value": value, "note": note} for label, value, note in found]


def _length(seconds: float) -> str:
    hours = seconds / 3600
    return f"{hours:,.0f} h" if hours >= 100 else f"{hours:.1f} h" if hours >= 1 else f"{seconds / 60:.0f} min"


def _charted(index: Corpus) -> list[str]:
    """Return the columns that get a chart: what InternVid tells of its clips, then numbers, then what has few values."""
    names = [field.name for field in index.schema if field.name not in (*NAMES, *PLACES, *FIRST)]
    numbers = [name for name in names if _is_number(index.schema.field(name).type)]
    few = [name for name in names if _has_few_values(index, name)]
    return [*(name for name in FIRST if name in index.schema.names), *numbers, *few][:MOST_CHARTS]


def _is_number(column_type: pa.DataType) -> bool:
    return bool(types.is_integer(column_type) or types.is_floating(column_type))


def _has_few_values(index: Corpus, name: str) -> bool:
    columns = [segment.columns[name] for segment in index.segments if name in segment.columns]
    if any(column.kind != "category" for column in columns):
        return False
    return 1 < len(set().union(*(column.values for column in columns if column.kind == "category"))) <= FEW_VALUES


def _column_chart(index: Corpus, selections: Selections, name: str) -> Figure | None:
    if _is_number(index.schema.field(name).type):
        values = _numbers(index, selections, name)
        return histogram(name, _title(name), bins_of(values), column=name, unit=unit(name), note=_spread(values, name))
    return bars(name, _title(name), index.value_counts(name, selections), column=name)


def _title(name: str) -> str:
    text = heading(name)
    return text[:1].upper() + text[1:]


def _spread(values: npt.NDArray[Any], name: str) -> str:
    if not len(values):
        return "no values"
    after = f" {unit(name)}" if unit(name) else ""
    note = f"median {np.median(values):.3g}{after}, mean {values.mean(dtype=np.float64):.3g}{after}"
    return note + (f"; {share(float(np.mean(values <= 10)))} at most 10 s" if name == "duration_s" else "")


def _numbers(index: Corpus, selections: Selections, name: str) -> npt.NDArray[Any]:
    """Return the values of a column in the selected rows that have one."""
    found = [np.zeros(0, np.float32)]
    for segment, selection in zip(index.segments, selections, strict=True):
        column = segment.columns.get(name)
        if column is None or column.kind != "number":
            continue
        if selection.everything:
            found.append(column.values if column.places == column.rows else column.values[(~column.nulls).ids])
        else:
            found.append(column.values[selection.ids[column.known(selection.ids)]])
    return np.concatenate(found[1:] or found)


def _clips_per_video(index: Corpus, selections: Selections) -> npt.NDArray[np.int64]:
    """Return how many selected clips each source video has; a clip's source is the YouTube id where it has one, else its file."""
    sources, files = [], []
    for segment, selection in zip(index.segments, selections, strict=True):
        named = segment.columns.get(SOURCE)
        without = selection if named is None else selection & named.nulls
        if named is not None:
            sources.append(_texts(named, selection & ~named.nulls))
        if FILE in segment.columns:
            files.append(_texts(segment.columns[FILE], without))
    counted = [pc.value_counts(pa.chunked_array(part, pa.large_string())).field("counts") for part in (sources, files) if part]
    return np.concatenate([np.zeros(0, np.int64), *(counts.to_numpy(zero_copy_only=False) for counts in counted)])


def _texts(column: Any, selection: Selection) -> pa.Array:
    texts = column.arrow(None if selection.everything else selection.ids)
    return texts.cast(pa.large_string())


def _word_chart(words: npt.NDArray[np.int32]) -> Figure | None:
    if not len(words):
        return None
    note = f"median {np.median(words):.0f}, mean {words.mean():.1f}; in scripts without spaces, characters"
    return histogram("caption", "Words a caption", bins_of(words), column=None, unit="words", note=note)


def _video_chart(videos: npt.NDArray[np.int64]) -> Figure | None:
    if not len(videos):
        return None
    labels = [f"{low}" if low == high else f"{low}–{high}" if high else f"{low}+" for low, high in PER_VIDEO]
    counts = np.bincount(np.searchsorted([low for low, _ in PER_VIDEO], videos, side="right") - 1, minlength=len(PER_VIDEO)).tolist()
    last = max(place for place, count in enumerate(counts) if count) + 1
    note = f"{len(videos):,} videos; the most clips of one: {int(videos.max()):,}"
    return steps("clips_per_video", "Clips per source video", labels[:last], counts[:last], note=note)


def _missing_chart(index: Corpus, selections: Selections, total: int) -> Figure | None:
    missing = {name: count for name in index.schema.names if (count := _missing(index, selections, name))}
    if not missing:
        return None
    ranked: Mapping[str, int] = dict(sorted(missing.items(), key=lambda pair: -pair[1]))
    chart = bars("missing", "Missing values", ranked, column=None, note=f"of {total:,} clips")
    for row, name in zip(chart["rows"], ranked, strict=False):
        row["action"] = {"kind": "toggle", "column": name, "value": None}
    chart["figure"]["data"][0]["customdata"] = [row["action"] for row in chart["rows"]]
    return chart


def _missing(index: Corpus, selections: Selections, name: str) -> int:
    columns = [segment.columns.get(name) for segment in index.segments]
    parts = [chosen if column is None else chosen & column.nulls for column, chosen in zip(columns, selections, strict=True)]
    return sum(part.count for part in parts)


def _quarantine_chart(index: Corpus) -> Figure | None:
    reasons = quarantined.reasons(index)
    note = f"{sum(reasons.values()):,} clips of the whole index"
    return bars("quarantine", "Not indexed, by reason", reasons, column=None, note=note) if reasons else None

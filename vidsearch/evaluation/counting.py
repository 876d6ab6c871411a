"""What selected rows hold: numbers, source videos, missing values. For the page's charts and the command's figures alike."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyarrow import types

from vidsearch.answers.videos import FILE, SOURCE
from vidsearch.corpus import Corpus
from vidsearch.selection import Selection
from vidsearch.storage.columns import AnyColumn

SHORT_S = 10.0  # InternVid's authors say how many clips last no longer
PER_VIDEO = ((1, 1), (2, 2), (3, 3), (4, 4), (5, 5), (6, 10), (11, 20), (21, 50), (51, 100), (101, None))  # clips of one source video
HUGE = 1e300  # numbers beyond are no measurements, and their sum would be infinite

Selections = Sequence[Selection]


def numbers(index: Corpus, selections: Selections, name: str) -> npt.NDArray[Any]:
    """Return the finite values of a column of numbers in the selected rows that have one; times are none."""
    found = [np.zeros(0, np.float64)]
    for segment, selection in zip(index.segments, selections, strict=True):
        column = segment.columns.get(name)
        if column is None or column.kind != "number" or types.is_temporal(column.type):
            continue
        ids = selection.ids if column.places < column.rows or not selection.everything else None
        found.append(column.values if ids is None else column.values[ids[column.known(ids)]])
    return _finite(np.concatenate(found[1:] or found))


def times_s(index: Corpus, selections: Selections, name: str) -> npt.NDArray[np.int64]:
    """Return the dates or times of the selected rows that have one, in seconds since 1970."""
    found = [np.zeros(0, np.int64)]
    for segment, selection in zip(index.segments, selections, strict=True):
        column = segment.columns.get(name)
        if column is None or not types.is_temporal(column.type):
            continue
        ids = (selection & ~column.nulls).ids
        stored = column.arrow(ids).cast(pa.timestamp("s"), safe=False)
        found.append(np.frombuffer(stored.buffers()[1], np.int64, count=len(stored)))
    return np.concatenate(found)


def missing(index: Corpus, selections: Selections, name: str) -> int:
    """Return how many selected rows have no value in a column, or no such column."""
    columns = [segment.columns.get(name) for segment in index.segments]
    parts = [part if column is None else part & column.nulls for column, part in zip(columns, selections, strict=True)]
    return sum(part.count for part in parts)


def clips_per_video(index: Corpus, selections: Selections) -> npt.NDArray[np.int64]:
    """Return how many selected clips each source video has; a clip's source is the YouTube id where it has one, else its file."""
    parts: dict[str, list[tuple[pa.Array, npt.NDArray[np.int64]]]] = {SOURCE: [], FILE: []}
    for segment, selection in zip(index.segments, selections, strict=True):
        named = segment.columns.get(SOURCE)
        if named is not None:
            parts[SOURCE].append(_texts(named, selection & ~named.nulls))
        if FILE in segment.columns:
            parts[FILE].append(_texts(segment.columns[FILE], selection if named is None else selection & named.nulls))
    return np.concatenate([np.zeros(0, np.int64), *(_summed(found) for found in parts.values() if found)])


def per_video(videos: npt.NDArray[np.int64]) -> list[tuple[str, int]]:
    """Return how many source videos have one clip, two and so on, up to the most that any has."""
    if not len(videos):
        return []
    labels = [f"{low}" if low == high else f"{low}–{high}" if high else f"{low}+" for low, high in PER_VIDEO]
    places = np.searchsorted([low for low, _ in PER_VIDEO], videos, side="right") - 1
    counts = np.bincount(places, minlength=len(PER_VIDEO)).tolist()[: int(places.max()) + 1]
    return list(zip(labels, counts, strict=False))


def short_sides(index: Corpus, selections: Selections) -> npt.NDArray[Any]:
    """Return the shorter side of each selected clip's picture, pixels, of those whose width and height are known."""
    found = [np.zeros(0, np.float64)]
    for segment, selection in zip(index.segments, selections, strict=True):
        width, height = segment.columns.get("width"), segment.columns.get("height")
        if width is None or height is None or not width.kind == height.kind == "number":
            continue
        known = selection & ~width.nulls & ~height.nulls
        sides = np.minimum(width.values, height.values)
        found.append(sides if known.everything else sides[known.ids])
    return _finite(np.concatenate(found))


def _finite(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    if values.dtype.kind != "f" or not len(values) or (values.min().item() > -HUGE and values.max().item() < HUGE):  # NaN: neither
        return values
    inside = np.abs(values) < HUGE if values.dtype == np.float64 else np.isfinite(values)
    return np.asarray(values[inside])


def _texts(column: AnyColumn, selection: Selection) -> tuple[pa.Array, npt.NDArray[np.int64]]:
    """Return the distinct texts of some rows, and how many rows have each."""
    if not selection.count:
        return pa.array([], pa.large_string()), np.zeros(0, np.int64)
    if column.kind == "text":
        rows, counts = column.groups(selection)
        return column.arrow(rows), counts
    if column.kind == "category":
        counted = {value: count for value, count in column.tally(selection).items() if value is not None}
        return pa.array([str(value) for value in counted], pa.large_string()), np.array([*counted.values()], np.int64)
    texts = column.arrow(selection.ids).cast(pa.large_string())
    return texts, np.ones(len(texts), np.int64)


def _summed(parts: Sequence[tuple[pa.Array, npt.NDArray[np.int64]]]) -> npt.NDArray[np.int64]:
    """Return how many rows each text has in all segments together."""
    texts = pa.chunked_array([texts for texts, _ in parts], pa.large_string()).combine_chunks()
    codes = texts.dictionary_encode().indices
    weights = np.concatenate([counts for _, counts in parts])
    return np.bincount(np.frombuffer(codes.buffers()[1] or b"", np.int32, count=len(codes)), weights).astype(np.int64)

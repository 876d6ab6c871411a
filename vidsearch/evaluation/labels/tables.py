"""Rows with a video and a class: Kinetics' CSV, Something-Something's JSON, and anyone's own CSV or JSON.

label,youtube_id,time_start,time_end,split       Kinetics; a clip's file is {youtube_id}_{start:06d}_{end:06d}, or the whole video
{"id": "78687", "template": "Holding [something] next to [something]", "label": "holding potato next to …"}
file,label
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from vidsearch.errors import UsageError
from vidsearch.evaluation.annotations._rows import UNDERSTOOD, VIDEO, Row, read_rows
from vidsearch.evaluation.annotations.base import Clip
from vidsearch.evaluation.labels import lists
from vidsearch.evaluation.labels.base import Labelled

LABEL = ("template", "label", "class", "class_name", "action", "category", "label_id", "class_id")
TIMES = (("time_start", "time_end"), ("start_s", "end_s"), ("start", "end"))


def recognises(path: Path) -> bool:
    """Whether that is a table or JSON by its suffix, and no list."""
    return path.is_file() and path.suffix.lower() in UNDERSTOOD and not lists.recognises(path)


def read(path: Path, split: str | None) -> list[Labelled]:
    """Read the rows that have a class; a row without one says nothing here."""
    rows = _of_split(read_rows(path), split, path)
    label = next((name for name in LABEL if any(row.get(name) not in (None, "") for row in rows)), None)
    if rows and label is None:
        raise UsageError(f"{path} has no column of classes; it must be one of {', '.join(LABEL)}")
    found = []
    for number, row in enumerate(rows, 1):
        if label is not None and row.get(label) not in (None, ""):
            try:
                found.append(_labelled(row, label))
            except (UsageError, ValueError) as error:
                raise UsageError(f"{path}, row {number}: {error}") from error
    return found


def _of_split(rows: Sequence[Row], split: str | None, path: Path) -> Sequence[Row]:
    there = sorted({str(row["split"]) for row in rows if row.get("split") not in (None, "")})
    if split is None and len(there) > 1:
        raise UsageError(f"{path} holds the splits {', '.join(there)}; choose one with --split")
    if split is not None and split not in there:
        raise UsageError(f"{path} has no split {split!r}; it holds {', '.join(there) or 'none'}")
    return [row for row in rows if split is None or row.get("split") == split]


def _labelled(row: Row, label: str) -> Labelled:
    video = next((row[name] for name in VIDEO if row.get(name) not in (None, "")), None)
    if video is None:
        raise UsageError(f"names no video; one of its columns must be {', '.join(VIDEO[:7])} …")
    times = next((pair for pair in TIMES if all(row.get(name) not in (None, "") for name in pair)), None)
    value = row[label]
    named = int(value) if isinstance(value, int) or (isinstance(value, str) and value.isdecimal()) else str(value)
    if times is None:
        return Labelled(Clip(str(video)), named)
    start, end = (float(row[name]) for name in times)
    return Labelled(Clip(str(video), start, end), named, f"{video}_{int(start):06d}_{int(end):06d}")

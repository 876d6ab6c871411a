"""Rows of an annotation file, whatever it is written as: JSON (an array, or an object a line), CSV or TSV with a header.

Most layouts are rows with a video and a caption, or a list of captions (VindLU's); only the names of the columns differ.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterable, Mapping
from io import StringIO
from pathlib import Path
from typing import Any

from vidsearch.errors import InputNotFoundError, UsageError
from vidsearch.evaluation.annotations.base import Clip, Sentence

# Of several that are there the first counts: a path says more than an id.
VIDEO = ("video_path", "file_path", "path", "file", "video", "video_id", "videoid", "youtubeid", "youtube_id", "clip_id", "vid", "id")
TEXT = ("caption", "captions", "sentence", "sentences", "description", "text", "query")
START = ("start_s", "start_sec", "start_timestamp", "start")
END = ("end_s", "end_sec", "end_timestamp", "end")
UNDERSTOOD = (".csv", ".tsv", ".json", ".jsonl")
CLOCK = re.compile(r"(\d+):(\d{1,2}):(\d{1,2}(?:\.\d+)?)", re.ASCII)

Row = Mapping[str, Any]


def read_text(path: Path) -> str:
    """Return a file's text, or say in a line why it has none."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise InputNotFoundError(f"no annotation file {path}") from error
    except IsADirectoryError as error:
        raise UsageError(f"{path} is a folder; name the annotation file in it") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: byte {error.start + 1} is not UTF-8; save the file as UTF-8") from error


def read_json(path: Path) -> Any:
    """Return the value of a JSON file; a file with an object a line gives a list of them."""
    text = read_text(path)
    try:
        return json.loads(text)
    except ValueError as error:
        lines = [line for line in text.split("\n") if line.strip()]
        try:
            return [json.loads(line) for line in lines]
        except (ValueError, RecursionError):
            raise UsageError(f"{path} is neither JSON nor an object a line ({error})") from error
    except RecursionError as error:
        raise UsageError(f"{path}: its JSON is nested too deeply") from error


def read_rows(path: Path) -> list[Row]:
    """Return a file's rows, the names of their columns in lower case."""
    suffix = path.suffix.lower()
    if suffix not in UNDERSTOOD:
        raise UsageError(f"{path.name} is not understood; choose from {', '.join(UNDERSTOOD)}")
    if suffix in (".csv", ".tsv"):
        return _read_csv(path)
    return json_rows(read_json(path), path)


def json_rows(value: Any, path: Path) -> list[Row]:
    """Return a JSON value as rows: an array of objects, or one object."""
    rows = [value] if isinstance(value, dict) else value
    if not isinstance(rows, list):
        raise UsageError(f"{path}: an array of objects was expected, not {type(value).__name__}")
    for number, row in enumerate(rows, 1):
        if not isinstance(row, dict):
            raise UsageError(f"{path}: entry {number} is no object with a video and a caption")
    return [{str(name).lower(): value for name, value in row.items()} for row in rows]


def sentences_of(rows: Iterable[Row], path: Path, *, spans: bool = False) -> list[Sentence]:
    """Return the sentences of rows that name a video and one caption or a list of them.

    Args:
        spans: columns of times cut the clip that is shown out of its video; without it the whole video is shown.
    """
    found = []
    for number, row in enumerate(rows, 1):
        try:
            clip = Clip(_name(row), *(_span(row) if spans else ()))
            found += [Sentence(clip, text) for text in _texts(row)]
        except UsageError as error:
            raise UsageError(f"{path}, row {number}: {error}") from error
    return found


def _read_csv(path: Path) -> list[Row]:
    text = read_text(path)
    delimiter = max(",\t;|", key=text.partition("\n")[0].count)
    try:
        header, *records = [record for record in csv.reader(StringIO(text, newline=""), delimiter=delimiter, strict=True) if record] or [[]]
    except csv.Error as error:
        raise UsageError(f"{path} is not CSV ({error})") from error
    names = [name.strip().lower() for name in header]
    for number, record in enumerate(records, 1):
        if len(record) != len(names):
            raise UsageError(
                f"{path}, row {number}: {len(record)} values under {len(names)} columns; quote captions that hold {delimiter!r}"
            )
    return [dict(zip(names, record, strict=True)) for record in records]


def _name(row: Row) -> str:
    name = next((row[column] for column in VIDEO if row.get(column) not in (None, "")), None)
    if name is None:
        raise UsageError(f"names no video; columns {', '.join(list(row)[:8])}, one of them must be {', '.join(VIDEO[:6])} …")
    return str(name)


def _texts(row: Row) -> list[str]:
    value = next((row[column] for column in TEXT if row.get(column) not in (None, "", [])), None)
    texts: list[Any] = value if isinstance(value, list) else [value]
    if not all(isinstance(text, str) and text.strip() for text in texts):
        raise UsageError(f"has no caption; one of its columns must be {', '.join(TEXT[:5])} … with a text or a list of texts")
    return [" ".join(text.split()) for text in texts]


def _span(row: Row) -> tuple[float, float | None]:
    start, end = (next((row[column] for column in columns if row.get(column) not in (None, "")), None) for columns in (START, END))
    return (0.0 if start is None else _seconds(start)), (None if end is None else _seconds(end))


def _seconds(value: Any) -> float:
    clock = CLOCK.fullmatch(str(value).strip())
    if clock:
        return int(clock[1]) * 3600 + int(clock[2]) * 60 + float(clock[3])
    try:
        seconds = float(value)
    except (TypeError, ValueError):
        seconds = -1.0
    if not 0 <= seconds < 1e7:
        raise UsageError(f"time {value!r} is neither HH:MM:SS.mmm nor seconds")
    return seconds

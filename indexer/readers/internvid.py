"""InternVid rows, as JSON lines or Parquet, with the clips they name.

Names of fields, of files and their odd cases: OpenGVLab/InternVideo, Data/InternVid, and the parsers people published for it. A clip lies
on disk as `{YoutubeID}_{Start}_{End}.mp4` (cut; `-` or `_` may stand for the colons), as a whole video `{YoutubeID}.mp4` to be cut by
the row's timestamps, or where a path column says. The id is the first 11 characters and may hold or begin with `_` and `-`.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from indexer.readers.base import PLACE_SCHEMA, BadRow, Block, clip_key, list_videos
from indexer.rows import table_of
from vidsearch.errors import InputNotFoundError, UsageError

SUFFIXES = (".jsonl", ".parquet")
COLUMN_OF = {
    "youtubeid": "youtube_id",
    "videoid": "youtube_id",
    "start_timestamp": "start",
    "start_sec": "start",
    "end_timestamp": "end",
    "end_sec": "end",
    "caption": "caption",
    "aesthetic_score": "aesthetic",
    "umt_score": "umt_score",
    "clip_score": "clip_score",
    "language": "language",
    "lang": "language",
    "category": "type",
    "type": "type",
    "video_path": "path",
    "file_path": "path",
    "path": "path",
    "file": "path",
    "video": "path",
}
NUMBERS = frozenset({"aesthetic", "umt_score", "clip_score"})
RESERVED = frozenset({"key", "there", "clip_id", "start_s", "end_s", "duration_s", "source_start_s", "source_end_s"})
ID_LENGTH = 11
TIMESTAMP = re.compile(r"(\d+)[:_-](\d{1,2})[:_-](\d{1,2}(?:\.\d+)?)")
CUT_CLIP = re.compile(rf"(.{{{ID_LENGTH}}})_{TIMESTAMP.pattern}_{TIMESTAMP.pattern}")
BATCH_ROWS = 8192

Record = dict[str, Any]


def recognises(path: Path) -> bool:
    """Whether the first row of the file has a YouTube id and a caption or timestamps."""
    if path.suffix not in SUFFIXES or not path.is_file():
        return False
    try:
        first = next(_records(path), (0, None))[1]
    except (UsageError, pa.ArrowInvalid):
        return False
    return first is not None and {"youtube_id", "start"} <= {COLUMN_OF.get(name.lower()) for name in first}


def read(path: Path, videos: Path) -> Iterator[Block]:
    if not path.is_file():
        raise InputNotFoundError(f"no metadata file {path}; give a .jsonl or .parquet file")
    if path.suffix not in SUFFIXES:
        raise UsageError(f"metadata file {path.name} has the suffix {path.suffix!r}; choose from {', '.join(SUFFIXES)}")
    files = VideoFiles(videos)
    rows = (_row_of(record, f"{path.name}:{number}", files) for number, record in _records(path))
    while block := list(islice(rows, BATCH_ROWS)):
        clips = [row for row in block if not isinstance(row, BadRow)]
        yield Block(table_of(clips, PLACE_SCHEMA), [row for row in block if isinstance(row, BadRow)])


def _row_of(record: Record | None, place: str, files: VideoFiles) -> Record | BadRow:
    if record is None:
        return BadRow(place, "", "METADATA_INVALID", f"{place}: not a JSON object")
    return _row(record, place, files)


class VideoFiles:
    """The video files of a folder, found by what rows know of them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()
        self.whole: dict[str, str] = {}
        self.cut: dict[tuple[str, int, int], str] = {}
        for video in list_videos(folder):
            stem = Path(video).stem
            match = CUT_CLIP.fullmatch(stem)
            if match:
                times = match.groups()[1:]
                self.cut.setdefault((match[1], _milliseconds(times[:3]), _milliseconds(times[3:])), video)
            elif len(stem) == ID_LENGTH:
                self.whole.setdefault(stem, video)

    def inside(self, path: str) -> str | None:
        """Return a path column's value relative to the folder; None when it points out of it or is a URL."""
        if "://" in path or "\0" in path:
            return None
        resolved = (self.folder / path).resolve()
        return str(resolved.relative_to(self.folder)) if resolved.is_relative_to(self.folder) else None

    def exists(self, video: str) -> bool:
        return (self.folder / video).exists()


def _row(record: Record, place: str, files: VideoFiles) -> Record | BadRow:
    fields = _named(record)
    path, youtube_id = fields.pop("path", None), fields.get("youtube_id")
    source = str(youtube_id or path or place)
    try:
        start, end = parse_seconds(fields.pop("start", None)), parse_seconds(fields.pop("end", None))
        metadata = {name: _value(name, value) for name, value in fields.items()}
    except ValueError as error:
        return BadRow(f"{source}@{place}", str(path or ""), "METADATA_INVALID", f"{place}: {error}")
    if path is not None:
        video = files.inside(str(path))
        if video is None:
            return BadRow(
                f"{source}@{place}", str(path), "PATH_ESCAPE", f"{place}: {path} lies outside the videos' folder; name it with --videos"
            )
        return _clip(clip_key(video, start or 0.0, end), video, start or 0.0, end, metadata, there=files.exists(video))
    metadata = {**metadata, "source_start_s": start, "source_end_s": end}
    key = clip_key(source, start or 0.0, end)
    cut = None if start is None or end is None else files.cut.get((source, round(start * 1000), round(end * 1000)))
    if cut is not None:
        return _clip(key, cut, 0.0, None, metadata)
    return _clip(key, files.whole.get(source, source), start or 0.0, end, metadata, there=source in files.whole)


def _clip(key: str, video: str, start_s: float, end_s: float | None, metadata: Record, *, there: bool = True) -> Record:
    return {"key": key, "video": video, "there": there, "start_s": start_s, "end_s": end_s, **metadata}


def _named(record: Record) -> Record:
    fields: Record = {}
    for name, value in record.items():
        known = COLUMN_OF.get(name.lower(), name)
        if known not in RESERVED:
            fields.setdefault(known, value)
    return fields


def _value(name: str, value: Any) -> Any:
    if name in NUMBERS:
        number = None if value in (None, "") else float(value)
        return None if number is None or math.isnan(number) else number
    if value is None or isinstance(value, str | bool | int | float):
        return str(value) if value is not None and name in ("youtube_id", "caption", "language", "type") else value
    return json.dumps(value, ensure_ascii=False, default=str)


def parse_seconds(value: Any) -> float | None:
    """Return seconds of "HH:MM:SS.mmm" or of a number; anything else raises ValueError."""
    if value is None or value == "":
        return None
    if isinstance(value, str) and (match := TIMESTAMP.fullmatch(value.strip())):
        return _milliseconds(match.groups()) / 1000
    try:
        seconds = float(value)
    except (TypeError, ValueError):
        raise ValueError(f"time {value!r} is neither HH:MM:SS.mmm nor seconds") from None
    if not 0 <= seconds < 1e7:
        raise ValueError(f"time {value!r} is not within 0 to 10,000,000 seconds")
    return seconds


def _milliseconds(parts: tuple[str | Any, ...]) -> int:
    hours, minutes, seconds = parts
    return round((int(hours) * 3600 + int(minutes) * 60 + float(seconds)) * 1000)


def _records(path: Path) -> Iterator[tuple[int, Record | None]]:
    """Yield each row's number, from 1, and the row; None for a line that is no JSON object."""
    if path.suffix == ".parquet":
        number = 0
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(BATCH_ROWS):
                for record in batch.to_pylist():
                    number += 1
                    yield number, record
        return
    with path.open(encoding="utf-8-sig", errors="replace") as lines:
        for number, line in enumerate(lines, 1):
            if line.strip():
                yield number, _json_object(line)


def _json_object(line: str) -> Record | None:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) else None

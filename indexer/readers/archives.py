"""Tar and zip archives of videos, read in place: shards of webdataset and video2dataset, and OpenDataLab's zip files of InternVid clips.

A video `KEY.mp4` is one sample with `KEY.txt` (its caption) and `KEY.json` where these are there. Of the JSON that video2dataset writes
(its clipping_subsampler.py and README), `clips` are times in the original video: a sample whose key ends in a clip's number (`KEY_003`)
has been cut out there, any other is the whole video. Clips named `{YoutubeID}_{Start}_{End}.mp4` say all this in their names.
"""

from __future__ import annotations

import json
import math
import re
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import Any

from indexer.readers._members import is_video
from indexer.readers._raw import as_text
from indexer.readers._times import parse_seconds
from indexer.readers._values import NO_NUMBER, NUMBERS, TEXTS, known_columns
from indexer.readers._video_files import cut_name
from indexer.readers.base import PLACE_SCHEMA, BadRow, Block, clip_key
from indexer.rows import table_of
from vidsearch.archives.archive import Archive
from vidsearch.archives.entries import Member
from vidsearch.archives.members import READERS, is_archive
from vidsearch.errors import DecodeError, UsageError

COMPRESSED = (".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar.zst")
MAX_SIDE_BYTES = 4 << 20  # of a caption or JSON file
MAX_NESTED_LETTERS = 4096  # a JSON value larger than that, such as all subtitles of a video, is left out
BLOCK_ROWS = 4096
PEEKED = 64  # members of a compressed archive that are looked at

_CLIP_NUMBER = re.compile(r"_\d{2,}$", re.ASCII)
_YOUTUBE = re.compile(
    r"(?:youtube(?:-nocookie)?\.com/(?:watch\?(?:[^#]*&)?v=|shorts/|embed/|live/|v/)|youtu\.be/)([\w-]{11})(?![\w-])", re.ASCII
)
_NOT_COLUMNS = {"clips", "status", "error_message", "path", "row"}

Record = dict[str, Any]


@dataclass(frozen=True)
class _Sample:
    """What is known of one video; times are seconds in the original.

    Attributes:
        source: its YouTube id, "" if that is not known.
        spans: of the clips that were cut out of the original, or are to be.
        cut: whether the video is one such clip.
    """

    source: str
    spans: tuple[tuple[float, float], ...]
    cut: bool
    metadata: Record


def recognises(path: Path) -> bool:
    """Whether an archive holds a video, or cannot be read as its name says, which is then to be reported."""
    if not path.is_file():
        return False
    if path.name.lower().endswith(COMPRESSED):
        return _holds_video_compressed(path)
    try:
        if not is_archive(path):
            return False
        with Archive(path) as archive:
            return any(is_video(entry.name) or not entry.name for entry in archive.entries())
    except DecodeError:
        return False


def read(path: Path, videos: Path) -> Iterator[Block]:
    if path.name.lower().endswith(COMPRESSED):
        detail = f"{path.name} is compressed as a whole, so nothing in it can be read in place; decompress it to a plain .tar"
        yield Block(table_of([], PLACE_SCHEMA), [BadRow(path.name, path.name, "FORMAT_NOT_ALLOWED", detail)])
        return
    if not is_archive(path):
        raise UsageError(f"{path} is no archive; choose from {', '.join(READERS)}")
    prefix = _below(path, videos)
    try:
        with Archive(path) as archive:
            rows = _rows(archive, prefix)
            while block := list(islice(rows, BLOCK_ROWS)):
                yield from _blocks(block)
    except DecodeError as error:
        yield Block(table_of([], PLACE_SCHEMA), [BadRow(prefix, prefix, error.reason, error.detail)])


def _blocks(rows: list[Record | BadRow]) -> Iterator[Block]:
    bad = [row for row in rows if isinstance(row, BadRow)]
    described = [row for row in rows if not isinstance(row, BadRow) and len(row) > len(PLACE_SCHEMA)]
    if bad or described:
        yield Block(table_of(described, PLACE_SCHEMA), bad)
    uncut = [row for row in rows if not isinstance(row, BadRow) and len(row) == len(PLACE_SCHEMA)]
    if uncut:
        yield Block(table_of(uncut, PLACE_SCHEMA), uncut=True)


def _below(path: Path, videos: Path) -> str:
    try:
        return path.absolute().relative_to(videos.absolute()).as_posix()
    except ValueError:
        raise UsageError(f"{path} lies outside the videos' folder {videos}; leave out --videos, or name a folder above it") from None


def _holds_video_compressed(path: Path) -> bool:
    try:
        with tarfile.open(path) as archive:
            return any(is_video(entry.name) for entry in islice(archive, PEEKED))
    except (tarfile.TarError, OSError, EOFError, ValueError):
        return False


def _rows(archive: Archive, prefix: str) -> Iterator[Record | BadRow]:
    table = archive.table()
    for refused in table.refused:
        if not refused.name or is_video(refused.name):
            video = f"{prefix}/{refused.name}" if refused.name else prefix
            yield BadRow(video, video, refused.reason, f"{video}: {refused.detail}")
    for name in table.members:
        if is_video(name):
            video = f"{prefix}/{name}"
            try:
                yield from _clips(video, _sample(archive, table.members, name))
            except (ValueError, DecodeError) as error:
                yield BadRow(video, video, "METADATA_INVALID", f"{video}: {error}")


def _clips(video: str, sample: _Sample) -> Iterator[Record]:
    """Yield a sample's clips: those it is to be cut into, else one that is the whole file."""
    if not sample.spans or sample.cut:
        times = sample.spans[0] if sample.spans else (0.0, None)
        key = clip_key(sample.source, *times) if sample.source else clip_key(video, 0.0, None)
        yield {"key": key, "video": video, "there": True, "start_s": 0.0, "end_s": None, **sample.metadata, **_source_times(sample.spans)}
        return
    for span in sample.spans:
        place = {"key": clip_key(sample.source or video, *span), "video": video, "there": True, "start_s": span[0], "end_s": span[1]}
        yield {**place, **sample.metadata, **_source_times([span])}


def _source_times(spans: Any) -> Record:
    return {"source_start_s": spans[0][0], "source_end_s": spans[0][1]} if spans else {}


def _sample(archive: Archive, members: Mapping[str, Member], name: str) -> _Sample:
    stem = name[: -len(PurePosixPath(name).suffix)]
    fields = _json(_side(archive, members, stem, ".json"))
    columns = _columns(fields)
    caption = _side(archive, members, stem, ".txt").decode(errors="replace").strip()
    if caption:
        columns["caption"] = caption
    named = cut_name(name)
    if named is not None:
        columns["youtube_id"] = named.youtube_id
        return _Sample(named.youtube_id, ((named.start_ms / 1000, named.end_ms / 1000),), True, columns)
    url = _YOUTUBE.search(str(fields.get("url", "")))
    if url:
        columns.setdefault("youtube_id", url[1])
    start, end = columns.pop("start", None), columns.pop("end", None)
    if start is not None and end is not None:  # a sample is a clip, so these are where it was cut
        return _Sample(columns.get("youtube_id") or "", (_span([start, end]),), True, columns)
    spans = _spans(fields.get("clips"))
    cut = len(spans) == 1 and _CLIP_NUMBER.search(PurePosixPath(stem).name) is not None
    return _Sample(columns.get("youtube_id") or "", spans, cut, columns)


def _side(archive: Archive, members: Mapping[str, Member], stem: str, suffix: str) -> bytes:
    """Return the file beside a video; b"" where there is none. `KEY.video.mp4` has `KEY.json`."""
    folder, _, last = stem.rpartition("/")
    short = f"{folder}/{last.partition('.')[0]}" if folder else last.partition(".")[0]
    for name in (stem + suffix, short + suffix):
        if name in members:
            if members[name].size_bytes > MAX_SIDE_BYTES:
                raise ValueError(f"{name} has {members[name].size_bytes:,} bytes; at most {MAX_SIDE_BYTES:,} are read")
            with archive.open(members[name]) as file:
                return file.read()
    return b""


def _json(data: bytes) -> Record:
    try:
        value = json.loads(data) if data else {}
    except (ValueError, RecursionError) as error:
        raise ValueError(f"its JSON cannot be read: {error}") from error
    if not isinstance(value, dict):
        raise ValueError("its JSON is not an object")
    return value


def _columns(fields: Record) -> Record:
    """Return the fields that become columns, by the columns' names."""
    columns = {as_text(known): _value(known, fields[name]) for name, known in known_columns(fields).items() if known not in _NOT_COLUMNS}
    return {name: value for name, value in columns.items() if value is not None}


def _value(name: str, value: Any) -> Any:
    if isinstance(value, dict | list):
        text = as_text(value)
        return text if len(text) <= MAX_NESTED_LETTERS else None
    if name in NUMBERS and value is not None:
        number = math.nan if str(value).strip().lower() in NO_NUMBER else float(value)
        return number if math.isfinite(number) else None
    return as_text(value) if value is not None and (isinstance(value, str) or name in TEXTS) else value


def _spans(clips: Any) -> tuple[tuple[float, float], ...]:
    """Read video2dataset's `clips`: a list of (start, end), or one such pair by itself."""
    if not clips:
        return ()
    if not isinstance(clips, list):
        raise ValueError(f"clips are {type(clips).__name__}, not a list of times")
    return tuple(_span(clip) for clip in (clips if isinstance(clips[0], list) else [clips]))


def _span(pair: Any) -> tuple[float, float]:
    start, end = (parse_seconds(time) for time in pair) if isinstance(pair, list) and len(pair) == 2 else (None, None)
    if start is None or end is None:
        raise ValueError(f"a clip's times are {pair!r:.80}, not a start and an end")
    return start, end

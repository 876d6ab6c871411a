"""What every reader is: a data set on disk in, blocks of clips out.

A plug-in file `readers/NAME.py` defines two functions:

    recognises(path: Path) -> bool
        Whether this reader understands that file or folder. Looks at a few bytes, not at all of it.
    read(path: Path, videos: Path) -> Iterator[Block]
        The clips it names, streamed; `videos` is the folder that holds the video files.

and may define a third, where to read several files at once costs less than one after the other:

    read_all(paths: Sequence[Path], videos: Path) -> Iterator[Block]
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa

VIDEO_SUFFIXES = frozenset([".avi", ".flv", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts", ".ogv", ".ts", ".webm", ".wmv"])
ID_DIGITS = 20  # 80 bits: a clash among 230 million clips has a chance of 2e-8

PLACE_SCHEMA = pa.schema(
    [
        pa.field("key", pa.string(), nullable=False),
        pa.field("video", pa.string(), nullable=False),
        pa.field("there", pa.bool_(), nullable=False),
        pa.field("start_s", pa.float64(), nullable=False),
        pa.field("end_s", pa.float64()),
    ]
)


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that cannot be indexed, with a reason code of the quarantine.

    Attributes:
        source: names the clip, so that the same row is not reported twice.
        video: the file it names, as it names it.
        reason, detail: a code such as "METADATA_INVALID", and a sentence.
    """

    source: str
    video: str
    reason: str
    detail: str


@dataclass(frozen=True, slots=True)
class Block:
    """Some rows of a data set, as columns.

    Attributes:
        clips: first the columns of PLACE_SCHEMA: `key`, what names the clip for ever (`clip_key`); `video`, the file relative to the
            videos' folder; `there`, whether it is (a name made of the YouTube id stands for one that is not); `start_s` and `end_s`,
            seconds in that file, half-open, null is the end of the video. Then caption and all else, under the names they get in the index.
        bad: rows that cannot be indexed.
        uncut: whether each clip is a whole video that nobody has described, so that it may be cut into shots.
    """

    clips: pa.Table
    bad: list[BadRow] = field(default_factory=list)
    uncut: bool = False


def clip_key(source: str, start_s: float, end_s: float | None) -> str:
    """Return what names a clip wherever it lies: the video's YouTube id, else its path below the videos' folder, and its times in that."""
    return f"{source}|{start_s:.3f}|{'end' if end_s is None else f'{end_s:.3f}'}"


def clip_id(key: str) -> str:
    """Return the clip's name for ever: 20 hex digits over its key, whatever machine or run made it."""
    return hashlib.sha256(key.encode(errors="surrogatepass")).hexdigest()[:ID_DIGITS]


def is_text(name: str) -> bool:
    """Whether a name can be written as UTF-8, as columns of text need: without the bytes of a file's name, or of JSON, that cannot."""
    return name.isascii() or not any("\ud800" <= character <= "\udfff" for character in name)


def list_videos(folder: Path) -> Iterator[str]:
    """Yield the video files below a folder, relative to it, in a stable order; hidden folders and index folders are left out."""
    for parent, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith(".") and not (Path(parent) / name / "FORMAT").exists())
        below = os.path.relpath(parent, folder)
        for name in sorted(files):
            if not name.startswith(".") and name[name.rfind(".") :].lower() in VIDEO_SUFFIXES:
                yield name if below == "." else f"{below}/{name}"

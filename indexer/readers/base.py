"""What every reader is: a data set on disk in, one row a clip out.

A plug-in file `readers/NAME.py` defines two functions:

    recognises(path: Path) -> bool
        Whether this reader understands that file or folder. Looks at a few bytes, not at all of it.
    read(path: Path, videos: Path) -> Iterator[ClipRow | BadRow]
        The clips it names, streamed; `videos` is the folder that holds the video files.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

VIDEO_SUFFIXES = frozenset([".avi", ".flv", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts", ".ogv", ".ts", ".webm", ".wmv"])


@dataclass(frozen=True, slots=True)
class ClipRow:
    """One clip to index.

    Attributes:
        source: what names the video for ever: its YouTube id, else its path relative to the videos' folder.
        video: the file, relative to the videos' folder.
        start_s, end_s: seconds in that file, half-open; None is the end of the video.
        metadata: caption and every other column, under the names they get in the index.
    """

    source: str
    video: str
    start_s: float = 0.0
    end_s: float | None = None
    metadata: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that cannot be indexed, with a reason code of the quarantine.

    Attributes:
        source: names the clip, so that the same row is not reported twice.
        video: the file it names, as it names it.
        reason, detail: a code such as "NOT_FOUND", and a sentence.
    """

    source: str
    video: str
    reason: str
    detail: str


def list_videos(folder: Path) -> Iterator[str]:
    """Yield the video files below a folder, relative to it, in a stable order; hidden folders and index folders are left out."""
    for parent, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith(".") and not (Path(parent) / name / "FORMAT").exists())
        for name in sorted(files):
            if not name.startswith(".") and Path(name).suffix.lower() in VIDEO_SUFFIXES:
                yield str((Path(parent) / name).relative_to(folder))

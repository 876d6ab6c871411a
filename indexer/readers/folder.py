"""A plain folder of videos: each file is one clip, without a caption."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from indexer.readers.base import BadRow, ClipRow, list_videos


def recognises(path: Path) -> bool:
    return path.is_dir()


def read(path: Path, videos: Path) -> Iterator[ClipRow | BadRow]:
    for video in list_videos(videos):
        yield ClipRow(source=video, video=video)

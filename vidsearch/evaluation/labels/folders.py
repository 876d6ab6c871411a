"""No annotation at all: a folder a class, with its videos inside."""

from __future__ import annotations

import os
from pathlib import Path

from vidsearch.errors import UsageError
from vidsearch.evaluation.annotations.base import Clip
from vidsearch.evaluation.labels import hmdb51
from vidsearch.evaluation.labels.base import Labelled

VIDEO_SUFFIXES = frozenset([".avi", ".flv", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".ogv", ".ts", ".webm", ".wmv"])


def recognises(path: Path) -> bool:
    """Whether that is a folder, but HMDB51's of splits."""
    return path.is_dir() and not hmdb51.recognises(path)


def read(path: Path, split: str | None) -> list[Labelled]:
    """Read the videos of each folder, named by folder and file."""
    if split is not None:
        raise UsageError(f"{path} is a folder of videos, which has no splits; leave --split out, or name the split's folder")
    found = []
    for folder in sorted(entry.name for entry in os.scandir(path) if entry.is_dir() and not entry.name.startswith(".")):
        videos = (entry.name for entry in os.scandir(path / folder) if not entry.name.startswith("."))
        found += [Labelled(Clip(f"{folder}/{name}"), folder) for name in sorted(videos) if Path(name).suffix.lower() in VIDEO_SUFFIXES]
    return found

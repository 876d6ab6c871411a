"""The videos inside the archives of a folder."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from indexer.readers.base import VIDEO_SUFFIXES
from vidsearch.archives.members import READERS, is_archive, read_table
from vidsearch.errors import DecodeError


def is_video(name: str) -> bool:
    """Whether a member's name is that of a video; names that begin with a dot are other programs' notes (macOS makes one of each file)."""
    path = PurePosixPath(name)
    return path.suffix.lower() in VIDEO_SUFFIXES and not path.name.startswith(".")


def archive_members(folder: Path) -> Iterator[str]:
    """Yield the paths, relative to a folder, of the videos in the tar and zip archives below it: "raw/InternVId-FLT_1.zip/NAME.mp4".

    In a stable order; hidden folders, index folders and archives that cannot be read are left out.
    """
    for parent, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith(".") and not (Path(parent) / name / "FORMAT").exists())
        for archive in (Path(parent) / name for name in sorted(files) if name[name.rfind(".") :].lower() in READERS and name[0] != "."):
            if is_archive(archive):
                yield from (f"{archive.relative_to(folder)}/{name}" for name in _videos(archive))


def _videos(archive: Path) -> Iterator[str]:
    try:
        yield from filter(is_video, read_table(archive).members)
    except DecodeError:
        return

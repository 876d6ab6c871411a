"""Where the videos of an annotation lie: found by name below a folder, in archives too, whatever their suffix."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain
from pathlib import Path, PurePosixPath

from indexer.readers._members import archive_members
from indexer.readers.base import VIDEO_SUFFIXES, list_videos
from vidsearch.errors import InputNotFoundError, UsageError


def find_videos(folder: Path, names: Iterable[str]) -> dict[str, Path]:
    """Return the files that names mean; names of videos that are not there are left out.

    A name is a path below the folder, or the end of one: "video7010", "video7010.mp4" and "test/video7010.avi" all mean
    test/video7010.mp4. A file of exactly that name counts before others of the same stem.

    Raises:
        InputNotFoundError: no such folder.
        UsageError: a name means several files.
    """
    if not folder.is_dir():
        raise InputNotFoundError(f"no folder of videos {folder}")
    by_stem: dict[str, list[str]] = {}
    for video in chain(list_videos(folder), archive_members(folder)):
        by_stem.setdefault(_stem(PurePosixPath(video).name), []).append(video)
    found = {}
    for name in names:
        path = PurePosixPath(name.replace("\\", "/"))
        matching = _matching(path, by_stem.get(_stem(path.name), []))
        if len(matching) > 1:
            raise UsageError(f"{name!r} means {matching[0]} and {matching[1]} below {folder}; name a folder with --videos that holds one")
        if matching:
            found[name] = folder / matching[0]
    return found


def _matching(wanted: PurePosixPath, videos: list[str]) -> list[str]:
    """Return the videos a name means, of those with its stem: of the same folders where it names some, of the same suffix first."""
    folders = tuple(part for part in wanted.parts[:-1] if part not in ("/", ".", ".."))
    for depth in range(len(folders), -1, -1):  # the data set's folders may be the user's, or not
        inside = [video for video in videos if PurePosixPath(video).parts[:-1][-depth:] == folders[-depth:]] if depth else videos
        exact = [video for video in inside if PurePosixPath(video).name == wanted.name]
        if exact or inside:
            return exact or inside
    return []


def _stem(name: str) -> str:
    """Return a file's name without the suffix of a video; dots that belong to the name stay."""
    stem, dot, suffix = name.rpartition(".")
    return stem if dot and f".{suffix.lower()}" in VIDEO_SUFFIXES else name

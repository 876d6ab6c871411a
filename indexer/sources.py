"""What a folder or a file holds: which reader reads which file of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from indexer.readers._records import ENDINGS, UNDERSTOOD
from indexer.readers.base import Block, list_videos
from vidsearch.errors import InputNotFoundError, UsageError
from vidsearch.registry import names, plugin

READERS = "indexer.readers"
ROWS_READER = "internvid"  # asked first: rows say more of videos than the archives or the folder that these lie in
ROWS_FOLDER = "metadata"


@dataclass(frozen=True)
class Sources:
    """Files to read (none: the videos themselves are the clips), their reader, and the folder of the videos.

    `origin` is the address of what that folder stands for, "" where it stands for itself.
    """

    reader: ModuleType
    files: tuple[Path, ...]
    videos: Path
    origin: str = ""

    def list_videos(self) -> Iterable[str]:
        return list_videos(self.videos)


def find_sources(source: Path, *, metadata: str | Path | None, videos: str | Path | None) -> Sources:
    """Find what to index in a folder, or what was named instead.

    Files of rows are looked for in the folder, in a folder `metadata` in it, and in a folder `NAME` as `NAME.csv` or under another such
    suffix. Only names are listed, and the first bytes of files of rows are read.

    Args:
        source: a folder, or one file of rows or archive.
        metadata: a file of rows, or a folder of such files.
        videos: the folder of the videos, if it is another.

    Raises:
        InputNotFoundError: no such folder, no such file, or a folder without a video and without rows.
        UsageError: a file of rows that is damaged, or whose columns name no videos.
    """
    if not source.exists():
        raise InputNotFoundError(f"no folder {source}; give the folder that holds the videos")
    folder = Path(videos) if videos is not None else source if source.is_dir() else source.parent
    if not folder.is_dir():
        raise InputNotFoundError(f"no folder {folder}; give the folder that holds the videos")
    if metadata is not None:
        return _named(Path(metadata), folder)
    if not source.is_dir():
        return _named(source, folder)
    found = _first_reader([path for path in sorted(source.iterdir()) if path.is_file()]) or _first_reader(_beside(source))
    if found is not None:
        return Sources(*found, folder)
    if next(iter(list_videos(folder)), None) is None:
        raise InputNotFoundError(
            f"no video in {folder}: no .mp4, .mkv, .webm, .avi or .mov below it, no .tar or .zip of them, and no rows ({UNDERSTOOD}) "
            "that name videos"
        )
    return Sources(plugin(READERS, "folder"), (), folder)


def read_rows(sources: Sources) -> Iterator[Block]:
    """Yield the rows of all files, or the videos of the folder."""
    read_all = getattr(sources.reader, "read_all", None)
    if read_all is not None and sources.files:
        yield from read_all(sources.files, sources.videos)
        return
    for path in sources.files or (sources.videos,):
        yield from sources.reader.read(path, sources.videos)


def _named(path: Path, videos: Path) -> Sources:
    """Return what a file, or each file of a folder, is read by."""
    if not path.exists():
        raise InputNotFoundError(f"no metadata file {path}")
    found = _first_reader([file for file in sorted(path.iterdir()) if file.is_file()] if path.is_dir() else [path])
    if found is None:
        raise UsageError(
            f"{path} is not understood: rows ({UNDERSTOOD}) need YoutubeID or a path column, and Caption or Start_timestamp; "
            "archives (.tar, .zip) need videos"
        )
    return Sources(*found, videos)


def _first_reader(files: list[Path]) -> tuple[ModuleType, tuple[Path, ...]] | None:
    """Return the first reader that recognises any of some files, and the files that it does."""
    for name in sorted(names(READERS), key=lambda name: (name != ROWS_READER, name)):
        reader = plugin(READERS, name)
        recognised = tuple(path for path in files if reader.recognises(path))
        if recognised:
            return reader, recognised
    return None


def _beside(source: Path) -> list[Path]:
    """Return the files that may hold the rows of shard folders: those in `metadata`, and those called like the folder they lie in."""
    files: list[Path] = []
    for folder in sorted(path for path in source.iterdir() if path.is_dir() and not path.name.startswith(".")):
        if folder.name.lower() == ROWS_FOLDER:
            files += sorted(path for path in folder.iterdir() if path.is_file())
        else:
            files += [path for path in (folder / f"{folder.name}{ending}" for ending in ENDINGS) if path.is_file()]
    return files

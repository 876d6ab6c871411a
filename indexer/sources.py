"""What a folder holds: which reader reads which file of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from indexer.readers.base import Block, list_videos
from vidsearch.errors import InputNotFoundError, UsageError
from vidsearch.registry import names, plugin


@dataclass(frozen=True)
class Sources:
    """Files of rows (none: the videos themselves are the clips), their reader, and the folder of the videos."""

    reader: ModuleType
    files: tuple[Path, ...]
    videos: Path

    def list_videos(self) -> Iterable[str]:
        return list_videos(self.videos)


def find_sources(source: Path, *, metadata: str | Path | None, videos: str | Path | None) -> Sources:
    """Find what to index in a folder, or what was named instead.

    Raises:
        InputNotFoundError: no such folder, no such file, or a folder without a video.
    """
    folder = Path(videos) if videos is not None else source
    for needed in (source, folder):
        if not needed.is_dir():
            raise InputNotFoundError(f"no folder {needed}; give the folder that holds the videos")
    if metadata is not None:
        return Sources(_reader_of(Path(metadata)), (Path(metadata),), folder)
    for name in names("indexer.readers"):
        reader = plugin("indexer.readers", name)
        files = tuple(path for path in sorted(source.iterdir()) if path.is_file() and reader.recognises(path))
        if files:
            return Sources(reader, files, folder)
    if next(iter(list_videos(folder)), None) is None:
        raise InputNotFoundError(
            f"no video in {folder}: no .mp4, .mkv, .webm, .avi or .mov below it, and no InternVid rows (.jsonl, .parquet)"
        )
    return Sources(plugin("indexer.readers", "folder"), (), folder)


def read_rows(sources: Sources) -> Iterator[Block]:
    """Yield the rows of all files, or the videos of the folder."""
    for path in sources.files or (sources.videos,):
        yield from sources.reader.read(path, sources.videos)


def _reader_of(metadata: Path) -> ModuleType:
    if not metadata.is_file():
        raise InputNotFoundError(f"no metadata file {metadata}")
    for name in names("indexer.readers"):
        reader = plugin("indexer.readers", name)
        if reader.recognises(metadata):
            return reader
    raise UsageError(
        f"{metadata} is not understood: its rows need YoutubeID and Start_timestamp, End_timestamp or a path column (.jsonl, .parquet)"
    )

"""What every build begins with: the index is opened or made, the input is named, and its rows are read into a list of work."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from indexer.media import Media
from indexer.plan import WorkList
from indexer.readers.base import Block
from indexer.sources import Sources, find_sources, read_rows
from indexer.summary import Summary
from vidsearch.encoders.base import Encoder
from vidsearch.engine import Index, open_index
from vidsearch.errors import IndexCorruptError, SpaceMismatchError
from vidsearch.settings import read_settings
from vidsearch.storage import manifest as manifests
from vidsearch.storage.address import address_of, folder_of, is_remote

Progress = Callable[[Summary], None]


def open_or_create(root: Path, encoder: Encoder) -> Index:
    if not manifests.exists(root):
        manifests.create(root, encoder.space)
    index = open_index(root)
    if index.space.id != encoder.space.id:
        raise SpaceMismatchError(
            f"{root} holds vectors of {index.space.model}, preset {index.space.preset.name} (space {index.space.id[:12]}); "
            f"{encoder.space.model}, preset {encoder.preset.name} ({encoder.space.id[:12]}) cannot be added; give --out another folder"
        )
    manifests.create(root, encoder.space)  # makes durable what an earlier run may not have lived to
    index.check()
    if index.skipped:
        raise IndexCorruptError(
            f"{index.skipped[0]}; nothing is added to a damaged index: its clips would come twice. Run `vidsearch repair`"
        )
    return index


def open_sources(source: str | Path, *, metadata: str | Path | None, videos: str | Path | None) -> tuple[Sources, Media]:
    """Find what to index, as `find_sources` does, and what brings the videos there; either place may be in object storage."""
    far = next((place for place in (videos, source) if place is not None and is_remote(place)), None)
    if far is None:
        return find_sources(Path(source), metadata=metadata, videos=videos), Media()
    from indexer.mirror import Mirror  # what it needs takes a tenth of a second to load

    mirror = Mirror(address_of(far), folder_of(far, read_settings().cache))
    mirror.list_all()
    near = mirror.folder if is_remote(source) else Path(source)
    return replace(find_sources(near, metadata=metadata, videos=mirror.folder), origin=mirror.address), mirror


def read_work(work: WorkList, sources: Sources, summary: Summary, progress: Progress) -> None:
    """Read all rows, and count what is to be done."""
    summary.stage = "reading rows"
    unnamed = set(sources.list_videos()) if sources.files else set()
    for summary.read in work.read(_noting_names(read_rows(sources), unnamed)):
        progress(summary)
    summary.planned, summary.uncut, summary.already, summary.duplicates = work.clips, work.uncut, work.already, work.duplicates
    summary.skipped.update(work.known_bad)
    summary.left_out = len(unnamed)


def _noting_names(blocks: Iterable[Block], unnamed: set[str]) -> Iterator[Block]:
    """Pass on blocks, and take the videos they name off a set."""
    for block in blocks:
        if unnamed:
            unnamed.difference_update(block.clips["video"].unique().to_pylist(), (row.video for row in block.bad))
        yield block


def name_of(sources: Sources) -> str:
    """Return what the ledger calls an input: 16 hex digits over where it lies."""
    files = [
        path.relative_to(sources.videos) if sources.origin and path.is_relative_to(sources.videos) else path.resolve()
        for path in sources.files
    ]
    places = [str(path) for path in (*files, sources.origin or sources.videos.resolve())]
    return hashlib.sha256("\n".join(places).encode(errors="surrogatepass")).hexdigest()[:16]

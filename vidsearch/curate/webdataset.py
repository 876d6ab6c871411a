"""Rows as WebDataset shards NAME-000000.tar and so on: for each clip KEY.json, KEY.txt (the caption) and its video where that is to be had.

https://github.com/webdataset/webdataset; a clip that is part of a longer file comes with that whole file, and its times are in the JSON.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
import tarfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from vidsearch.archives.inside import open_inside
from vidsearch.curate.export import Records, Sink, json_of, refuse_existing
from vidsearch.storage import files

SHARD_ROWS = 10_000
SHARD_BYTES = 1 << 30

_KEY = re.compile(r"[A-Za-z0-9_-]{1,80}")  # a dot would begin the suffix


@contextmanager
def open_shards(path: Path, *, media_root: Path | None, media: dict[str, int]) -> Iterator[Sink]:
    """Give what writes rows into shards; these have their names only when the block has ended well.

    Args:
        path: NAME or NAME.tar.
        media_root: folder of the video files; None leaves them out.
        media: counts of files "written", "missing" and "refused", added to.
    """
    shards = _Shards(path.with_name(path.name.removesuffix(".tar")), None if media_root is None else media_root.resolve(), media)
    try:
        yield shards.write
        shards.finish()
    finally:
        shards.clear()


def shard_name(path: Path, number: int) -> Path:
    """Return the file of one shard."""
    return path.with_name(f"{path.name.removesuffix('.tar')}-{number:06d}.tar")


class _Shards:
    def __init__(self, path: Path, root: Path | None, media: dict[str, int]) -> None:
        self.path, self.root, self.media = path, root, media
        self.names: list[tuple[Path, Path]] = []  # of each shard: for now, and in the end
        self.rows = 0
        self.tar: tarfile.TarFile | None = None
        self._next()

    def write(self, records: Records) -> None:
        for record in records:
            if self.rows >= SHARD_ROWS or (self.tar is not None and self.tar.offset >= SHARD_BYTES):
                self._close()
                self._next()
            self._add_clip(record)

    def _add_clip(self, record: dict[str, Any]) -> None:
        key = _key(record["clip_id"])
        self._add(f"{key}.json", io.BytesIO(data := json_of(record).encode()), len(data))
        self._add(f"{key}.txt", io.BytesIO(data := (record.get("caption") or "").encode()), len(data))
        if self.root is not None:
            self._add_video(key, self.root, str(record.get("video") or ""))
        self.rows += 1

    def _add_video(self, key: str, root: Path, video: str) -> None:
        found = open_inside(root, video)
        if isinstance(found, str):
            self.media[found] = self.media.get(found, 0) + 1
            return
        with found:
            size_bytes = found.seek(0, os.SEEK_END)
            found.seek(0)
            self._add(f"{key}{Path(video).suffix.lower() or '.mp4'}", found, size_bytes)
        self.media["written"] = self.media.get("written", 0) + 1

    def _add(self, name: str, file: IO[bytes], size_bytes: int) -> None:
        entry = tarfile.TarInfo(name)  # no time, no owner: the same rows make the same bytes
        entry.size = size_bytes
        if self.tar is not None:
            self.tar.addfile(entry, file)

    def _next(self) -> None:
        final = shard_name(self.path, len(self.names))
        refuse_existing(final)
        temporary = final.with_name(f".{final.name}.{uuid.uuid4().hex}.tmp")
        self.names.append((temporary, final))
        self.tar = tarfile.open(temporary, "x", format=tarfile.PAX_FORMAT)  # noqa: SIM115 - open until the shard is full
        self.rows = 0

    def _close(self) -> None:
        if self.tar is not None:
            self.tar.close()
            self.tar = None
            with self.names[-1][0].open("rb") as file:
                os.fsync(file.fileno())

    def finish(self) -> None:
        """Give all shards their names."""
        self._close()
        for temporary, final in self.names:
            temporary.replace(final)
        files.sync_folder(self.path.parent)

    def clear(self) -> None:
        """Leave nothing behind that has no name."""
        if self.tar is not None:
            self.tar.close()
        for temporary, _ in self.names:
            files.remove(temporary)


def _key(clip_id: str) -> str:
    return clip_id if _KEY.fullmatch(clip_id) else hashlib.sha256(clip_id.encode()).hexdigest()[:20]

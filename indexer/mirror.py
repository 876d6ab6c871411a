"""Videos in object storage, as a folder of this machine: every file is there by name, size and time, its bytes only while it is decoded.

A file that is not there yet is a hole of its size, which takes no room on the disk.
"""

from __future__ import annotations

import os
import shutil
import time
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from indexer.jobs import Job
from indexer.media import Media
from indexer.readers._records import ENDINGS
from indexer.readers.base import VIDEO_SUFFIXES
from indexer.room import ensure_room
from vidsearch.archives.members import READERS as ARCHIVES
from vidsearch.errors import InputNotFoundError, UsageError, VidsearchError
from vidsearch.storage.bucket import Bucket, Found

AHEAD = 8  # videos fetched before they are asked for
TRIES = 3
PAUSE_S = 1.0


class Mirror(Media):
    """A folder that stands for one in object storage.

    Args:
        address: such as "s3://BUCKET/PATH".
        folder: of this machine; nothing else may use it.
    """

    def __init__(self, address: str, folder: Path) -> None:
        self.address, self.folder = address, folder
        self._bucket = Bucket(address)
        self._wanted: Counter[str] = Counter()  # jobs under way, by video
        self._states: dict[str, tuple[int, int]] = {}

    def list_all(self) -> None:
        """Fetch the files of rows, and make a hole for every video; what is not there any more goes.

        Raises:
            InputNotFoundError: nothing is there.
            UsageError: an archive is there; members cannot be read from afar.
        """
        shutil.rmtree(self.folder, ignore_errors=True)
        found = [file for file in self._bucket.list_files() if _suffix(file) in {*VIDEO_SUFFIXES, *ENDINGS, *ARCHIVES}]
        if not found:
            raise InputNotFoundError(f"nothing to index at {self.address}: no videos and no rows below it")
        for file in found:
            if _suffix(file) in ARCHIVES:
                raise UsageError(f"{self.address}/{file.path}: archives are read on a disk only; copy it there, or unpack it")
            path = self._path(file.path)
            path.parent.mkdir(parents=True, exist_ok=True)
            if _suffix(file) in VIDEO_SUFFIXES:
                path.touch()
                self._dig(path, (file.size_bytes, file.mtime_ns))
            else:
                self._write(file.path, path)

    def ahead(self, jobs: Iterable[Job]) -> Iterator[Job]:
        """Yield jobs whose video has been fetched; a few more are under way meanwhile."""
        waiting: deque[tuple[Job, Future[None]]] = deque()
        with ThreadPoolExecutor(max_workers=AHEAD, thread_name_prefix="fetch") as threads:
            for job in jobs:
                self._wanted[job.video] += 1
                fetched = threads.submit(self._fetch, job.video) if self._wanted[job.video] == 1 else _done()
                waiting.append((job, fetched))
                if len(waiting) > AHEAD:
                    yield _when_fetched(*waiting.popleft())
            while waiting:
                yield _when_fetched(*waiting.popleft())

    def release(self, video: str) -> None:
        """Say that a job of a video is done; after the last, its bytes go."""
        self._wanted[video] -= 1
        if self._wanted[video] <= 0:
            del self._wanted[video]
            with suppress(FileNotFoundError):
                self._dig(self._path(video), self._states.pop(video, None))

    def _fetch(self, video: str) -> None:
        path = self._path(video)
        if path.exists():
            status = path.stat()
            self._states[video] = status.st_size, status.st_mtime_ns
        for attempt in range(TRIES):
            try:
                self._write(video, path)
                return
            except InputNotFoundError:  # gone since it was listed: the decoder will say so
                path.unlink(missing_ok=True)
                return
            except VidsearchError:
                if attempt + 1 == TRIES:
                    raise
                time.sleep(PAUSE_S * 2**attempt)

    def _write(self, name: str, path: Path) -> None:
        """Fetch a file, keeping the time of the hole in its place."""
        before = path.stat() if path.exists() else None
        ensure_room(path.parent if path.parent.exists() else self.folder, before.st_size if before else 0)
        part = path.with_name(f"{path.name}.part")
        with part.open("wb") as file:
            for chunk in self._bucket.chunks(name):
                file.write(chunk)
        if before is not None:
            os.utime(part, ns=(before.st_mtime_ns, before.st_mtime_ns))
        part.replace(path)

    def _dig(self, path: Path, state: tuple[int, int] | None) -> None:
        """Make a file a hole of that size and time."""
        size, mtime_ns = state or (path.stat().st_size, path.stat().st_mtime_ns)
        os.truncate(path, 0)
        os.truncate(path, size)
        os.utime(path, ns=(mtime_ns, mtime_ns))

    def _path(self, name: str) -> Path:
        path = self.folder / name
        if ".." in Path(name).parts or path.is_absolute() != self.folder.is_absolute():
            raise UsageError(f"{self.address}/{name}: a name that leads out of its folder")
        return path


def _suffix(file: Found) -> str:
    name = file.path.lower()
    return next((ending for ending in ENDINGS if name.endswith(ending)), Path(name).suffix)


def _done() -> Future[None]:
    future: Future[None] = Future()
    future.set_result(None)
    return future


def _when_fetched(job: Job, fetched: Future[None]) -> Job:
    fetched.result()
    return job

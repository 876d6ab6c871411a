"""Files made on demand and kept in a folder, the least used going first when it is full; each is there whole or not at all."""

from __future__ import annotations

import os
import threading
import time
import uuid
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path
from typing import IO

from vidsearch.errors import VidsearchError

FORGET_FAILURE_S = 10.0
_TEMPORARY = ".tmp"
_MOST_FAILURES = 4096
_FILL = 0.9  # of the limit, left after making room


class KeptFiles:
    """A folder of files by key. Threads that want the same file wait for one making of it.

    Args:
        folder: made when the first file is.
        limit_bytes: of all files together.
        failure: what a failed making raises; it is raised again, without a new try, for some seconds.
    """

    def __init__(self, folder: Path, *, limit_bytes: int, failure: type[VidsearchError]) -> None:
        self._folder, self._limit, self._failure = folder, limit_bytes, failure
        self._lock = threading.Lock()
        self._making: dict[str, Future[None]] = {}
        self._failed: dict[str, tuple[float, VidsearchError]] = {}
        self._bytes: int | None = None  # of all files; None until they have been counted

    def open(self, key: str, make: Callable[[Path], None]) -> IO[bytes]:
        """Open the file of a key for reading, made if it is not there.

        Args:
            key: a plain file name.
            make: writes it at a path.
        """
        while True:
            with suppress(FileNotFoundError):
                return self._open(key)
            with self._lock:
                self._raise_failure(key)
                underway = self._making.get(key)
                if underway is None:
                    mine = self._making[key] = Future()
            if underway is not None:
                underway.result()
                continue
            try:
                return self._make(key, make)
            except BaseException as error:
                mine.set_exception(error)
                raise
            finally:
                with self._lock:
                    del self._making[key]
                if not mine.done():
                    mine.set_result(None)

    def _open(self, key: str) -> IO[bytes]:
        path = self._folder / key
        file = path.open("rb")
        with suppress(OSError):
            os.utime(path)  # used last
        return file

    def _raise_failure(self, key: str) -> None:
        until, error = self._failed.get(key, (0.0, None))
        if error is not None and time.monotonic() < until:
            raise error.with_traceback(None)

    def _make(self, key: str, make: Callable[[Path], None]) -> IO[bytes]:
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        path = self._folder / key
        temporary = self._folder / f"{uuid.uuid4().hex}{_TEMPORARY}"
        try:
            make(temporary)
            temporary.replace(path)
            file = path.open("rb")
        except self._failure as error:
            with self._lock:
                if len(self._failed) >= _MOST_FAILURES:
                    self._failed.clear()
                self._failed[key] = time.monotonic() + FORGET_FAILURE_S, error
            raise
        finally:
            with suppress(FileNotFoundError):
                temporary.unlink()
        self._account(os.fstat(file.fileno()).st_size)
        return file

    def _account(self, size_bytes: int) -> None:
        with self._lock:
            if self._bytes is not None and self._bytes + size_bytes <= self._limit:
                self._bytes += size_bytes
                return
            self._bytes = _make_room(self._folder, self._limit)


def _make_room(folder: Path, limit_bytes: int) -> int:
    """Remove what was used longest ago, and what a process that was killed left half made; return the bytes that remain."""
    found: list[tuple[float, int, Path]] = []
    for entry in os.scandir(folder):
        with suppress(OSError):
            status = entry.stat(follow_symlinks=False)
            if not entry.name.endswith(_TEMPORARY):
                found.append((status.st_mtime, status.st_size, Path(entry.path)))
            elif status.st_mtime < time.time() - 3600:
                Path(entry.path).unlink()
    total = sum(size for _, size, _ in found)
    if total <= limit_bytes:
        return total
    for _, size, path in sorted(found)[:-1]:  # the newest stays, whatever its size
        if total <= limit_bytes * _FILL:
            break
        with suppress(FileNotFoundError):
            path.unlink()
        total -= size
    return total

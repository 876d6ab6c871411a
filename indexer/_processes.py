"""Starting and ending one decode process, and the memory shared with all of them. POSIX: they inherit a socket and a file."""

from __future__ import annotations

import json
import mmap
import os
import signal
import socket
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from indexer.decode_worker import Lines
from vidsearch.errors import VidsearchError

LONGEST_LINE = 1 << 20  # bytes; what a worker says in one go is much shorter


def start_process(settings: dict[str, Any], *, ring: Ring, send_timeout_s: float) -> tuple[subprocess.Popen[bytes], Lines]:
    """Start a decode process with `settings`, as `indexer.decode_worker` reads them; return it with the line to it."""
    ours, theirs = socket.socketpair()
    ours.settimeout(send_timeout_s)  # it may not be listening
    inherited = {"socket": theirs.fileno(), "ring": ring.file}
    with theirs:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "indexer.decode_worker", json.dumps({**settings, **inherited})],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,  # native libraries complain there about videos that are reported anyway
            env=_environment(),
            pass_fds=tuple(inherited.values()),
            process_group=0,  # Ctrl-C in a terminal goes to the parent only
        )
    return process, Lines(ours, longest=LONGEST_LINE)


def end_process(process: subprocess.Popen[bytes]) -> str:
    """Wait for a process whose line is closed, kill it if that does not make it end, and return how it ended."""
    try:
        code = process.wait(timeout=1.0)
    except subprocess.TimeoutExpired:
        process.kill()
        code = process.wait()
    return f"killed by {signal.Signals(-code).name}" if code < 0 else f"with exit status {code}"


class Ring:
    """One file in memory, mapped by all; it has no name any more, so nothing is left of it whoever dies."""

    def __init__(self, slots: int, shape: tuple[int, ...]) -> None:
        size_bytes = slots * int(np.prod(shape))
        self.file = _unnamed_file(size_bytes)
        self._map = mmap.mmap(self.file, size_bytes)
        self.pixels = np.frombuffer(self._map, dtype=np.uint8).reshape(slots, *shape)

    def close(self) -> None:
        del self.pixels
        with suppress(BufferError):  # the caller still holds a clip: the map goes when that does
            self._map.close()
        os.close(self.file)


def _unnamed_file(size_bytes: int) -> int:
    """Return a file of a size whose space is really there, in memory if it fits: writing to a map beyond that would kill the writer."""
    for folder in ("/dev/shm", None):
        with suppress(OSError), tempfile.TemporaryFile(dir=folder, buffering=0) as file:
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(file.fileno(), 0, size_bytes)
            else:
                file.truncate(size_bytes)
            return os.dup(file.fileno())
    raise VidsearchError(f"no {size_bytes / 1e6:.0f} MB free for decoded clips, neither in /dev/shm nor in {tempfile.gettempdir()}")


def _environment() -> dict[str, str]:
    """Return the environment of a worker: the same import path as here, and one thread."""
    path = os.pathsep.join(entry or str(Path.cwd()) for entry in sys.path)
    return {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}

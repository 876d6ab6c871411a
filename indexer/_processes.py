"""Starting and ending one decode process. POSIX: it inherits a socket and the file of the ring."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

from indexer._lines import Lines
from indexer._ring import Ring

LONGEST_LINE = 1 << 22  # bytes; the shots of a day's video in half-seconds are less


def start_process(settings: dict[str, Any], *, ring: Ring, send_timeout_s: float) -> tuple[subprocess.Popen[bytes], Lines]:
    """Start a decode process with `settings`, as `indexer.decode_worker` reads them; return it with the line to it."""
    ours, theirs = socket.socketpair()
    ours.settimeout(send_timeout_s)  # it may not be listening
    inherited = {"socket": theirs.fileno(), "ring": ring.file}
    with theirs:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "indexer.decode_worker", json.dumps({**settings, **inherited, "parent": os.getpid()})],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,  # native libraries complain there about videos that are reported anyway
            env=_environment(),
            pass_fds=tuple(inherited.values()),
            process_group=0,  # Ctrl-C in a terminal goes to the parent only
        )
    return process, Lines(ours, longest=LONGEST_LINE)


def end_process(process: subprocess.Popen[bytes]) -> int:
    """Wait for a process whose line is closed, kill it if that does not make it end, and return its status, negative for a signal."""
    try:
        return process.wait(timeout=1.0)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()


def describe_status(status: int) -> str:
    return f"killed by {signal.Signals(-status).name}" if status < 0 else f"with exit status {status}"


def _environment() -> dict[str, str]:
    """Return the environment of a worker: the same import path as here, and one thread."""
    path = os.pathsep.join(entry or str(Path.cwd()) for entry in sys.path)
    return {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}

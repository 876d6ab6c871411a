"""Processes that decode for the page and can be killed: a video that hangs, crashes or eats memory costs itself and nothing else."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from queue import Empty, LifoQueue
from typing import IO, Any

from vidsearch.errors import DecodeError

JOBS_PER_PROCESS = 1000  # then a fresh one, in case native libraries leak
START_S = 30.0  # that one may take to import what it needs, on a busy machine
_LONGEST_LINE = 1 << 16


class VideoProcesses:
    """At most `count` processes that do one job after another; the next caller waits. Thread-safe.

    Args:
        timeout_s: how long a job may take; then its process is killed.
        wait_s: how long a caller waits for its turn.
    """

    def __init__(self, count: int, *, timeout_s: float, wait_s: float = 60.0) -> None:
        self._timeout_s, self._wait_s = timeout_s, wait_s
        self._places: LifoQueue[_Child | None] = LifoQueue()  # None: a place whose process is still to be started
        self._count = count
        self._children: set[_Child] = set()
        self._closed = threading.Event()
        for _ in range(count):
            self._places.put(None)

    def warm(self) -> None:
        """Start the processes now, so that the first jobs need not wait for it; returns at once."""
        taken: list[_Child | None] = []
        with suppress(Empty):
            while len(taken) < self._count:
                taken.append(self._places.get_nowait())
        for child in taken:
            self._places.put(child or self._started())

    def ask(self, job: dict[str, Any]) -> dict[str, Any]:
        """Have a job done, as `vidsearch.playback._video_child` knows it, and return its result.

        Raises:
            DecodeError: it cannot be done: "TIMEOUT", "CRASH", "BUSY", or a reason of the decoders.
        """
        try:
            child: _Child | None = self._places.get(timeout=self._wait_s)
        except Empty:
            raise DecodeError("BUSY", "too many videos are being read; try again") from None
        keep = False
        try:
            if self._closed.is_set():
                raise DecodeError("BUSY", "the page is being closed")
            if child is not None and child.has_ended:  # while it was idle, from outside
                self._end(child)
                child = None
            child = child or self._started()
            answer = child.ask(job, self._timeout_s)
            keep = child.jobs < JOBS_PER_PROCESS and not self._closed.is_set()
        finally:
            if child is not None and not keep:
                self._end(child)
            self._places.put(child if keep else None)
        if "reason" in answer:
            raise DecodeError(str(answer["reason"]), str(answer.get("detail", "")))
        return answer

    def close(self) -> None:
        """End every process, whatever it is doing; who waits for one is told that it crashed."""
        self._closed.set()
        for child in list(self._children):
            child.kill()
        with suppress(Empty):
            for _ in range(self._count):
                idle = self._places.get_nowait()
                if idle is not None:
                    self._end(idle)
                self._places.put(None)

    def _started(self) -> _Child:
        child = _Child()
        self._children.add(child)
        return child

    def _end(self, child: _Child) -> None:
        child.end()
        self._children.discard(child)


class _Child:
    """One process and the line to it."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "vidsearch.playback._video_child", str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,  # native libraries complain there about videos that are reported anyway
                env=_environment(),
                pass_fds=[theirs.fileno()],
                process_group=0,  # Ctrl-C in a terminal goes to the parent only, whose end closes the line
            )
        self._connection = ours
        self._lines: IO[bytes] = ours.makefile("rb")
        self._ready = False
        self.jobs = 0

    def ask(self, job: dict[str, Any], timeout_s: float) -> dict[str, Any]:
        try:
            if not self._ready:
                self._receive(time.monotonic() + START_S)
                self._ready = True
            self.jobs += 1
            self._connection.settimeout(timeout_s)
            self._connection.sendall(json.dumps({**job, "seconds": timeout_s}).encode() + b"\n")
            return self._receive(time.monotonic() + timeout_s)
        except TimeoutError:
            raise DecodeError("TIMEOUT", f"not done after {timeout_s:g} s") from None
        except (OSError, ValueError, EOFError) as error:
            raise DecodeError("CRASH", "the process that read it ended") from error

    def _receive(self, until: float) -> dict[str, Any]:
        """Return the next answer. It comes in one piece, so that a time limit on each read is one on the whole, but for a hostile child."""
        line = b""
        while not line.endswith(b"\n"):
            self._connection.settimeout(max(0.001, until - time.monotonic()))
            part = self._lines.readline(_LONGEST_LINE)
            line += part
            if not part or len(line) >= _LONGEST_LINE:
                raise EOFError
        answer = json.loads(line)
        if not isinstance(answer, dict):
            raise ValueError("an answer that is none")
        return answer

    @property
    def has_ended(self) -> bool:
        return self._process.poll() is not None

    def kill(self) -> None:
        self._process.kill()

    def end(self) -> None:
        self._process.kill()
        self._lines.close()
        self._connection.close()
        self._process.wait()


def _environment() -> dict[str, str]:
    """Return the environment of a process: the same import path as here, and one thread."""
    path = os.pathsep.join(entry or str(Path.cwd()) for entry in sys.path)
    return {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}

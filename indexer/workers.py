"""Decode in processes that can be killed: a video that hangs, crashes or eats memory costs itself and nothing else.

parent ── socket: jobs, free slots ──▶ worker 0 ─┐
       ◀─ clips, failures, done ──────           ├─ pixels through slots of one mapped file, a share of them for each worker
parent ── …                            worker 1 ─┘
"""

from __future__ import annotations

import selectors
import subprocess
import time
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt

from indexer._processes import Ring, end_process, start_process
from indexer.decode_worker import Lines, slot_shape
from vidsearch.config import Preset
from vidsearch.decoders.base import Span
from vidsearch.errors import MissingExtraError, UsageError, VidsearchError
from vidsearch.registry import names

VIDEOS_PER_WORKER = 200  # then a fresh one: native libraries leak
JOBS_AHEAD = 2  # given to a worker: the one it decodes and the next
ATTEMPTS = 2
START_S = 60.0  # a worker may take to import what it needs, on a busy machine


@dataclass(frozen=True)
class VideoJob:
    """A video and the clips wanted of it."""

    id: int
    path: Path
    spans: tuple[Span, ...]


@dataclass(frozen=True)
class ClipPixels:
    """A clip as the model sees it.

    Attributes:
        index: its position in the job's spans.
        pixels: (frames, size, size, 3) uint8 RGB, valid until the next item is asked for.
        times_s: of the frames, seconds from the video's first instant.
        end_s: where the clip really ends.
    """

    job_id: int
    index: int
    pixels: npt.NDArray[np.uint8]
    times_s: tuple[float, ...]
    end_s: float


@dataclass(frozen=True)
class ClipFailure:
    """A clip that cannot be had, with a reason of the quarantine."""

    job_id: int
    index: int
    reason: str
    detail: str


@dataclass(frozen=True)
class JobDone:
    """The last word on a video.

    Attributes:
        reason, detail: set when the video as a whole failed; clips not delivered until now have failed with it.
        decode_s: processor seconds.
    """

    job_id: int
    reason: str = ""
    detail: str = ""
    decode_s: float = 0.0
    attempts: int = 1


Result = ClipPixels | ClipFailure | JobDone


@dataclass
class _Task:
    job: VideoJob
    left: set[int]  # clips that have not come
    attempts: int = 1


@dataclass(eq=False)
class _Worker:
    process: subprocess.Popen[bytes]
    lines: Lines
    slots: range
    ready: bool = False
    overdue: bool = False  # was killed for it
    given: int = 0  # jobs, in its life
    tasks: deque[_Task] = field(default_factory=deque)  # the first is being decoded
    progress: float = field(default_factory=time.monotonic)  # when it was last heard of


class DecodePool:
    """Decode processes, started on entering and gone on leaving.

    Args:
        preset: how frames are chosen and resized; that happens in the workers.
        decoder: a plug-in of vidsearch.decoders, or the dotted name of a module that has `open_decoder`.
        slots: clips that may be under way between the workers and the caller.
        timeout_s: how long a worker may say nothing about a video before it is killed.

    Raises:
        UsageError: there is no such decoder.
        MissingExtraError: its library is not installed; raised by `run`.
    """

    def __init__(self, preset: Preset, *, workers: int, decoder: str = "pyav", slots: int = 64, timeout_s: float = 60.0) -> None:
        known = names("vidsearch.decoders")
        if "." not in decoder and decoder not in known:
            raise UsageError(f"unknown decoder {decoder!r}; choose from {', '.join(known)}")
        if workers < 1:
            raise UsageError(f"{workers} decode workers; at least 1 is needed")
        self._preset, self._decoder, self._timeout_s = preset, decoder, timeout_s
        share = max(2, slots // workers)  # one that the caller reads, one that is being filled
        self._vacant = [range(number * share, (number + 1) * share) for number in range(workers)]
        self._workers: list[_Worker] = []
        self._waiting: deque[_Task] = deque()  # handed back by workers that died on another video
        self._retries: deque[_Task] = deque()

    def __enter__(self) -> DecodePool:
        self._selector = selectors.DefaultSelector()
        self._ring = Ring(self._vacant[-1].stop, slot_shape(self._preset))
        try:
            self._fill()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """End every worker, whatever it is doing, and wait until none is left."""
        for worker in self._workers:
            worker.lines.connection.close()
        for worker in self._workers:
            end_process(worker.process)
        self._workers.clear()
        self._selector.close()
        self._ring.close()

    def run(self, jobs: Iterable[VideoJob], *, idle_s: float = 0.05) -> Generator[Result | None]:
        """Yield each job's clips and failures as they come, then its JobDone; None when nothing came for `idle_s`.

        Jobs are taken from `jobs` only a few ahead of the workers. A video whose worker dies or says nothing for too long is tried once
        more, alone in a fresh worker, for the clips that had not come.
        """
        self._fill()
        feed = iter(jobs)
        try:
            while self._assign(feed):
                heard = self._selector.select(idle_s)
                for key, _ in heard:
                    yield from self._hear(key.data)
                self._kill_overdue()
                if not heard:
                    yield None
        finally:
            self._forget()

    def _assign(self, feed: Iterator[VideoJob]) -> bool:
        """Give work to workers that have room; return whether there is any work left."""
        for worker in self._workers:
            if self._retries and not worker.tasks:
                self._give(worker, self._retries.popleft())
        ahead = 1 if self._retries else JOBS_AHEAD  # a retry waits for a worker that has nothing else
        for depth in range(ahead):
            for worker in self._workers:
                alone = bool(worker.tasks) and worker.tasks[0].attempts > 1
                if len(worker.tasks) == depth and not alone and worker.given < VIDEOS_PER_WORKER and (task := self._next(feed)):
                    self._give(worker, task)
        return bool(self._retries) or any(worker.tasks for worker in self._workers)

    def _next(self, feed: Iterator[VideoJob]) -> _Task | None:
        if self._waiting:
            return self._waiting.popleft()
        job = next(feed, None)
        return None if job is None else _Task(job, set(range(len(job.spans))))

    def _give(self, worker: _Worker, task: _Task) -> None:
        if not worker.tasks:
            worker.progress = time.monotonic()
        worker.tasks.append(task)
        worker.given += 1
        spans = [(number, *task.job.spans[number]) for number in sorted(task.left)]
        with suppress(OSError):  # one that is dead or stuck is found out by what it says, or does not say
            worker.lines.send({"job": task.job.id, "path": str(task.job.path.absolute()), "spans": spans})

    def _hear(self, worker: _Worker) -> Iterator[Result]:
        """Pass on what a worker says; bury it when it is dead or talks nonsense."""
        messages = worker.lines.receive()
        while True:
            try:
                message = next(messages, None)
                result = None if message is None else self._understand(worker, message)
            except (EOFError, OSError, KeyError, TypeError, ValueError, IndexError):
                yield from self._bury(worker)
                return
            if message is None:
                break
            if result is not None:
                yield result
            if isinstance(result, ClipPixels):
                with suppress(OSError):
                    worker.lines.send({"free": message["slot"]})
            worker.progress = time.monotonic()  # after the caller's turn, during which it may have waited for a slot
        if worker.given >= VIDEOS_PER_WORKER and not worker.tasks:
            self._end(worker)
            self._fill()

    def _understand(self, worker: _Worker, message: Any) -> Result | None:
        """Check one message, for what a hostile video makes of a worker is not to be trusted, and note what it means."""
        if "fatal" in message:
            raise (MissingExtraError if message["missing"] else VidsearchError)(str(message["fatal"]))
        if "ready" in message or "alive" in message:
            worker.ready = True
            return None
        task = worker.tasks[0]
        if "done" in message:
            if message["done"] != task.job.id or (task.left and not message["reason"]):
                raise ValueError("a job that is not done")
            worker.tasks.popleft()
            return JobDone(task.job.id, str(message["reason"]), str(message["detail"]), float(message["decode_s"]), task.attempts)
        index = int(message["clip"])
        if index not in task.left or ("slot" in message and message["slot"] not in worker.slots):
            raise ValueError("a clip or slot that is not its own")
        task.left.remove(index)
        if "slot" not in message:
            return ClipFailure(task.job.id, index, str(message["reason"]), str(message["detail"]))
        times_s = tuple(float(time_s) for time_s in message["times_s"])
        return ClipPixels(task.job.id, index, self._ring.pixels[message["slot"]], times_s, float(message["end_s"]))

    def _kill_overdue(self) -> None:
        """Kill workers that have said nothing for too long; nothing less ends native code that hangs."""
        now = time.monotonic()
        late = [worker for worker in self._workers if worker.tasks and now - worker.progress > self._patience_s(worker)]
        if not late:
            return
        unheard = {id(key.data) for key, _ in self._selector.select(0)}  # the caller may have been away for long
        for worker in late:
            if id(worker) not in unheard:
                worker.overdue = True
                worker.process.kill()  # its end of the socket closes, and it is buried when that is heard

    def _patience_s(self, worker: _Worker) -> float:
        return self._timeout_s if worker.ready else max(self._timeout_s, START_S)

    def _bury(self, worker: _Worker) -> Iterator[JobDone]:
        """Replace a worker that died; have its video tried again, or give it up."""
        status = self._end(worker)
        if not worker.ready:
            raise VidsearchError(f"decode workers cannot be started: they end at once, {status}")
        self._fill()
        if not worker.tasks:
            return
        task, *others = worker.tasks
        self._waiting.extendleft(reversed(others))
        if task.attempts < ATTEMPTS:
            task.attempts += 1
            self._retries.append(task)
        elif worker.overdue:
            detail = f"no sign of progress for {self._timeout_s:g} s in {task.job.path.name}"
            yield JobDone(task.job.id, "DECODER_TIMEOUT", detail, attempts=task.attempts)
        else:
            yield JobDone(
                task.job.id, "DECODER_CRASH", f"the decode process ended, {status}, in {task.job.path.name}", attempts=task.attempts
            )

    def _forget(self) -> None:
        """Drop what a run that was broken off has left under way."""
        for worker in [worker for worker in self._workers if worker.tasks]:
            self._end(worker)
        self._waiting.clear()
        self._retries.clear()

    def _fill(self) -> None:
        """Start a worker for each share of the ring that has none."""
        while self._vacant:
            slots = self._vacant.pop()
            settings = {"slots": list(slots), "preset": asdict(self._preset), "decoder": self._decoder}
            process, lines = start_process(settings, ring=self._ring, send_timeout_s=self._timeout_s)
            worker = _Worker(process, lines, slots)
            self._workers.append(worker)
            self._selector.register(lines.connection, selectors.EVENT_READ, worker)

    def _end(self, worker: _Worker) -> str:
        """Make sure that a worker is gone; return how it ended."""
        self._selector.unregister(worker.lines.connection)
        self._workers.remove(worker)
        self._vacant.append(worker.slots)
        worker.lines.connection.close()
        return end_process(worker.process)

"""Decode in processes that can be killed: a video that hangs, crashes or eats memory costs itself and nothing else.

parent ── socket: jobs, free slots ──▶ worker 0 ─┐
       ◀─ clips, failures, done ──────           ├─ pixels through slots of one mapped file, a share of them for each worker
parent ── …                            worker 1 ─┘
"""

from __future__ import annotations

import selectors
import signal
import time
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from dataclasses import asdict
from types import TracebackType

from indexer._processes import describe_status, end_process, start_process
from indexer._ring import Ring, slot_shape
from indexer._worker import Task, Worker
from indexer.decoded import ClipFailure, ClipPixels, JobDone, Result, SpansFound, VideoJob
from vidsearch.config import Preset
from vidsearch.errors import UsageError, VidsearchError
from vidsearch.registry import names

__all__ = ["ClipFailure", "ClipPixels", "DecodePool", "JobDone", "Result", "SpansFound", "VideoJob"]

VIDEOS_PER_WORKER = 500  # then a fresh one, in case native libraries leak; a thousand videos took a worker from 65 to 73 MB
JOBS_AHEAD = 64  # that a worker may have been given, while the clips of fewer than these do not fill its slots
ATTEMPTS = 2


class DecodePool:
    """Decode processes, started on entering and gone on leaving.

    Args:
        preset: how frames are chosen and resized; that happens in the workers.
        decoder: a plug-in of vidsearch.decoders, or the dotted name of a module that has `open_decoder`.
        slots: clips that may be under way between the workers and the caller.
        timeout_s: how long a worker may say nothing about a video before it is killed.

    Attributes:
        idle_s: how long `run` has waited with nothing to hand over.

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
        self._share = max(2, slots // workers)  # one that the caller reads, one that is being filled
        self._number_of_workers = workers
        self._vacant = list(range(workers))
        self._workers: list[Worker] = []
        self._waiting: deque[Task] = deque()  # handed back by workers that died on another video
        self._retries: deque[Task] = deque()
        self.slots = self._share * workers
        self.idle_s = 0.0
        self._away_s = 0.0  # that the caller has spent between two results

    def __enter__(self) -> DecodePool:
        self._selector = selectors.DefaultSelector()
        self._ring = Ring.make(self.slots, workers=self._number_of_workers, shape=slot_shape(self._preset))
        try:
            self._fill()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    @property
    def queued(self) -> int:
        """Clips decoded and not yet taken: near `slots` while the caller is the slower, near 0 while the workers are."""
        return sum(worker.queued for worker in self._workers)

    def close(self) -> None:
        """End every worker, whatever it is doing, and wait until none is left."""
        for worker in self._workers:
            worker.lines.connection.close()
        for worker in self._workers:
            end_process(worker.process)
            del worker.ring
        self._workers.clear()
        self._selector.close()
        self._ring.close()

    def run(self, jobs: Iterable[VideoJob], *, idle_s: float = 0.05) -> Generator[Result | None]:
        """Yield each job's clips and failures as they come, then its JobDone; None when nothing came for `idle_s`.

        A job without spans begins with SpansFound. Jobs are taken from `jobs` only a few ahead of the workers. A video whose worker dies
        or says nothing for too long is tried once more, alone in a fresh worker, for the clips that had not come.
        """
        self._fill()
        self._back_at = time.monotonic()
        try:
            for result in self._results(iter(jobs), idle_s):
                left_at = time.monotonic()
                yield result
                self._back_at = time.monotonic()
                self._away_s += self._back_at - left_at
        finally:
            self._forget()

    def _results(self, feed: Iterator[VideoJob], idle_s: float) -> Iterator[Result | None]:
        while self._assign(feed):
            waits_from = time.monotonic()
            heard = self._selector.select(idle_s)
            self.idle_s += time.monotonic() - waits_from
            for key, _ in heard:
                yield from self._hear(key.data)
            self._kill_overdue()
            if time.monotonic() - self._back_at >= idle_s:
                yield None

    def _present_s(self) -> float:
        """Return a time that stands still while the caller is away and workers may be waiting for it."""
        return time.monotonic() - self._away_s

    def _assign(self, feed: Iterator[VideoJob]) -> bool:
        """Give work to workers that have room; return whether there is any work left."""
        for worker in self._workers:
            if self._retries and not worker.tasks:
                worker.give(self._retries.popleft(), self._present_s())
        while (room := [worker for worker in self._workers if self._has_room(worker)]) and (task := self._next(feed)):
            min(room, key=lambda worker: len(worker.tasks)).give(task, self._present_s())
        return bool(self._retries) or any(worker.tasks for worker in self._workers)

    def _has_room(self, worker: Worker) -> bool:
        """Whether a worker can be given another job: so many ahead that it has work while the caller is away."""
        alone = worker.tasks and (self._retries or worker.tasks[0].attempts > 1)  # a retry waits for a worker that has nothing else
        if alone or worker.given >= VIDEOS_PER_WORKER:
            return False
        return len(worker.tasks) < 2 or (len(worker.tasks) < JOBS_AHEAD and worker.clips_ahead < self._share)

    def _next(self, feed: Iterator[VideoJob]) -> Task | None:
        if self._waiting:
            return self._waiting.popleft()
        job = next(feed, None)
        return None if job is None else Task(job)

    def _hear(self, worker: Worker) -> Iterator[Result]:
        """Pass on what a worker says; bury it when it is dead or talks nonsense."""
        messages = worker.lines.receive()
        while True:
            try:
                message = next(messages, None)
                result = None if message is None else worker.understand(message, self._present_s())
            except (EOFError, OSError, KeyError, TypeError, ValueError, IndexError) as error:
                if not isinstance(error, EOFError | OSError):
                    worker.fault = "DECODER_CRASH", "the decode process talked nonsense"
                yield from self._bury(worker)
                return
            if message is None:
                break
            if isinstance(result, SpansFound):
                skip = worker.tasks[0].job.skip
                worker.want(set(range(len(result.spans))).difference(() if skip is None else skip(result.spans)))
            if result is not None:
                yield result
            if isinstance(result, ClipPixels):
                worker.send({"free": message["slot"]})
            worker.heard_at = time.monotonic()  # after the caller's turn, during which it may have waited for a slot
        if worker.given >= VIDEOS_PER_WORKER and not worker.tasks:
            self._end(worker)
            self._fill()

    def _kill_overdue(self) -> None:
        """Kill workers that take too long; nothing less ends native code that hangs."""
        for worker in self._workers:
            why = worker.silence()
            if (why and not self._is_unheard(worker)) or (why := worker.excess(self._present_s())):
                worker.fault = "DECODER_TIMEOUT", why
                worker.process.kill()  # its end of the socket closes, and it is buried when that is heard

    def _is_unheard(self, worker: Worker) -> bool:
        """Whether a worker has spoken while the caller was away."""
        return any(key.data is worker for key, _ in self._selector.select(0))

    def _bury(self, worker: Worker) -> Iterator[JobDone]:
        """Replace a worker that died; have its video tried again, or give it up."""
        status = self._end(worker)
        if not worker.ready:
            raise VidsearchError(f"decode workers cannot be started: they end at once, {describe_status(status)}")
        self._fill()
        if not worker.tasks:
            return
        task, *others = worker.tasks
        self._waiting.extendleft(reversed(others))
        if task.attempts < ATTEMPTS:
            task.attempts += 1
            self._retries.append(task)
            return
        reason, what = _verdict(worker, status)
        yield JobDone(task.job.id, reason, f"{what} in {task.job.path.name}", attempts=task.attempts)

    def _forget(self) -> None:
        """Drop what a run that was broken off has left under way."""
        for worker in [worker for worker in self._workers if worker.tasks]:
            self._end(worker)
        self._waiting.clear()
        self._retries.clear()

    def _fill(self) -> None:
        """Start a worker for each share of the ring that has none."""
        while self._vacant:
            number = self._vacant.pop()
            slots = range(number * self._share, (number + 1) * self._share)
            place = {"number": number, "workers": self._number_of_workers, "slots": list(slots)}
            settings = {**place, "preset": asdict(self._preset), "decoder": self._decoder}
            self._ring.delivered[number] = 0
            process, lines = start_process(settings, ring=self._ring, send_timeout_s=self._timeout_s)
            worker = Worker(process, lines, number, slots, self._ring, self._timeout_s)
            self._workers.append(worker)
            self._selector.register(lines.connection, selectors.EVENT_READ, worker)

    def _end(self, worker: Worker) -> int:
        """Make sure that a worker is gone; return how it ended."""
        self._selector.unregister(worker.lines.connection)
        self._workers.remove(worker)
        self._vacant.append(worker.number)
        worker.lines.connection.close()
        return end_process(worker.process)


def _verdict(worker: Worker, status: int) -> tuple[str, str]:
    """Return the reason for giving up a video that ended its worker, and what happened."""
    if worker.fault:
        return worker.fault
    if status == -signal.SIGXCPU:
        return "DECODER_TIMEOUT", f"more than {worker.seconds:.0f} s of processor time"
    if status == -signal.SIGKILL:  # not by us: so does Linux when memory runs out
        return "DECODER_OOM", "the decode process was killed from outside, as happens when the machine runs out of memory,"
    return "DECODER_CRASH", f"the decode process ended, {describe_status(status)},"

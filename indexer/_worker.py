"""One decode process as its parent sees it: what it was given, what it may say, and when it has had its time."""

from __future__ import annotations

import math
import subprocess
import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

from indexer._lines import Lines
from indexer._ring import Ring
from indexer.decoded import ClipFailure, ClipPixels, JobDone, Result, SpansFound, VideoJob
from vidsearch.decoders.base import Span
from vidsearch.errors import MissingExtraError, VidsearchError

START_S = 60.0  # a worker may take to import what it needs, on a busy machine
SLOWEST_BYTES_S = 10_000.0  # an hour of slides is a few megabytes, and minutes of decoding
SLOWEST_CLIP_S = 1.0


@dataclass
class Task:
    """A job under way.

    Attributes:
        spans: the clips of its video; None until they are found.
        left: numbers of those that have not come.
    """

    job: VideoJob
    spans: tuple[Span, ...] | None = None
    left: set[int] = field(default_factory=set)
    attempts: int = 1

    def __post_init__(self) -> None:
        if not self.job.uncut:
            self.spans = self.job.spans
            self.left = set(range(len(self.spans)))

    def seconds(self, timeout_s: float) -> float:
        """Return how long the whole video may take: far longer than any honest one of its size does."""
        return timeout_s + _size_bytes(self.job.path) / SLOWEST_BYTES_S + max(len(self.left), 1) * SLOWEST_CLIP_S


@dataclass(eq=False)
class Worker:
    """A process with the jobs that it was given, of which it decodes the first.

    Attributes:
        ready: it has imported what it needs.
        fault: reason and detail, when it was ended for something it did.
        given: jobs, in its life.
        taken: clips, in its life.
        heard_at: when it last said something, on the clock.
        seconds: how long the first task may take.
        started_s: when that began, in seconds that the caller did not spend elsewhere.
    """

    process: subprocess.Popen[bytes]
    lines: Lines
    number: int
    slots: range
    ring: Ring
    timeout_s: float
    ready: bool = False
    fault: tuple[str, str] | None = None
    given: int = 0
    taken: int = 0
    tasks: deque[Task] = field(default_factory=deque)
    heard_at: float = field(default_factory=time.monotonic)
    seconds: float = math.inf
    started_s: float = 0.0

    @property
    def queued(self) -> int:
        """Clips that it has decoded and nobody has taken."""
        return min(max(int(self.ring.delivered[self.number]) - self.taken, 0), len(self.slots))

    @property
    def clips_ahead(self) -> float:
        """Clips that it has been asked for and that have not come; of a video that is not cut yet, nobody knows how many."""
        return math.inf if any(task.spans is None for task in self.tasks) else sum(len(task.left) for task in self.tasks)

    def give(self, task: Task, present_s: float) -> None:
        self.tasks.append(task)
        self.given += 1
        job: dict[str, Any] = {"job": task.job.id, "path": str(task.job.path.absolute()), "seconds": task.seconds(self.timeout_s)}
        if task.spans is None:
            self.send({**job, "split": task.job.split})
        else:
            self.send({**job, "spans": [(number, *task.spans[number]) for number in sorted(task.left)]})
        if len(self.tasks) == 1:
            self._begin(present_s)

    def want(self, numbers: set[int]) -> None:
        """Answer what it found: these of the clips are wanted."""
        self.tasks[0].left = numbers
        self.seconds += len(numbers) * SLOWEST_CLIP_S
        self.send({"want": sorted(numbers), "seconds": self.seconds})

    def send(self, message: dict[str, Any]) -> None:
        with suppress(OSError):  # one that is dead or stuck is found out by what it says, or does not say
            self.lines.send(message)

    def understand(self, message: Any, present_s: float) -> Result | None:
        """Check one message, for what a hostile video makes of a worker is not to be trusted, and note what it means.

        Raises:
            KeyError, TypeError, ValueError, IndexError: it makes no sense.
            VidsearchError: no video could be decoded this way.
        """
        if "fatal" in message:
            raise (MissingExtraError if message["missing"] else VidsearchError)(str(message["fatal"]))
        if "ready" in message:
            self.ready, self.started_s = True, present_s
            return None
        if "alive" in message:
            return None
        task = self.tasks[0]
        if "done" in message:
            done = _done(message, task)
            self.tasks.popleft()
            self._begin(present_s)
            return done
        if "spans" in message:
            task.spans = _spans(message["spans"], task)
            return SpansFound(task.job.id, task.spans)
        return self._clip(message, task)

    def silence(self) -> str:
        """Return why it has to be killed, unless it has said what nobody has heard yet; empty if there is no reason."""
        patience_s = self.timeout_s if self.ready else max(self.timeout_s, START_S)
        return f"no sign of progress for {patience_s:g} s" if self.tasks and time.monotonic() - self.heard_at > patience_s else ""

    def excess(self, present_s: float) -> str:
        """Return why it has to be killed, whatever it says; empty if there is no reason."""
        return f"not done after {self.seconds:.0f} s" if self.ready and present_s - self.started_s > self.seconds else ""

    def _begin(self, present_s: float) -> None:
        self.heard_at, self.started_s = time.monotonic(), present_s
        self.seconds = self.tasks[0].seconds(self.timeout_s) if self.tasks else math.inf

    def _clip(self, message: dict[str, Any], task: Task) -> ClipPixels | ClipFailure:
        index = int(message["clip"])
        if index not in task.left or ("slot" in message and message["slot"] not in self.slots):
            raise ValueError("a clip or slot that is not its own")
        task.left.remove(index)
        if "slot" not in message:
            return ClipFailure(task.job.id, index, str(message["reason"]), str(message["detail"]))
        self.taken += 1
        times_s = tuple(float(time_s) for time_s in message["times_s"])
        return ClipPixels(task.job.id, index, self.ring.pixels[message["slot"]], times_s, float(message["end_s"]))


def _size_bytes(path: Path) -> int:
    """Return a file's size; that of the archive for a member of one, and 0 for what cannot be looked at."""
    with suppress(OSError, ValueError):
        return next((place.stat().st_size for place in (path, *path.parents) if place.is_file()), 0)
    return 0


def _done(message: dict[str, Any], task: Task) -> JobDone:
    unfinished = task.spans is None or task.left
    if message["done"] != task.job.id or (unfinished and not message["reason"]):
        raise ValueError("a job that is not done")
    return JobDone(task.job.id, str(message["reason"]), str(message["detail"]), float(message["decode_s"]), task.attempts)


def _spans(found: Any, task: Task) -> tuple[Span, ...]:
    if task.spans is not None:
        raise ValueError("spans that nobody asked for")
    spans = tuple(Span(float(start_s), None if end_s is None else float(end_s)) for start_s, end_s in found)
    bounds = [0.0, *(bound for span in spans for bound in (span.start_s, math.inf if span.end_s is None else span.end_s))]
    if not spans or not all(before <= after for before, after in pairwise(bounds)):  # NaN is neither
        raise ValueError("spans that do not follow each other")
    return spans

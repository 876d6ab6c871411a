"""Where a build stands, at any time: a line in a terminal, and one every ten seconds elsewhere; both on stderr."""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple

import typer

from indexer.summary import FOLDING, Stage, Summary

REPORT_EVERY_S = 10.0  # without a terminal
RECENT_S = 30.0  # over which the pace is measured
STEP_S = 0.5


class _Moment(NamedTuple):
    time_s: float
    done: int
    waits: Mapping[Stage, float]


@dataclass(frozen=True)
class State:
    """What is told of a build.

    Attributes:
        done, planned: clips; rows read so far and 0 while they are read.
        per_s: of late.
        queued: clips decoded and waiting.
        held_up_by: the stage that the others have waited for most of late, "" where they did not wait.
        left_s: until all is done at that pace; None while that cannot be said.
        stage: what the run is busy with.
    """

    done: int
    planned: int
    per_s: float
    queued: int
    held_up_by: str
    left_s: float | None
    stage: str


class Watch:
    """Makes a State of each Summary it is shown."""

    def __init__(self, now_s: float) -> None:
        self._moments: deque[_Moment] = deque([_Moment(now_s, 0, {})])
        self._counting = ("", False)  # what `done` counts

    def see(self, summary: Summary, now_s: float) -> State:
        """Return where the build stands."""
        planning = summary.planned == 0 and summary.stage == "reading rows"
        done = summary.read if planning else min(summary.planned, summary.indexed + summary.failed)
        if (summary.stage, planning) != self._counting:
            self._counting = (summary.stage, planning)
            self._moments = deque([_Moment(now_s, done, dict(summary.waits))])
        now = _Moment(now_s, done, dict(summary.waits))
        first = self._moments[0]
        if now_s - self._moments[-1].time_s >= STEP_S:
            self._moments.append(now)
        while len(self._moments) > 2 and now_s - self._moments[1].time_s >= RECENT_S:
            self._moments.popleft()
        seconds = now_s - first.time_s
        per_s = (done - first.done) / seconds if seconds >= STEP_S else 0.0
        left_s = (summary.planned - done) / per_s if per_s and not planning and not summary.uncut else None
        return State(done, summary.planned, per_s, summary.queued, _most(first, now), left_s, summary.stage)


def _most(first: _Moment, now: _Moment) -> str:
    """Return the stage that was waited for longest between two moments, if that was at least a tenth of the time."""
    waited = {stage: seconds - first.waits.get(stage, 0.0) for stage, seconds in now.waits.items()}
    stage = max(waited, key=waited.__getitem__)
    return stage if waited[stage] * 10 > now.time_s - first.time_s > 0 else ""


def sentence(state: State) -> str:
    """Return a state as a line of a log."""
    if not state.planned:
        return f"{state.stage or 'starting'}: {state.done:,} so far, {state.per_s:,.0f}/s"
    if state.stage == FOLDING:
        return f"{state.done:,} of {state.planned:,} clips, {FOLDING}"
    parts = [f"{state.done:,} of {state.planned:,} clips", f"{state.per_s:,.1f}/s", f"{state.queued:,} decoded and waiting"]
    if state.held_up_by:
        parts.append(f"{state.held_up_by} holds it up")
    parts.append("time left unknown" if state.left_s is None else f"{duration(state.left_s)} left")
    return ", ".join(parts)


def duration(seconds: float) -> str:
    """Return a time as a person says it: "12 s", "3 min", "2 h 05 min", "4 d 3 h"."""
    if seconds < 99.5:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 100:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours < 48 else f"{hours // 24} d {hours % 24} h"


@contextmanager
def shown() -> Iterator[Callable[[Summary], None]]:
    """Give a function that shows a summary as it grows."""
    if not sys.stderr.isatty():
        yield _line_reporter()
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    columns = (BarColumn(bar_width=None), TextColumn("{task.fields[told]}", justify="right"))
    with Progress(*columns, console=Console(stderr=True), transient=True, expand=True) as bar:
        task = bar.add_task("index", total=None, told="starting")
        watch = Watch(time.monotonic())

        def show(summary: Summary) -> None:
            state = watch.see(summary, time.monotonic())
            bar.update(task, total=state.planned or None, completed=state.done if state.planned else 0, told=short(state))

        yield show


def short(state: State) -> str:
    """Return a state for a terminal, at most 77 columns."""
    if not state.planned:
        return f"{state.stage or 'starting'} {state.done:,}  {state.per_s:,.0f}/s"
    if state.stage == FOLDING:
        return f"{state.done:,}/{state.planned:,}  {FOLDING}"
    parts = [f"{state.done:,}/{state.planned:,}", f"{state.per_s:,.1f}/s", f"{state.queued} queued"]
    if state.held_up_by:
        parts.append(f"slow: {state.held_up_by}")
    if state.left_s is not None:
        parts.append(f"{duration(state.left_s)} left")
    return "  ".join(parts)


def _line_reporter() -> Callable[[Summary], None]:
    shown_s = time.monotonic()
    watch = Watch(shown_s)

    def show(summary: Summary) -> None:
        nonlocal shown_s
        now_s = time.monotonic()
        state = watch.see(summary, now_s)
        if now_s - shown_s >= REPORT_EVERY_S:
            shown_s = now_s
            typer.echo(sentence(state), err=True)

    return show

"""How far a measurement is, on stderr: a line that is written over on a terminal, one every ten seconds elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import typer

from indexer.features import Progress
from indexer.live import duration

TERMINAL_S, LOG_S = 0.5, 10.0


@contextmanager
def shown(what: str) -> Iterator[Callable[[Progress], None]]:
    """Give a function to be called with each Progress of `what`, such as "clips measured"."""
    terminal = sys.stderr.isatty()
    started: float | None = None
    last = 0.0

    def show(progress: Progress) -> None:
        nonlocal started, last
        now = time.monotonic()
        if started is None:
            started = last = now
        if now - last < (TERMINAL_S if terminal else LOG_S):
            return
        last = now
        typer.echo(
            f"\r\x1b[K{_line(what, progress, now - started)}" if terminal else _line(what, progress, now - started),
            err=True,
            nl=not terminal,
        )

    try:
        yield show
    finally:
        if terminal and started is not None:
            typer.echo("\r\x1b[K", err=True, nl=False)


def _line(what: str, progress: Progress, spent_s: float) -> str:
    known = f" ({progress.cached:,} known)" if progress.cached else ""
    pace = (progress.done - progress.cached) / spent_s if spent_s else 0.0
    left = f", {duration((progress.total - progress.done) / pace)} left" if pace else ""
    return f"{progress.done:,} of {progress.total:,} {what}{known}{left}"

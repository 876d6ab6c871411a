"""The campaign of rivals: while one command is under way, another begins and ends, at each point between two of its changes.

No two changes of the two come in an order that is not tried, as far as one of them is done in one go.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cache

from reliability.crashes import quiet
from reliability.scenarios import ALL, add_column, build, compact
from reliability.tiny import ROOT, SPACE, Checker, Clips, ViolationError, add_clips, collect_all, name_of
from support.simulated_disk import Point, SimulatedDisk

from vidsearch.errors import ConflictError
from vidsearch.storage import garbage
from vidsearch.storage import manifest as manifests
from vidsearch.upkeep.delete import delete


@dataclass(frozen=True)
class Act:
    """A command, and what it makes of the clips that are there."""

    run: Callable[[], object]
    adds: Clips = frozenset()
    deletes: Clips = frozenset()


ACTS = {
    "add": Act(lambda: add_clips(ROOT, [7]), adds=frozenset({7})),
    "delete": Act(lambda: delete(ROOT, clip_ids=[name_of(3)]), deletes=frozenset({3})),
    "compact": Act(lambda: list(compact(ROOT))),
    "add a column": Act(lambda: list(add_column(ROOT))),
    "collect": Act(lambda: garbage.collect(ROOT)),
    "create": Act(lambda: manifests.create(ROOT, SPACE)),
}
RIVALS = {
    **ACTS,
    "add": Act(lambda: add_clips(ROOT, [8]), adds=frozenset({8})),
    "delete": Act(lambda: delete(ROOT, clip_ids=[name_of(5)]), deletes=frozenset({5})),
    "create and add": Act(lambda: (manifests.create(ROOT, SPACE), add_clips(ROOT, [8])), adds=frozenset({8})),
}
PAIRS = [(first, second) for first in ACTS for second in RIVALS if "create" not in first + second] + [("create", "create and add")]


@dataclass
class Races:
    """What a campaign did: how often each rival came in between, and what went wrong, a line each."""

    races: Counter[str] = field(default_factory=Counter)
    violations: list[str] = field(default_factory=list)


def campaign(pairs: Iterable[tuple[str, str]], *, every: int = 1, stop_after: int = 1_000_000) -> Races:
    """Let rivals come in at each point of each command, or at every so many."""
    races, checker = Races(), Checker()
    with quiet():
        for first, second in pairs:
            for point in range(0, _points(first), every):
                races.races[f"{second} within {first}"] += 1
                try:
                    race(checker, first, second, point)
                except Exception as error:  # whatever goes wrong is a violation
                    races.violations.append(f"{second} at change {point} of {first}: {type(error).__name__}: {error}")
                if len(races.violations) >= stop_after:
                    return races
    return races


def race(checker: Checker, first: str, second: str, point: int) -> None:
    """Run one command, and another whole before a change of the first; then the index must hold what both make of it."""
    disk, act, rival = _disk(first), ACTS[first], RIVALS[second]
    changes = 0

    def watch(_: Point) -> None:
        nonlocal changes
        changes += 1
        if changes == point + 1:
            with disk.watched(None):
                rival.run()

    with disk.mounted():
        try:
            with disk.watched(watch):
                act.run()
        except ConflictError:  # told to run it again
            act.run()
    there = frozenset() if first == "create" else ALL
    wanted = (there | act.adds | rival.adds) - act.deletes - rival.deletes
    for _ in range(2):
        found = checker.clips_in(disk)
        if found != wanted:
            raise ViolationError(f"clips {sorted(wanted - found)} are lost, {sorted(found - wanted)} should not be there")
        collect_all(disk)


def _points(name: str) -> int:
    disk = _disk(name)
    points: list[Point] = []
    with disk.mounted(), disk.watched(points.append):
        ACTS[name].run()
    return len(points)


def _disk(name: str) -> SimulatedDisk:
    """Return a disk whose files are young: some a process may still be about to name."""
    return _made(name == "create").copy()


@cache
def _made(empty: bool) -> SimulatedDisk:
    disk = SimulatedDisk()
    disk.clock = time.time()
    if not empty:
        with disk.mounted():
            list(build(ROOT))
            delete(ROOT, clip_ids=[name_of(0)])
            add_clips(ROOT, [0])
    return disk

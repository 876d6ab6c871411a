"""The campaign of crashes: a command is cut short at every change it makes to the disk, run again, cut short again, and run to its end.

killed or without power at change i → does it open? → run again → killed or without power at change j → does it open?
→ run again to the end → does it hold everything? → power lost → does it still?
"""

from __future__ import annotations

import gc
import logging
import random
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from reliability.scenarios import SCENARIOS, Scenario
from reliability.tiny import ROOT, Checker, ViolationError, collect_all
from support.simulated_disk import Mode, Point, PowerCut, SimulatedDisk

from vidsearch.storage import manifest as manifests
from vidsearch.storage.manifest import SegmentRef

MODES: tuple[Mode, Mode] = ("kill", "power")


@dataclass
class Tally:
    """What a campaign did.

    Attributes:
        states: crashes, each at another change, of another kind or with another damage; by scenario.
        second: of those, how many had a second crash while the command ran again.
        violations: a line each.
    """

    states: Counter[str] = field(default_factory=Counter)
    second: int = 0
    violations: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Recorded:
    """One undisturbed run.

    Attributes:
        points: before each change.
        acknowledged: the last stage that was, at each point.
        held: the segments of the version that was there before, as a reader holds them.
    """

    points: list[Point]
    acknowledged: list[int]
    held: tuple[SegmentRef, ...]


def record(scenario: Scenario) -> Recorded:
    """Run a scenario once on a disk of its own."""
    disk = SimulatedDisk(hard_links=scenario.hard_links)
    points: list[Point] = []
    acknowledged: list[int] = []
    stage = 0

    def watch(point: Point) -> None:
        points.append(point.kept())
        acknowledged.append(stage)

    with disk.mounted():
        for before in scenario.before:
            for _ in before(ROOT):
                pass
        held = manifests.read(ROOT).segments if scenario.before else ()
        if scenario.damages is not None:
            _damage(disk, scenario.damages)
        with disk.watched(watch):
            for stage in scenario.run(ROOT):  # noqa: B007 - `watch` reads it
                pass
    return Recorded(points, acknowledged, held if scenario.keeps else ())


def _damage(disk: SimulatedDisk, name: str) -> None:
    """Flip a bit in the middle of every file of a name."""
    for path, file in disk.walk(ROOT):
        if path.endswith(name):
            half = len(file.data) // 2
            file.data = file.durable = file.data[:half] + bytes([file.data[half] ^ 1]) + file.data[half + 1 :]


def campaign(names: Iterable[str], *, states: int, seed: int, share: tuple[int, int] = (0, 1), stop_after: int = 1_000_000) -> Tally:
    """Crash the named scenarios so many times in all, as often each, evenly over its points, by kill and by power loss.

    Args:
        names: of scenarios.
        states: crashes; fewer than there are points are a sample of them.
        seed: of all that is drawn.
        share: (which, of how many) equal parts of it this call does.
        stop_after: violations that are enough.
    """
    tally, checker = Tally(), Checker()
    with quiet():
        recorded = {name: record(SCENARIOS[name]) for name in names}
        turns = [turn for place, name in enumerate(recorded) for turn in _turns(name, recorded[name], states, place, len(recorded), seed)]
        for turn, name, number, mode in turns[share[0] :: share[1]]:
            _one(checker, name, recorded[name], number, mode, f"{seed}/{turn}", tally)
            if len(tally.violations) >= stop_after:
                break
    return tally


def _turns(name: str, run: Recorded, states: int, place: int, scenarios: int, seed: int) -> list[tuple[int, str, int, Mode]]:
    """Return a scenario's part of so many states: all its crashes as often as that goes, and some once more."""
    crashes = [(number, mode) for number in range(len(run.points)) for mode in MODES]
    rounds, rest = divmod(states // scenarios + (place < states % scenarios), len(crashes))
    chosen = [(turn, crash) for turn in range(rounds) for crash in crashes]
    chosen += [(rounds, crash) for crash in random.Random(f"{seed}/{name}").sample(crashes, rest)]
    return [(turn, name, number, mode) for turn, (number, mode) in chosen]


@contextmanager
def quiet() -> Iterator[None]:
    """Keep the warnings of torn manifests to ourselves: there are thousands."""
    logger = logging.getLogger("vidsearch")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)
        gc.collect()  # ParquetWriters that failed try once more; CPython 3.11 does not bear that while it compiles another test


def _one(checker: Checker, name: str, run: Recorded, number: int, mode: Mode, seed: str, tally: Tally) -> None:
    rng = random.Random(f"{seed}/{name}/{number}/{mode}")
    point = run.points[number]
    tally.states[name] += 1
    try:
        tally.second += crash(checker, SCENARIOS[name], run, number, mode, rng)
    except Exception as error:  # whatever stops a recovery is a violation
        where = f"{point.call} {point.path}"
        tally.violations.append(f"{name}, {mode} before change {number} ({where}), seed {seed}: {type(error).__name__}: {error}")


def crash(checker: Checker, scenario: Scenario, run: Recorded, number: int, mode: Mode, rng: random.Random) -> bool:
    """Crash one run before a change, and once more while it is resumed; return whether that second crash came.

    Raises:
        ViolationError: a clip is lost or there twice, or a commit that was acknowledged is gone.
        VidsearchError, OSError: the index does not open, or the command cannot be run again.
    """
    disk = run.points[number].crashed(mode, rng)
    stage = run.acknowledged[number]
    _check(checker, disk, scenario, stage, run.held)
    disk.dies_at = rng.randint(1, 2 * (len(run.points) - number))
    stage = max(stage, _resume(disk, scenario))
    died = disk.died
    if died is not None:
        disk = died.crashed(rng.choice(MODES), rng)
        _check(checker, disk, scenario, stage, run.held)
        _resume(disk, scenario)
    last = len(scenario.stages) - 1
    disk.dies_at = None
    _check(checker, disk, scenario, last, run.held)
    _check(checker, disk.after_power_loss(rng), scenario, last, run.held)
    collect_all(disk)
    _check(checker, disk.after_power_loss(rng), scenario, last, ())
    return died is not None


def _resume(disk: SimulatedDisk, scenario: Scenario) -> int:
    """Run the command until its end or its death; return the last stage acknowledged."""
    stage = 0
    with disk.mounted(), suppress(PowerCut):
        for acknowledged in scenario.run(ROOT):
            stage = max(stage, acknowledged)
    return stage


def _check(checker: Checker, disk: SimulatedDisk, scenario: Scenario, acknowledged: int, held: tuple[SegmentRef, ...]) -> None:
    found = checker.clips_in(disk, damaged=scenario.damages is not None and not acknowledged)
    allowed = scenario.stages[acknowledged : acknowledged + 2]
    if found not in allowed:
        lost, added = sorted(allowed[0] - found), sorted(found - allowed[-1])
        raise ViolationError(f"stage {acknowledged} was acknowledged; clips {lost} are lost, {added} should not be there")
    checker.readable(disk, held)
    if not scenario.keeps and scenario.damages is None:
        checker.versions_whole(disk)

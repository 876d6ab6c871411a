"""The campaign of faults: each call of a small build fails once, or from then on; and a disk of each size gets full.

However it ends, what was acknowledged is there, nothing half, and the same command run again on a sound disk does the rest.
"""

from __future__ import annotations

import errno
import os
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from reliability.crashes import quiet
from reliability.scenarios import SCENARIOS, Scenario
from reliability.tiny import ROOT, Checker, ViolationError, collect_all
from support.simulated_disk import NOTHING, SHORT, SimulatedDisk

from vidsearch.errors import VidsearchError


@dataclass(frozen=True)
class Fault:
    """What goes wrong: an error number, and at which calls."""

    error: int
    calls: tuple[str, ...] = ("create", "write", "fsync", "link", "rename", "mkdir", "unlink", "rmdir")


FAULTS = {
    "the disk is full": Fault(errno.ENOSPC),
    "the quota is used up": Fault(errno.EDQUOT),
    "input/output error": Fault(errno.EIO),
    "interrupted": Fault(errno.EINTR),
    "a write comes short": Fault(SHORT, ("write",)),
    "a write writes nothing": Fault(NOTHING, ("write",)),
    "fsync fails": Fault(errno.EIO, ("fsync",)),
    "close fails": Fault(errno.EIO, ("close",)),
}


@dataclass
class Faults:
    """What a campaign did: cases by fault, and what went wrong, a line each."""

    cases: Counter[str] = field(default_factory=Counter)
    violations: list[str] = field(default_factory=list)


def possible(name: str) -> set[str]:
    """Return the faults that a scenario can meet; a command that only removes files is not told that a write came short."""
    return {fault for fault in FAULTS if _numbers(SCENARIOS[name], FAULTS[fault].calls)}


def campaign(name: str, *, cases: int, seed: int, stop_after: int = 1_000_000) -> Faults:
    """Try so many of all cases of a scenario: each fault at each call, once and for ever."""
    tally, checker, scenario = Faults(), Checker(), SCENARIOS[name]
    with quiet():
        known = [
            (fault, number, for_ever)
            for fault in FAULTS
            for number in _numbers(scenario, FAULTS[fault].calls)
            for for_ever in (False, True)
        ]
        for fault, number, for_ever in random.Random(seed).sample(known, min(cases, len(known))):
            disk = prepared(scenario)
            disk.fault = _injected(FAULTS[fault], disk.calls + number, for_ever)
            tally.cases[fault] += 1
            _judge(checker, scenario, disk, FAULTS[fault].error, f"{fault} at call {number}{' and ever after' * for_ever}", tally)
            if len(tally.violations) >= stop_after:
                break
    return tally


def sweep(name: str, *, budgets: int, stop_after: int = 1_000_000) -> Faults:
    """Run a scenario on disks that are full after so many bytes, from none to all that it needs."""
    tally, checker, scenario = Faults(), Checker(), SCENARIOS[name]
    disk = prepared(scenario)
    before = disk.used_bytes
    _finish(disk, scenario)
    needed = disk.used_bytes - before + 2 * SimulatedDisk.NAME_BYTES
    with quiet():
        for budget in range(budgets):
            disk = prepared(scenario)
            disk.capacity_bytes = before + needed * budget // budgets
            tally.cases["the disk is full"] += 1
            _judge(checker, scenario, disk, errno.ENOSPC, f"a disk of {disk.capacity_bytes} bytes", tally)
            if len(tally.violations) >= stop_after:
                break
    return tally


def prepared(scenario: Scenario) -> SimulatedDisk:
    """Return a disk as a scenario finds it."""
    disk = SimulatedDisk(hard_links=scenario.hard_links)
    with disk.mounted():
        for before in scenario.before:
            for _ in before(ROOT):
                pass
    return disk


def _numbers(scenario: Scenario, calls: tuple[str, ...]) -> list[int]:
    """Return which of a scenario's calls are of some kinds, counted from 1."""
    disk = prepared(scenario)
    first, numbers = disk.calls, []

    def note(call: str, number: int) -> int:
        if call in calls:
            numbers.append(number - first)
        return 0

    disk.fault = note
    _finish(disk, scenario)
    return numbers


def _injected(fault: Fault, failing: int, for_ever: bool) -> Callable[[str, int], int]:
    def inject(call: str, number: int) -> int:
        hit = number == failing or (for_ever and number > failing)
        return fault.error if hit and call in fault.calls else 0

    return inject


def _judge(checker: Checker, scenario: Scenario, disk: SimulatedDisk, error: int, case: str, tally: Faults) -> None:
    try:
        _check(checker, scenario, disk, error)
    except Exception as wrong:  # whatever goes wrong is a violation
        tally.violations.append(f"{case}: {type(wrong).__name__}: {wrong}")


def _check(checker: Checker, scenario: Scenario, disk: SimulatedDisk, error: int) -> None:
    stage = 0
    complaint = None
    with disk.mounted():
        try:
            for acknowledged in scenario.run(ROOT):
                stage = acknowledged
        except (OSError, VidsearchError) as raised:
            complaint = raised
    if complaint is not None and error == SHORT:
        raise ViolationError(f"a write that came short was not continued: {complaint}")
    if complaint is not None and error > 0 and os.strerror(error) not in str(complaint):
        raise ViolationError(f"the message does not say what happened: {complaint}")
    disk.fault, disk.capacity_bytes = lambda call, number: 0, None
    allowed = scenario.stages[stage : stage + 2]
    if checker.clips_in(disk) not in allowed:
        raise ViolationError(f"stage {stage} was acknowledged, and {sorted(checker.clips_in(disk))} is there")
    _finish(disk, scenario)
    if checker.clips_in(disk) != scenario.stages[-1]:
        raise ViolationError("the same command run again does not do the rest")
    collect_all(disk)
    if checker.clips_in(disk.after_power_loss(random.Random(stage))) != scenario.stages[-1]:
        raise ViolationError("what was done again does not last")


def _finish(disk: SimulatedDisk, scenario: Scenario) -> None:
    with disk.mounted():
        for _ in scenario.run(ROOT):
            pass

"""Crash, damage and race the index by the thousand, and write down in docs/reliability.md what was run and what came of it.

    python tools/reliability.py              # some minutes
    python tools/reliability.py --long --seed 7

Every count is of what really ran: a campaign that its time ran out on says so by a lower one.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:1] = [str(ROOT / "tests"), str(ROOT)]  # in place of this folder, where this file bears the name of that package

from reliability import crashes, damage, faults, kills, mutants, processes, rivals  # noqa: E402
from reliability.scenarios import SCENARIOS  # noqa: E402

PAGE = ROOT / "docs" / "reliability.md"
TURN = 500  # crashes between two looks at the clock


@dataclass(frozen=True)
class Size:
    """How much to run; `within_s` and `kills_within_s` bound the campaigns that take longest."""

    crashes: int
    within_s: float
    flips: int
    fault_cases: int
    budgets: int
    rivals_every: int
    kills: int
    kills_within_s: float


SIZES = {
    False: Size(crashes=25_000, within_s=150, flips=1000, fault_cases=400, budgets=200, rivals_every=7, kills=300, kills_within_s=80),
    True: Size(
        crashes=1_000_000,
        within_s=8 * 3600,
        flips=10_000,
        fault_cases=100_000,
        budgets=2000,
        rivals_every=1,
        kills=3000,
        kills_within_s=4 * 3600,
    ),
}


@dataclass(frozen=True)
class Outcome:
    """A line of the page: how often what was done, what came of it, and what went wrong."""

    count: str
    what: str
    came: str
    violations: list[str]


def main() -> int:
    """Run every campaign, write the page, and return 1 where anything was violated."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--long", action="store_true", help="a night's counts in place of some minutes'")
    parser.add_argument("--seed", type=int, default=0, help="of all that is drawn")
    given = parser.parse_args()
    started, size, commit = time.monotonic(), SIZES[given.long], _commit()
    lines, violations = [], []
    for campaign in CAMPAIGNS:
        began = time.monotonic()
        outcome = campaign(size, given.seed)
        spent_s = time.monotonic() - began
        lines.append(f"| {outcome.count} | {outcome.what} | {outcome.came} | {spent_s:,.0f} s |")
        violations += outcome.violations
        print(lines[-1], flush=True)
    page = _page(lines, violations, given, commit, time.monotonic() - started)
    PAGE.write_text("\n".join(page) + "\n", encoding="utf-8")
    print(*violations, sep="\n", file=sys.stderr)
    return bool(violations)


def _crash_states(size: Size, seed: int) -> Outcome:
    ends = time.time() + size.within_s
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        shares = pool.starmap(_share, [(size.crashes, seed, which, ends) for which in (0, 1)])
    states = sum((share.states for share in shares), Counter[str]())
    second, violations = sum(share.second for share in shares), [line for share in shares for line in share.violations]
    what = f"kills and power losses in {len(states)} commands; {second:,} with a second one while the command is run again"
    return Outcome(f"{states.total():,}", what, _said(violations, "no clip lost or twice, no acknowledged commit lost"), violations)


def _share(states: int, seed: int, which: int, ends: float) -> crashes.Tally:
    """Do every other round of crashes until the time is up."""
    done = crashes.Tally()
    for turn in range(which, -(-states // TURN), 2):
        if time.time() > ends:
            break
        found = crashes.campaign(SCENARIOS, states=min(TURN, states - turn * TURN), seed=seed * 1_000_000 + turn)
        done.states += found.states
        done.second += found.second
        done.violations += found.violations
    return done


def _failing_calls(size: Size, seed: int) -> Outcome:
    tallies = [faults.campaign(name, cases=size.fault_cases, seed=seed) for name in ("build", "delete", "compact", "collect")]
    cases, violations = sum((one.cases for one in tallies), Counter[str]()), [line for one in tallies for line in one.violations]
    what = f"calls that fail, once or for ever: {', '.join(sorted(cases))}"
    return Outcome(f"{cases.total():,}", what, _said(violations, "all or nothing, and said what it was"), violations)


def _full_disks(size: Size, seed: int) -> Outcome:
    tally = faults.sweep("build", budgets=size.budgets)
    return Outcome(f"{tally.cases.total():,}", "sizes of disk that get full", _said(tally.violations, "all or nothing"), tally.violations)


def _flips(size: Size, seed: int) -> Outcome:
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        tallies = pool.map(partial(damage.campaign, flips=size.flips, seed=seed), [[kind] for kind in damage.KINDS], chunksize=1)
    cases, found = sum(one.cases.total() for one in tallies), sum(one.found for one in tallies)
    what = f"bits flipped, {size.flips:,} in each of {len(tallies)} kinds of file"
    return Outcome(f"{cases:,}", what, f"{found:,} found by `vidsearch verify`", [line for one in tallies for line in one.violations])


def _other_damage(size: Size, seed: int) -> Outcome:
    tally = damage.other_damage(damage.KINDS, seed=seed)
    what = f"files damaged otherwise: {', '.join(damage.CHANGES)}"
    return Outcome(f"{tally.cases.total():,}", what, f"{tally.found:,} found by `vidsearch verify`", tally.violations)


def _answers(size: Size, seed: int) -> Outcome:
    tally = damage.campaign([damage.ANSWERS], flips=size.flips, seed=seed)
    what = "bits flipped in what questions read, and a question asked"
    return Outcome(
        f"{tally.cases.total():,}", what, _said(tally.violations, "no wrong clip or score; what was left out was said"), tally.violations
    )


def _races(size: Size, seed: int) -> Outcome:
    tally = rivals.campaign(rivals.PAIRS, every=size.rivals_every)
    what = f"commands run within another, between two of its changes, in {len(tally.races)} pairs"
    return Outcome(f"{tally.races.total():,}", what, _said(tally.violations, "neither lost anything"), tally.violations)


def _processes(size: Size, seed: int) -> Outcome:
    with tempfile.TemporaryDirectory() as folder:
        tally = processes.campaign(Path(folder) / "index", processes=8, commits=50)
    what = f"commits of 8 processes at once to one index on a real disk; {tally.tried_again} gave up at first"
    return Outcome(f"{tally.committed:,}", what, _said(tally.violations, "one line of versions, none lost"), tally.violations)


def _kills(size: Size, seed: int) -> Outcome:
    with tempfile.TemporaryDirectory() as folder, multiprocessing.get_context("spawn").Pool(1) as server:
        tally = server.apply(kills.campaign, (Path(folder),), {"kills": size.kills, "within_s": size.kills_within_s, "seed": seed})
    came = f"{tally.indexes} indexes brought to their end, every clip once"
    dead = ", ".join(f"{count:,} of {what}" for what, count in sorted(tally.killed.items()))
    what = f"SIGKILLs in {tally.builds:,} runs of `vidsearch index`: {dead}"
    return Outcome(f"{tally.killed.total():,}", what, _said(tally.violations, came), tally.violations)


def _mutants(size: Size, seed: int) -> Outcome:
    living = [name for name, mutant in mutants.MUTANTS.items() if not mutant.hunt()]
    what = "mutants, each without one sync, link, seal, hash or check, let loose on the campaigns above"
    lives = [f"a mutant lives: {name}" for name in living]
    return Outcome(f"{len(mutants.MUTANTS)}", what, f"{len(mutants.MUTANTS) - len(living)} noticed", lives)


CAMPAIGNS: tuple[Callable[[Size, int], Outcome], ...] = (
    _crash_states,
    _failing_calls,
    _full_disks,
    _flips,
    _other_damage,
    _answers,
    _races,
    _processes,
    _kills,
    _mutants,
)


def _said(violations: list[str], else_: str) -> str:
    return f"{len(violations):,} violations" if violations else else_


def _page(lines: list[str], violations: list[str], given: argparse.Namespace, commit: str, spent_s: float) -> Iterator[str]:
    command = "python tools/reliability.py" + " --long" * given.long + f" --seed {given.seed}"
    machine = f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    yield "# What was tried to break an index"
    yield ""
    yield f"Written by `{command}` on {datetime.now(UTC):%Y-%m-%d} at commit {commit}, in {spent_s / 60:.1f} minutes ({machine})."
    yield "The counts are of what ran; the campaigns are in `tests/reliability/`, and `pytest -m reliability` runs them too."
    yield ""
    yield "| times | what was done | what came of it | took |"
    yield "|---:|---|---|---:|"
    yield from lines
    yield ""
    yield "Crashes, faults, damage and races happen on a disk in memory that loses what was not synced, singly and in any order; the"
    yield "code that writes to it is the same that writes to a real one. Kills and processes are real."
    if violations:
        yield ""
        yield "## Violated"
        yield from (f"* {line}" for line in violations)


def _commit() -> str:
    def git(*arguments: str) -> str:
        return subprocess.run(["git", "-C", str(ROOT), *arguments], capture_output=True, text=True, check=False).stdout.strip()

    dirty = " with changes" if git("status", "--porcelain", "--untracked-files=no", "--", "vidsearch", "indexer", "tests") else ""
    return (git("rev-parse", "--short", "HEAD") or "unknown") + dirty


if __name__ == "__main__":
    sys.exit(main())

"""The campaign of processes: many commit to one index on a real disk at once, and none of what they commit is lost."""

from __future__ import annotations

import multiprocessing
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from reliability.tiny import SPACE, add_clips, name_of

from vidsearch.errors import VidsearchError
from vidsearch.storage import manifest as manifests
from vidsearch.upkeep.verify import verify

APART = 1000  # more clips than a process commits


@dataclass
class Commits:
    """What a campaign did.

    Attributes:
        committed: commits that were acknowledged.
        tried_again: commits that gave up because others were first each time, and were made once more.
        violations: a line each.
    """

    committed: int = 0
    tried_again: int = 0
    violations: list[str] = field(default_factory=list)


def campaign(root: Path, *, processes: int, commits: int) -> Commits:
    """Let so many processes commit a segment of one clip so many times each."""
    manifests.create(root, SPACE)
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        tried = pool.starmap(_work, [(root, worker, commits) for worker in range(processes)], chunksize=1)
    tally = Commits(processes * commits, sum(tried))
    newest = manifests.read(root)
    known = manifests.versions(root)
    if known != list(range(1, tally.committed + 2)):
        tally.violations.append(f"{len(known)} versions up to {max(known)} for {tally.committed} commits")
    for before, after in pairwise(known):
        earlier, later = (manifests.read_version(root, version).segments for version in (before, after))
        if later[:-1] != earlier:
            tally.violations.append(f"version {after} is not version {before} with one segment more")
    report = verify(root)
    tally.violations += [fault.detail for fault in report.faults]
    if newest.rows != tally.committed or report.indexed != tally.committed:
        tally.violations.append(f"{newest.rows} clips for {tally.committed} commits")
    return tally


def _work(root: Path, worker: int, commits: int) -> int:
    tried_again = 0
    for clip in range(worker * APART, worker * APART + commits):
        while True:
            try:
                add_clips(root, [clip])
                break
            except VidsearchError as error:
                if "in a row" not in str(error):
                    raise ValueError(f"{name_of(clip)}: {error}") from error
                tried_again += 1
    return tried_again

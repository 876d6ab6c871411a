"""Work that several processes share: plans of jobs, which jobs are ready to be committed, and how often each was tried.

    plans/<plan>/        the jobs, written once; the manifest's settings name the plans that are open and which of their jobs are committed
    attempts/<job>       a line for each time a job was begun; the one file that grows
    ready/<job>.json     the job's segment is whole; whoever commits folds it in and removes this

A job has the name of its segment, so whoever does it a second time finds it done.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from vidsearch.errors import IndexCorruptError
from vidsearch.storage import files, seal
from vidsearch.storage.manifest import Manifest, SegmentRef
from vidsearch.storage.seal import JSON

PLANS, READY, ATTEMPTS = "plans", "ready", "attempts"  # folders; the first is the manifest's setting too

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Mark:
    """A job that is ready to be committed."""

    job: str
    plan: str
    number: int
    segment: SegmentRef


@dataclass(frozen=True)
class OpenPlan:
    """A plan as the manifest knows it: whose input it is, how many jobs it has, and which of them are committed."""

    source: str
    jobs: int
    done: frozenset[int] = frozenset()

    @property
    def missing(self) -> list[int]:
        return [number for number in range(self.jobs) if number not in self.done]

    def to_json(self) -> dict[str, JSON]:
        return {"source": self.source, "jobs": self.jobs, "done": [list(pair) for pair in _ranges(self.done)]}


def job_name(plan: str, number: int) -> str:
    """Return the name of a job and of its segment, a uuid: the same whoever does it."""
    return str(uuid.UUID(bytes=sha256(f"{plan}|{number}".encode()).digest()[:16]))


def open_plans(manifest: Manifest) -> dict[str, OpenPlan]:
    """Return the plans that are not finished, by name."""
    written: Any = manifest.settings.get(PLANS) or {}
    return {
        name: OpenPlan(values["source"], values["jobs"], frozenset(n for start, stop in values["done"] for n in range(start, stop)))
        for name, values in written.items()
    }


def with_plans(manifest: Manifest, plans: Mapping[str, OpenPlan]) -> Manifest:
    """Return a manifest with these plans open and no others."""
    settings = {name: value for name, value in manifest.settings.items() if name != PLANS}
    return manifest.with_settings({**settings, PLANS: {name: plan.to_json() for name, plan in plans.items()}} if plans else settings)


def mark_ready(root: Path, mark: Mark) -> None:
    """Hand in a job's segment; whoever does it writes the same."""
    files.make_folder(root / READY)
    values: dict[str, JSON] = {"job": mark.job, "plan": mark.plan, "number": mark.number, "segment": mark.segment.to_json()}
    files.put(root / READY / f"{mark.job}.json", seal.dumps(values), staging=root / files.STAGING)


def is_ready(root: Path, job: str) -> bool:
    return files.is_there(root / READY / f"{job}.json")


def read_marks(root: Path) -> list[Mark]:
    """Return the jobs that are ready; a mark that is torn is passed over: its job is done again."""
    marks = []
    for name in files.list_names(root / READY):
        path = root / READY / name
        try:
            values = seal.read_sealed(path)
            marks.append(Mark(values["job"], values["plan"], values["number"], SegmentRef.from_json(values["segment"])))
        except (IndexCorruptError, KeyError, TypeError, ValueError) as error:
            if files.is_there(path):  # else another process has just committed it
                log.warning("%s: not a mark of a job that is ready (%s); passed over", path, error)
    return marks


def forget(root: Path, jobs: Iterable[str]) -> None:
    """Remove the marks and the attempts of jobs that are committed."""
    for job in jobs:
        files.remove(root / READY / f"{job}.json")
        files.remove(root / ATTEMPTS / job)


def crashes(root: Path, job: str, run: str) -> int:
    """Return how often a run has begun a job and did not come to an end: a process that dies leaves its line."""
    path = root / ATTEMPTS / job
    lines = files.read(path).decode(errors="replace").splitlines() if files.is_there(path) else []
    begun, ended = (sum(line.startswith(f"{word} {run} ") for line in lines) for word in ("begun", "ended"))
    return begun - ended


def begin_attempt(root: Path, job: str, run: str, *, by: str) -> None:
    """Note that a run begins a job; `by` says for a person which process does."""
    files.make_folder(root / ATTEMPTS)
    files.append(root / ATTEMPTS / job, f"begun {run} {by}\n".encode())


def end_attempt(root: Path, job: str, run: str, *, by: str) -> None:
    """Note that a run gave a job up in good order, which says nothing against the job."""
    files.append(root / ATTEMPTS / job, f"ended {run} {by}\n".encode())


def _ranges(numbers: Iterable[int]) -> list[tuple[int, int]]:
    """Return numbers as half-open ranges, ascending."""
    ranges: list[tuple[int, int]] = []
    for number in sorted(numbers):
        if ranges and ranges[-1][1] == number:
            ranges[-1] = ranges[-1][0], number + 1
        else:
            ranges.append((number, number + 1))
    return ranges


def in_order(segments: Sequence[SegmentRef], plans: Mapping[str, OpenPlan]) -> list[SegmentRef]:
    """Return segments in an order that does not tell which job came first: those of a plan after all others, by number."""
    places = {
        job_name(name, number): (plan.source, number)
        for name, plan in sorted(plans.items(), key=lambda item: item[1].source)
        for number in plan.done
    }
    own = sorted((segment for segment in segments if segment.uuid in places), key=lambda segment: places[segment.uuid])
    return [*(segment for segment in segments if segment.uuid not in places), *own]

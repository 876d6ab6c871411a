"""Fold what is ready into the index: all jobs that were handed in and are not listed yet, in one commit.

A job counts once, whoever did it and however often, and the index does not tell which job came first.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from indexer.books import Before, Finished, joined
from indexer.known import KnownRows
from indexer.plans import Plan, read_plan
from indexer.rows import EMBEDDED_FROM
from vidsearch.errors import IndexCorruptError
from vidsearch.storage import files
from vidsearch.storage import manifest as manifests
from vidsearch.storage.handed_in import READY, Mark, OpenPlan, forget, in_order, job_name, open_plans, read_marks, with_plans
from vidsearch.storage.ledger import Ledger
from vidsearch.storage.manifest import Manifest
from vidsearch.storage.segment import drop, open_segment

log = logging.getLogger(__name__)


def commit_ready(root: Path) -> int:
    """Commit the jobs that are ready and return how many those were; safe to call at any time, by several processes at once.

    A job whose segment is damaged is forgotten, so that it is done again.
    """
    marks = [mark for mark in read_marks(root) if _is_whole(root, mark)]
    committed: list[Mark] = []

    def change(manifest: Manifest) -> Manifest:
        committed.clear()
        plans = open_plans(manifest)
        old = [mark for mark in marks if mark.plan in plans and mark.number in plans[mark.plan].done]
        changed = manifest
        for name in sorted(plans):
            new = sorted((mark for mark in marks if mark.plan == name and mark not in old), key=lambda mark: mark.number)
            if new:
                changed = _with_jobs(root, changed, read_plan(root, name), plans, new)
                plans[name] = replace(plans[name], done=plans[name].done | {mark.number for mark in new})
                committed.extend(new)
        forgotten.update(mark.job for mark in [*old, *committed])
        if not committed:
            return manifest
        ordered = changed.with_segments(in_order(changed.segments, plans))
        return with_plans(ordered, {name: plan for name, plan in plans.items() if plan.missing})

    forgotten: set[str] = set()
    if marks:
        manifests.commit(root, change)
        forget(root, forgotten)  # only now: what a crash leaves is known to be done by its number
    return len(committed)


def _is_whole(root: Path, mark: Mark) -> bool:
    """Whether every byte of a job's segment is what was written, perhaps on another machine; one that is not is removed."""
    try:
        open_segment(root, mark.segment, verify="full")
    except IndexCorruptError as error:
        named = {reference.uuid for reference in manifests.read(root).segments}
        if mark.job not in named and files.is_there(root / READY / f"{mark.job}.json"):  # else another process has committed it
            log.warning("%s; its job is done again", error)
            forget(root, [mark.job])
            drop(root, mark.job)
        return False
    return True


def give_up(root: Path) -> None:
    """Drop all open plans; what they had not done yet is not pending any more, and the next build of its input plans it anew."""

    def change(manifest: Manifest) -> Manifest:
        plans = open_plans(manifest)
        return without_plans(manifest, {plan.source for plan in plans.values()}) if plans else manifest

    manifests.commit(root, change)


def without_plans(manifest: Manifest, sources: set[str]) -> Manifest:
    """Return a manifest without the open plans of some inputs, and without what was pending because of them."""
    plans = open_plans(manifest)
    dropped = {name: plan for name, plan in plans.items() if plan.source in sources}
    if not dropped:
        return manifest
    ledger = Ledger.from_settings(manifest.settings) or Ledger()
    names = {f"{plan.source}.{name}" for name, plan in dropped.items()}
    pending = {name: tally for name, tally in ledger.pending.items() if name not in names}
    planned = ledger.planned
    for name in names & set(ledger.pending):
        planned -= ledger.pending[name]
    settings = Ledger(planned, pending).into(manifest.settings)
    return with_plans(manifest.with_settings(settings), {name: plan for name, plan in plans.items() if name not in dropped})


def _with_jobs(root: Path, manifest: Manifest, plan: Plan, plans: dict[str, OpenPlan], marks: list[Mark]) -> Manifest:
    """Return a manifest with the segments of some jobs of a plan."""
    own = {job_name(plan.name, number) for number in plans[plan.name].done}
    foreign = {segment.uuid for segment in manifest.segments} - plan.known - own
    before = Before(root, manifest, foreign=foreign, rows=KnownRows(root))
    for mark in marks:
        segment = open_segment(root, mark.segment)
        books: dict[str, Any] = segment.info["books"]
        names = ["clip_id", EMBEDDED_FROM] if segment.rows else ["clip_id"]
        rows = partial(segment.read_columns, names)
        finished = Finished(mark.segment, plan.source, plan.name, books["planned"], books["unplanned"], books["replacing"], rows)
        manifest = joined(manifest, finished, before)
    return manifest


def open_work(root: Path) -> list[tuple[Plan, OpenPlan]]:
    """Return the plans that are not finished, with where they stand."""
    return [(read_plan(root, name), plan) for name, plan in open_plans(manifests.read(root)).items()]

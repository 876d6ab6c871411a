"""A part of a plan, done in this process: one task of a job array, which needs nothing but the same folders as the others."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, replace
from pathlib import Path

from indexer.executors.base import Order
from indexer.jobrun import JobRunner
from indexer.opening import Progress, open_or_create, open_sources
from indexer.plans import Plan, open_plan
from indexer.room import ensure_room
from indexer.run import check_limit
from indexer.summary import Summary
from vidsearch.encoders.base import Encoder
from vidsearch.errors import UsageError
from vidsearch.storage import manifest as manifests
from vidsearch.storage.handed_in import is_ready, job_name, open_plans

MOST_SHARDS = 100_000


@dataclass(frozen=True)
class Shard:
    """Part `number` of `of`, numbered from 0."""

    number: int
    of: int

    @classmethod
    def parse(cls, text: str) -> Shard:
        """Read "0/8" to "7/8"; anything else raises UsageError."""
        number, _, of = text.partition("/")
        if not (number.isascii() and number.isdigit() and of.isascii() and of.isdigit() and int(number) < int(of) <= MOST_SHARDS):
            raise UsageError(
                f"--shard {text!r} is not a part; give I/N with I from 0 to N-1: 0/8 to 7/8 are the eight of `sbatch --array=0-7`"
            )
        return cls(int(number), int(of))


def build_shard(order: Order, shard: Shard, encoder: Encoder, progress: Progress) -> Summary:
    """Do one part of the jobs of an input; `commit_ready` folds them in.

    All parts may run at the same time, on machines that see the same folders.

    Args:
        order: what is to be indexed; the same for all parts.
        shard: jobs whose number leaves this rest are done.
        encoder: makes the vectors.
        progress: called after each clip and each idle moment.
    """
    started = time.monotonic()
    root = order.out
    sources, _ = open_sources(order.source, metadata=order.metadata, videos=order.videos)
    ensure_room(root)
    open_or_create(root, encoder)
    summary = Summary()
    plan = open_plan(root, sources, order.asked, summary=summary, progress=progress)
    if plan is not None:
        left = _left(root, plan, shard)
        summary = replace(summary, planned=sum(plan.jobs[n][0] for n in left), uncut=sum(plan.jobs[n][1] for n in left))
        summary = _do(order, plan, shard, left, encoder, summary, progress)
    summary.wall_s = time.monotonic() - started
    return summary


def _left(root: Path, plan: Plan, shard: Shard) -> list[int]:
    """Return the jobs of a part that are neither committed nor ready."""
    standing = open_plans(manifests.read(root)).get(plan.name)
    missing = [] if standing is None else standing.missing
    return [number for number in missing if number % shard.of == shard.number and not is_ready(root, job_name(plan.name, number))]


def _do(order: Order, plan: Plan, shard: Shard, numbers: list[int], encoder: Encoder, summary: Summary, progress: Progress) -> Summary:
    name, workers = f"shard {shard.number}/{shard.of}", order.workers or max(1, (os.cpu_count() or 2) - 1)

    def show(job: Summary) -> None:
        progress(summary.plus(job))  # the clips of videos that are cut are counted when the job is done

    with JobRunner(order.out, plan, encoder, run=name, decoder=order.decoder, workers=workers, progress=show) as runner:
        for number in numbers:
            try:
                done = runner.do(number)
            except KeyboardInterrupt:
                summary.interrupted = True
                break
            summary = after_job(summary, plan, number, done)
            progress(summary)
            check_limit(summary, order.max_quarantine)
    return summary


def after_job(summary: Summary, plan: Plan, number: int, done: Summary) -> Summary:
    """Return what was done so far with one more job, the clips of its videos that were cut known now."""
    clips, uncut = plan.jobs[number]
    cut = max(0, done.planned - clips)
    return replace(summary.plus(done), planned=summary.planned + cut, uncut=summary.uncut - uncut)

"""A plan: the work of one input cut into jobs that any process can do, written into the index once and found there by all.

    plans/<plan>/PLAN.json      what was asked for, sealed
    plans/<plan>/000.parquet    rows that wait, a row group a job; one file for each part of a spilled input

Whoever plans an input that has no open plan publishes its own with a commit; who comes second takes the first one's.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from indexer.jobs import WAY, Way
from indexer.known import KnownBad, KnownRows
from indexer.opening import Progress, name_of, read_work
from indexer.plan import WorkList
from indexer.shots import parse_split
from indexer.sources import Sources
from indexer.summary import Summary
from vidsearch.engine import open_index
from vidsearch.errors import IndexCorruptError, UsageError
from vidsearch.storage import files, seal
from vidsearch.storage import manifest as manifests
from vidsearch.storage.handed_in import PLANS, OpenPlan, open_plans, with_plans
from vidsearch.storage.ledger import Ledger, Tally, digests
from vidsearch.storage.manifest import Manifest
from vidsearch.storage.quarantine import RETRY

JOB_CLIPS = 256
MOST_JOBS = 10_000  # each is a segment until the index is folded together
CUT_CLIPS = 16  # that a video which is still to be cut counts for


@dataclass(frozen=True)
class Asked:
    """What a plan was made for; the same input asked for otherwise is another plan."""

    split: str = "scenes"
    from_captions: bool = False
    job_clips: int | None = None

    def __post_init__(self) -> None:
        parse_split(self.split)
        if self.job_clips is not None and self.job_clips < 1:
            raise UsageError(f"--job-clips {self.job_clips} must be 1 or more")


@dataclass(frozen=True)
class Plan:
    """The jobs of one input.

    Attributes:
        name, source: of the plan, and of the input as the ledger names it.
        videos, origin: the folder of the video files, and the address of what it stands for, "" where it stands for itself.
        sizes: of each of its files, (clips, videos still to be cut) of each job.
        known: segments that were there when it was made: no clip that was fresh then has a row in them.
    """

    name: str
    source: str
    videos: Path
    origin: str
    asked: Asked
    sizes: tuple[tuple[tuple[int, int], ...], ...]
    known: frozenset[str]

    @property
    def jobs(self) -> tuple[tuple[int, int], ...]:
        """(clips, videos still to be cut) of every job."""
        return tuple(job for part in self.sizes for job in part)

    def read(self, root: Path, number: int) -> pa.Table:
        """Return the rows of one job."""
        for part, jobs in enumerate(self.sizes):
            if number < len(jobs):
                path = root / PLANS / self.name / _part_name(part)
                try:
                    with pq.ParquetFile(path, page_checksum_verification=True) as file:
                        return file.read_row_group(number)
                except (OSError, pa.ArrowException) as error:
                    raise IndexCorruptError(f"{path}: cannot be read ({error}); `vidsearch commit --give-up`, then plan anew") from error
            number -= len(jobs)
        raise IndexError(f"job {number} beyond the plan's end")


def open_plan(root: Path, sources: Sources, asked: Asked, *, summary: Summary, progress: Progress) -> Plan | None:
    """Return the open plan of an input, or make one of what is not indexed yet; None when nothing is to be done.

    Raises:
        UsageError: the open plan was made for something else.
    """
    source = name_of(sources)
    found = _find(root, source)
    if found is None:
        name = str(uuid.uuid4())
        try:
            made = _make(root, name, source, sources, asked, summary, progress)
            if made is None:
                return None
            found = _publish(root, *made)
        finally:
            if found is None or found.name != name:  # nothing to do, or another process was first
                files.remove(root / PLANS / name)
    if found.asked != asked:
        raise UsageError(
            f"{root} has an unfinished plan of this input, made for {_told(found.asked)}, not for {_told(asked)}; "
            "go on with the same options, or drop it with `vidsearch commit --give-up`"
        )
    return found


def read_plan(root: Path, name: str) -> Plan:
    """Read a plan."""
    path = root / PLANS / name / "PLAN.json"
    values = seal.read_sealed(path)
    try:
        return Plan(
            name=values["name"],
            source=values["source"],
            videos=Path(values["videos"]),
            origin=values["origin"],
            asked=Asked(**values["asked"]),
            sizes=tuple(tuple((clips, uncut) for clips, uncut in part) for part in values["sizes"]),
            known=frozenset(values["known"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise IndexCorruptError(f"{path}: sealed, but not a plan ({error!r})") from error


def _find(root: Path, source: str) -> Plan | None:
    manifest = manifests.read(root)
    return next((read_plan(root, name) for name, plan in open_plans(manifest).items() if plan.source == source), None)


def _told(asked: Asked) -> str:
    of = "captions where no video is" if asked.from_captions else "videos"
    return f"--split {asked.split}, {of}, {asked.job_clips or 'about 256'} clips a job"


def _make(
    root: Path, name: str, source: str, sources: Sources, asked: Asked, summary: Summary, progress: Progress
) -> tuple[Plan, Tally] | None:
    """Read all rows, and write the jobs of those that are to be indexed; None where there are none."""
    index = open_index(root)
    known, bad = KnownRows(root), KnownBad((segment.quarantine() for segment in index.segments), index.manifest.settings.get(RETRY) or ())
    known.see(index.manifest)
    scratch, cut = root / files.STAGING / f"{name}.plan", parse_split(asked.split).kind != "none"
    folder = root / PLANS / name
    files.make_folder(folder)
    with WorkList(rows=known, bad=bad, videos=sources.videos, scratch=scratch, from_captions=asked.from_captions, cut=cut) as work:
        read_work(work, sources, summary, progress)
        most = asked.job_clips or max(JOB_CLIPS, -(-(work.clips + CUT_CLIPS * work.uncut) // MOST_JOBS))
        sizes = tuple(_write_part(folder / _part_name(number), rows, most) for number, rows in enumerate(work.rows(*Way)))
    if not sizes:
        return None
    there = frozenset(segment.uuid for segment in index.segments)
    plan = Plan(name, source, sources.videos.resolve(), sources.origin, asked, sizes, there)
    files.write(folder / "PLAN.json", seal.dumps(_to_json(plan)))
    files.sync_folder(folder)
    return plan, work.fresh


def _to_json(plan: Plan) -> dict[str, Any]:
    asked = {"split": plan.asked.split, "from_captions": plan.asked.from_captions, "job_clips": plan.asked.job_clips}
    sizes = [[list(job) for job in part] for part in plan.sizes]
    return {
        "name": plan.name,
        "source": plan.source,
        "videos": str(plan.videos),
        "origin": plan.origin,
        "asked": asked,
        "sizes": sizes,
        "known": sorted(plan.known),
    }


def _part_name(number: int) -> str:
    return f"{number:03d}.parquet"


def _write_part(path: Path, rows: pa.Table, most: int) -> tuple[tuple[int, int], ...]:
    """Write rows as jobs, a row group each, and return their sizes."""
    sizes = []
    with files.create(path) as sink, pq.ParquetWriter(sink, rows.schema, compression="zstd", write_page_checksum=True) as writer:
        for job in cut_into_jobs(rows, most):
            writer.write_table(job, row_group_size=job.num_rows)
            ways = np.bincount(job[WAY].to_numpy(), minlength=len(Way)).tolist()
            sizes.append((ways[Way.DECODE] + ways[Way.EMBED_CAPTION], ways[Way.CUT]))
    return tuple(sizes)


def cut_into_jobs(rows: pa.Table, most: int) -> Iterator[pa.Table]:
    """Yield rows that wait as jobs of about so many clips, whole videos each, in an order that only their names decide."""
    videos = digests(pc.fill_null(rows["video"], ""))
    order = np.lexsort((digests(rows["clip_id"]), videos))
    rows, videos = rows.take(pa.array(order)).combine_chunks(), videos[order]
    weights = np.where(rows[WAY].to_numpy() == Way.CUT, CUT_CLIPS, 1)
    starts = np.flatnonzero(np.append(True, videos[1:] != videos[:-1]))
    before: npt.NDArray[np.int64] = np.cumsum(np.add.reduceat(weights, starts)) - np.add.reduceat(weights, starts)
    firsts = starts[np.append(True, np.diff(before // most) > 0)]
    for start, stop in zip(firsts.tolist(), [*firsts[1:].tolist(), rows.num_rows], strict=True):
        yield rows.slice(start, stop - start)


def _publish(root: Path, plan: Plan, fresh: Tally) -> Plan:
    """Make a plan known, its clips pending in the ledger; return the one that another process was first to publish, if one was."""
    published = plan

    def change(manifest: Manifest) -> Manifest:
        nonlocal published
        plans = open_plans(manifest)
        first = next((name for name, other in plans.items() if other.source == plan.source), None)
        published = plan if first in (None, plan.name) else read_plan(root, str(first))
        if first is not None:
            return manifest
        ledger = Ledger.opened(manifest.settings, lambda: open_index(root).segments).plan(plan.source, plan.name, fresh)
        return with_plans(
            manifest.with_settings(ledger.into(manifest.settings)), {**plans, plan.name: OpenPlan(plan.source, len(plan.jobs))}
        )

    manifests.commit(root, change)
    return published

"""Do one job of a plan: decode and embed its clips, write one segment, hand it in. The same for every executor and for a shard of a plan.

A job leaves either a whole segment of its own name and a mark, or nothing. So it may be begun by two processes, or again after a crash: the
first segment stays, and who finds it hands it in.
"""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Callable
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from types import TracebackType

import numpy as np
import pyarrow as pa

from indexer.captions import embed_captions
from indexer.jobs import FRESH, WAY, Way, file_state, jobs_of
from indexer.known import KnownBad, KnownRows
from indexer.media import Media
from indexer.mirror import Mirror
from indexer.part import Part
from indexer.plan import WorkList
from indexer.plans import Plan
from indexer.room import ensure_room
from indexer.run import Run
from indexer.summary import Summary
from indexer.workers import DecodePool
from vidsearch.encoders.base import Encoder
from vidsearch.engine import open_index
from vidsearch.errors import SpaceMismatchError
from vidsearch.settings import read_settings
from vidsearch.storage import files
from vidsearch.storage import manifest as manifests
from vidsearch.storage.address import folder_of
from vidsearch.storage.handed_in import Mark, begin_attempt, crashes, end_attempt, job_name, mark_ready
from vidsearch.storage.quarantine import RETRY
from vidsearch.storage.segment import find_written, open_segment

CRASHES = 3  # of the process that does a job, before its clips are quarantined
CRASHED = "DECODER_CRASH"

log = logging.getLogger(__name__)


class JobRunner:
    """Does jobs of a plan, one after the other, with one encoder and one pool of decode processes.

    Args:
        root: the index.
        plan: whose jobs.
        encoder: of the index's space.
        run: names those attempts that are counted together: three of one run that came to no end condemn a job.
        decoder, workers: as for `build`.
        progress: called after each clip and each idle moment with what was done of the job under way.
    """

    def __init__(
        self,
        root: Path,
        plan: Plan,
        encoder: Encoder,
        *,
        run: str,
        decoder: str = "pyav",
        workers: int = 1,
        progress: Callable[[Summary], None] = lambda summary: None,
    ) -> None:
        space = manifests.read(root).space
        if encoder.space.id != space.id:
            raise SpaceMismatchError(
                f"{root} holds vectors of {space.model} (space {space.id[:12]}), this process loaded {encoder.space.model} "
                f"({encoder.space.id[:12]}); the weights must be the same file everywhere"
            )
        self._root, self._plan, self._encoder, self._run_name, self._decoder = root, plan, encoder, run, decoder
        self._progress, self._by = progress, f"{socket.gethostname()}:{os.getpid()}"
        self._videos, self._media = plan.videos, Media()
        if plan.origin:
            self._videos = folder_of(plan.origin, read_settings().cache)
            self._media = Mirror(plan.origin, self._videos)
        self._pool = DecodePool(encoder.preset, workers=workers, decoder=decoder)

    def __enter__(self) -> JobRunner:
        self._pool.__enter__()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._pool.close()

    def do(self, number: int) -> Summary:
        """Do a job unless it is done, hand it in, and return what it gave, whoever did it."""
        name = job_name(self._plan.name, number)
        written = find_written(self._root, name)
        if written is None:
            ensure_room(self._root)
            rows, summary = self._plan.read(self._root, number), Summary()
            if crashes(self._root, name, self._run_name) >= CRASHES:
                part = self._condemned(rows, summary)
            else:
                begin_attempt(self._root, name, self._run_name, by=self._by)
                part = self._done(rows, name, summary)
            written = part.write_named(self._root, name, dim=self._encoder.dim, info={"summary": summary.to_json()})
        mark_ready(self._root, Mark(name, self._plan.name, number, written))
        return Summary.from_json(open_segment(self._root, written).info["summary"])

    def _done(self, rows: pa.Table, name: str, summary: Summary) -> Part:
        """Return what decoding and embedding a job's rows gives."""
        part, known = Part(), cache(self._known)  # asked only where videos are cut here
        run = Run(
            part,
            self._encoder,
            summary,
            videos=self._videos,
            decoder=self._decoder,
            are_fresh=lambda video, ids: known().are_fresh(video, ids),
            progress=self._progress,
            media=self._media,
        )
        ways = rows[WAY].to_numpy()
        summary.planned = int(np.count_nonzero((ways == Way.DECODE) | (ways == Way.EMBED_CAPTION)))
        summary.uncut = int(np.count_nonzero(ways == Way.CUT))
        try:
            run.quarantine(_of(rows, ways == Way.QUARANTINE))
            embed_captions(run, _of(rows, ways == Way.EMBED_CAPTION))
            summary.stage = "decoding"
            for waiting in _of(rows, (ways == Way.DECODE) | (ways == Way.CUT)):
                run.jobs(self._pool, jobs_of(waiting), split=self._plan.asked.split)
        except BaseException:  # in good order, whatever it is: the job is not to blame
            end_attempt(self._root, name, self._run_name, by=self._by)
            raise
        finally:
            run.thread.shutdown()
        return part

    def _known(self) -> WorkList:
        """Return what the index holds now, to be asked which shots of a video are new."""
        index = open_index(self._root)
        known, bad = KnownRows(self._root), KnownBad((s.quarantine() for s in index.segments), index.manifest.settings.get(RETRY) or ())
        known.see(index.manifest)
        return WorkList(rows=known, bad=bad, videos=self._videos, scratch=self._root / files.STAGING)

    def _condemned(self, rows: pa.Table, summary: Summary) -> Part:
        """Return the clips of a job that nobody survives, quarantined."""
        part = Part()
        detail = (
            f"the job of these {rows.num_rows} clips crashed its worker {CRASHES} times; `vidsearch quarantine retry` has it tried again"
        )
        entry = {"reason": CRASHED, "detail": detail, "attempts": CRASHES, "decoder": self._decoder, "seen_at": datetime.now(UTC)}
        for row in rows.select(["clip_id", "video", "start_s", "end_s", FRESH, WAY]).to_pylist():
            fresh, cut = row.pop(FRESH), row.pop(WAY) == Way.CUT
            size, mtime = file_state(self._videos / row["video"])  # until that changes they are left alone
            part.skip({**row, **entry, "size_bytes": size, "mtime_ns": mtime}, planned=fresh and not cut, unplanned=fresh and cut)
        summary.failed = summary.planned = rows.num_rows
        summary.skipped[CRASHED] += rows.num_rows
        summary.examples[CRASHED] = [f"{rows['video'][0].as_py()}: {detail}"]
        log.warning("%s", detail)
        return part


def _of(rows: pa.Table, mask: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> list[pa.Table]:
    return [rows.filter(pa.array(mask))] if mask.any() else []

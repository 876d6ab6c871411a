"""Videos to index: read rows → plan → decode or take the caption → embed → write segments → fold small segments together.

Decoding runs in worker processes that fill a ring of slots, embedding in a thread, writing in another, so the slowest sets the pace.
"""

from __future__ import annotations

import time
import uuid
from pathlib import Path

from indexer.captions import embed_captions
from indexer.closing import count_all, folding
from indexer.commits import Commits
from indexer.fold import fold
from indexer.jobs import Way
from indexer.known import KnownBad, KnownRows
from indexer.opening import Progress, name_of, open_or_create, open_sources, read_work
from indexer.plan import WorkList
from indexer.ready import commit_ready, without_plans
from indexer.room import ensure_room
from indexer.run import Run
from indexer.shots import parse_split
from indexer.summary import Summary
from indexer.workers import DecodePool
from vidsearch.encoders.base import Encoder
from vidsearch.engine import open_index
from vidsearch.errors import UsageError
from vidsearch.storage import files, garbage
from vidsearch.storage import manifest as manifests
from vidsearch.storage.ledger import Ledger, Tally
from vidsearch.storage.manifest import Manifest
from vidsearch.storage.quarantine import RETRY


def build(
    source: str | Path,
    out: str | Path,
    *,
    encoder: Encoder,
    metadata: str | Path | None = None,
    videos: str | Path | None = None,
    from_captions: bool = False,
    split: str = "scenes",
    decoder: str = "pyav",
    workers: int = 1,
    index_factory: str | None = None,
    seed: int = 0,
    max_quarantine: float | None = None,
    grace_s: float = garbage.GRACE_S,
    progress: Progress = lambda summary: None,
) -> Summary:
    """Index the clips of a folder that are not indexed yet, and return what was done.

        build("clips/", "shards/index", encoder=vidsearch.load_encoder("ViCLIP-L-14.safetensors"))

    Args:
        source: a folder with video files, with archives of them, or with rows and the clips they name; or its address, `s3://…`.
        out: the index folder; made if it is not there.
        encoder: makes the vectors; an index takes those of one model and preset only.
        metadata: the file of rows, when it is not found in `source`.
        videos: the folder of the video files, when it is not `source`.
        from_captions: index rows whose video is not there by their caption; when it is there, the next run replaces the vector.
        split: how to cut videos that no row describes: "scenes", "window:5s" or "none".
        decoder: a plug-in of vidsearch.decoders.
        workers: decode processes.
        index_factory: a FAISS factory string in place of the sizes chosen from the number of clips.
        seed: of the template's training.
        max_quarantine: the share of the clips tried that may fail, 0 to 1; None for any.
        grace_s: for so many seconds files that are replaced are kept for whoever is about to open them; 0 if nobody else is.
        progress: called after each clip and each idle moment.

    Raises:
        InputNotFoundError, UsageError: there is nothing to index, or it cannot be read.
        SpaceMismatchError: the index at `out` was made with another model or preset.
        QuarantineLimitError: more than `max_quarantine` of the clips failed; the others are committed.
        OSError: ENOSPC, the disk is nearly full; what was embedded is committed.
    """
    started = time.monotonic()
    root = Path(out)
    if max_quarantine is not None and not 0 <= max_quarantine <= 1:
        raise UsageError(f"max_quarantine {max_quarantine!r} must be a share from 0 to 1, such as 0.05")
    cut = parse_split(split).kind != "none"
    sources, media = open_sources(source, metadata=metadata, videos=videos)
    ensure_room(root)
    index = open_or_create(root, encoder)
    if commit_ready(root):  # what other processes have done and nobody has committed
        index = open_or_create(root, encoder)
    summary = Summary()
    known, bad = KnownRows(root), KnownBad((segment.quarantine() for segment in index.segments), index.manifest.settings.get(RETRY) or ())
    known.see(index.manifest)
    name = str(uuid.uuid4())
    scratch = root / files.STAGING / f"{name}.plan"
    with WorkList(rows=known, bad=bad, videos=sources.videos, scratch=scratch, from_captions=from_captions, cut=cut) as work:
        read_work(work, sources, summary, progress)
        source_name = name_of(sources)
        _open_books(root, source_name, name, work.fresh)
        there = {segment.uuid for segment in index.segments}
        commits = Commits(root, dim=encoder.dim, source=source_name, run=name, known=there, summary=summary)
        run = Run(
            commits,
            encoder,
            summary,
            videos=sources.videos,
            decoder=decoder,
            are_fresh=work.are_fresh,
            progress=progress,
            media=media,
            max_quarantine=max_quarantine,
        )
        try:
            run.quarantine(work.rows(Way.QUARANTINE))
            embed_captions(run, work.rows(Way.EMBED_CAPTION))
            if work.videos:
                summary.stage = "decoding"
                with DecodePool(encoder.preset, workers=workers, decoder=decoder) as pool:
                    run.jobs(pool, work.jobs(), split=split)
        except KeyboardInterrupt:
            summary.interrupted = True
            run.collect()
        finally:
            run.thread.shutdown()
            commits.close()  # whatever went wrong, what was embedded is kept
    if not summary.interrupted:
        with folding(summary, progress):
            fold(root, index_factory=index_factory, seed=seed, encode_texts=encoder.encode_texts, grace_s=grace_s)
    count_all(root, summary)
    summary.wall_s = time.monotonic() - started
    return summary


def _open_books(root: Path, source: str, run: str, work: Tally) -> None:
    """Note in the manifest what this run sets out to do; an index that has no ledger yet gets one of what it holds.

    An open plan of the same input is taken over.
    """

    def change(manifest: Manifest) -> Manifest:
        manifest = without_plans(manifest, {source})
        ledger = Ledger.opened(manifest.settings, lambda: open_index(root).segments).plan(source, run, work)
        settings = ledger.into(manifest.settings)
        return manifest if settings == manifest.settings else manifest.with_settings(settings)

    manifests.commit(root, change)

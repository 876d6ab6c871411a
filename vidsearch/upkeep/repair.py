"""Make an index whole again: what is left of damaged segments is written anew, the rest becomes work for the next build.

A segment keeps its rows twice (rows.parquet, columns.bin) and a checksum of each vector, so most damage costs a few clips or none. What
is lost goes back to what is pending: no clip is indexed or quarantined any more, and the next `vidsearch index` does it again.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from vidsearch.errors import ConflictError, IndexCorruptError, UsageError
from vidsearch.storage import files, ledger
from vidsearch.storage import manifest as manifests
from vidsearch.storage import segment as segments
from vidsearch.storage.ledger import Ledger
from vidsearch.storage.manifest import MANIFESTS, Manifest, SegmentRef
from vidsearch.storage.quarantine import DELETED, quarantine_table
from vidsearch.storage.segment import Segment, open_segment
from vidsearch.storage.tombstones import read_alive


@dataclass
class Repaired:
    """What repairing did.

    Attributes:
        version: that is served now.
        removed_versions: torn manifests that were removed.
        rewritten: a line for each segment that was written anew, with the clips it kept and lost.
        dropped: a line for each segment of which nothing could be saved.
        hopeless: the same where nothing was dropped, because that was not asked for.
    """

    version: int
    removed_versions: list[int] = field(default_factory=list)
    rewritten: list[str] = field(default_factory=list)
    dropped: list[str] = field(default_factory=list)
    hopeless: list[str] = field(default_factory=list)


def repair(root: Path, *, drop: bool = False) -> Repaired:
    """Write damaged segments anew from what is left of them, and remove torn versions.

    Args:
        root: the index.
        drop: give up segments of which nothing can be saved; their clips are indexed again by the next build.

    Raises:
        ConflictError: another process changed the index meanwhile; nothing is changed.
    """
    manifest = manifests.read(root)
    done = Repaired(manifest.version)
    whole: list[SegmentRef] = []
    damaged: list[SegmentRef] = []
    for reference in manifest.segments:
        (whole if _is_whole(root, reference) else damaged).append(reference)
    exchanged: dict[str, SegmentRef | None] = {}
    for reference in damaged:
        saved = _rewrite(root, reference, whole)
        short = reference.uuid[:8]
        if saved is not None:
            exchanged[reference.uuid] = saved
            done.rewritten.append(f"segment {short}: {saved.rows:,} of {reference.live_rows:,} clips saved")
        elif drop:
            exchanged[reference.uuid] = None
            done.dropped.append(f"segment {short}: {reference.live_rows:,} clips to be indexed again")
        else:
            done.hopeless.append(f"segment {short}: {reference.live_rows:,} clips, nothing can be saved")
    # nothing to exchange: what an earlier run repaired before it was killed may not be durable yet
    done.version = manifests.commit(root, lambda newest: _exchange(root, newest, manifest, exchanged) if exchanged else newest).version
    done.removed_versions = _remove_torn(root)
    return done


def roll_back(root: Path, version: int) -> Manifest:
    """Commit a version that holds what an older one held.

    Raises:
        UsageError: no such version, or one whose segments are gone or damaged.
    """
    if version not in manifests.versions(root):
        known = manifests.versions(root)
        raise UsageError(f"{root} has no version {version}; those on the disk are {known[0]} to {known[-1]}")
    wanted = manifests.read_version(root, version)
    for reference in wanted.segments:
        if not _is_whole(root, reference):
            raise UsageError(f"version {version} cannot be served: segment {reference.uuid} is gone or damaged")
    return manifests.commit(root, lambda newest: wanted if newest.version != version else newest)


def _is_whole(root: Path, reference: SegmentRef) -> bool:
    try:
        open_segment(root, reference, verify="full")
        read_alive(root, reference)
    except IndexCorruptError:
        return False
    return True


def _rewrite(root: Path, reference: SegmentRef, whole: list[SegmentRef]) -> SegmentRef | None:
    """Write what is left of a segment as an exact one; None where rows or vectors are gone."""
    try:
        segment = open_segment(root, reference, verify="none")
        rows, kept = _rows(segment), _readable(segment)
    except IndexCorruptError:
        return None
    kept &= _alive(root, reference, rows, whole)
    if segment.rows and not kept.any():
        return None
    quarantine = quarantine_table([])
    with suppress(IndexCorruptError):  # what it named becomes pending again
        quarantine = segment.quarantine()
    return segments.write(
        root,
        vectors=segment.vectors[kept],
        rows=rows.filter(pa.array(kept)),
        index_files={},
        quarantine=quarantine,
        info={"index": "flat"},
    )


def _rows(segment: Segment) -> pa.Table:
    try:
        return segment.record()
    except IndexCorruptError:
        segment.check(["columns.bin"])
        return segment.read_columns(segment.schema.names)


def _readable(segment: Segment) -> npt.NDArray[np.bool_]:
    """Return whose vector is what was written, (rows,) bool."""
    try:
        segment.check(["vectors.f16"])
    except IndexCorruptError:
        segment.check(["vectors.crc32"])
    else:
        return np.ones(segment.rows, dtype=np.bool_)
    readable = np.ones(segment.rows, dtype=np.bool_)
    for row in range(segment.rows):
        try:
            segment.check_rows([row])
        except IndexCorruptError:
            if len(segment.map_file("vectors.f16")) != 2 * segment.rows * segment.dim:
                raise
            readable[row] = False
    return readable


def _alive(root: Path, reference: SegmentRef, rows: pa.Table, whole: list[SegmentRef]) -> npt.NDArray[np.bool_]:
    """Return which rows are not deleted; where that is not known any more, those that are neither remembered as deleted nor elsewhere."""
    try:
        return read_alive(root, reference).mask
    except IndexCorruptError:
        gone: set[str] = set()
        for other in whole:
            segment = open_segment(root, other)
            gone.update(segment.read_columns(["clip_id"])["clip_id"].filter(pa.array(read_alive(root, other).mask)).to_pylist())
            entries = segment.quarantine()
            gone.update(entries["clip_id"].filter(pa.array([reason == DELETED for reason in entries["reason"].to_pylist()])).to_pylist())
        return np.array([name not in gone for name in rows["clip_id"].to_pylist()], dtype=np.bool_)


def _exchange(root: Path, newest: Manifest, base: Manifest, exchanged: dict[str, SegmentRef | None]) -> Manifest:
    """Return the newest version with the saved segments in the place of the damaged ones, and its books balanced."""
    held = {reference.uuid: reference for reference in base.segments}
    changed = [reference for reference in newest.segments if reference.uuid in exchanged and reference != held[reference.uuid]]
    if changed or not exchanged.keys() <= {reference.uuid for reference in newest.segments}:
        raise ConflictError(f"{root}: another process changed the damaged segments meanwhile; run the command again")
    kept = [exchanged.get(reference.uuid, reference) for reference in newest.segments]
    mended = newest.with_segments(reference for reference in kept if reference is not None)
    books = Ledger.from_settings(newest.settings)
    if books is None:
        return mended
    opened = []
    for reference in mended.segments:
        with suppress(IndexCorruptError):
            opened.append(open_segment(root, reference))
    if len(opened) < len(mended.segments):
        return mended
    return mended.with_settings(replace(books, planned=ledger.recount(opened) + books.all_pending).into(newest.settings))


def _remove_torn(root: Path) -> list[int]:
    """Remove versions that cannot be read; the newest that can is served already."""
    torn = []
    for version in manifests.versions(root):
        try:
            manifests.read_version(root, version)
        except IndexCorruptError:
            torn.append(version)
            files.remove(root / MANIFESTS / manifests.file_name(version))
    if torn:
        files.sync_folder(root / MANIFESTS)
    return torn

"""Rows that are deleted: a bitmap beside the segment, which itself is never changed.

A row that is buried is gone for every reader of that version and of later ones; compaction writes the segment anew without it.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from vidsearch.errors import ConflictError, IndexCorruptError, UsageError
from vidsearch.selection import Selection, everything, has_bits, with_bits, word_count
from vidsearch.storage import files
from vidsearch.storage.files import Digest
from vidsearch.storage.manifest import TOMBSTONES, Deleted, Manifest, SegmentRef

Words = npt.NDArray[np.uint32]


def bury(root: Path, manifest: Manifest, rows: Mapping[str, npt.NDArray[np.integer] | Sequence[int]]) -> Manifest:
    """Return a manifest in which more rows are deleted; commit it, and they are gone.

        manifests.commit(root, lambda manifest: bury(root, manifest, {segment.uuid: [4, 7]}))

    Deleting a row twice is fine. Where other segments come in the same manifest, a row and what replaces it change places in one step.

    Args:
        root: the index.
        manifest: what the change is made on.
        rows: row numbers by the uuid of their segment.

    Raises:
        ConflictError: a segment is not there any more, another process wrote it anew; nothing is changed.
        UsageError: a row number beyond the segment's rows.
    """
    unknown = set(rows) - {segment.uuid for segment in manifest.segments}
    if unknown:
        raise ConflictError(f"segment {min(unknown)} is not part of {root} any more: another process wrote it anew; run the command again")
    return manifest.with_segments(_bury(root, segment, rows.get(segment.uuid, ())) for segment in manifest.segments)


def _bury(root: Path, segment: SegmentRef, rows: npt.NDArray[np.integer] | Sequence[int]) -> SegmentRef:
    wanted = np.asarray(rows, dtype=np.int64)
    if not len(wanted):
        return segment
    if wanted.min() < 0 or wanted.max() >= segment.rows:
        raise UsageError(f"row numbers {wanted.min()} to {wanted.max()} must lie within 0 to {segment.rows - 1}")
    before = read_deleted(root, segment)
    once = np.unique(wanted).astype(np.uint32)
    fresh = once[~has_bits(before.words, once)]
    if not len(fresh):
        return segment
    words = with_bits(before.words.astype("<u4"), fresh)
    files.make_folder(root / TOMBSTONES)
    name = str(uuid.uuid4())
    digest = files.write(_path(root, name), words.tobytes())
    files.sync_folder(root / TOMBSTONES)
    return replace(segment, deleted=Deleted(name, digest.sha256, before.count + len(fresh)))


def read_deleted(root: Path, segment: SegmentRef) -> Selection:
    """Return which rows of a segment are deleted.

    Raises:
        IndexCorruptError: the bitmap is missing or not what the manifest says.
    """
    if segment.deleted is None:
        return Selection.of_words(segment.rows, np.zeros(word_count(segment.rows), np.uint32), count=0)
    path, size = _path(root, segment.deleted.uuid), 4 * word_count(segment.rows)
    data = files.read(path, limit_bytes=size)
    files.compare(path, Digest(len(data), hashlib.sha256(data).hexdigest()), Digest(size, segment.deleted.sha256))
    found = Selection.of_words(segment.rows, np.frombuffer(data, dtype="<u4"))
    if found.count != segment.deleted.rows:
        raise IndexCorruptError(f"{path}: {found.count:,} rows deleted instead of {segment.deleted.rows:,}")
    return found


def read_alive(root: Path, segment: SegmentRef) -> Selection:
    """Return which rows of a segment are not deleted."""
    return everything(segment.rows) if segment.deleted is None else ~read_deleted(root, segment)


def _path(root: Path, name: str) -> Path:
    return root / TOMBSTONES / f"{name}.bits"

"""Indexes of a few clips, as small as they can be, and what must be true of them: a campaign writes and checks tens of thousands."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from support.simulated_disk import SimulatedDisk

from vidsearch.config import Space, viclip_preset
from vidsearch.errors import IndexCorruptError, NotAnIndexError
from vidsearch.storage import garbage
from vidsearch.storage import manifest as manifests
from vidsearch.storage import segment as segments
from vidsearch.storage.manifest import SEGMENTS, TOMBSTONES, Manifest, SegmentRef
from vidsearch.storage.quarantine import quarantine_table
from vidsearch.storage.seal import TornError
from vidsearch.storage.segment import open_segment
from vidsearch.storage.template import read_template
from vidsearch.storage.tombstones import read_alive

ROOT = Path("/index")
DIM = 4
SPACE = Space("viclip", "ViCLIP-B-16", "ab" * 32, 1, viclip_preset("eval"), DIM)

Clips = frozenset[int]


class ViolationError(AssertionError):
    """An index that does not hold what it must."""


def name_of(clip: int) -> str:
    return f"c{clip}"


def vector_of(clip: int) -> npt.NDArray[np.float16]:
    return np.array([1, clip % 31, clip % 37, clip // 37], dtype=np.float16)


def write_clips(root: Path, clips: Sequence[int], *, bad: Sequence[int] = ()) -> SegmentRef:
    """Write a segment of clips, by number, and of others that could not be indexed."""
    return segments.write(
        root,
        vectors=np.array([vector_of(clip) for clip in clips], dtype=np.float16).reshape(-1, DIM),
        rows=pa.table({"clip_id": pa.array([name_of(clip) for clip in clips], pa.string())}),
        index_files={},
        quarantine=quarantine_table({"clip_id": name_of(clip), "video": "bad.mp4", "reason": "OPEN_FAILED"} for clip in bad),
        info={"index": "flat"},
    )


def add_clips(root: Path, clips: Sequence[int], *, bad: Sequence[int] = ()) -> Manifest:
    reference = write_clips(root, clips, bad=bad)
    return manifests.commit(root, lambda manifest: manifest.with_segments([*manifest.segments, reference]))


class Checker:
    """Reads indexes on simulated disks, every byte of them checked; the same bytes are not checked twice."""

    def __init__(self) -> None:
        self._known: dict[object, tuple[int, ...]] = {}

    def clips_in(self, disk: SimulatedDisk, *, damaged: bool = False) -> Clips:
        """Return the clips that the newest version answers with; none where no index was made yet.

        Args:
            damaged: leave out segments that are.

        Raises:
            VidsearchError: the index does not open, or a segment is damaged.
            ViolationError: a clip is there twice or has another's vector.
        """
        found: Counter[int] = Counter()
        with disk.mounted():
            try:
                manifest = manifests.read(ROOT)
            except NotAnIndexError:
                return frozenset()
            if manifest.template is not None:
                read_template(ROOT, manifest.template)
            for reference in manifest.segments:
                try:
                    found.update(self._clips(disk, reference))
                except IndexCorruptError:
                    if not damaged:
                        raise
        twice = [clip for clip, times in found.items() if times > 1]
        if twice:
            raise ViolationError(f"clip {twice[0]} is there {found[twice[0]]} times")
        return frozenset(found)

    def versions_whole(self, disk: SimulatedDisk) -> None:
        """Raise IndexCorruptError where a version outlived what it names."""
        with disk.mounted():
            for version in manifests.versions(ROOT):
                with suppress(TornError):
                    for reference in manifests.read_version(ROOT, version).segments:
                        self._clips(disk, reference)

    def readable(self, disk: SimulatedDisk, references: Sequence[SegmentRef]) -> None:
        """Raise IndexCorruptError where a reader of an older version would not find its segments whole."""
        with disk.mounted():
            for reference in references:
                self._clips(disk, reference)

    def _clips(self, disk: SimulatedDisk, reference: SegmentRef) -> tuple[int, ...]:
        key = (reference, *self._bytes(disk, reference))
        if key not in self._known:
            self._known[key] = _read(reference)
        return self._known[key]

    def _bytes(self, disk: SimulatedDisk, reference: SegmentRef) -> list[tuple[str, bytes]]:
        """Return all that a segment consists of; bytes keep their hash, so they make a cheap key."""
        paths = [ROOT / SEGMENTS / reference.uuid]
        if reference.deleted is not None:
            paths.append(ROOT / TOMBSTONES / f"{reference.deleted.uuid}.bits")
        return [(name, file.data) for path in paths if disk.has(path) for name, file in disk.walk(path)]


def _read(reference: SegmentRef) -> tuple[int, ...]:
    segment = open_segment(ROOT, reference, verify="full")
    alive = read_alive(ROOT, reference)
    segment.quarantine()
    clips = [int(name[1:]) for name in segment.read_columns(["clip_id"])["clip_id"].to_pylist()]
    if clips and not np.array_equal(segment.vectors, [vector_of(clip) for clip in clips]):
        raise ViolationError(f"segment {reference.uuid}: the vectors are not those of its clips")
    return tuple(clips[row] for row in alive.ids.tolist())


def collect_all(disk: SimulatedDisk) -> None:
    """Collect garbage without any grace; what is left must be what the newest version names, and nothing else."""
    with disk.mounted():
        garbage.collect(ROOT, grace_s=0, versions=1)
        newest = manifests.read(ROOT)
    named = {f"{SEGMENTS}/{reference.uuid}" for reference in newest.segments}
    named |= {f"{TOMBSTONES}/{reference.deleted.uuid}.bits" for reference in newest.segments if reference.deleted}
    named |= {f"template/{newest.template}.{suffix}" for suffix in ("template", "json") if newest.template}
    left = {f"{folder}/{name}" for folder in (SEGMENTS, TOMBSTONES, "template", "staging") for name in disk.names(ROOT / folder)}
    if left != named:
        raise ViolationError(f"garbage collection left {sorted(left - named)} and removed {sorted(named - left)}")

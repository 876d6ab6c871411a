"""Is an index what it was written to be? Every file hashed, every version read, clips counted against what was planned."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from vidsearch.errors import IndexCorruptError
from vidsearch.storage import ledger
from vidsearch.storage import manifest as manifests
from vidsearch.storage.ledger import Ledger
from vidsearch.storage.manifest import Manifest, SegmentRef
from vidsearch.storage.segment import Segment, open_segment
from vidsearch.storage.template import read_about, read_template
from vidsearch.storage.tombstones import read_alive


@dataclass(frozen=True)
class Fault:
    """What is not as it should be.

    Attributes:
        what: "version", "segment", "deleted rows", "template", "clips" or "ledger".
        detail: the file and the matter, one line.
        segment: the uuid of the segment it concerns, or "".
        rows: clips that answers do without because of it.
    """

    what: str
    detail: str
    segment: str = ""
    rows: int = 0


@dataclass
class Report:
    """What verifying found.

    Attributes:
        version, segments, rows: of the newest whole version; rows that are not deleted.
        hashed_bytes: of all files that were read.
        faults: what is wrong; none if the index is whole.
        planned, indexed, quarantined, pending: the books: the first is the sum of the others; -1 where no build kept any.
    """

    version: int
    segments: int
    rows: int
    hashed_bytes: int = 0
    faults: list[Fault] = field(default_factory=list)
    planned: int = -1
    indexed: int = 0
    quarantined: int = 0
    pending: int = -1

    @property
    def whole(self) -> bool:
        return not self.faults

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "whole": self.whole}


def verify(root: Path, *, progress: Callable[[int], None] = lambda hashed_bytes: None) -> Report:
    """Read every file of the newest version and compare it with its hash; read-only, about a second a gigabyte.

    Raises:
        NotAnIndexError, IndexCorruptError, FormatVersionError: no version can be read.
    """
    manifest = manifests.read(root)
    report = Report(manifest.version, len(manifest.segments), manifest.rows)
    report.faults += _versions(root, manifest)
    opened = []
    for reference in manifest.segments:
        segment = _segment(root, reference, report)
        progress(report.hashed_bytes)
        if segment is not None:
            opened.append((segment, reference))
    if manifest.template is not None:
        try:
            report.hashed_bytes += len(read_template(root, manifest.template))
            read_about(root, manifest.template)
        except IndexCorruptError as error:
            report.faults.append(Fault("template", str(error), rows=manifest.rows))
    if len(opened) == len(manifest.segments):  # otherwise some clips are not there to be counted
        report.faults += _clips(root, opened, report)
        report.faults += _books(manifest, [segment for segment, _ in opened], report)
    return report


def _versions(root: Path, manifest: Manifest) -> Iterator[Fault]:
    for version in manifests.versions(root):
        try:
            manifests.read_version(root, version)
        except IndexCorruptError as error:
            newer = " (newer than what is served)" if version > manifest.version else ""
            yield Fault("version", f"{error}{newer}")


def _segment(root: Path, reference: SegmentRef, report: Report) -> Segment | None:
    """Hash all files of a segment."""
    try:
        segment = open_segment(root, reference, verify="full")
    except IndexCorruptError as error:
        report.faults.append(Fault("segment", str(error), reference.uuid, reference.live_rows))
        return None
    report.hashed_bytes += segment.size_bytes
    try:
        read_alive(root, reference)
    except IndexCorruptError as error:
        report.faults.append(Fault("deleted rows", str(error), reference.uuid, reference.live_rows))
        return None
    return segment


def _clips(root: Path, opened: list[tuple[Segment, SegmentRef]], report: Report) -> Iterator[Fault]:
    """Count the live rows; each clip may be there once."""
    parts = [np.zeros(0, np.uint64)]
    for segment, reference in opened:
        ids = ledger.digests(segment.read_columns(["clip_id"])["clip_id"])
        parts.append(ids[read_alive(root, reference).mask])
    digests = np.concatenate(parts)
    report.indexed = len(digests)
    twice = len(digests) - len(np.unique(digests))
    if twice:
        yield Fault("clips", f"{twice:,} clips are there more than once", rows=twice)
    entries = np.unique(
        np.concatenate([np.zeros(0, np.uint64), *(ledger.digests(segment.quarantine()["clip_id"]) for segment, _ in opened)])
    )
    report.quarantined = len(np.setdiff1d(entries, digests))


def _books(manifest: Manifest, opened: list[Segment], report: Report) -> Iterator[Fault]:
    """Compare what was planned with what is there."""
    books = Ledger.from_settings(manifest.settings)
    if books is None:
        return
    report.planned, report.pending = books.planned.clips, books.all_pending.clips
    found = ledger.recount(opened)
    if found != books.done:
        yield Fault(
            "ledger",
            f"{books.done.clips:,} of {report.planned:,} planned clips should be done, {found.clips:,} are found"
            + ("" if found.clips != books.done.clips else ", but not the same ones"),
        )

"""Which segments make up an index, version by version.

    read newest whole manifest N → change it → link() N + 1 into place → fsync the folder → only then is it committed

Linking fails when another process was first; then the change is made anew on what that process wrote.
"""

from __future__ import annotations

import logging
import random
import re
import time
import uuid
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from vidsearch.config import Space
from vidsearch.errors import FormatVersionError, IndexCorruptError, NotAnIndexError, SpaceMismatchError, UsageError, VidsearchError
from vidsearch.storage import files, seal
from vidsearch.storage.seal import JSON, TornError

FORMAT_VERSION = 1
MANIFESTS = "manifests"
SEGMENTS = "segments"
TOMBSTONES = "tombstones"
FEATURES = frozenset({TOMBSTONES})  # that a manifest may need and this version knows
COMMIT_TRIES = 20

_MANIFEST_NAME = re.compile(r"\d{12}\.json")
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_SHA256 = re.compile(r"[0-9a-f]{64}")

log = logging.getLogger(__name__)


def checked_uuid(name: object) -> str:
    """Return the name of a segment or template; anything but a lower-case uuid raises UsageError, so no path leaves the index."""
    if not isinstance(name, str) or not _UUID.fullmatch(name):
        raise UsageError(f"{name!r} is not the name of a segment or template; those are lower-case uuids")
    return name


@dataclass(frozen=True)
class Deleted:
    """Which rows of a segment are deleted: tombstones/<uuid>.bits, its SHA-256, and how many rows that are."""

    uuid: str
    sha256: str
    rows: int

    def __post_init__(self) -> None:
        _check_reference("tombstones", self.uuid, self.sha256, self.rows)


@dataclass(frozen=True)
class SegmentRef:
    """One segment as a manifest names it; `sha256` is of its SEGMENT.json, which in turn holds the hash of each other file."""

    uuid: str
    sha256: str
    rows: int
    deleted: Deleted | None = None

    def __post_init__(self) -> None:
        _check_reference("segment", self.uuid, self.sha256, self.rows)
        if self.deleted is not None and self.deleted.rows > self.rows:
            raise UsageError(f"segment {self.uuid}: {self.deleted.rows} of {self.rows} rows cannot be deleted")

    @property
    def live_rows(self) -> int:
        """Rows that are not deleted."""
        return self.rows - (self.deleted.rows if self.deleted else 0)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> SegmentRef:
        deleted = values.get("deleted")
        return cls(**{**values, "deleted": None if deleted is None else Deleted(**deleted)})

    def to_json(self) -> dict[str, JSON]:
        return {name: value for name, value in asdict(self).items() if value is not None}


def _check_reference(what: str, uuid: object, sha256: object, rows: object) -> None:
    checked_uuid(uuid)
    if not isinstance(sha256, str) or not _SHA256.fullmatch(sha256):
        raise UsageError(f"{what} {uuid}: sha256 {sha256!r} is not 64 hex digits")
    if not isinstance(rows, int) or rows < 0:
        raise UsageError(f"{what} {uuid}: rows {rows!r} is not a number of rows")


@dataclass(frozen=True)
class Manifest:
    """One version of an index.

    Attributes:
        version: 1 when created, raised by each commit.
        space: which vectors the index holds.
        segments: in the order their rows count.
        template: the trained index that all IVF-PQ segments share, or None.
        settings: whatever the builder wants to find again.
    """

    version: int
    space: Space
    segments: tuple[SegmentRef, ...] = ()
    template: str | None = None
    settings: dict[str, JSON] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not isinstance(self.version, int) or not 1 <= self.version < 10**12:
            raise UsageError(f"manifest version {self.version!r} must be 1 or more")
        if len({segment.uuid for segment in self.segments}) != len(self.segments):
            raise UsageError("a manifest names each segment once")
        if self.template is not None:
            checked_uuid(self.template)

    @property
    def rows(self) -> int:
        """Rows that are not deleted."""
        return sum(segment.live_rows for segment in self.segments)

    @property
    def features(self) -> list[str]:
        """What a reader must know to read this version rightly."""
        return [TOMBSTONES] if any(segment.deleted for segment in self.segments) else []

    def with_segments(self, segments: Iterable[SegmentRef]) -> Manifest:
        return replace(self, segments=tuple(segments))

    def with_settings(self, settings: dict[str, JSON]) -> Manifest:
        return replace(self, settings=settings)

    def with_template(self, template: str | None) -> Manifest:
        return replace(self, template=template)


def exists(root: Path) -> bool:
    """Whether an index is there, whole or damaged; one whose creation was cut short is not."""
    if not files.is_there(root / "FORMAT"):
        return False
    return bool(files.list_names(root / SEGMENTS)) or not all(_is_torn(root, version) for version in reversed(versions(root)))


def create(root: Path, space: Space) -> Manifest:
    """Make an empty index, or return the one of the same space that is there, made durable: what made it may have died before it was.

    Raises:
        SpaceMismatchError: an index of another space is there.
    """
    taken = max(versions(root), default=0)  # looked up first, so that a rival's creation is never missed
    if exists(root):
        found = read(root)
        if found.space.id != space.id:
            raise SpaceMismatchError(f"{root} holds vectors of {found.space.model}, not of {space.model}; choose another folder")
        return _settled(root, found)
    for folder in (MANIFESTS, SEGMENTS, files.STAGING):
        files.make_folder(root / folder)
    if not files.is_there(root / "FORMAT"):
        mark = seal.dumps({"magic": "vidsearch", "format": FORMAT_VERSION, "index_uuid": str(uuid.uuid4())})
        files.put(root / "FORMAT", mark, staging=root / files.STAGING)
    _check_format(root)
    files.sync_file(root / "FORMAT")
    first = Manifest(taken + 1, space)
    return first if _publish(root, first, parent=0) else create(root, space)


def read(root: Path) -> Manifest:
    """Return the newest whole version; a torn newest one is passed over with a warning.

    Raises:
        NotAnIndexError: no index there.
        IndexCorruptError: no manifest can be read.
        FormatVersionError: a newer vidsearch wrote it.
    """
    _check_format(root)
    found = versions(root)
    for version in reversed(found):
        try:
            return read_version(root, version)
        except TornError as error:  # only that: an older version in place of one that is whole but cannot be read now would lose clips
            log.warning("%s; trying the version before it", error)
    if not files.list_names(root / SEGMENTS):
        raise NotAnIndexError(f"{root}: an index whose creation was cut short; run `vidsearch index` again")
    if not found:
        raise IndexCorruptError(f"{root / MANIFESTS}: no manifest left, though there are segments")
    raise IndexCorruptError(f"{_path(root, found[-1])}: torn or changed, and so is every version before it")


def commit(root: Path, change: Callable[[Manifest], Manifest]) -> Manifest:
    """Write the next version, and return it once it is durable.

        commit(root, lambda manifest: manifest.with_segments([*manifest.segments, reference]))

    Args:
        root: the index.
        change: makes the next version of the newest one; called again when another process commits first. Its `version` is set here.
            Returning its argument as it is writes nothing.

    Raises:
        VidsearchError: others committed first 20 times in a row.
    """
    for attempt in range(COMMIT_TRIES):
        taken = max(versions(root), default=0)  # a torn one keeps its number; looked up first, so that a rival's commit is never missed
        base = read(root)
        changed = change(base)
        if changed is base:
            return _settled(root, base)
        following = replace(changed, version=taken + 1)
        if _publish(root, following, parent=base.version):
            return following
        time.sleep(random.uniform(0, 0.01 * (attempt + 1)))
    raise VidsearchError(f"{root}: other processes committed first {COMMIT_TRIES} times in a row; try again")


def _settled(root: Path, manifest: Manifest) -> Manifest:
    """Make a version durable before anyone relies on it: the process that linked it may have been killed before its fsync."""
    files.sync_file(_path(root, manifest.version))
    return manifest


def _publish(root: Path, manifest: Manifest, *, parent: int) -> bool:
    """Write a manifest if its number is free; return whether it was."""
    values: dict[str, JSON] = {
        "format": FORMAT_VERSION,
        "features": list(manifest.features),
        "nonce": str(uuid.uuid4()),
        "version": manifest.version,
        "parent": parent,
        "space": asdict(manifest.space),
        "segments": [segment.to_json() for segment in manifest.segments],
        "template": manifest.template,
        "settings": manifest.settings,
    }
    return files.create_if_absent(_path(root, manifest.version), seal.dumps(values), staging=root / files.STAGING)


def read_version(root: Path, version: int) -> Manifest:
    """Return one version; a damaged one raises IndexCorruptError, TornError where its seal does not match."""
    path = _path(root, version)
    values = seal.read_sealed(path)
    _check_version(path, values)
    if values.get("version") != version:
        raise IndexCorruptError(f"{path}: says it is version {values.get('version')!r}")
    try:
        return Manifest(
            version=version,
            space=Space.from_json(values["space"]),
            segments=tuple(SegmentRef.from_json(segment) for segment in values["segments"]),
            template=values["template"],
            settings=dict(values["settings"]),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise IndexCorruptError(f"{path}: sealed, but not a manifest ({error!r})") from error


def _is_torn(root: Path, version: int) -> bool:
    try:
        read_version(root, version)
    except TornError:
        return True
    except VidsearchError:  # unreadable or newer: it is there
        return False
    return False


def _check_format(root: Path) -> None:
    path = root / "FORMAT"
    if not files.is_there(path):
        raise NotAnIndexError(f"{root}: not a vidsearch index (no FORMAT)")
    values = seal.read_sealed(path)
    if values.get("magic") != "vidsearch":
        raise NotAnIndexError(f"{root}: not a vidsearch index (FORMAT is another program's)")
    _check_version(path, values)


def _check_version(path: Path, values: dict[str, Any]) -> None:
    written, features = values.get("format"), values.get("features", [])
    if not isinstance(written, int) or not isinstance(features, list):
        raise IndexCorruptError(f"{path}: sealed, but names no format version")
    unknown = [feature for feature in features if feature not in FEATURES]
    if written > FORMAT_VERSION or unknown:
        needs = f"format {written}" + "".join(f", {feature}" for feature in unknown)
        raise FormatVersionError(
            f"{path}: written by a newer vidsearch ({needs}; this one reads format {FORMAT_VERSION}); upgrade vidsearch"
        )


def versions(root: Path) -> list[int]:
    """Return the numbers of all versions that are on the disk, whole or torn, ascending."""
    return [int(name.removesuffix(".json")) for name in files.list_names(root / MANIFESTS) if _MANIFEST_NAME.fullmatch(name)]


def _path(root: Path, version: int) -> Path:
    return root / MANIFESTS / file_name(version)


def file_name(version: int) -> str:
    return f"{version:012d}.json"

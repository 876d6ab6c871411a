"""What an index no longer needs: old versions, the segments and files that only they name, and what a crash left behind.

A version is kept while it is among the newest few, and until some time after the version that replaced it: so long may a reader that
found it be about to open it. What a reader has opened it keeps anyway, on this machine. Nothing young is touched: another process may be
about to commit it.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from vidsearch.errors import IndexCorruptError, UsageError
from vidsearch.storage import files
from vidsearch.storage import manifest as manifests
from vidsearch.storage.files import STAGING
from vidsearch.storage.handed_in import ATTEMPTS, PLANS, READY, open_plans, read_marks
from vidsearch.storage.manifest import MANIFESTS, SEGMENTS, TOMBSTONES, Manifest
from vidsearch.storage.template import TEMPLATES

GRACE_S = 24 * 3600.0
VERSIONS = 10
KEYWORDS = "keywords"  # derived: made by vidsearch.captions


@dataclass(frozen=True)
class Garbage:
    """A file or folder that can go, relative to the index, its bytes, and why."""

    path: str
    size_bytes: int
    reason: str


def find(root: Path, *, grace_s: float = GRACE_S, versions: int = VERSIONS) -> list[Garbage]:
    """Return what can go, in the order in which it must.

    Args:
        root: the index.
        grace_s: seconds for which what is replaced or unfinished is kept.
        versions: newest versions that are kept however old they are, at least 1.

    Raises:
        NotAnIndexError: no index there.
        IndexCorruptError: a version that is to be kept cannot be read: what it names is not known.
    """
    if grace_s < 0 or versions < 1:
        raise UsageError(f"a grace of {grace_s:g} s and {versions} versions: the grace must be 0 or more, the versions 1 or more")
    manifests.read(root)  # or there is no index here
    now = time.time()
    known = manifests.versions(root)
    kept = _kept(root, known, now - grace_s, versions)
    named = _named(root, [_read(root, version) for version in kept])
    found = [Garbage(f"{MANIFESTS}/{manifests.file_name(version)}", 0, "an old version") for version in known if version not in kept]
    for path in _candidates(root):
        folder, _, name = path.partition("/")
        if name.partition(".")[0] in named.get(folder, ()) or files.modified_s(root / path) > now - grace_s:
            continue
        found.append(Garbage(path, 0, "left by what did not finish" if folder == STAGING else "no version that is kept names it"))
    return [Garbage(item.path, files.total_bytes(root / item.path), item.reason) for item in found]


def collect(root: Path, *, grace_s: float = GRACE_S, versions: int = VERSIONS) -> list[Garbage]:
    """Remove what can go, and return it. A crash on the way leaves an index that is whole, and the rest for the next time."""
    found = find(root, grace_s=grace_s, versions=versions)
    old, rest = [item for item in found if item.path.startswith(MANIFESTS)], [item for item in found if not item.path.startswith(MANIFESTS)]
    if found:
        files.sync_folder(root / MANIFESTS)  # the newest may be the work of a process that was killed before it did this
    for item in old:
        files.remove(root / item.path)
    if old:
        files.sync_folder(root / MANIFESTS)  # no version may outlive what it names
    for item in rest:
        _remove(root, item.path)
    return found


def _kept(root: Path, known: list[int], since: float, newest: int) -> set[int]:
    """Return the versions that stay: the newest, and those that were the newest at some moment since then."""
    kept = set(known[-newest:])
    replaced = pairwise(known)
    return kept | {
        version for version, following in replaced if files.modified_s(root / MANIFESTS / manifests.file_name(following)) > since
    }


def _read(root: Path, version: int) -> Manifest:
    try:
        return manifests.read_version(root, version)
    except IndexCorruptError as error:
        raise IndexCorruptError(
            f"{error}; nothing was removed, since what this version names is not known: see `vidsearch repair`"
        ) from error


def _named(root: Path, kept: list[Manifest]) -> dict[str, set[str]]:
    """Return the names in each folder that some version needs."""
    references = [reference for manifest in kept for reference in manifest.segments]
    segments = {reference.uuid for reference in references}
    plans = {name for manifest in kept for name in open_plans(manifest)}
    ready = {mark.job for mark in read_marks(root) if mark.plan in plans}  # done, and not committed yet
    return {
        PLANS: plans,
        READY: ready,
        SEGMENTS: segments | ready,
        KEYWORDS: segments,
        TOMBSTONES: {reference.deleted.uuid for reference in references if reference.deleted},
        TEMPLATES: {manifest.template for manifest in kept if manifest.template},
    }


def _candidates(root: Path) -> Iterator[str]:
    for folder in (SEGMENTS, TOMBSTONES, TEMPLATES, KEYWORDS, READY, PLANS, ATTEMPTS, STAGING):
        for name in files.list_names(root / folder):
            yield f"{folder}/{name}"


def _remove(root: Path, path: str) -> None:
    """Remove a file, or a folder in one step, so that nobody meets half of one."""
    if path.startswith(STAGING) or not files.is_folder(root / path):
        files.remove(root / path)
        return
    doomed = root / STAGING / f"{uuid.uuid4()}.dropped"
    files.make_folder(doomed.parent)
    files.rename_folder(root / path, doomed)
    files.remove(doomed)

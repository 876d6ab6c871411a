"""Mutants of the protocol: each lacks one sync, link, seal, hash or check. A campaign that lets one live proves nothing.

A mutant is a name, what it breaks, and the campaign that must notice.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

from reliability import crashes, damage, faults, rivals

from vidsearch.storage import files, garbage, rewrite, seal, template, tombstones
from vidsearch.storage import manifest as manifests
from vidsearch.storage.manifest import Manifest, SegmentRef
from vidsearch.storage.segment import Segment
from vidsearch.upkeep import delete, verify

Campaign = Callable[[], list[str]]  # returns violations, the first at least


@dataclass(frozen=True)
class Mutant:
    """A change to one function, and who must notice it."""

    target: Any
    attribute: str
    broken: Any
    campaign: Campaign

    @contextmanager
    def at_large(self) -> Iterator[None]:
        with patch.object(self.target, self.attribute, self.broken):
            yield

    def hunt(self) -> list[str]:
        """Return what the campaign finds while the mutant is at large; nothing where it lives on."""
        with self.at_large():
            return self.campaign()


def crash_in(*names: str, states: int = 4000) -> Campaign:
    return lambda: crashes.campaign(names, states=states, seed=0, stop_after=1).violations


def race_of(*pairs: tuple[str, str]) -> Campaign:
    return lambda: rivals.campaign(pairs, stop_after=1).violations


def fault_in(name: str) -> Campaign:
    return lambda: faults.campaign(name, cases=400, seed=0, stop_after=1).violations


def damage_of(*kinds: str) -> Campaign:
    return lambda: (
        damage.campaign(kinds, flips=40, seed=0).violations + damage.other_damage(set(kinds) & set(damage.KINDS), seed=0).violations
    )


_sync_folder, _collect_young = files.sync_folder, garbage.collect


def _unsynced(name: str) -> Callable[[Path], None]:
    """Return a `sync_folder` that passes over the folders of a name."""
    return lambda path: None if path.name == name else _sync_folder(path)


def _unsynced_staged(path: Path) -> None:
    if path.parent.name != files.STAGING:
        _sync_folder(path)


def _overwrite(temporary: Path, path: Path, data: files.Bytes) -> bool:
    files.os.rename(temporary, path)
    return True


def _write_once(writer: files.Writer, data: files.Bytes) -> int:
    view = memoryview(data).cast("B")
    files.os.write(writer._descriptor, view)
    writer._hash.update(view)
    writer._size += len(view)
    return len(view)


def _commit_stale(root: Path, change: Callable[[Manifest], Manifest]) -> Manifest:
    """Make the change once, and take the next number that is free for it."""
    changed = change(manifests.read(root))
    while True:
        following = replace(changed, version=max(manifests.versions(root)) + 1)
        if manifests._publish(root, following, parent=following.version - 1):
            return following


def _bury_unchecked(root: Path, manifest: Manifest, rows: Any) -> Manifest:
    return manifest.with_segments(tombstones._bury(root, segment, rows.get(segment.uuid, ())) for segment in manifest.segments)


def _exchange_unchecked(manifest: Manifest, written: dict[str, SegmentRef], name: str) -> Manifest:
    return manifest.with_segments(written.values())


def _exchange_undeleted(manifest: Manifest, written: dict[str, SegmentRef], name: str) -> Manifest:
    return manifest.with_segments(written.get(segment.uuid, segment) for segment in manifest.segments)


def _collect_in_any_order(root: Path, *, grace_s: float = 0, versions: int = 1) -> list[garbage.Garbage]:
    """Remove files before the versions that name them."""
    found = garbage.find(root, grace_s=grace_s, versions=versions)
    for item in reversed(found):
        garbage._remove(root, item.path)
    return found


def _rename_over(path: Path, data: files.Bytes, *, staging: Path) -> None:
    """Write in place, as if no crash could come in between."""
    files.remove(path)
    files.write(path, data)
    _sync_folder(path.parent)


def _read_any_template(root: Path, name: str) -> bytes:
    return files.read(root / template.TEMPLATES / f"{name}.template")


def _collect_unsynced(root: Path, *, grace_s: float = 0, versions: int = 1) -> list[garbage.Garbage]:
    """Remove in the right order, but what only a version needs that may not last."""
    found = garbage.find(root, grace_s=grace_s, versions=versions)
    for item in found:
        garbage._remove(root, item.path)
    return found


def _loads_unsealed(data: bytes, name: Path | str) -> dict[str, Any]:
    return dict(json.loads(data.partition(b"\n")[0]))


MUTANTS = {
    "files are not synced": Mutant(files.Writer, "sync", lambda writer: None, crash_in("add")),
    "the folder of versions is not synced": Mutant(files, "sync_folder", _unsynced("manifests"), crash_in("add")),
    "the folder of segments is not synced": Mutant(files, "sync_folder", _unsynced("segments"), crash_in("add")),
    "a new segment's folder is not synced": Mutant(files, "sync_folder", _unsynced_staged, crash_in("add")),
    "the folder of deleted rows is not synced": Mutant(files, "sync_folder", _unsynced("tombstones"), crash_in("delete")),
    "the folder of templates is not synced": Mutant(files, "sync_folder", _unsynced("template"), crash_in("train")),
    "the index's own folder is not synced": Mutant(files, "sync_folder", _unsynced("index"), crash_in("build")),
    "a version found is not made durable": Mutant(manifests, "_settled", lambda root, manifest: manifest, crash_in("delete", "build")),
    "a version takes the place of another": Mutant(files, "_link", _overwrite, race_of(("add", "add"))),
    "a seal is not looked at": Mutant(seal, "loads", _loads_unsealed, damage_of("manifest", "FORMAT")),
    "a torn version counts as whole": Mutant(seal, "is_whole", lambda data: True, crash_in("build without hard links")),
    "hashes are not compared": Mutant(files, "compare", lambda path, found, promised: None, damage_of("vectors.f16")),
    "hashes of deleted rows are not compared": Mutant(files, "compare", lambda path, found, promised: None, damage_of("tombstones")),
    "files of a segment are not hashed": Mutant(Segment, "check", lambda segment, names: None, damage_of("vectors.crc32")),
    "checksums of rows are not compared": Mutant(Segment, "check_rows", lambda segment, rows: None, damage_of("answers")),
    "a template is not compared with its name": Mutant(verify, "read_template", _read_any_template, damage_of("template")),
    "a template is written in place": Mutant(files, "put", _rename_over, crash_in("train", "build")),
    "a commit does not look at what others committed": Mutant(manifests, "commit", _commit_stale, race_of(("add", "add"))),
    "rows are deleted in segments that are gone": Mutant(delete, "bury", _bury_unchecked, race_of(("delete", "compact"))),
    "a column is added to what was there before": Mutant(rewrite, "_exchange", _exchange_unchecked, race_of(("add a column", "add"))),
    "a column brings deleted rows back": Mutant(rewrite, "_exchange", _exchange_undeleted, crash_in("add a column")),
    "garbage is removed however young": Mutant(
        garbage, "collect", lambda root, **_: _collect_young(root, grace_s=0, versions=1), race_of(("add", "collect"))
    ),
    "files go before the versions that name them": Mutant(garbage, "collect", _collect_in_any_order, crash_in("collect")),
    "files go before the newest version is durable": Mutant(garbage, "collect", _collect_unsynced, crash_in("compact and collect")),
    "a write is not continued": Mutant(files.Writer, "write", _write_once, fault_in("add")),
}

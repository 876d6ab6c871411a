"""Change what is written beside the vectors of an index: new segments with the same vectors, one commit."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pyarrow as pa

from vidsearch.errors import ConflictError, UsageError, VidsearchError
from vidsearch.storage import manifest as manifests
from vidsearch.storage import segment as segments
from vidsearch.storage.manifest import Manifest, SegmentRef
from vidsearch.storage.segment import Segment, open_segment

DERIVED = "derived_columns"  # of the manifest's settings: columns that were computed, and may be computed anew


def with_column(root: Path, name: str, values: Callable[[Segment], pa.Array]) -> Manifest:
    """Commit a version of an index that has one more column, or a computed one computed anew; vectors and index files stay as they are.

        with_column(root, "long", lambda segment: pc.greater(segment.read_columns(["duration_s"])["duration_s"], 10))

    Writes every segment once more, so it needs as much free space as the index takes; the old ones go with the next `vidsearch gc`.

    Args:
        root: the index.
        name: of the column.
        values: gives a segment's values, one a row.

    Raises:
        UsageError: the column is there and was not made this way; nothing is changed.
        IndexCorruptError: a segment is damaged.
        ConflictError: another process changed the same segments meanwhile; nothing is changed.
    """
    before = manifests.read(root)
    opened = [open_segment(root, reference) for reference in before.segments]
    check_name(name, before, opened)
    written: dict[str, SegmentRef] = {}
    try:
        for segment in opened:
            written[segment.uuid] = _rewrite(root, segment, name, values(segment))
        committed = manifests.commit(root, lambda manifest: _exchange(manifest, written, name))
    except BaseException:
        for reference in written.values():
            with suppress(VidsearchError, OSError):  # what went wrong is told; the commit may have come through before it did
                segments.drop(root, reference.uuid)
        raise
    return committed


def check_name(name: str, manifest: Manifest, opened: list[Segment]) -> None:
    """Refuse a column that is there and was not computed."""
    if not name or not name.isidentifier():
        raise UsageError(f"{name!r} cannot be the name of a column; take letters, digits and _")
    there = any(name in segment.schema.names for segment in opened)
    if there and name not in _derived(manifest):
        raise UsageError(f"column {name!r} is part of what was indexed and stays as it is; choose another name")


def _rewrite(root: Path, segment: Segment, name: str, values: pa.Array) -> SegmentRef:
    segment.check(segment.file_names)  # damage copied would be sealed as if it were whole
    rows = segment.read_columns([column for column in segment.schema.names if column != name])
    return segments.write(
        root,
        vectors=segment.vectors,
        rows=rows.append_column(name, values),
        index_files={file: segment.map_file(file) for file in segment.index_files},
        quarantine=segment.quarantine(),
        info=segment.info,
    )


def _exchange(manifest: Manifest, written: dict[str, SegmentRef], name: str) -> Manifest:
    there = {reference.uuid for reference in manifest.segments}
    if not there >= set(written):
        raise ConflictError("another process changed the same segments; the index is whole, run the command again")
    exchanged = manifest.with_segments(  # its rows lie where they lay: what is deleted stays so
        replace(written[reference.uuid], deleted=reference.deleted) if reference.uuid in written else reference
        for reference in manifest.segments
    )
    derived = sorted({*_derived(manifest), name})
    return replace(exchanged, settings={**manifest.settings, DERIVED: list(derived)})


def _derived(manifest: Manifest) -> list[str]:
    names = manifest.settings.get(DERIVED, [])
    return [str(name) for name in names] if isinstance(names, list) else []

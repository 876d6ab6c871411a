"""Change what is written beside the vectors of an index: new segments with the same vectors, one commit."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from vidsearch.errors import ConflictError, UsageError, VidsearchError
from vidsearch.storage import manifest as manifests
from vidsearch.storage import segment as segments
from vidsearch.storage.manifest import Manifest, SegmentRef
from vidsearch.storage.seal import JSON
from vidsearch.storage.segment import Segment, open_segment

DERIVED = "derived_columns"  # of the manifest's settings: columns that were computed, and may be computed anew
MADE_BY = "made_by"  # of the same: {column: how its values, or those that were missing, were computed}


def with_column(
    root: Path, name: str, values: Callable[[Segment], pa.Array], *, fill: bool = False, made_by: Mapping[str, JSON] | None = None
) -> Manifest:
    """Commit a version of an index that has one more column, or a computed one computed anew; vectors and index files stay as they are.

        with_column(root, "long", lambda segment: pc.greater(segment.read_columns(["duration_s"])["duration_s"], 10))

    Writes every segment once more, so it needs as much free space as the index takes; the old ones go with the next `vidsearch gc`.

    Args:
        root: the index.
        name: of the column.
        values: gives a segment's values, one a row.
        fill: keep every value that is there, and take those given where there is none; so what was indexed may be completed.
        made_by: how the values were computed, kept in the manifest; "by" says it to a person.

    Raises:
        UsageError: the column is there and was not made this way, or cannot hold such values; nothing is changed.
        IndexCorruptError: a segment is damaged.
        ConflictError: another process changed the same segments meanwhile; nothing is changed.
    """
    before = manifests.read(root)
    opened = [open_segment(root, reference) for reference in before.segments]
    check_name(name, before, opened, fill=fill)
    indexed = fill and name not in _derived(before) and any(name in segment.schema.names for segment in opened)
    written: dict[str, SegmentRef] = {}
    try:
        for segment in opened:
            given = values(segment)
            written[segment.uuid] = _rewrite(root, segment, name, _filled(segment, name, given) if fill else given)
        committed = manifests.commit(
            root, lambda manifest: _described(_exchange(manifest, written, name), name, derived=not indexed, made_by=made_by)
        )
    except BaseException:
        for reference in written.values():
            with suppress(VidsearchError, OSError):  # what went wrong is told; the commit may have come through before it did
                segments.drop(root, reference.uuid)
        raise
    return committed


def check_name(name: str, manifest: Manifest, opened: list[Segment], *, fill: bool = False) -> None:
    """Refuse a column that is there and was not computed, unless what it lacks is to be filled."""
    if not name or not name.isidentifier():
        raise UsageError(f"{name!r} cannot be the name of a column; take letters, digits and _")
    there = any(name in segment.schema.names for segment in opened)
    if there and not fill and name not in _derived(manifest):
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


def _filled(segment: Segment, name: str, values: pa.Array) -> pa.Array | pa.ChunkedArray:
    """Return a segment's column with values where it has none; NaN is a value that says nothing."""
    if name not in segment.schema.names:
        return values
    there = segment.read_columns([name])[name]
    try:
        given = values.cast(there.type)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise UsageError(f"column {name!r} holds {there.type}, not {values.type}; choose another name") from error
    if pa.types.is_floating(there.type):
        there = pc.if_else(pc.is_nan(there), pa.scalar(None, there.type), there)
    return pc.coalesce(there, given)


def _exchange(manifest: Manifest, written: dict[str, SegmentRef], name: str) -> Manifest:
    there = {reference.uuid for reference in manifest.segments}
    if not there >= set(written):
        raise ConflictError("another process changed the same segments; the index is whole, run the command again")
    return manifest.with_segments(  # its rows lie where they lay: what is deleted stays so
        replace(written[reference.uuid], deleted=reference.deleted) if reference.uuid in written else reference
        for reference in manifest.segments
    )


def _described(manifest: Manifest, name: str, *, derived: bool, made_by: Mapping[str, JSON] | None) -> Manifest:
    """Return a manifest that says which columns are computed, and how."""
    columns = sorted({*_derived(manifest), *([name] if derived else [])})
    known = {column: how for column, how in made_by_column(manifest).items() if column != name}
    if made_by is not None:
        known[name] = dict(made_by)
    told: dict[str, JSON] = {MADE_BY: dict(known)} if known else {}
    others = {key: value for key, value in manifest.settings.items() if key != MADE_BY}
    return replace(manifest, settings={**others, DERIVED: list(columns), **told})


def made_by_column(manifest: Manifest) -> dict[str, dict[str, JSON]]:
    """Return what `with_column` was told of how columns were computed."""
    found = manifest.settings.get(MADE_BY)
    return {name: how for name, how in found.items() if isinstance(how, dict)} if isinstance(found, dict) else {}


def _derived(manifest: Manifest) -> list[str]:
    names = manifest.settings.get(DERIVED, [])
    return [str(name) for name in names] if isinstance(names, list) else []

"""Segments written anew as one: rows in the order of their lists, without those that are deleted, cut from a template, in one commit.

What is deleted by others while the new segment is being written is deleted in it too.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from indexer.gather import Gathered
from indexer.rows import EMBEDDED_FROM, concatenate
from vidsearch.corpus import Corpus
from vidsearch.errors import ConflictError, VidsearchError
from vidsearch.registry import plugin
from vidsearch.storage import manifest as manifests
from vidsearch.storage import segment as segments
from vidsearch.storage.manifest import Manifest, SegmentRef
from vidsearch.storage.quarantine import DELETED
from vidsearch.storage.template import read_template
from vidsearch.storage.tombstones import bury, read_deleted

PARTITIONS = 2  # text columns by which the rows of a list are sorted
FEW_VALUES = 64
FEW_ROWS = 4096  # that tell whether a column may have few values
ERROR_ROWS = 4096  # on which the coarseness of codes is measured

Places = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Merged:
    """A segment that is written and not yet part of the index.

    Attributes:
        segment: what a manifest names.
        places: for each segment that it replaces, where its rows lie now; -1 for those that were deleted.
    """

    segment: SegmentRef
    places: dict[str, Places]


def merge(index: Corpus, numbers: Sequence[int], *, kind: str, template: str | None) -> Merged:
    """Write some of an index's segments anew as one.

    Args:
        index: the version they are read from; each file is hashed before it is copied.
        numbers: of the segments.
        kind: plug-in of vidsearch.indexes.
        template: its name, where the kind has one.
    """
    group = [index.segments[number] for number in numbers]
    for segment in group:
        segment.check(segment.file_names)  # damage copied would be sealed as if it were whole
    module = plugin("vidsearch.indexes", kind)
    trained = module.load_template(read_template(index.root, template)) if template else None
    kept = np.flatnonzero(np.concatenate([index.alive[number].mask for number in numbers]))
    rows = concatenate(segment.read_columns(segment.schema.names) for segment in group).take(pa.array(kept))
    gathered = Gathered([segment.vectors for segment in group])
    lists = module.assign(gathered.in_order(kept), trained)
    if lists is not None:
        order = _order(lists, rows)
        kept, rows, lists = kept[order], rows.take(pa.array(order)), lists[order]
    vectors = gathered.in_order(kept)
    info: dict[str, Any] = {"index": kind, "template": template}
    if trained is not None:
        info["code_bytes"] = trained.code_bytes
        info["quantization_error"] = quantization_error(vectors, trained)
    written = segments.write(
        index.root,
        vectors=vectors.as_vectors(),
        rows=rows,
        index_files=module.build(vectors, trained, lists),
        quarantine=_still_bad(concatenate(segment.quarantine() for segment in group), rows),
        info=info,
    )
    places = np.full(len(gathered), -1, dtype=np.int64)
    places[kept] = np.arange(len(kept))
    starts = np.cumsum([0, *(segment.rows for segment in group)])
    return Merged(written, {s.uuid: places[start : start + s.rows] for s, start in zip(group, starts, strict=False)})


def commit_merged(root: Path, merged: Sequence[Merged], *, template: str | None = None) -> Manifest:
    """Put merged segments in the place of those they are made of, in one version; what is given up is left to garbage collection.

    Raises:
        ConflictError: another process replaced one of those first; nothing is changed.
    """
    try:
        return manifests.commit(root, lambda manifest: _exchanged(root, manifest, merged, template))
    except VidsearchError:
        for one in merged:
            with suppress(VidsearchError, OSError):  # nobody names it
                segments.drop(root, one.segment.uuid)
        raise


def _exchanged(root: Path, manifest: Manifest, merged: Sequence[Merged], template: str | None) -> Manifest:
    there = {reference.uuid: reference for reference in manifest.segments}
    replaced = {uuid for one in merged for uuid in one.places}
    if not replaced <= set(there):
        raise ConflictError(f"{root}: another process wrote the same segments anew; the index is whole, run the command again")
    kept = [reference for reference in manifest.segments if reference.uuid not in replaced]
    exchanged = manifest.with_segments([*kept, *(one.segment for one in merged)])
    if template is not None:
        exchanged = replace(exchanged, template=template)
    return bury(root, exchanged, {one.segment.uuid: _deleted_since(root, one, there) for one in merged})


def _deleted_since(root: Path, one: Merged, there: dict[str, SegmentRef]) -> Places:
    """Return where rows lie that were deleted after the segments were read."""
    parts = (places[read_deleted(root, there[uuid]).ids] for uuid, places in one.places.items() if there[uuid].deleted)
    found = np.concatenate([np.zeros(0, np.int64), *parts])
    return found[found >= 0]


def quantization_error(vectors: Gathered | npt.NDArray[np.float32], trained: Any) -> float:
    """Return how coarsely codes stand for vectors: the mean squared error as a share of the mean square; 0.0 where nothing is known."""
    if not len(vectors) or not hasattr(trained, "reconstruct"):
        return 0.0
    step = max(1, len(vectors) // ERROR_ROWS)
    sample = np.concatenate([vectors[start : start + 64] for start in range(0, len(vectors), 64 * step)])
    error, size = trained.reconstruct(sample)
    return round(float(error / size), 6) if size else 0.0


def _order(lists: npt.NDArray[np.int32], rows: pa.Table) -> Places:
    """Return the order of rows on the disk: by list, then by language, type or what else has few values.

    A filter on such a column then leaves long runs of rows, and the blocks of codes between them are not read.
    """
    keys = [pc.fill_null(codes, -1).to_numpy(zero_copy_only=False) for codes in _few_valued(rows)]
    return np.lexsort((*keys[::-1], lists))


def _few_valued(rows: pa.Table) -> Iterator[pa.Array]:
    """Yield the codes of the first text columns of few values."""
    found = 0
    for field in rows.schema:
        if found < PARTITIONS and pa.types.is_string(field.type) and _few_values(rows[field.name].slice(0, FEW_ROWS)):
            encoded = rows[field.name].combine_chunks().dictionary_encode()
            if _few_values(encoded.dictionary):
                found += 1
                yield encoded.indices


def _few_values(column: pa.ChunkedArray | pa.Array) -> bool:
    return 1 < len(column.unique()) <= FEW_VALUES


def _still_bad(quarantine: pa.Table, rows: pa.Table) -> pa.Table:
    """Return one entry a clip, the last, without those that have been indexed since.

    What is wrong with a video stays so when its clip is indexed by the caption alone; what was deleted is not deleted any more.
    """
    if not quarantine.num_rows:
        return quarantine
    indexed = _among(quarantine["clip_id"], rows["clip_id"])
    if EMBEDDED_FROM in rows.column_names:
        by_video = rows.filter(pc.fill_null(pc.not_equal(rows[EMBEDDED_FROM], "caption"), True))
        indexed = pc.or_(_among(quarantine["clip_id"], by_video["clip_id"]), pc.and_(indexed, pc.equal(quarantine["reason"], DELETED)))
    pairs = zip(quarantine["clip_id"].to_pylist(), indexed.to_pylist(), strict=True)
    last = {name: number for number, (name, there) in enumerate(pairs) if not there}
    return quarantine.take(pa.array(sorted(last.values()), pa.int64()))


def _among(ids: pa.ChunkedArray, others: pa.ChunkedArray) -> pa.ChunkedArray:
    return pc.is_in(ids, value_set=others.combine_chunks().cast(pa.string()))

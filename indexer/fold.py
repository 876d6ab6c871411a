"""Fold small segments into large ones, and exact ones into IVF-PQ once there are clips enough to train a template.

Works on the stored vectors: nothing is decoded or embedded again. Adding a thousand clips to a million rewrites the thousand.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from indexer.rows import concatenate
from vidsearch.engine import Index, open_index
from vidsearch.errors import VidsearchError
from vidsearch.indexes.base import kind_for, sample_rows
from vidsearch.registry import plugin
from vidsearch.storage import manifest as manifests
from vidsearch.storage import segment as segments
from vidsearch.storage.manifest import Manifest, SegmentRef
from vidsearch.storage.segment import Segment
from vidsearch.storage.template import read_template, write_template

FOLDED_ROWS = 131_072  # a folded segment stays below this, so that folding needs a few hundred megabytes at most
MAX_SAMPLE_ROWS = 262_144  # 0.8 GB at 768 dimensions


def index_kind(index: Index) -> str:
    """Return what most of an index's rows are searched with, "flat" or "ivfpq"."""
    trained = sum(segment.rows for segment in index.segments if segment.info["index"] != "flat")
    return "ivfpq" if trained * 2 > len(index) else "flat"


def fold(root: Path, *, index_factory: str | None = None, seed: int = 0) -> None:
    """Bring an index into its best shape for its number of clips."""
    index = open_index(root)
    kind = "ivfpq" if index_factory or index.manifest.template else kind_for(len(index))
    template = index.manifest.template
    if kind == "ivfpq" and template is None and len(index):
        template = _train(root, index, index_factory, seed)
    for group in _groups(index.segments, kind):
        _fold_group(root, group, kind=kind, template=template)


def _groups(all_segments: Sequence[Segment], kind: str) -> list[list[Segment]]:
    """Return which segments to write anew together: those of the wrong kind, and small ones where there are several."""
    small = [s for s in all_segments if s.info["index"] != kind or s.rows < FOLDED_ROWS // 2]
    groups: list[list[Segment]] = []
    for segment in small:
        if not groups or sum(s.rows for s in groups[-1]) + segment.rows > FOLDED_ROWS:
            groups.append([])
        groups[-1].append(segment)
    return [group for group in groups if len(group) > 1 or group[0].info["index"] != kind]


def _fold_group(root: Path, group: list[Segment], *, kind: str, template: str | None) -> None:
    vectors = np.concatenate([segment.vectors for segment in group])
    rows = concatenate(segment.read_columns(segment.schema.names) for segment in group)
    data = read_template(root, template) if template else None
    folded = segments.write(
        root,
        vectors=vectors,
        rows=rows,
        index_files={} if kind == "flat" else {"index.faiss": plugin("vidsearch.indexes", kind).build(vectors, data)},
        quarantine=_still_bad(concatenate(segment.quarantine() for segment in group), rows),
        info={"index": kind, "template": template},
    )
    replaced = {segment.uuid for segment in group}
    manifests.commit(root, lambda manifest: _replace(manifest, replaced, folded))
    for uuid in replaced:
        segments.drop(root, uuid)


def _replace(manifest: Manifest, replaced: set[str], folded: SegmentRef) -> Manifest:
    kept = [reference for reference in manifest.segments if reference.uuid not in replaced]
    if len(kept) + len(replaced) != len(manifest.segments):
        raise VidsearchError("another process folded the same segments; the index is whole, run the command again")
    return manifest.with_segments([*kept, folded])


def _still_bad(quarantine: pa.Table, rows: pa.Table) -> pa.Table:
    """Return one entry a clip, the last, without those that have been indexed since."""
    indexed = set(rows["clip_id"].to_pylist())
    last = {name: number for number, name in enumerate(quarantine["clip_id"].to_pylist()) if name not in indexed}
    return quarantine.take(pa.array(sorted(last.values()), pa.int64()))


def _train(root: Path, index: Index, factory: str | None, seed: int) -> str:
    """Train the template that all IVF-PQ segments share, on a sample of what is there, and return its name."""
    sample = _sample(index, seed)
    data = plugin("vidsearch.indexes", "ivfpq").train(sample, rows=len(index), seed=seed, factory=factory)
    name = write_template(root, data, {"rows": len(index), "sample": len(sample), "seed": seed, "factory": factory})
    manifests.commit(root, lambda manifest: manifest.with_template(name))
    return name


def _sample(index: Index, seed: int) -> npt.NDArray[np.float32]:
    """Return vectors (n, dim) float32 to train on, drawn evenly from all segments."""
    rng = np.random.default_rng(seed)
    share = min(MAX_SAMPLE_ROWS, sample_rows(len(index))) / max(1, len(index))
    parts = []
    for segment in index.segments:
        rows = np.sort(rng.choice(segment.rows, size=round(segment.rows * share), replace=False))
        parts.append(segment.vectors[rows].astype(np.float32))
    return np.concatenate(parts)

"""Bring an index into its best shape: small segments into large ones, exact ones into IVF-PQ once there are clips enough to train on.

Then its captions are indexed for keyword search, and what its search settings give is measured.

Works on the stored vectors: nothing is decoded or embedded again. Small trained segments wait until there are several of a size, so
each row is written anew once for each power of eight its index grows by, and adding a thousand clips to a million rewrites the thousand.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from indexer.calibrate import calibrate
from indexer.gather import Gathered
from indexer.probes import Probes, probes_for
from indexer.rows import concatenate
from vidsearch.captions import store
from vidsearch.corpus import Corpus
from vidsearch.errors import VidsearchError
from vidsearch.indexes.base import kind_for, sample_rows
from vidsearch.registry import names, plugin
from vidsearch.storage import manifest as manifests
from vidsearch.storage import segment as segments
from vidsearch.storage.manifest import Manifest, SegmentRef
from vidsearch.storage.segment import Segment
from vidsearch.storage.template import read_template, write_template

FOLDED_ROWS = 1 << 20  # a folded segment has at most so many
TIER = 8  # segments of a size that are written as one, and the step from one size to the next
MAX_SAMPLE_ROWS = 262_144  # 0.8 GB at 768 dimensions
PARTITIONS = 2  # text columns by which the rows of a list are sorted
FEW_VALUES = 64
FEW_ROWS = 4096  # that tell whether a column may have few values
RECALIBRATE = 2.0  # times the rows there were at the last calibration

EncodeTexts = Callable[[Sequence[str]], npt.NDArray[np.float32]]


def index_kind(index: Corpus) -> str:
    """Return what most of an index's rows are searched with, "flat" or the name of another plug-in."""
    trained = [segment for segment in index.segments if segment.info["index"] != "flat"]
    return str(trained[0].info["index"]) if sum(segment.rows for segment in trained) * 2 > len(index) else "flat"


def fold(
    root: Path,
    *,
    index_factory: str | None = None,
    seed: int = 0,
    encode_texts: EncodeTexts | None = None,
    queries: npt.NDArray[np.float32] | None = None,
) -> None:
    """Bring an index into its best shape for its number of clips.

    Args:
        root: the index.
        index_factory: a FAISS factory string, or the name of an index plug-in, in place of what is chosen here.
        seed: of all that is drawn.
        encode_texts: the model's text side, for captions to train and calibrate with.
        queries: (q, dim) float32, text queries as vectors, in place of captions.
    """
    index = Corpus(root)
    if not len(index):
        return
    kind = _kind(index, index_factory)
    template, probes = index.manifest.template, None
    if kind != "flat" and template is None:
        probes = probes_for(index, encode_texts=encode_texts, queries=queries, seed=seed)
        template = _train(root, index, kind, index_factory if kind == "faiss_factory" else None, probes, seed)
    for group in _groups(index.segments, kind):
        _fold_group(root, group, kind=kind, template=template)
    folded = Corpus(root)
    store.build(root, folded.segments)
    if kind == "ivfpq" and len(folded) >= RECALIBRATE * folded.calibration.rows:
        probes = probes or probes_for(folded, encode_texts=encode_texts, queries=queries, seed=seed)
        found = calibrate(folded, probes, seed=seed).to_json()
        manifests.commit(root, lambda manifest: manifest.with_settings({**manifest.settings, "search": found}))


def _kind(index: Corpus, factory: str | None) -> str:
    if index.manifest.template is not None:
        return next(str(segment.info["index"]) for segment in index.segments if segment.info["index"] != "flat")
    if factory is None:
        return kind_for(len(index))
    return factory if factory in names("vidsearch.indexes") else "faiss_factory"


def _groups(all_segments: Sequence[Segment], kind: str) -> list[list[Segment]]:
    """Return which segments to write anew together: those of the wrong kind, and those of a size of which there are many."""
    wrong = [segment for segment in all_segments if segment.info["index"] != kind]
    tiers: dict[int, list[Segment]] = {}
    for segment in all_segments:
        if segment.info["index"] == kind and segment.rows <= FOLDED_ROWS // 2:
            tiers.setdefault(0 if kind == "flat" else int(math.log(max(1, segment.rows), TIER)), []).append(segment)
    many = [segment for tier in tiers.values() if len(tier) >= (2 if kind == "flat" else TIER) for segment in tier]
    groups: list[list[Segment]] = []
    for segment in [*wrong, *many]:
        if not groups or sum(s.rows for s in groups[-1]) + segment.rows > FOLDED_ROWS:
            groups.append([])
        groups[-1].append(segment)
    return [group for group in groups if len(group) > 1 or group[0].info["index"] != kind]


def _fold_group(root: Path, group: list[Segment], *, kind: str, template: str | None) -> None:
    module = plugin("vidsearch.indexes", kind)
    trained = module.load_template(read_template(root, template)) if template else None
    rows = concatenate(segment.read_columns(segment.schema.names) for segment in group)
    vectors = Gathered([segment.vectors for segment in group])
    lists = module.assign(vectors, trained)
    if lists is not None:
        order = _order(lists, rows)
        vectors, rows, lists = vectors.in_order(order), rows.take(pa.array(order)), lists[order]
    info: dict[str, Any] = {"index": kind, "template": template}
    if trained is not None:
        info["code_bytes"] = trained.code_bytes
    folded = segments.write(
        root,
        vectors=vectors.as_vectors(),
        rows=rows,
        index_files=module.build(vectors, trained, lists),
        quarantine=_still_bad(concatenate(segment.quarantine() for segment in group), rows),
        info=info,
    )
    replaced = {segment.uuid for segment in group}
    manifests.commit(root, lambda manifest: _replace(manifest, replaced, folded))
    for uuid in replaced:
        segments.drop(root, uuid)


def _order(lists: npt.NDArray[np.int32], rows: pa.Table) -> npt.NDArray[np.int64]:
    """Return the order of rows on the disk: by list, then by language, type or what else has few values.

    A filter on such a column then leaves long runs of rows, and the blocks of codes between them are not read.
    """
    keys: list[npt.NDArray[Any]] = []
    for field in rows.schema:
        if len(keys) < PARTITIONS and pa.types.is_string(field.type) and _few_values(rows[field.name].slice(0, FEW_ROWS)):
            encoded = rows[field.name].combine_chunks().dictionary_encode()
            if _few_values(encoded.dictionary):
                keys.append(pc.fill_null(encoded.indices, -1).to_numpy(zero_copy_only=False))
    return np.lexsort((*keys[::-1], lists))


def _few_values(column: pa.ChunkedArray | pa.Array) -> bool:
    return 1 < len(column.unique()) <= FEW_VALUES


def _replace(manifest: Manifest, replaced: set[str], folded: SegmentRef) -> Manifest:
    kept = [reference for reference in manifest.segments if reference.uuid not in replaced]
    if len(kept) + len(replaced) != len(manifest.segments):
        raise VidsearchError("another process folded the same segments; the index is whole, run the command again")
    return manifest.with_segments([*kept, folded])


def _still_bad(quarantine: pa.Table, rows: pa.Table) -> pa.Table:
    """Return one entry a clip, the last, without those that have been indexed since."""
    if not quarantine.num_rows:
        return quarantine
    indexed = set(rows["clip_id"].to_pylist())
    last = {name: number for number, name in enumerate(quarantine["clip_id"].to_pylist()) if name not in indexed}
    return quarantine.take(pa.array(sorted(last.values()), pa.int64()))


def _train(root: Path, index: Corpus, kind: str, factory: str | None, probes: Probes, seed: int) -> str:
    """Train the template that all segments share, on a sample of what is there, and return its name."""
    sample = _sample(index, seed)
    data = plugin("vidsearch.indexes", kind).train(sample, queries=probes.training, rows=len(index), seed=seed, factory=factory)
    about = {"rows": len(index), "sample": len(sample), "seed": seed, "factory": factory, "queries": probes.source}
    name = write_template(root, data, about)
    manifests.commit(root, lambda manifest: manifest.with_template(name))
    return name


def _sample(index: Corpus, seed: int) -> npt.NDArray[np.float32]:
    """Return vectors (n, dim) float32 to train on, drawn evenly from all segments."""
    rng = np.random.default_rng(seed)
    share = min(MAX_SAMPLE_ROWS, sample_rows(len(index))) / max(1, len(index))
    parts = []
    for segment in index.segments:
        rows = np.sort(rng.choice(segment.rows, size=round(segment.rows * share), replace=False))
        parts.append(segment.vectors[rows].astype(np.float32))
    return np.concatenate(parts)

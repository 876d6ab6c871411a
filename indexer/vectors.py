"""Vectors that people bring → an index: read blocks of vectors and rows → unit length → segments → fold. Memory stays flat.

Row i of the vectors belongs to row i of the metadata. What holds no direction (zeros, NaN, infinity) is quarantined with its row.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from indexer._core_columns import with_core
from indexer._known_ids import KnownIds
from indexer._row_files import RowFile, Rows, open_rows
from indexer._vector_files import Block, ParquetVectors, VectorFile, open_vectors
from indexer.fold import EncodeTexts, fold, index_kind
from indexer.known import KnownBad, KnownRows, State
from indexer.rows import CORE_SCHEMA, concatenate
from indexer.summary import Summary
from vidsearch.config import Space, external_space
from vidsearch.engine import Index, open_index
from vidsearch.errors import InputNotFoundError, SpaceMismatchError, UsageError
from vidsearch.storage import garbage
from vidsearch.storage import manifest as manifests
from vidsearch.storage import segment as segments
from vidsearch.storage.ledger import Ledger, Tally
from vidsearch.storage.manifest import Manifest, SegmentRef
from vidsearch.storage.quarantine import DELETED, RETRY, quarantine_table

SEGMENT_ROWS = 262_144  # 0.4 GB at 768 dimensions
BLOCK_ROWS = 16_384
EXAMPLES = 3  # told of each reason

Unit = npt.NDArray[np.float32]  # (n, dim)


def build_from_vectors(
    vectors: str | Path,
    out: str | Path,
    *,
    metadata: str | Path | None = None,
    vector_column: str | None = None,
    space: Space | None = None,
    index_factory: str | None = None,
    encode_texts: EncodeTexts | None = None,
    queries: npt.NDArray[np.float32] | None = None,
    seed: int = 0,
    grace_s: float = garbage.GRACE_S,
    progress: Callable[[Summary], None] = lambda summary: None,
) -> Summary:
    """Index vectors that were made elsewhere, and return what was done; those that are indexed already are passed over.

        build_from_vectors("embeddings.npy", "index", metadata="rows.jsonl")

    A clip's id is its `clip_id`; else that of its video and times, as indexing the video would give; else a digest of its row number
    and vector, so that a file that has grown adds what is new.

    Args:
        vectors: .npy (rows, dim), or Parquet with a column of lists; float16, float32 or float64, of any length.
        out: the index folder; made if it is not there.
        metadata: .parquet or .jsonl, as many rows; None takes the other columns of a Parquet file of vectors.
        vector_column: which column of a Parquet file, where that is not plain.
        space: of the model that made the vectors and whose text side answers queries; None is that of the index, or none: then the index
            is asked by vector.
        index_factory: a FAISS factory string in place of the sizes chosen from the number of clips.
        encode_texts: that model's text side, for captions to train and calibrate with.
        queries: (q, dim) float32, vectors of texts such as will be asked, to train and calibrate with; None takes the captions where the
            model is at hand.
        seed: of the template's training.
        grace_s: for so many seconds files that are replaced are kept for whoever is about to open them; 0 if nobody else is.
        progress: called after each block.

    Raises:
        InputNotFoundError, UsageError: a file that cannot be read, or whose rows do not fit the other's; nothing has been written.
        SpaceMismatchError: vectors of another length than the model's, or of another model than the index's.
    """
    started = time.monotonic()
    root = Path(out)
    source = open_vectors(Path(vectors), vector_column)
    if queries is not None and (queries.ndim != 2 or queries.shape[1] != source.dim or not np.isfinite(queries).all()):
        raise UsageError(f"queries of shape {queries.shape} must be (q, {source.dim}) like the vectors, all finite")
    rows = _rows_of(source, metadata)
    run = _Run(_open_or_create(root, source, space), source.path.name, progress)
    run.summary.planned = source.rows
    try:
        for block, described in _side_by_side(source, rows):
            run.add(block, described)
        run.commit()
    except KeyboardInterrupt:
        run.commit()
        run.summary.interrupted = True
    else:
        fold(root, index_factory=index_factory, encode_texts=encode_texts, queries=queries, seed=seed, grace_s=grace_s)
    final = open_index(root)
    summary = run.summary
    summary.rows, summary.size_bytes, summary.index_kind = len(final), final.size_bytes, index_kind(final)
    summary.wall_s = time.monotonic() - started
    return summary


def read_queries(path: Path) -> npt.NDArray[np.float32]:
    """Return the queries (q, dim) float32 of a .npy file, brought to length one."""
    try:
        queries = np.load(path, allow_pickle=False)
    except FileNotFoundError as error:
        raise InputNotFoundError(f"no file of queries {path}") from error
    except (OSError, ValueError) as error:
        raise UsageError(f"{path}: not a .npy file of numbers ({error})") from error
    if queries.ndim != 2 or queries.dtype.kind != "f":
        raise UsageError(f"{path}: holds {queries.dtype}{queries.shape}; queries are floats of shape (q, dim)")
    lengths = np.linalg.norm(queries.astype(np.float32), axis=1, keepdims=True)
    unit: npt.NDArray[np.float32] = (queries / np.maximum(lengths, 1e-12)).astype(np.float32)
    return unit


def _rows_of(source: VectorFile, metadata: str | Path | None) -> RowFile | None:
    if metadata is None:
        return open_rows(source.path, without=source.column) if isinstance(source, ParquetVectors) else None
    rows = open_rows(Path(metadata))
    if rows.count != source.rows:
        raise UsageError(
            f"{source.path.name} holds {source.rows:,} vectors, {rows.path.name} {rows.count:,} rows; row i belongs with row i, so the "
            "numbers must be equal"
        )
    return rows


def _open_or_create(root: Path, source: VectorFile, space: Space | None) -> Index:
    if space is None:
        space = manifests.read(root).space if manifests.exists(root) else external_space(source.dim)
    if space.dim != source.dim:
        raise SpaceMismatchError(f"{source.path.name} holds vectors of {source.dim:,} numbers, those of {space.model} have {space.dim:,}")
    manifests.create(root, space)
    return open_index(root)


def _side_by_side(source: VectorFile, rows: RowFile | None) -> Iterator[tuple[Block, Rows]]:
    """Yield blocks of vectors with as many rows each; without a file of rows, such as have no columns of use."""
    cursor = None if rows is None else _Cursor(rows.blocks(BLOCK_ROWS))
    for block in source.blocks(BLOCK_ROWS):
        count = len(block.values)
        yield block, Rows(pa.table({"caption": pa.nulls(count, pa.string())})) if cursor is None else cursor.read(count)


class _Cursor:
    """Rows in whatever numbers they are wanted."""

    def __init__(self, blocks: Iterable[Rows]) -> None:
        self._blocks = iter(blocks)
        self._left: list[Rows] = []

    def read(self, count: int) -> Rows:
        """Return the next rows; fewer where the file ends."""
        taken: list[Rows] = []
        have = 0
        while have < count and (block := self._left.pop() if self._left else next(self._blocks, None)):
            take = min(count - have, block.table.num_rows)
            if take < block.table.num_rows:
                later = {place - take: what for place, what in block.wrong.items() if place >= take}
                self._left.append(Rows(block.table.slice(take), later))
            taken.append(Rows(block.table.slice(0, take), {place + have: w for place, w in block.wrong.items() if place < take}))
            have += take
        return Rows(pa.concat_tables([part.table for part in taken]), {place: what for part in taken for place, what in part.wrong.items()})


class _Run:
    """What is read and not yet committed, what is known, and the counts."""

    def __init__(self, index: Index, name: str, progress: Callable[[Summary], None]) -> None:
        self.root, self.dim, self.name, self.progress = index.root, index.space.dim, name, progress
        self.summary = Summary()
        self.rows = KnownRows(self.root)
        self.rows.see(index.manifest)
        self.seen = KnownIds(lambda ids: self.rows.states(ids) >= State.BY_CAPTION)
        self.bad = KnownBad((segment.quarantine() for segment in index.segments), index.manifest.settings.get(RETRY) or ())
        self.faulty: set[str] = set()  # quarantined by this run
        self.read = 0
        self._start_segment()

    def _start_segment(self) -> None:
        self.vectors: list[npt.NDArray[np.float16]] = []
        self.tables: list[pa.Table] = []
        self.quarantine: list[dict[str, Any]] = []
        self.new: list[str] = []  # clips that the ledger knows nothing of

    def add(self, block: Block, described: Rows) -> None:
        """Take over one block; commit when a segment is full."""
        unit, faults = unit_or_fault(block)
        faults.update({place: ("METADATA_INVALID", what) for place, what in described.wrong.items()})
        table = with_core(described.table, block.values, first=self.read)
        ids = table["clip_id"].to_pylist()
        deleted = set(np.flatnonzero(self.bad.are_deleted(table["clip_id"])).tolist())
        self.summary.skipped.update(DELETED for _ in deleted)
        for place in sorted(faults):
            self._skip(table.slice(place, 1).to_pylist()[0], self.read + place, *faults[place])
        left_out = deleted | set(faults)
        fresh, repeated = self.seen.add(ids, without=left_out)
        self.summary.duplicates += repeated
        self.summary.already += len(ids) - len(left_out) - len(fresh) - repeated
        if len(fresh):
            self.vectors.append(unit[fresh].astype(np.float16))
            self.tables.append(table.take(pa.array(fresh, pa.int64())))
            self.summary.indexed += len(fresh)
            counted = self.bad.has(self.tables[-1]["clip_id"]).tolist()
            names = [ids[place] for place in fresh.tolist()]
            self.new.extend(name for name, known in zip(names, counted, strict=True) if not known and name not in self.faulty)
        self.read += len(ids)
        if sum(len(part) for part in self.vectors) >= SEGMENT_ROWS:
            self.commit()
        self.progress(self.summary)

    def _skip(self, row: dict[str, Any], number: int, reason: str, what: str) -> None:
        self.summary.skipped[reason] += 1
        self.summary.failed += 1
        name = row["clip_id"]
        if self.bad.has(pa.array([name]))[0]:
            return
        if name not in self.faulty and not self.seen.has(name):
            self.new.append(name)
        self.faulty.add(name)
        detail = f"{self.name} row {number:,} (the first is 0): {what}"
        examples = self.summary.examples.setdefault(reason, [])
        if len(examples) < EXAMPLES:
            examples.append(detail)
        place = {name: row[name] for name in ("clip_id", "video", "start_s", "end_s")}
        self.quarantine.append({**place, "reason": reason, "detail": detail[:500], "seen_at": datetime.now(UTC)})

    def commit(self) -> None:
        """Write what is pending as one exact segment; nothing pending, nothing written."""
        if not self.vectors and not self.quarantine:
            return
        timer = time.perf_counter()
        reference = segments.write(
            self.root,
            vectors=np.concatenate([np.zeros((0, self.dim), dtype=np.float16), *self.vectors]),
            rows=concatenate([CORE_SCHEMA.empty_table(), *self.tables]),
            index_files={},
            quarantine=quarantine_table(self.quarantine),
            info={"index": "flat"},
        )
        manifests.commit(self.root, lambda manifest: self._change(manifest, reference, Tally.of(pa.array(self.new, pa.string()))))
        self.summary.write_s += time.perf_counter() - timer
        self._start_segment()

    def _change(self, manifest: Manifest, reference: SegmentRef, new: Tally) -> Manifest:
        ledger = Ledger.opened(manifest.settings, lambda: open_index(self.root).segments)
        changed = manifest.with_segments([*manifest.segments, reference])
        return changed.with_settings(replace(ledger, planned=ledger.planned + new).into(manifest.settings))


def unit_or_fault(block: Block) -> tuple[Unit, dict[int, tuple[str, str]]]:
    """Return vectors as float32 rows of length one, and for rows that have no direction the reason and what is the matter."""
    peak = np.abs(block.values).max(axis=1, keepdims=True)  # NaN and infinity come through
    good = np.isfinite(peak) & (peak > 0)
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        scaled = (block.values.astype(np.result_type(block.values, np.float32)) / peak).astype(np.float32)  # whose squares cannot overflow
        unit = np.where(good, scaled / np.linalg.norm(scaled, axis=1, keepdims=True), np.float32(0))
    faults = {}
    for place in np.flatnonzero(~good[:, 0]).tolist():
        if place in block.wrong:
            faults[place] = ("VECTOR_MISSING", block.wrong[place])
        elif peak[place, 0] == 0:
            faults[place] = ("ZERO_VECTOR", "every number is 0")
        else:
            faults[place] = ("NONFINITE_VECTOR", "it holds NaN or infinity")
    return unit, faults

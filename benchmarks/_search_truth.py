"""The files `search.py` works on: vectors, rows and queries, streamed from the generator, and the true answers; kept for the next run."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
from _search_columns import CELLS, Cell, table
from _search_data import BLOCK_ROWS, DIM, VERSION, Floats, Halves, World

K = 10
SCORED_ROWS = 8_192  # at a time: scores of 512 queries take 17 MB


@dataclass(frozen=True)
class Files:
    """One data set on the disk.

    Attributes:
        folder: holds all of it, and the indexes made of it.
        rows: vectors.
        seed: that made it.
    """

    folder: Path
    rows: int
    seed: int

    @property
    def vectors(self) -> Path:
        """(rows, dim) float16."""
        return self.folder / "vectors.npy"

    @property
    def metadata(self) -> Path:
        return self.folder / "rows.parquet"

    @property
    def queries(self) -> Path:
        """(q, dim) float32: what is measured."""
        return self.folder / "queries.npy"

    @property
    def train_queries(self) -> Path:
        """(q, dim) float32, about other videos: what an index may learn from."""
        return self.folder / "train_queries.npy"


def files_of(work: Path, rows: int, seed: int) -> Files:
    return Files(work / f"synthetic-v{VERSION}-seed{seed}-{rows}", rows, seed)


def write_data(files: Files) -> None:
    """Stream the data set to the disk; what is there already is kept."""
    files.folder.mkdir(parents=True, exist_ok=True)
    world = World(files.seed)
    if not files.queries.exists():
        np.save(files.train_queries, world.train_queries)
        np.save(files.queries, world.test_queries)
    if not files.metadata.exists():
        part = files.metadata.with_suffix(".part")
        with pq.ParquetWriter(part, table(world, 0, 1).schema, compression="zstd") as writer:
            for block, count in _blocks(files.rows):
                writer.write_table(table(world, block, count))
        part.rename(files.metadata)
    if not files.vectors.exists():
        part = files.vectors.with_suffix(".part")
        with part.open("wb") as out:
            np.lib.format.write_array_header_1_0(out, {"descr": "<f2", "fortran_order": False, "shape": (files.rows, DIM)})
            for block, count in _blocks(files.rows):
                out.write(world.vectors(block, count).data)
        part.rename(files.vectors)


def _blocks(rows: int) -> Iterator[tuple[int, int]]:
    """Yield (block, its rows)."""
    for block, start in enumerate(range(0, rows, BLOCK_ROWS)):
        yield block, min(BLOCK_ROWS, rows - start)


@dataclass(frozen=True)
class Truth:
    """The exact answers.

    Attributes:
        ids: (cells, q, K) int64 row numbers, best first; -1 where fewer rows pass.
        matching: (cells,) rows that pass.
    """

    ids: npt.NDArray[np.int64]
    matching: npt.NDArray[np.int64]

    def recall(self, cell: int, found: Sequence[Sequence[int]], first: int = 0) -> list[float]:
        """Return for each query, from number `first` on, the share of the true rows that was found."""
        wanted = self.ids[cell, first : first + len(found)]
        size = min(K, int(self.matching[cell]))
        return [
            len({int(row) for row in true if row >= 0} & set(rows)) / size if size else 1.0
            for true, rows in zip(wanted, found, strict=True)
        ]


def truth_of(files: Files, cells: Sequence[Cell] = CELLS, count: int | None = None) -> Truth:
    """Return the exact answers to the first `count` queries in all cells, computed once and kept."""
    path = files.folder / "truth.npz"
    key = json.dumps([cell._asdict() for cell in cells])
    if path.exists():
        with np.load(path) as kept:
            if str(kept["key"]) == key and kept["ids"].shape[1] >= min(count or 0, len(np.load(files.queries, mmap_mode="r"))):
                return Truth(kept["ids"], kept["matching"])
    queries = np.load(files.queries)[:count]
    truth = exact(queries, _stored(files, cells), cells)
    np.savez(path, key=key, ids=truth.ids, matching=truth.matching)
    return truth


def _stored(files: Files, cells: Sequence[Cell]) -> Iterator[tuple[Halves, pa.Table]]:
    """Yield the vectors and rows of a data set, a block at a time."""
    start = 0
    with pq.ParquetFile(files.metadata) as rows:
        for batch in rows.iter_batches(SCORED_ROWS, columns=sorted({cell.column for cell in cells if cell.column})):
            vectors: Halves = np.load(files.vectors, mmap_mode="r")[start : start + len(batch)]  # mapped anew: pages do not add up
            yield vectors, pa.Table.from_batches([batch])
            start += len(batch)


def exact(queries: Floats, blocks: Iterator[tuple[Halves, pa.Table]], cells: Sequence[Cell]) -> Truth:
    """Return the K nearest rows of each query among those that pass, by comparing all.

    Args:
        queries: (q, dim) unit rows.
        blocks: vectors (n, dim) with their rows, in order; n may differ.
        cells: filters.
    """
    scores = np.full((len(cells), len(queries), K), -np.inf, dtype=np.float32)
    ids = np.full((len(cells), len(queries), K), -1, dtype=np.int64)
    matching = np.zeros(len(cells), dtype=np.int64)
    start = 0
    for vectors, rows in blocks:
        compared = queries @ np.asarray(vectors, dtype=np.float32).T  # (q, n)
        for number, cell in enumerate(cells):
            passing = np.flatnonzero(cell.mask(rows))
            matching[number] += len(passing)
            _keep_best(scores[number], ids[number], compared if len(passing) == rows.num_rows else compared[:, passing], passing + start)
        start += len(vectors)
    return Truth(ids, matching)


def _keep_best(scores: Floats, ids: npt.NDArray[np.int64], compared: Floats, rows: npt.NDArray[np.int64]) -> None:
    """Merge the scores (q, n) of some rows into the best so far, (q, K) each, in place."""
    better = (compared > scores[:, -1:]).any(axis=1) if len(rows) else np.zeros(len(scores), np.bool_)
    for query in np.flatnonzero(better):
        places = np.flatnonzero(compared[query] > scores[query, -1])
        if len(places) > K:
            places = places[np.argpartition(-compared[query, places], K)[:K]]
        all_scores = np.concatenate([scores[query], compared[query, places]])
        best = np.argsort(-all_scores, kind="stable")[:K]
        scores[query], ids[query] = all_scores[best], np.concatenate([ids[query], rows[places]])[best]

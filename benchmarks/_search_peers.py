"""The peers of `search.py`, run by the Python of their own environment: `_search_peers.py NAME FOLDER CORE`, then asked over a pipe.

Each is set up for what is asked of it: an index on every column that is filtered by, one search thread, and for every filter the mode and
the smallest effort that reach the recall. Builds run unpinned (CORE "any"): LanceDB's have hung with one thread.
"""

from __future__ import annotations

import shutil
import sys
import warnings
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
from _search_child import Contender, pin, serve

K = 10
COLUMNS = tuple(f"{kind}_{correlation}" for kind in ("cat", "num") for correlation in ("none", "pos", "neg"))
BLOCK_ROWS = 8_192
WIDTHS = (16, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024, 1536)  # of the search in a graph
PROBES = (4, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 512)
PARTITION_ROWS = 400

Query = npt.NDArray[np.float32]
Cell = dict[str, Any]  # a _search_columns.Cell


def blocks(folder: Path) -> Iterator[tuple[int, npt.NDArray[np.float32], pa.Table]]:
    """Yield (first row, vectors (n, dim), the columns to filter by)."""
    first = 0
    with pq.ParquetFile(folder / "rows.parquet") as rows:
        for batch in rows.iter_batches(BLOCK_ROWS, columns=list(COLUMNS)):
            vectors = np.load(folder / "vectors.npy", mmap_mode="r")[first : first + len(batch)]
            yield first, vectors.astype(np.float32), pa.Table.from_batches([batch])
            first += len(batch)


class Qdrant:
    """qdrant-edge: HNSW over float16 vectors with int8 copies in memory, payload indexes known to the graph."""

    name = "qdrant"

    def __init__(self, folder: Path) -> None:
        import qdrant_edge

        self.edge, self.folder, self.path = qdrant_edge, folder, folder / self.name
        quantization = qdrant_edge.QuantizationSearchParams
        self.modes: dict[str, list[Any]] = {
            "int8": [(width, quantization(rescore=True)) for width in WIDTHS],
            "int8, 3x rescored": [(width, quantization(rescore=True, oversampling=3.0)) for width in WIDTHS],
            "float16": [(width, quantization(ignore=True)) for width in WIDTHS],
        }
        self.shard: Any = None

    def build(self, *, keep: bool) -> None:
        del keep  # of a release that does not change
        edge = self.edge
        if (self.path / "done").exists():
            return
        shutil.rmtree(self.path, ignore_errors=True)
        self.path.mkdir()
        config = edge.EdgeConfig(
            vectors=edge.EdgeVectorParams(size=768, distance=edge.Distance.Dot, datatype=edge.VectorStorageDatatype.Float16),
            hnsw_config=edge.HnswIndexConfig(m=16, ef_construct=100, full_scan_threshold=10_000),  # as by default
            quantization_config=edge.ScalarQuantizationConfig(type=edge.ScalarType.Int8, quantile=0.99, always_ram=True),
            optimizers=edge.EdgeOptimizersConfig(default_segment_number=1, max_segment_size=1 << 30, indexing_threshold=1000),
            max_search_threads=1,
            wal_enabled=False,
        )
        shard = edge.EdgeShard.create(str(self.path), config)
        for column in COLUMNS:  # before the graph is built, so that it knows them
            kind = edge.PayloadSchemaType.Keyword if column.startswith("cat") else edge.PayloadSchemaType.Float
            shard.update(edge.UpdateOperation.create_field_index(column, kind))
        for first, vectors, rows in blocks(self.folder):
            pairs = zip(vectors.tolist(), rows.to_pylist(), strict=True)
            points = [edge.Point(id=first + place, vector=vector, payload=row) for place, (vector, row) in enumerate(pairs)]
            shard.update(edge.UpdateOperation.upsert_points(points))
        while shard.optimize():
            pass
        shard.flush()
        shard.close()
        (self.path / "done").touch()

    def open(self) -> None:
        self.shard = self.edge.EdgeShard.load(str(self.path))

    def close(self) -> None:
        self.shard.close()
        self.shard = None

    def search(self, cell: Cell, query: Query, effort: Any) -> tuple[list[int], dict[str, Any]]:
        edge, (width, quantization) = self.edge, effort
        request = edge.SearchRequest(
            query=edge.Query.Nearest(query.tolist()),
            limit=K,
            filter=self._filter(cell),
            params=edge.SearchParams(hnsw_ef=width, quantization=quantization),
        )
        return [point.id for point in self.shard.search(request)], {}

    def _filter(self, cell: Cell) -> Any:
        edge = self.edge
        if cell["kind"] == "all":
            return None
        if cell["kind"] == "cat":
            condition = edge.FieldCondition(cell["column"], match=edge.MatchValue(cell["value"]))
        else:
            condition = edge.FieldCondition(cell["column"], range=edge.RangeFloat(lt=cell["value"]))
        return edge.Filter(must=[condition])


class LanceDB:
    """LanceDB: IVF with RaBitQ codes, refined; bitmap and B-tree indexes on the columns. Not IVF_PQ: unbuilt after 200 s (50,000 rows)."""

    name = "lancedb"

    def __init__(self, folder: Path) -> None:
        self.folder, self.path = folder, folder / self.name
        self.modes: dict[str, list[Any]] = {
            **{f"IVF_RQ, {refined}x refined": [(probes, refined) for probes in PROBES] for refined in (10, 30, 100)},
            "flat": [None],
        }
        self.table: Any = None

    def build(self, *, keep: bool) -> None:
        del keep  # of a release that does not change
        import lancedb
        from lancedb.index import Bitmap, BTree, IvfRq

        if (self.path / "done").exists():
            return
        shutil.rmtree(self.path, ignore_errors=True)
        rows = pq.ParquetFile(self.folder / "rows.parquet").metadata.num_rows
        batches = self._batches()
        first = next(batches)
        reader = pa.RecordBatchReader.from_batches(first.schema, chain([first], batches))
        table = lancedb.connect(str(self.path)).create_table("clips", reader)
        for column in COLUMNS:
            table.create_index(column, config=Bitmap() if column.startswith("cat") else BTree())
        table.create_index("vector", config=IvfRq(distance_type="dot", num_partitions=max(1, rows // PARTITION_ROWS)))
        (self.path / "done").touch()

    def _batches(self) -> Iterator[pa.RecordBatch]:
        for first, vectors, rows in blocks(self.folder):
            numbers = pa.array(np.arange(first, first + len(vectors)))
            column = pa.FixedSizeListArray.from_arrays(pa.array(vectors.reshape(-1)), vectors.shape[1])
            yield from rows.append_column("row", numbers).append_column("vector", column).to_batches()

    def open(self) -> None:
        import lancedb

        self.table = lancedb.connect(str(self.path)).open_table("clips")

    def close(self) -> None:
        self.table = None

    def search(self, cell: Cell, query: Query, effort: Any) -> tuple[list[int], dict[str, Any]]:
        wanted = self.table.search(query, vector_column_name="vector").distance_type("dot").limit(K).select(["row", "_distance"])
        wanted = wanted.bypass_vector_index() if effort is None else wanted.nprobes(effort[0]).refine_factor(effort[1])
        if cell["where"]:
            wanted = wanted.where(cell["where"], prefilter=True)
        return wanted.to_arrow()["row"].to_pylist(), {}


def main() -> None:
    name, folder, core = sys.argv[1:]
    warnings.simplefilter("ignore")  # of deprecated names
    pin(core)
    peers: dict[str, type[Contender]] = {"qdrant": Qdrant, "lancedb": LanceDB}  # type: ignore[dict-item]
    serve(peers[name](Path(folder)), Path(folder))  # type: ignore[call-arg]


if __name__ == "__main__":
    main()

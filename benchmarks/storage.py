"""What safety costs: committing segments, opening many of them, verifying, adding to a large index; beside what the machine can do.

    uv run python benchmarks/storage.py

Limits are measured in the same run: the same bytes written to plain files with one fsync each, SHA-256 of the same bytes in memory, opening
and mapping the same files. --rows sets the size of the large index.
"""

from __future__ import annotations

import argparse
import hashlib
import mmap
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from _machine import describe

from indexer.vectors import build_from_vectors
from vidsearch import open_index
from vidsearch.config import external_space
from vidsearch.storage import manifest as manifests
from vidsearch.storage import segment as segments
from vidsearch.storage.quarantine import quarantine_table
from vidsearch.upkeep.verify import verify

DIM = 768
SEGMENTS = 1000
SEGMENT_ROWS = 1000


def rows_table(rows: int, first: int) -> pa.Table:
    numbers = range(first, first + rows)
    return pa.table(
        {
            "clip_id": [f"{number * 0x9E3779B97F4A7C15 % 2**80:020x}" for number in numbers],
            "video": [f"{number // 20:011x}.mp4" for number in numbers],
            "start_s": [float(number % 20) for number in numbers],
            "end_s": [float(number % 20 + 1) for number in numbers],
            "duration_s": [1.0] * rows,
            "caption": [f"a dog number {number} runs along the beach" for number in numbers],
            "language": [("en", "zh", "de")[number % 3] for number in numbers],
            "aesthetic": [number % 97 / 10 for number in numbers],
        }
    )


def unit(rows: int, dim: int, rng: np.random.Generator) -> np.ndarray:
    vectors = rng.standard_normal((rows, dim), dtype=np.float32)
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float16)


def timed(act: Callable[[], object]) -> float:
    started = time.perf_counter()
    act()
    return time.perf_counter() - started


def add(root: Path, vectors: np.ndarray, rows: pa.Table) -> None:
    reference = segments.write(root, vectors=vectors, rows=rows, index_files={}, quarantine=quarantine_table([]), info={"index": "flat"})
    manifests.commit(root, lambda manifest: manifest.with_segments([*manifest.segments, reference]))


def commit_cost(folder: Path, runs: int, rng: np.random.Generator) -> None:
    """A segment of a thousand clips, durable and part of the index, beside its bytes in plain files."""
    root = folder / "commits"
    manifests.create(root, external_space(DIM))
    took, plain = [], []
    for run in range(runs):
        vectors, rows = unit(SEGMENT_ROWS, DIM, rng), rows_table(SEGMENT_ROWS, run * SEGMENT_ROWS)
        took.append(timed(lambda vectors=vectors, rows=rows: add(root, vectors, rows)))
        newest = max((root / "segments").iterdir(), key=lambda path: path.stat().st_mtime)
        data = [path.read_bytes() for path in newest.iterdir()]
        plain.append(timed(lambda data=data, run=run: [write_plainly(folder / f"plain-{run}-{n}", part) for n, part in enumerate(data)]))
    ours, theirs = statistics.median(took), statistics.median(plain)
    size = sum(map(len, data))
    print(f"commit of {SEGMENT_ROWS:,} clips x {DIM} ({size / 1e6:.1f} MB): {ours * 1e3:.1f} ms; the bytes, fsynced {theirs * 1e3:.1f} ms")
    print(f"  ratio {ours / theirs:.1f}; {SEGMENT_ROWS / ours:,.0f} clips/s; of a build that commits once a minute {ours / 60:.2%}")


def write_plainly(path: Path, data: bytes) -> None:
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def many_segments(folder: Path, rng: np.random.Generator) -> None:
    """Opening an index that nobody has folded, and its first question."""
    root = folder / "many"
    manifests.create(root, external_space(64))
    references = []
    for number in range(SEGMENTS):
        vectors, rows = unit(50, 64, rng), rows_table(50, number * 50)
        written = segments.write(root, vectors=vectors, rows=rows, index_files={}, quarantine=quarantine_table([]), info={"index": "flat"})
        references.append(written)
    manifests.commit(root, lambda manifest: manifest.with_segments(references))
    opening = min(timed(lambda: open_index(root)) for _ in range(3))
    files = [path for path in (root / "segments").rglob("*") if path.is_file()]
    limit = min(timed(lambda: [map_plainly(path) for path in files]) for _ in range(3))
    index = open_index(root)
    first = timed(lambda: index.search(vector=np.ones(64, np.float32)))
    second = min(timed(lambda: index.search(vector=np.ones(64, np.float32))) for _ in range(3))
    print(f"open_index of {SEGMENTS:,} segments ({len(files):,} files): {opening * 1e3:.0f} ms; mapping them alone {limit * 1e3:.0f} ms")
    print(f"  first question (hashes what it reads) {first * 1e3:,.0f} ms, later ones {second * 1e3:,.0f} ms")


def map_plainly(path: Path) -> None:
    with path.open("rb") as file:
        mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ).close()


def large_index(folder: Path, rows: int, rng: np.random.Generator) -> None:
    """Verifying a large index, its first question, and adding a thousand clips to it."""
    dim = 128
    centres = rng.standard_normal((1000, dim), dtype=np.float32)

    def write(name: str, count: int, first: int) -> tuple[Path, Path]:
        vectors = centres[rng.integers(0, 1000, count)] + 0.7 * rng.standard_normal((count, dim), dtype=np.float32)
        np.save(folder / f"{name}.npy", vectors.astype(np.float16))
        pq.write_table(rows_table(count, first), folder / f"{name}.parquet")
        return folder / f"{name}.npy", folder / f"{name}.parquet"

    def build(root: Path, files: tuple[Path, Path], kind: str | None = None) -> float:
        return timed(lambda: build_from_vectors(files[0], root, metadata=files[1], index_factory=kind))

    root = folder / "large"
    built = build(root, write("large", rows, 0), "ivfpq")
    queries = unit(20, dim, rng).astype(np.float32)
    index = open_index(root)
    index.search(vector=queries[0])  # loads the kernels
    index = open_index(root)
    first = timed(lambda: index.search(vector=queries[1]))
    later = statistics.median(timed(lambda query=query: index.search(vector=query)) for query in queries)
    hashed = sum(len(segment.map_file(name)) for segment in index.segments for name in segment.asked_files)
    print(f"{rows:,} clips x {dim}, built in {built:,.0f} s")
    print(f"  first question {first * 1e3:,.0f} ms ({hashed / 1e6:,.0f} MB hashed), later {later * 1e3:.1f} ms")
    found = verify(root)
    took = min(timed(lambda: verify(root)) for _ in range(2))
    data = bytes(1 << 28)
    limit = len(data) / timed(lambda: hashlib.sha256(data).digest())
    speed = found.hashed_bytes / took
    print(f"verify: {speed / 1e6:,.0f} MB/s, SHA-256 alone {limit / 1e6:,.0f} MB/s, ratio {speed / limit:.2f}")
    fresh = write("fresh", 1000, rows)
    alone = build(folder / "alone", fresh)
    added = build(root, fresh)
    print(f"adding 1,000 clips: to an empty index {alone:.2f} s, to {rows:,} {added:.2f} s, ratio {added / alone:.1f}; all {built:,.0f} s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=200_000, help="of the large index")
    parser.add_argument("--runs", type=int, default=15)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, help="where the indexes are made; a temporary one if not given")
    options = parser.parse_args()
    rng = np.random.default_rng(options.seed)
    print(describe("numpy", "pyarrow", "faiss-gpu", seed=options.seed))
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        commit_cost(Path(folder), options.runs, rng)
        many_segments(Path(folder), rng)
        large_index(Path(folder), options.rows, rng)


if __name__ == "__main__":
    main()

"""How long the figures of a data set take: `vidsearch stats` of 10,000,000 clips.

    python benchmarks/stats.py                     # 10,000,000 clips in segments of a million, 5 GB, removed afterwards
    python benchmarks/stats.py --rows 200000

The metadata is shaped like InternVid's (see `_browser_data.py`), with widths and heights besides; a clip in twenty is described in Chinese.
Vectors are short, as none is read. Each run is a process of its own, as the command is; the times are the shortest of some. Beside them
stands what cannot be spared: SHA-256 of the bytes that are read, on one core.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from _browser_data import TOPICS, _clips
from _machine import describe
from _search_columns import WHAT, WHERE, WHO

from indexer._core_columns import with_core
from vidsearch import open_index
from vidsearch.config import external_space
from vidsearch.evaluation.charts import headlines
from vidsearch.evaluation.statistics import Statistics, statistics
from vidsearch.storage import manifest as manifests
from vidsearch.storage import segment as segments
from vidsearch.storage.quarantine import quarantine_table

SEGMENT_ROWS = 1_000_000
DIM = 4
CHINESE = ("一个男人在街上走路", "两只狗在沙滩上奔跑，旁边有人", "一位女士在厨房里做饭", "孩子们在公园里玩耍")
CHINESE_SHARE = 0.05
SIZES = ((1280, 720), (640, 360), (1920, 1080), (854, 480), (720, 1280))
SIZE_SHARES = (0.7, 0.1, 0.1, 0.05, 0.05)


def write_index(root: Path, rows: int, *, seed: int) -> Path:
    """Write an index of that many clips in segments, every row of its own."""
    manifests.create(root, external_space(DIM))
    rng = np.random.default_rng(seed)
    for first in range(0, rows, SEGMENT_ROWS):
        count = min(SEGMENT_ROWS, rows - first)
        vectors = rng.standard_normal((count, DIM), dtype=np.float32)
        stored = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float16)
        table = with_core(_rows(count, rng), stored, first=first)
        reference = segments.write(
            root, vectors=stored, rows=table, index_files={}, quarantine=quarantine_table(_bad(count)), info={"index": "flat"}
        )
        manifests.commit(root, lambda manifest, new=reference: manifest.with_segments([*manifest.segments, new]))
    return root


def _rows(count: int, rng: np.random.Generator) -> pa.Table:
    words = np.stack([rng.integers(len(part), size=TOPICS) for part in (WHO, WHAT, WHO, WHERE)])
    _, _, table = _clips(count, words, rng)
    sizes = np.array(SIZES, np.int32)[rng.choice(len(SIZES), size=count, p=SIZE_SHARES)]
    captions = np.asarray(table["caption"].to_pylist(), dtype=object)
    chinese = np.flatnonzero(rng.random(count) < CHINESE_SHARE)
    captions[chinese] = np.array(CHINESE, dtype=object)[rng.integers(len(CHINESE), size=len(chinese))]
    table = table.set_column(table.column_names.index("caption"), "caption", pa.array(captions.tolist(), pa.string()))
    return table.append_column("width", pa.array(sizes[:, 0])).append_column("height", pa.array(sizes[:, 1]))


def _bad(count: int) -> list[dict[str, Any]]:
    return [{"clip_id": f"bad-{number}", "video": "x.mp4", "reason": "OPEN_FAILED"} for number in range(count // 10_000)]


def measure(root: Path, where: str | None, cores: int, runs: int) -> tuple[float, float, float]:
    """Return the shortest wall time and processor time, seconds, and the most memory of its own, MB, of single processes."""
    times = []
    for _ in range(runs):
        arguments = [sys.executable, __file__, "--child", str(root), "--cores", str(cores), *(["--where", where] if where else [])]
        done = subprocess.run(arguments, check=True, capture_output=True, text=True)
        times.append(tuple(float(number) for number in done.stdout.split()))
    walls, spent, memory = zip(*times, strict=True)
    return min(walls), min(spent), max(memory)


def run_child(root: Path, where: str | None, cores: int) -> None:
    """Count once, on so many cores, and print wall time, processor time and memory."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:cores])
    began, spent, done = time.perf_counter(), time.process_time(), threading.Event()
    with ThreadPoolExecutor() as pool:
        watching = pool.submit(_watch_memory, done)
        statistics(open_index(root), where)
        wall_s, spent_s = time.perf_counter() - began, time.process_time() - spent
        done.set()
        print(wall_s, spent_s, watching.result())


def _watch_memory(done: threading.Event) -> float:
    """Return the most memory that was seen, MB."""
    most = _own_memory_mb()
    while not done.wait(0.05):
        most = max(most, _own_memory_mb())
    return most


def _own_memory_mb() -> float:
    """Return the memory the process holds, without the pages of mapped files where the system tells them apart."""
    status = Path("/proc/self/status")
    if not status.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    lines = dict(line.split(":", 1) for line in status.read_text().splitlines() if ":" in line)
    return int(lines["RssAnon"].split()[0]) / 1e3


def hashed(root: Path) -> tuple[int, float]:
    """Return how many bytes are read and hashed, and the seconds that SHA-256 of them takes on one core."""
    index = open_index(root)
    files = [segment.map_file(name) for segment in index.segments for name in segment.asked_files]
    began = time.process_time()
    for data in files:
        hashlib.sha256(data).digest()
    return sum(map(len, files)), time.process_time() - began


def report(root: Path, runs: int) -> None:
    found: Statistics = statistics(open_index(root))
    for label, value, note in headlines(found):
        print(f"{label:14}{value:>16}  {note}")
    size, limit = hashed(root)
    print(f"\nSHA-256 of the {size / 1e9:.2f} GB read: {limit:.2f} s on one core")
    print(f"{'':34}{'wall':>8}{'processor':>11}{'memory':>10}")
    for cores in (1, 2):
        for where in (None, "language = 'en'"):
            wall, spent, memory = measure(root, where, cores, runs)
            name = f"{cores} core{'s' * (cores > 1)}, {where or 'all clips'}"
            print(f"{name:34}{wall:>6.2f} s{spent:>9.2f} s{memory:>7,.0f} MB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, help="where the index is made; a temporary one if not given")
    parser.add_argument("--index", type=Path, help="one that was made before; it stays")
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--where", help=argparse.SUPPRESS)
    parser.add_argument("--cores", type=int, default=1, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child is not None:
        run_child(options.child, options.where, options.cores)
        return
    print(describe("numpy", "pyarrow", "numba", seed=options.seed))
    if options.index is not None:
        report(options.index, options.runs)
        return
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        report(write_index(Path(folder) / "index", options.rows, seed=options.seed), options.runs)


if __name__ == "__main__":
    main()

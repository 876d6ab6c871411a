"""vidsearch as a contender of `search.py`: `python _search_ours.py FOLDER CORE [FACTORY]`, then asked over a pipe (`_search_child.py`)."""

from __future__ import annotations

import shutil
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from _search_child import Answer, pin, serve

import vidsearch
from indexer.vectors import build_from_vectors
from vidsearch.engine import Index

K = 10
BANDWIDTH_BYTES = 1 << 29  # far beyond the caches
BANDWIDTH_TURNS = 7


class Vidsearch:
    """The index as its users open it; nothing is tuned from outside."""

    name = "ours"

    def __init__(self, folder: Path, factory: str | None) -> None:
        self.folder, self.factory = folder, factory
        self.modes: dict[str, list[Any]] = {"as calibrated": [{}], "exact": [{"exact": True}]}
        self.index: Index
        self.numbers = folder / "ours-numbers.npy"  # of each of the index's rows, in the input
        self.number: npt.NDArray[np.int64]

    def build(self, *, keep: bool) -> None:
        out = self.folder / self.name
        if keep and self.numbers.exists():
            return
        self.numbers.unlink(missing_ok=True)
        shutil.rmtree(out, ignore_errors=True)
        queries = np.load(self.folder / "train_queries.npy")
        rows = self.folder / "rows.parquet"
        build_from_vectors(self.folder / "vectors.npy", out, metadata=rows, queries=queries, index_factory=self.factory)

        index = vidsearch.open_index(out)
        ids = [int(name[1:]) for table in index.read_columns(["clip_id"]) for name in table["clip_id"].to_pylist()]
        np.save(self.numbers, np.array(ids, dtype=np.int64))  # segments store rows in another order

    def open(self) -> None:
        self.index = vidsearch.open_index(self.folder / self.name)
        self.number = np.load(self.numbers, mmap_mode="r")

    def close(self) -> None:
        del self.index

    def search(self, cell: dict[str, Any], query: npt.NDArray[np.float32], effort: dict[str, Any]) -> tuple[list[int], dict[str, Any]]:
        started = time.perf_counter_ns()
        selections = self.index.select(cell["where"])
        selected = time.perf_counter_ns()
        ranked = self.index.nearest(query[None], K, selections=selections, **effort)[0]
        certificate = ranked.certificate
        note = {
            "select_ms": (selected - started) / 1e6,
            **{
                name: getattr(certificate, name)
                for name in ("plan", "reason", "lists", "all_lists", "codes", "scored", "recall_low", "recall_high")
            },
        }
        return self.number[ranked.rows].tolist(), note

    def batch(self, request: Answer) -> Answer:
        """Ask many queries at once, and the same one by one."""
        queries = np.concatenate([np.load(self.folder / name) for name in ("queries.npy", "train_queries.npy")])[: request["queries"]]
        self.index.nearest(queries[:8], K)
        started = time.perf_counter()
        at_once = self.index.nearest(queries, K)
        between = time.perf_counter()
        one_by_one = [self.index.nearest(query[None], K)[0] for query in queries]
        ended = time.perf_counter()
        same = np.mean([len(set(a.rows.tolist()) & set(b.rows.tolist())) / K for a, b in zip(at_once, one_by_one, strict=True)])
        return {"queries": len(queries), "at_once_s": between - started, "one_by_one_s": ended - between, "same": float(same)}


def bandwidth(_: Answer) -> Answer:
    """Measure how fast this core reads memory: the best of several sums over an array that no cache holds."""
    array = np.ones(BANDWIDTH_BYTES // 8, dtype=np.int64)
    best = float("inf")
    for _turn in range(BANDWIDTH_TURNS):
        started = time.perf_counter()
        array.sum()
        best = min(best, time.perf_counter() - started)
    return {"gb_a_second": BANDWIDTH_BYTES / best / 1e9}


def main() -> None:
    folder, core, *factory = sys.argv[1:]
    pin(core)
    contender = Vidsearch(Path(folder), factory[0] if factory else None)
    serve(
        contender,
        Path(folder),
        {"batch": contender.batch, "bandwidth": bandwidth},
    )


if __name__ == "__main__":
    main()

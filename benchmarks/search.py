"""Filtered search on one core: recall, latency and memory by selectivity and by what filter and query have to do with each other.

    python benchmarks/search.py --rows 200000 --peers qdrant,lancedb --json search-200k.json
    python benchmarks/search.py --rows 10000000 --batch --bandwidth --json search-10m.json
    python benchmarks/search.py --grow 250000,500000,1000000,2000000,4000000,10000000 --json growth.json
    python benchmarks/search.py --real clip_vitb32_bench.npz --copies 20
    python benchmarks/_plots.py docs/search-benchmark.png search-200k.json growth.json

Data comes from a seeded generator (`_search_data.py`, `_search_columns.py`), the truth from comparing all rows; both stay in --work, as do
the peers' environment and indexes. Ours is built anew unless --keep. A query is a filter in SQL and a vector; its time holds the evaluation
of the filter, each time. Every contender is a process of its own on the same core, one thread; they take turns of a quarter of the queries.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from _machine import describe
from _search_columns import CELLS, Cell
from _search_data import TEST_QUERIES
from _search_real import REAL_CELLS, write_real
from _search_report import cells_table, contenders_table, growth_table, scan_lines
from _search_session import PEERS, Child, Session, as_json, python_of_peers
from _search_truth import Files, files_of, truth_of, write_data

BYTES_A_ROW = 2 * 1536 + 500  # vectors.npy, the store made of it, columns, codes
GROWTH_CELLS = ("all", "cat_none_0.3", "cat_none_0.1", "num_none_0.1", "cat_neg_0.1", "cat_none_0.01", "num_none_0.001")
WARMING_CELLS = ("all", "cat_none_0.1", "num_none_0.1")  # whatever a library does when it is first asked so, no row adds to
MANY_ROWS = 2_000_000
HERE = Path(__file__).parent


def main() -> None:
    options = _options()
    options.work.mkdir(parents=True, exist_ok=True)
    report: dict[str, Any] = {"machine": _machine(options), "seed": options.seed, "recall": options.recall, "runs": []}
    print(report["machine"], flush=True)
    for rows in options.grow or [options.rows]:
        files = write_real(options.work, options.real, copies=options.copies, seed=options.seed) if options.real else _data(options, rows)
        run = _run(options, files)
        report["runs"].append(run)
        _print(run)
        if options.json:
            options.json.write_text(json.dumps(report, indent=1) + "\n")
        if options.grow and not options.keep:
            shutil.rmtree(files.folder)
    if len(report["runs"]) > 1:
        print(growth_table(report["runs"]))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=50_000)
    parser.add_argument("--peers", type=_names, default=[], help=f"any of {','.join(PEERS)}; installed with uv into --work")
    parser.add_argument("--grow", type=lambda text: [int(rows) for rows in text.split(",")], help="sizes to go through, in a few cells")
    parser.add_argument("--batch", action="store_true", help="also 1,000 queries at once against one by one")
    parser.add_argument("--bandwidth", action="store_true", help="also how fast the core reads memory, and the scan beside it")
    parser.add_argument("--real", type=Path, help="a .npz with gallery, queries: real vectors in place of generated ones")
    parser.add_argument("--copies", type=int, default=1, help="of the real vectors, with noise added to all but the first")
    parser.add_argument("--cells", default="", help="only cells whose names hold one of these, as cat_neg,all")
    parser.add_argument("--queries", type=int, default=TEST_QUERIES, help=f"at most {TEST_QUERIES}")
    parser.add_argument("--recall", type=float, default=0.95, help="what the peers are tuned to")
    parser.add_argument("--index-factory", help="for ours, as `vidsearch index --index-factory`")
    parser.add_argument("--core", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--work", type=Path, default=Path("search-benchmark"), help="data, truth, indexes, the peers' environment")
    parser.add_argument("--keep", action="store_true", help="search our index as the last run left it; keep the data of --grow")
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


def _names(text: str) -> list[str]:
    names = [name for name in text.split(",") if name]
    if unknown := set(names) - set(PEERS):
        raise argparse.ArgumentTypeError(f"unknown peer {sorted(unknown)[0]!r}; choose from {', '.join(PEERS)}")
    return names


def _machine(options: argparse.Namespace) -> str:
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=HERE, capture_output=True, text=True, check=False
    ).stdout.strip()
    peers = "".join(f", {PEERS[name]}" for name in options.peers)
    about = describe("numpy", "numba", "pyarrow", seed=options.seed)
    return f"{about}; vidsearch {commit or 'unknown'}{peers}; core {options.core}, one thread"


def _data(options: argparse.Namespace, rows: int) -> Files:
    files = files_of(options.work, rows, options.seed)
    needed, free = rows * BYTES_A_ROW, shutil.disk_usage(options.work).free
    if not files.vectors.exists() and needed > free:
        raise SystemExit(f"{rows:,} rows need {needed / 1e9:.0f} GB in {options.work}; {free / 1e9:.0f} GB are free")
    write_data(files)
    return files


def _run(options: argparse.Namespace, files: Files) -> dict[str, Any]:
    """Build what is missing, open everything, and measure all cells."""
    known = REAL_CELLS if options.real else CELLS
    cells = _chosen(options, known)
    known = cells if options.grow else known  # the truth of 37 cells over ten million rows takes a quarter of an hour
    if files.rows > MANY_ROWS:
        known = cells  # the truth of all cells takes half an hour for ten million rows
    truth = truth_of(files, known, options.queries)
    run: dict[str, Any] = {"rows": files.rows, "name": files.folder.name, "contenders": {}, "cells": []}
    with ExitStack() as stack:
        children = [_opened(stack, name, options, files, run, known) for name in ["ours", *options.peers]]
        ours = children[0]
        session = Session(children, truth, known, min(options.queries, truth.ids.shape[1]), options.recall)
        for cell in cells:
            for name, figures in session.measure(cell).items():
                run["cells"].append({"cell": cell.name, **cell._asdict(), "contender": name, "matching": session.matching(cell), **figures})
            print(
                f"{cell.name}: " + ", ".join(f"{c['contender']} {c['p50_ms']:.2f} ms" for c in run["cells"][-len(children) :]),
                file=sys.stderr,
            )
        for child in children:
            run["contenders"][child.name] |= {**child.ask("memory"), "files": child.ask("files")}
        if options.bandwidth:
            run["bandwidth"] = ours.ask("bandwidth")
        if options.batch:
            run["batch"] = ours.ask("batch", queries=1000)
    return run


def _chosen(options: argparse.Namespace, known: Sequence[Cell]) -> list[Cell]:
    wanted = [part for part in options.cells.split(",") if part]
    if options.grow and not wanted:
        return [cell for cell in known if cell.name in GROWTH_CELLS]
    return [cell for cell in known if not wanted or any(part in cell.name for part in wanted)]


def _opened(stack: ExitStack, name: str, options: argparse.Namespace, files: Files, run: dict[str, Any], known: Sequence[Cell]) -> Child:
    """Build an index in a process without a core of its own, then open it in one with."""
    python = Path(sys.executable) if name == "ours" else python_of_peers(options.work)
    factory = options.index_factory if name == "ours" else None
    with Child(name, files.folder, "any", python=python, factory=factory) as builder:
        built = builder.ask("build", keep=options.keep)
    child = stack.enter_context(Child(name, files.folder, str(options.core), python=python, factory=factory))
    opened = child.ask("open", cells=[as_json(cell) for cell in known if cell.name in WARMING_CELLS])
    child.modes = opened.pop("modes")
    run["contenders"][name] = {**built, **opened}
    return child


def _print(run: dict[str, Any]) -> None:
    print(f"\n## {run['rows']:,} rows ({run['name']})\n")
    print(cells_table(run))
    print(contenders_table(run))
    print(scan_lines(run), flush=True)


if __name__ == "__main__":
    main()

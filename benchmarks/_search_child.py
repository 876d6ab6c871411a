"""A contender of `search.py` in a process of its own: on one core, asked over a pipe. Runs in the peers' environment too: NumPy only.

One JSON object a line in, {"do": NAME, …}, one out. Every contender answers
    build: keep                         {"build_cpu_s", "disk_bytes"}: makes its index; peers keep theirs in any case
    open: cells                         {"first_open_ms", "open_ms", "modes"}: in how many steps of rising effort it can try, by mode
    run: cell, first, last, mode, effort    {"ids", "ms", "cpu_ms", "notes"} of the queries first … last - 1
    memory                              {"resident_bytes", …}: grown since it was open once, answered in those cells, and was closed again
    files                               {"disk", "mapped"}: bytes of the index by file name, the latter as resident
"""

from __future__ import annotations

import ctypes
import gc
import json
import os
import resource
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

Answer = dict[str, Any]

SHOWN_FILES = 12


class Contender(Protocol):
    """A search engine on one data set; `folder` holds vectors.npy, rows.parquet and queries.npy."""

    name: str
    modes: dict[str, list[Any]]  # steps of rising effort

    def build(self, *, keep: bool) -> None: ...

    def open(self) -> None: ...

    def close(self) -> None: ...

    def search(self, cell: dict[str, Any], query: npt.NDArray[np.float32], effort: Any) -> tuple[list[int], dict[str, Any]]:
        """Return the numbers of the 10 nearest rows that pass, best first, and notes on the plan."""
        ...


def serve(contender: Contender, folder: Path, others: dict[str, Callable[[Answer], Answer]] | None = None) -> None:
    """Answer requests until the pipe is closed."""
    answers = sys.stdout
    sys.stdout = sys.stderr  # whatever a library prints must not end up in an answer
    queries = np.load(folder / "queries.npy")
    before = memory_bytes()

    def build(request: Answer) -> Answer:
        cpu_s = sum(resource.getrusage(resource.RUSAGE_SELF)[:2])
        contender.build(keep=request["keep"])
        place = folder / contender.name
        size = sum(path.stat().st_size for path in place.rglob("*") if path.is_file())
        return {"build_cpu_s": sum(resource.getrusage(resource.RUSAGE_SELF)[:2]) - cpu_s, "disk_bytes": size}

    def open_(request: Answer) -> Answer:
        opened = []
        for turn in ("first_open_ms", "open_ms"):  # the first loads libraries and compiled code, which no row adds to
            started = time.perf_counter()
            contender.open()
            opened.append((turn, (time.perf_counter() - started) * 1000))
            if turn == "first_open_ms":
                for cell in request["cells"]:
                    contender.search(cell, queries[0], next(iter(contender.modes.values()))[0])
                contender.close()
                gc.collect()
                ctypes.CDLL(None).malloc_trim(0)
                before.update(memory_bytes())
        return {**dict(opened), "modes": {name: len(steps) for name, steps in contender.modes.items()}}

    def run(request: Answer) -> Answer:
        return measure(contender, request, queries)

    def files(_: Answer) -> Answer:
        place = folder / contender.name
        disk: Counter[str] = Counter()
        for path in place.rglob("*"):
            if path.is_file():
                disk[path.name] += path.stat().st_size
        return {"disk": dict(disk.most_common(SHOWN_FILES)), "mapped": dict(mapped_bytes(place).most_common(SHOWN_FILES))}

    def memory(_: Answer) -> Answer:
        now = memory_bytes()
        return {name: now[name] - before[name] for name in now}

    known = {"build": build, "open": open_, "run": run, "memory": memory, "files": files, **(others or {})}
    for line in sys.stdin:
        request = json.loads(line)
        try:
            answer = known[request["do"]](request)
        except Exception:  # told to the parent, which decides
            answer = {"error": traceback.format_exc()}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


def measure(contender: Contender, request: Answer, queries: npt.NDArray[np.float32]) -> Answer:
    """Ask one query at a time; wall and processor milliseconds of each (the processor's count all threads of this process)."""
    cell, effort = request["cell"], contender.modes[request["mode"]][request["effort"]]
    ids, wall, cpu, notes = [], [], [], []
    for query in queries[request["first"] : request["last"]]:
        started, started_cpu = time.perf_counter_ns(), time.process_time_ns()
        found, note = contender.search(cell, query, effort)
        cpu.append((time.process_time_ns() - started_cpu) / 1e6)
        wall.append((time.perf_counter_ns() - started) / 1e6)
        ids.append(found)
        notes.append(note)
    return {"ids": ids, "ms": wall, "cpu_ms": cpu, "notes": notes}


def memory_bytes() -> dict[str, int]:
    """Return what this process holds: resident in all, its own, and of mapped files."""
    rollup = Path("/proc/self/smaps_rollup").read_text().splitlines()
    sizes = {line.split(":")[0]: int(line.split()[1]) * 1024 for line in rollup[1:]}
    return {"resident_bytes": sizes["Rss"], "own_bytes": sizes["Anonymous"], "mapped_bytes": sizes["Rss"] - sizes["Anonymous"]}


def mapped_bytes(folder: Path) -> Counter[str]:
    """Return how much of each file below a folder this process has in memory, by name."""
    sizes: Counter[str] = Counter()
    name = ""
    for line in Path("/proc/self/smaps").read_text().splitlines():
        first, *rest = line.split()
        if not first.endswith(":"):  # address, rights, offset, device, inode, path
            name = Path(rest[-1]).name if len(rest) > 4 and rest[-1].startswith(str(folder)) else ""
        elif first == "Rss:" and name:
            sizes[name] += int(rest[0]) * 1024
    return sizes


def pin(core: str) -> None:
    """Keep this process and the threads it starts on one core, unless it is "any"."""
    if core != "any":
        os.sched_setaffinity(0, {int(core)})

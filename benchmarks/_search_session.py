"""The contenders of `search.py` as child processes: started, tuned to a recall, and asked in turns, so that noise meets all alike."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from _search_columns import Cell
from _search_truth import Truth

PEERS = {"qdrant": "qdrant-edge-py==0.9.0", "lancedb": "lancedb==0.40.0"}
THREADS = ("OMP", "OPENBLAS", "MKL", "RAYON", "NUMBA", "TOKIO_WORKER", "LANCE_CPU")
TUNED_ON = 128  # of the queries measured: to the peers' advantage
TURNS = 4
HERE = Path(__file__).parent


class Child:
    """One contender, asked over a pipe; what it prints goes to a log beside its index."""

    def __init__(self, name: str, folder: Path, core: str, *, python: Path, factory: str | None = None) -> None:
        self.name = name
        self.modes: dict[str, int] = {}  # steps of rising effort in each, as `open` tells
        script = [str(HERE / "_search_ours.py")] if name == "ours" else [str(HERE / "_search_peers.py"), name]
        environment = {key: value for key, value in os.environ.items() if not key.endswith("_THREADS")}
        if core != "any":
            environment |= {
                f"{library}_{'NUM_' if library not in ('TOKIO_WORKER', 'LANCE_CPU') else ''}THREADS": "1" for library in THREADS
            }
        environment |= {"PYTHONPATH": str(HERE.parent), "RUST_LOG": "error"}
        self._log = (folder / f"{name}.log").open("a")
        command = [str(python), *script, str(folder), core, *([factory] if factory else [])]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._log, text=True, env=environment
        )

    def __enter__(self) -> Child:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._process.stdin:
            self._process.stdin.close()
        self._process.wait(timeout=60)
        self._log.close()

    def ask(self, what: str, **details: Any) -> dict[str, Any]:
        """Return the answer to one request; a failure in the child ends the benchmark with its traceback."""
        if self._process.stdin is None or self._process.stdout is None:
            raise SystemExit(f"{self.name} has no pipe")
        self._process.stdin.write(json.dumps({"do": what, **details}) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit(f"{self.name} ended without an answer; see {self._log.name}")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise SystemExit(f"{self.name}: {answer['error']}")
        return answer


def as_json(cell: Cell) -> dict[str, Any]:
    return {**cell._asdict(), "where": cell.where}


def python_of_peers(work: Path) -> Path:
    """Return the Python of the peers' environment, made with uv if it is not there."""
    python = work / "peers" / "bin" / "python"
    if not python.exists():
        subprocess.run(
            ["uv", "venv", "--quiet", "--python", f"{sys.version_info.major}.{sys.version_info.minor}", str(work / "peers")], check=True
        )
        subprocess.run(["uv", "pip", "install", "--quiet", "--python", str(python), *PEERS.values()], check=True)
    return python


@dataclass
class Measured:
    """One contender in one cell.

    Attributes:
        recalls: of each query.
        ms, cpu_ms: wall and processor time of each query.
        notes: on each query's plan; empty for peers.
        mode, effort: as tuned.
    """

    recalls: list[float] = field(default_factory=list)
    ms: list[float] = field(default_factory=list)
    cpu_ms: list[float] = field(default_factory=list)
    notes: list[dict[str, Any]] = field(default_factory=list)
    mode: str = ""
    effort: int = 0

    def add(self, answer: dict[str, Any], recalls: Sequence[float]) -> None:
        self.recalls += recalls
        self.ms += answer["ms"]
        self.cpu_ms += answer["cpu_ms"]
        self.notes += answer["notes"]

    def summary(self) -> dict[str, Any]:
        """Return the figures for the tables."""
        figures: dict[str, Any] = {
            "mode": self.mode,
            "effort": self.effort,
            "queries": len(self.ms),
            "recall": float(np.mean(self.recalls)),
        }
        for name, values in (("ms", self.ms), ("cpu_ms", self.cpu_ms)):
            figures |= {
                f"p50_{name}": float(np.median(values)),
                f"p95_{name}": float(np.percentile(values, 95)),
                f"mean_{name}": float(np.mean(values)),
            }
        for name in ("select_ms", "lists", "all_lists", "codes", "scored", "recall_low", "recall_high"):
            if self.notes and name in self.notes[0]:
                figures[name] = float(np.mean([note[name] for note in self.notes]))
        if "recall_low" in figures:
            told = figures["recall_high"] - figures["recall_low"] < 1  # 0 to 1 says nothing
            figures["covered"] = told and figures["recall_low"] - TIES <= figures["recall"] <= figures["recall_high"] + TIES
            figures |= {"plan": self.notes[0]["plan"], "reason": self.notes[0]["reason"]}
        return figures


TIES = 0.001  # an index may round a vector's last bit otherwise: neighbours of all but equal score change places


@dataclass
class Session:
    """Contenders that are open, and the truth they are held to."""

    children: Sequence[Child]
    truth: Truth
    cells: Sequence[Cell]  # as the truth numbers them
    queries: int
    recall: float

    def measure(self, cell: Cell) -> dict[str, dict[str, Any]]:
        """Return each contender's figures in one cell, by name."""
        number = self.cells.index(cell)
        tuned = {child.name: self._tune(child, number) for child in self.children}
        measured = {name: Measured(mode=mode, effort=effort) for name, (mode, effort) in tuned.items()}
        bounds = np.linspace(0, self.queries, TURNS + 1).astype(int).tolist()
        for first, last in pairwise(bounds):
            for child in self.children:
                self._run(child, number, measured[child.name], first, last)
        for child in self.children:
            measured[child.name] = self._raise(child, number, measured[child.name])
        return {name: result.summary() for name, result in measured.items()}

    def matching(self, cell: Cell) -> int:
        """Return how many rows pass."""
        return int(self.truth.matching[self.cells.index(cell)])

    def _run(self, child: Child, number: int, into: Measured, first: int, last: int) -> Measured:
        cell = self.cells[number]
        answer = child.ask("run", cell=as_json(cell), first=first, last=last, mode=into.mode, effort=into.effort)
        into.add(answer, self.truth.recall(number, answer["ids"], first))
        return into

    def _tune(self, child: Child, number: int) -> tuple[str, int]:
        """Return the mode and the smallest effort that reach the recall in the least time; ours needs none, and is only warmed up."""
        if child.name == "ours":
            mode = next(iter(child.modes))
            self._run(child, number, Measured(mode=mode), 0, min(16, self.queries))
            return mode, 0
        found = []
        for mode, steps in child.modes.items():
            if found and self._slower(child, number, mode, than=min(found)):
                continue
            low, high, best = 0, steps - 1, None
            while low <= high:
                middle = (low + high) // 2
                tried = self._run(child, number, Measured(mode=mode, effort=middle), 0, min(TUNED_ON, self.queries))
                good = np.mean(tried.recalls) >= self.recall
                best = tried if good or best is None else best
                low, high = (low, middle - 1) if good else (middle + 1, high)
            if best is not None:
                reached = min(float(np.mean(best.recalls)), self.recall)
                found.append((-reached, float(np.median(best.cpu_ms)), mode, best.effort))
        return min(found)[2:]

    def _slower(self, child: Child, number: int, mode: str, *, than: tuple[float, float, str, int]) -> bool:
        """Whether a mode's least effort takes twice as long as another mode that reaches the recall: then nothing is gained by it."""
        reached, ms, *_ = than
        if -reached < self.recall:
            return False
        tried = self._run(child, number, Measured(mode=mode), 0, min(8, self.queries))
        return float(np.median(tried.cpu_ms)) > 2 * ms

    def _raise(self, child: Child, number: int, result: Measured) -> Measured:
        """Ask a peer that missed the recall on all queries again with more effort."""
        while child.name != "ours" and np.mean(result.recalls) < self.recall and result.effort + 1 < child.modes[result.mode]:
            again = Measured(mode=result.mode, effort=result.effort + 1)
            result = self._run(child, number, again, 0, self.queries)
        return result

"""Questions a second over HTTP: ours, clip-retrieval's way of serving, and qdrant behind the same FastAPI.

    python benchmarks/service.py --rows 50000 --json service.json

The same vectors (`_search_data.py`), the same questions (a vector, 10 clips, no filter), the same recall wanted (0.95); each server has
one core and the clients another. Clients ask as fast as they are answered; servers take turns, and the best of the rounds counts.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from _machine import describe
from _search_columns import CELLS
from _search_session import python_of_peers
from _search_truth import Files, Truth, files_of, truth_of, write_data

K, CLIENTS = 10, (1, 8, 64)
SERVERS = ("ours", "flask", "qdrant")
TITLES = {"ours": "vidsearch serve", "flask": "Flask + FAISS + Parquet", "qdrant": "qdrant-edge, FastAPI"}
HERE = Path(__file__).parent


@dataclass(frozen=True)
class Measured:
    """One server, asked by so many clients at once."""

    server: str
    clients: int
    per_s: float
    cpu_ms: float  # of the server, an answer
    p50_ms: float
    p99_ms: float
    recall: float


def main() -> None:
    options = _options()
    files = files_of(options.work, options.rows, options.seed)
    write_data(files)
    truth = truth_of(files, CELLS[:1])
    _build(files)
    cores = sorted(os.sched_getaffinity(0))
    machine = describe("faiss-cpu", "fastapi", "uvicorn", "flask", seed=options.seed)
    print(f"{machine}\n{options.rows:,} vectors of 768; load average {os.getloadavg()[0]:.1f}", flush=True)
    found: list[Measured] = []
    for _ in range(options.rounds):
        for name in options.servers:
            with _running(name, files, cores[0], options.work) as (port, pid, how):
                os.sched_setaffinity(0, {cores[-1]})
                for clients in CLIENTS:
                    found.append(_measure(name, (port, pid), clients, options.seconds, files, truth))
                    print(f"  {found[-1]}  {how}", flush=True)
                os.sched_setaffinity(0, set(cores))
    print(_table(found))
    if options.json:
        options.json.write_text(json.dumps({"machine": machine, "rows": options.rows, "runs": [asdict(one) for one in found]}, indent=1))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=50_000)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--servers", nargs="+", choices=SERVERS, default=SERVERS)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--work", type=Path, default=Path("service-work"))
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


def _build(files: Files) -> None:
    from indexer.vectors import build_from_vectors

    out = files.folder / "served"
    if not (out / "done").exists():
        build_from_vectors(files.vectors, out / "index", metadata=files.metadata, queries=np.load(files.train_queries))
        (out / "done").touch()


@contextmanager
def _running(name: str, files: Files, core: int, work: Path) -> Iterator[tuple[int, int, str]]:
    environment = os.environ | {
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "NUMBA_NUM_THREADS": "1",
        "PYTHONPATH": str(HERE.parent),
    }
    if name == "ours":
        serve = [sys.executable, "-m", "vidsearch", "serve", str(files.folder / "served" / "index"), "--no-page", "--port", "0"]
        command = ["taskset", "-c", str(core), *serve]
    else:
        python = sys.executable if name == "flask" else str(_python_with_fastapi(work))
        command = [python, str(HERE / "_service_servers.py"), name, str(files.folder), str(core)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment)
    try:
        line = process.stdout.readline() if process.stdout else ""
        told = {"port": int(line.rpartition(":")[2]), "how": "as calibrated"} if name == "ours" else json.loads(line)
        _wait(told["port"])
        yield told["port"], process.pid, told["how"]
    finally:
        process.terminate()
        process.wait(30)


def _python_with_fastapi(work: Path) -> Path:
    python = python_of_peers(work)
    subprocess.run(["uv", "pip", "install", "--quiet", "--python", str(python), "fastapi", "uvicorn", "httptools", "uvloop"], check=True)
    return python


def _wait(port: int) -> None:
    import socket

    for _ in range(600):
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return


def _measure(server: str, process: tuple[int, int], clients: int, seconds: float, files: Files, truth: Truth) -> Measured:
    port, pid = process
    queries = np.load(files.queries)
    bodies = [json.dumps({"vector": [round(float(value), 6) for value in query], "k": K}).encode() for query in queries]
    head = "POST /v1/search HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n"
    raw = [head.format(len(body)).encode() + body for body in bodies]
    took: list[float] = []
    count = 0
    answers: dict[int, bytes] = {}

    async def client(number: int, until: float, counted_from: float) -> None:
        nonlocal count
        reader = writer = None
        query = number * 7
        while time.perf_counter() < until:
            query = (query + 1) % len(raw)
            begun = time.perf_counter()
            if reader is None or writer is None:
                reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 20)
            writer.write(raw[query])
            said = (await reader.readuntil(b"\r\n\r\n")).lower()
            answers[query] = await reader.readexactly(int(said.partition(b"content-length:")[2].partition(b"\r\n")[0]))
            if b" 200 " not in said.partition(b"\r\n")[0]:
                raise SystemExit(f"{server}: {said!r} {answers[query]!r}")
            if b"connection: close" in said:  # Flask's own server answers one request a connection
                writer.close()
                reader = None
            count += 1
            if begun > counted_from:
                took.append(time.perf_counter() - begun)

    async def run() -> float:
        begun = time.perf_counter()
        warm = begun + min(1.0, seconds / 4)
        await asyncio.gather(*(client(number, begun + seconds, warm) for number in range(clients)))
        return time.perf_counter() - warm

    before = _cpu_s(pid)
    lasted = asyncio.run(run())
    cpu_ms = 1000 * (_cpu_s(pid) - before) / max(1, count)
    found = {query: [_row(hit) for hit in json.loads(answer)["hits"]] for query, answer in answers.items()}
    recall = np.mean([truth.recall(0, [rows], first=query)[0] for query, rows in found.items()])
    p50, p99 = np.quantile(np.array(took) * 1000, (0.5, 0.99))
    times = round(cpu_ms, 2), round(float(p50), 2), round(float(p99), 2)
    return Measured(server, clients, round(len(took) / lasted, 1), *times, round(float(recall), 4))


def _cpu_s(pid: int) -> float:
    """Return the processor seconds that a process has taken, all its threads."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _row(hit: dict[str, Any]) -> int:
    return int(hit["clip_id"][1:])


def _table(found: list[Measured]) -> str:
    """Return the best of the rounds, and in brackets milliseconds: of the processor, the median, the 99th percentile."""
    lines = ["| a second (processor, p50, p99 ms) | " + " | ".join(f"{clients} clients" for clients in CLIENTS) + " | recall |"]
    lines.append("|---|" + "---|" * (len(CLIENTS) + 1))
    for server in dict.fromkeys(one.server for one in found):
        cells, recalls = [], []
        for clients in CLIENTS:
            own = [one for one in found if one.server == server and one.clients == clients]
            best = max(own, key=lambda one: one.per_s)
            cpu_ms = min(one.cpu_ms for one in own)
            cells.append(f"{best.per_s:,.0f} ({cpu_ms:.1f}, {best.p50_ms:.1f}, {best.p99_ms:.1f})")
            recalls += [one.recall for one in own]
        lines.append(f"| {TITLES[server]} | " + " | ".join(cells) + f" | {np.mean(recalls):.3f} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()

"""How does a build scale over worker processes: one process, parts side by side, Ray actors?

    uv run python benchmarks/cluster.py --clips 300 --runs 2

Makes videos of the toy world, then indexes them with `vidsearch index` in one process, in one and in two parts at the same time (each with
one decode process and one thread), and with Ray on one and on two actors; checks that every index holds the same vectors, and prints clips
a second from the command's start to its end, start-up included, least time of the runs. Two workers want two idle cores. Where the machine
has a network address, run it as `unshare -rn sh -c 'ip link set lo up && …'`: Ray on the loopback wants to be alone there.
"""

from __future__ import annotations

import argparse
import json
import os
import secrets
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from _machine import describe

from indexer.toyvideos import write_demo_videos
from vidsearch.engine import open_index

COMMAND = (sys.executable, "-c", "from vidsearch.cli import main; main()")
SEED = 5
PORT = "6391"
ADDRESS = f"127.0.0.1:{PORT}"
ENVIRONMENT = {
    **os.environ,
    "OMP_NUM_THREADS": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_AUTH_MODE": "token",
    "RAY_AUTH_TOKEN": secrets.token_hex(32),
    "RAY_agent_register_timeout_ms": "300000",
}


def index(clips: Path, root: Path, *others: str) -> subprocess.Popen[str]:
    """Start an index command with one decode process."""
    words = ["index", str(clips), "--out", str(root), "--model", "demo-viclip", "--device", "cpu", "--workers", "1", *others]
    return subprocess.Popen([*COMMAND, *words], env=ENVIRONMENT, text=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def ended(processes: list[subprocess.Popen[str]]) -> None:
    for process in processes:
        _, told = process.communicate()
        if process.returncode:
            raise SystemExit(told)


def in_parts(clips: Path, root: Path, parts: int) -> None:
    ended([index(clips, root, "--shard", f"{number}/{parts}", "--job-clips", "32") for number in range(parts)])
    subprocess.run([*COMMAND, "commit", str(root)], env=ENVIRONMENT, check=True, capture_output=True)


def with_ray(clips: Path, root: Path) -> None:
    ended([index(clips, root, "--executor", "ray", "--address", ADDRESS, "--job-clips", "32")])


@contextmanager
def ray_of(cpus: int) -> Iterator[None]:
    """Run a Ray of so many cores, and thus actors; it is there before the clock starts, as a cluster is."""
    limits = [
        "--num-cpus",
        str(cpus),
        "--object-store-memory",
        str(80 << 20),
        "--include-dashboard=false",
        "--disable-usage-stats",
        "--block",
    ]
    words = [Path(sys.executable).with_name("ray"), "start", "--head", "--node-ip-address", "127.0.0.1", "--port", PORT, *limits]
    node = subprocess.Popen(words, env=ENVIRONMENT, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        until = time.monotonic() + 120
        while node.poll() is None and time.monotonic() < until:
            asked = [sys.executable, "-c", f"import ray; ray.init({ADDRESS!r}); ray.get(ray.remote(abs).remote(1))"]
            if subprocess.run(asked, env=ENVIRONMENT, check=False, capture_output=True).returncode == 0:
                break
        yield
    finally:
        os.killpg(node.pid, signal.SIGKILL)
        node.wait()


def vectors_of(root: Path) -> dict[str, bytes]:
    opened = open_index(root)
    ids = [name for segment in opened.segments for name in segment.read_columns(["clip_id"])["clip_id"].to_pylist()]
    return dict(zip(ids, (row.tobytes() for segment in opened.segments for row in np.asarray(segment.vectors)), strict=True))


def least_s(build: Callable[[Path], None], folder: Path, runs: int) -> tuple[float, Path]:
    """Return the least seconds of some builds, and the last one's index."""
    times = []
    for run in range(runs):
        root = folder / f"{run}"
        started = time.perf_counter()
        build(root)
        times.append(time.perf_counter() - started)
    return min(times), root


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=int, default=300)
    parser.add_argument("--runs", type=int, default=2)
    parser.add_argument("--no-ray", action="store_true")
    asked = parser.parse_args()
    print(describe("numpy", "torch", "ray", seed=SEED))
    with tempfile.TemporaryDirectory() as scratch:
        clips = Path(scratch) / "clips"
        clips.mkdir()
        rows = write_demo_videos(clips, count=asked.clips, seed=SEED)
        (clips / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        ways: dict[str, Callable[[Path], None]] = {
            "one process": lambda root: ended([index(clips, root)]),
            "1 part, commit": lambda root: in_parts(clips, root, 1),
            "2 parts, commit": lambda root: in_parts(clips, root, 2),
        }
        results = {name: least_s(build, Path(scratch) / name.replace(" ", "-"), asked.runs) for name, build in ways.items()}
        for cpus in () if asked.no_ray else (1, 2):
            with ray_of(cpus):
                results[f"Ray, {cpus} actor(s)"] = least_s(lambda root: with_ray(clips, root), Path(scratch) / f"ray-{cpus}", asked.runs)
        first_s, first = results["one process"]
        expected = vectors_of(first)
        print(f"{asked.clips} clips, demo-viclip, one decode process and one thread a worker, least of {asked.runs} run(s)")
        for name, (seconds, root) in results.items():
            same = "same vectors" if vectors_of(root) == expected else "OTHER VECTORS"
            print(f"{name:18} {seconds:7.1f} s  {asked.clips / seconds:6.1f} clips/s  {first_s / seconds:5.2f} x one process  {same}")


if __name__ == "__main__":
    main()

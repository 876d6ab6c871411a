"""A Ray cluster of several nodes on this machine, in a network of its own: on the loopback it fails where a host has other addresses."""

import contextlib
import os
import secrets
import signal
import subprocess
import sys
import time
from pathlib import Path

PORT = 6399
START_S = 180.0
SLOW = {  # a busy machine takes a minute for what Ray expects in ten seconds
    "RAY_raylet_start_wait_time_s": "180",
    "RAY_worker_register_timeout_seconds": "300",
    "RAY_agent_register_timeout_ms": "300000",
    "RAY_USAGE_STATS_ENABLED": "0",
    "OMP_NUM_THREADS": "1",
}
COMMAND = (sys.executable, "-c", "from vidsearch.cli import main; main()")


class Nodes:
    """Nodes as they come and go; a process that sleeps holds the network."""

    def __init__(self, scratch: Path) -> None:
        self._scratch = scratch
        self._holder = subprocess.Popen(
            ["unshare", "-rn", "sh", "-c", "ip link set lo up && echo up && exec sleep 3600"], stdout=subprocess.PIPE
        )
        assert self._holder.stdout is not None
        with self._holder.stdout:
            assert self._holder.stdout.readline() == b"up\n", "no network namespace can be made here"
        self._env = {**os.environ, **SLOW, "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32), "COLUMNS": "80"}
        self.nodes: list[subprocess.Popen[bytes]] = []
        self._started: dict[int, tuple[tuple[object, ...], dict[str, str]]] = {}

    @property
    def address(self) -> str:
        return f"127.0.0.1:{PORT}"

    def _inside(self, words: tuple[object, ...]) -> list[str]:
        return ["nsenter", "--preserve-credentials", "-U", "-n", "-t", str(self._holder.pid), *map(str, words)]

    def start(self, *words: object, log: Path | None = None, **env: str) -> subprocess.Popen[bytes]:
        """Start a command in the nodes' network, as a process group of its own."""
        with (log or Path(os.devnull)).open("ab") as told:
            return subprocess.Popen(
                self._inside(words), env={**self._env, **env}, start_new_session=True, stdout=told, stderr=subprocess.STDOUT
            )

    def vidsearch(self, *words: object) -> subprocess.CompletedProcess[str]:
        """Run a vidsearch command in the nodes' network."""
        return subprocess.run(
            self._inside((*COMMAND, *words)),
            env=self._env,
            capture_output=True,
            text=True,
            check=False,
            timeout=280,
            stdin=subprocess.DEVNULL,
        )

    def add(self, *before: object, cpus: int = 1, **env: str) -> subprocess.Popen[bytes]:
        """Start a node; the first is the head."""
        role: tuple[object, ...] = ("--address", self.address)
        if not self.nodes:
            role = ("--head", "--port", PORT, "--include-dashboard=false", "--temp-dir", self._scratch)
        limits = ("--num-cpus", cpus, "--object-store-memory", 80 << 20, "--disable-usage-stats", "--block")
        ray = (*before, Path(sys.executable).with_name("ray"), "start", *role, *limits)
        node = self.start(*ray, log=self._scratch / "nodes.log", **env)
        self.nodes.append(node)
        self._started[node.pid] = ray, env
        return node

    def wait(self, count: int) -> None:
        """Wait until so many nodes are there."""
        asked = (
            "import ray; ray.init(address='auto', log_to_driver=False, logging_level='ERROR'); "
            "print(sum(node['Alive'] for node in ray.nodes()))"
        )
        until = time.monotonic() + START_S
        while time.monotonic() < until:
            told = subprocess.run(
                self._inside((sys.executable, "-c", asked)),
                env={**self._env, "RAY_ADDRESS": self.address},
                capture_output=True,
                text=True,
                check=False,
                timeout=START_S,
            )
            if told.stdout.strip() == str(count):
                return
            self._start_again()
        log = (self._scratch / "nodes.log").read_text(errors="replace")
        raise AssertionError(f"{told.stdout} nodes in place of {count}: {told.stderr[-1000:]}\n{log[-2000:]}")

    def _start_again(self) -> None:
        """Start nodes anew that gave up, as Ray's do where the machine is too busy to answer in time."""
        for place, node in enumerate(self.nodes):
            if node.poll() is not None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(node.pid, signal.SIGKILL)  # what it left
                ray, env = self._started.pop(node.pid)
                self.nodes[place] = self.start(*ray, log=self._scratch / "nodes.log", **env)
                self._started[self.nodes[place].pid] = ray, env

    def kill(self, node: subprocess.Popen[bytes]) -> None:
        """End a node as a power cut would."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(node.pid, signal.SIGKILL)
        node.wait()
        self.nodes.remove(node)

    def close(self) -> None:
        for node in list(self.nodes):
            self.kill(node)
        self._holder.kill()
        self._holder.wait()

"""How a process joins a Ray cluster, or starts a small one of its own, and what its machines have to have in common."""

from __future__ import annotations

import importlib.metadata
import logging
import os
import platform
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

from vidsearch.errors import UsageError
from vidsearch.extras import require

STORE_BYTES = 256 << 20  # of a Ray started here: jobs and bitmaps of filters pass through it
ANSWER_S = 5.0  # that an address may take to accept a connection
LOOK_S = 180.0  # that a machine may take to say what it sees
# Of a Ray started here, on machines that are slow or busy; a cluster's own settings are its own.
ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_raylet_start_wait_time_s": "120",
    "RAY_worker_register_timeout_seconds": "300",
    "RAY_agent_register_timeout_ms": "300000",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_BACKEND_LOG_LEVEL": "fatal",
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",  # else, under `uv run`, every worker installs all packages anew, and waits for ever offline
}


def load_ray() -> Any:
    """Import Ray, which reads its settings as it is imported."""
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    return require("ray")


@contextmanager
def joined(address: str | None) -> Iterator[Any]:
    """Yield the module `ray`, connected to a cluster, or to one that is started here and ends with the block.

    Raises:
        UsageError: nothing answers at the address, or another version of Ray or Python does.
    """
    if address is not None:
        _check_address(address)
    ray = load_ray()
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    try:
        if address is None:
            ray.init(address="local", object_store_memory=STORE_BYTES, include_dashboard=False, **quiet)  # never one that was left running
        else:
            ray.init(address=address, **quiet)
    except (ConnectionError, RuntimeError, TimeoutError, ValueError, OSError, ray.exceptions.RayError) as error:
        with suppress(Exception):
            ray.shutdown()
        where = "Ray cannot be started here" if address is None else f"no Ray cluster can be joined at {address}"
        raise UsageError(f"{where}: {_why(error)}") from error
    try:
        yield ray
    finally:
        ray.shutdown()


def _check_address(address: str) -> None:
    """Fail soon where nothing listens: Ray itself tries for minutes."""
    if address in ("auto", "local"):
        return
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdigit():
        raise UsageError(f"--address {address!r} is not one; give auto, HOST:PORT or ray://HOST:PORT")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=ANSWER_S).close()
    except OSError as error:
        raise UsageError(f"--address {address}: nothing answers there ({error.strerror or error}); is Ray running?") from error


def alive(ray: Any) -> dict[str, str]:
    """Return the address of each machine that is there, by its id in the cluster."""
    return {node["NodeID"]: str(node["NodeManagerAddress"]) for node in ray.nodes() if node["Alive"]}


def pinned(ray: Any, node: str) -> Any:
    """Return what keeps an actor or a task on one machine."""
    return ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(node, soft=False)


def versions() -> dict[str, str]:
    """Return what must be the same on all machines."""
    return {"python": platform.python_version(), **{name: importlib.metadata.version(name) for name in ("vidsearch", "ray")}}


def unlike(there: Mapping[str, str], here: Mapping[str, str] | None = None) -> str:
    """Say which versions of another machine are not those here; "" where all are."""
    own = versions() if here is None else here
    told = [f"{name} {there[name]} there and {own[name]} here" for name in own if there[name] != own[name]]
    return f"{' and '.join(told)}; install the same on all machines" if told else ""


def _why(error: BaseException) -> str:
    """Say in one line why there is no connection; Ray's own first line does not tell of a token that is missing."""
    told = f"{error} {error.__cause__}"
    if "InvalidAuthToken" in told or "AuthenticationError" in told:
        return "the cluster asks for its token; set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN_PATH, as on its nodes"
    return first_line(error)


def first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[0] if lines else type(error).__name__)[:300]

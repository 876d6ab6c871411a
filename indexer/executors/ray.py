"""A Ray cluster: Ray Data hands out the jobs, a row and a block each, to a pool of actors that keep the model loaded.

    driver: plan ──▶ job numbers ──▶ actor: JobRunner ──▶ segment and mark on the shared disk
            ◀────────────────── what each job gave         ▲
            commit_ready, every minute ────────────────────┘

Ray does a job again for as long as its actor dies; the attempts noted on the shared disk are what ends that. What comes back through Ray is
for the eye: what is done is what lies on the disk.
"""

from __future__ import annotations

import errno
import json
import logging
import os
import shutil
import socket
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from indexer.closing import count_all, folding
from indexer.executors.base import Order
from indexer.fold import fold
from indexer.jobrun import JobRunner
from indexer.opening import Progress, open_or_create, open_sources
from indexer.plans import Plan, open_plan, read_plan
from indexer.ready import commit_ready, open_work
from indexer.room import ensure_room
from indexer.run import check_limit
from indexer.shards import after_job
from indexer.summary import Summary
from vidsearch.clusters import LOOK_S, alive, first_line, joined, pinned, unlike, versions
from vidsearch.encoders import load_encoder
from vidsearch.encoders.base import Encoder
from vidsearch.errors import IndexCorruptError, InputNotFoundError, UsageError, VidsearchError
from vidsearch.extras import require
from vidsearch.storage import files
from vidsearch.storage.address import is_remote

COMMIT_EVERY_S = 60.0
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Crew:
    """How many actors there are to be, and what each takes.

    Attributes:
        actors: at most so many at a time.
        cpus, gpus: of each.
        workers: decode processes of each.
    """

    actors: int
    cpus: int
    gpus: int
    workers: int


def build(order: Order, encoder: Encoder, progress: Progress) -> Summary:
    started = time.monotonic()
    order = replace(
        order,
        source=order.source if is_remote(order.source) else order.source.resolve(),
        out=order.out.resolve(),
        metadata=order.metadata and order.metadata.resolve(),
        videos=order.videos if order.videos is None or is_remote(order.videos) else order.videos.resolve(),
        model=str(Path(order.model).resolve()) if Path(order.model).is_file() else order.model,
    )
    root = order.out
    sources, _ = open_sources(order.source, metadata=order.metadata, videos=order.videos)
    ensure_room(root)
    with joined(order.address) as ray:
        open_or_create(root, encoder)
        _check_nodes(ray, root, root if sources.origin else sources.videos)
        commit_ready(root)
        summary = Summary()
        try:
            plan = open_plan(root, sources, order.asked, summary=summary, progress=progress)
            if plan is not None:
                summary = _do(ray, order, plan, summary, progress)
        except KeyboardInterrupt:
            summary.interrupted = True
        finally:
            commit_ready(root)
    if not summary.interrupted and not open_work(root):
        with folding(summary, progress):
            fold(root, index_factory=order.index_factory, seed=order.seed, encode_texts=encoder.encode_texts, grace_s=order.grace_s)
    count_all(root, summary)
    summary.wall_s = time.monotonic() - started
    return summary


def _do(ray: Any, order: Order, plan: Plan, summary: Summary, progress: Progress) -> Summary:
    """Have the jobs done that are not committed, and commit them as they come."""
    standing = next((standing for found, standing in open_work(order.out) if found.name == plan.name), None)
    left = [] if standing is None else standing.missing
    summary = replace(summary, planned=sum(plan.jobs[n][0] for n in left), uncut=sum(plan.jobs[n][1] for n in left))
    committed_at = time.monotonic()
    for row in _results(ray, order, plan, left):
        if row["error"]:
            raise _error_of(row)
        summary = after_job(summary, plan, row["job"], Summary.from_json(json.loads(row["done"])))
        progress(summary)
        check_limit(summary, order.max_quarantine)
        if time.monotonic() - committed_at >= COMMIT_EVERY_S:
            commit_ready(order.out)
            committed_at = time.monotonic()
    return summary


def _results(ray: Any, order: Order, plan: Plan, numbers: list[int]) -> Iterator[dict[str, Any]]:
    """Yield what each job gave, as it comes."""
    if not numbers:
        return
    data = require("ray.data")
    logging.getLogger("ray.data").setLevel(logging.ERROR)  # what concerns us comes back from the jobs
    context = data.DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    context.enable_auto_log_stats = False
    crew = choose_crew([node["Resources"] for node in ray.nodes() if node["Alive"]], workers=order.workers)
    settings = {
        "root": str(order.out),
        "plan": plan.name,
        "model": order.model,
        "preset": order.preset,
        "precision": order.precision,
        "device": order.device,
        "decoder": order.decoder,
        "workers": crew.workers,
        "run": str(uuid.uuid4()),
        "versions": versions(),
    }
    jobs = data.from_items([{"job": number} for number in numbers], override_num_blocks=len(numbers))
    done = jobs.map(
        Worker,
        fn_constructor_args=(settings,),
        compute=data.ActorPoolStrategy(min_size=1, initial_size=min(crew.actors, len(numbers)), max_size=crew.actors),
        num_cpus=crew.cpus,
        num_gpus=crew.gpus,
    )
    try:
        yield from done.iter_rows()
    except ray.exceptions.RayError as error:
        raise VidsearchError(f"Ray gave up: {first_line(error)}; what is done is kept, and the same command goes on from there") from error


def choose_crew(nodes: list[dict[str, float]], *, workers: int | None) -> Crew:
    """Return who does the jobs on nodes with these resources: an actor a GPU where there are any, else one for each few cores.

    Args:
        nodes: "CPU" and "GPU" of each.
        workers: decode processes beside each encoder; None is one without GPUs, else what cores there are for each GPU.
    """
    gpus = int(sum(node.get("GPU", 0) for node in nodes))
    if gpus:
        with_gpu = [node for node in nodes if node.get("GPU", 0) >= 1]
        cores = max(1, min(int(node.get("CPU", 1) // int(node["GPU"])) for node in with_gpu))
        return Crew(gpus, min(cores, workers or cores), 1, workers or max(1, cores - 1))
    each = workers or 1
    actors = sum(int(node.get("CPU", 0) // each) for node in nodes)
    if not actors:
        most = int(max((node.get("CPU", 0) for node in nodes), default=0))
        raise UsageError(f"--workers {each}: no node of the cluster has so many cores; the largest has {most}")
    return Crew(actors, each, 0, each)


class Worker:
    """An actor: a model, decode processes, and jobs one after the other. What goes wrong is told, not raised: Ray would try again."""

    def __init__(self, settings: dict[str, Any]) -> None:
        self._runner: JobRunner | None = None
        self._refusal: Exception | None = None
        try:
            if problem := unlike(versions(), settings["versions"]):
                raise UsageError(problem)
            root = Path(settings["root"])
            encoder = load_encoder(settings["model"], device=settings["device"], precision=settings["precision"], preset=settings["preset"])
            names = ("run", "decoder", "workers")
            runner = JobRunner(root, read_plan(root, settings["plan"]), encoder, **{name: settings[name] for name in names})
            self._runner = runner.__enter__()
        except (VidsearchError, OSError) as error:
            self._refusal = error

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        try:
            if self._runner is None:
                raise self._refusal or UsageError("not ready")
            done = self._runner.do(int(row["job"]))
        except (VidsearchError, OSError) as error:
            number = error.errno or 0 if isinstance(error, OSError) else 0
            code = getattr(error, "exit_code", 0)
            return {"job": row["job"], "host": socket.gethostname(), "done": "", "error": str(error), "errno": number, "code": code}
        return {"job": row["job"], "host": socket.gethostname(), "done": json.dumps(done.to_json()), "error": "", "errno": 0, "code": 0}

    def __del__(self) -> None:
        if self._runner is not None:
            self._runner.__exit__(None, None, None)


def _error_of(row: dict[str, Any]) -> Exception:
    """Return what went wrong on another machine as an error of this one: the disk is full, or one line."""
    message = f"node {row['host']}: {row['error']}"
    if row["errno"] in (errno.ENOSPC, errno.EDQUOT):
        return OSError(row["errno"], message)
    return IndexCorruptError(message) if row["code"] == IndexCorruptError.exit_code else VidsearchError(message)


def _check_nodes(ray: Any, root: Path, videos: Path) -> None:
    """Have every node say whether it has the same software, and sees the index and the videos; the first that does not ends the build."""
    probe = root / files.STAGING / f"{uuid.uuid4()}.probe"
    nonce = str(uuid.uuid4())
    files.write(probe, nonce.encode())
    looked = ray.remote(num_cpus=0, max_retries=0)(look)
    asked = [
        (name, looked.options(scheduling_strategy=pinned(ray, node)).remote(str(probe), str(videos))) for node, name in alive(ray).items()
    ]
    try:
        for name, answer in asked:
            try:
                seen = ray.get(answer, timeout=LOOK_S)
            except ray.exceptions.RayError as error:
                raise UsageError(
                    f"node {name} cannot run vidsearch: {first_line(error)}; install the same version on all machines"
                ) from error
            _judge(seen, root, videos, nonce)
    finally:
        files.remove(probe)


def look(probe: str, videos: str) -> dict[str, Any]:
    """Return what a node is and sees."""
    path = Path(probe)
    return {
        "host": f"{socket.gethostname()} ({os.getpid()})",
        "versions": versions(),
        "nonce": path.read_text() if path.is_file() else "",
        "videos": Path(videos).is_dir(),
        "free": shutil.disk_usage(path.parent).free if path.parent.is_dir() else 0,
    }


def _judge(seen: dict[str, Any], root: Path, videos: Path, nonce: str) -> None:
    if problem := unlike(seen["versions"]):
        raise UsageError(f"node {seen['host']}: {problem}")
    if seen["nonce"] != nonce:
        raise UsageError(
            f"node {seen['host']} does not see the index at {root}; put it on a disk that all nodes share, under the same path"
        )
    if not seen["videos"]:
        raise InputNotFoundError(f"node {seen['host']} does not see the videos at {videos}; all nodes read them under the same path")

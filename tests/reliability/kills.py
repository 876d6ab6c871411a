"""The campaign of kills: real builds over tiny videos end by SIGKILL at random instants, the builder or one of its decode processes.

A server imports everything once and forks a process for each build, which runs the command itself.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import torch
from support.videos import write_video

from indexer import commits
from vidsearch import load_encoder
from vidsearch.cli import main
from vidsearch.storage import manifest as manifests
from vidsearch.upkeep.verify import verify

MODEL, VIDEOS, FRAMES = "demo-viclip", 6, 10
CRASHED = 70  # of a build that ended by an exception nobody caught
STEP_S, SOON_S = 0.002, 0.1
SHARE = 0.005  # of the steps; a decode process lives for half a second or so before it is killed


@dataclass
class Kills:
    """What a campaign did.

    Attributes:
        killed: processes, by what they were.
        builds: runs of the command, killed or not.
        indexes: that were brought to their end, each clip in them once.
        gave_up: builds that said that no decode process could be started, when one was killed at its start.
        stages: segments committed when the builder was killed; -1 where the index was not there yet.
        violations: a line each.
    """

    killed: Counter[str] = field(default_factory=Counter)
    builds: int = 0
    indexes: int = 0
    gave_up: int = 0
    stages: Counter[int] = field(default_factory=Counter)
    violations: list[str] = field(default_factory=list)


def campaign(folder: Path, *, kills: int, within_s: float, seed: int) -> Kills:
    """Kill so many processes, or as many as there is time for; every index is then brought to its end."""
    commits.SEGMENT_ROWS = 1  # a commit for every batch
    torch.set_num_threads(1)  # threads of OpenMP do not come along when a process forks, and the child would wait for them for ever
    load_encoder(MODEL)
    videos = _write_videos(folder / "videos")
    tally, rng, number = Kills(), random.Random(seed), 0
    longest_s = _build_whole(videos, folder / "first", tally)
    ends = time.monotonic() + within_s - longest_s
    while tally.killed.total() < kills and time.monotonic() < ends and not tally.violations:
        number += 1
        root, whole = folder / f"index{number}", False
        while not whole and tally.killed.total() < kills and time.monotonic() < ends:
            whole = _build(videos, root, longest_s, rng, tally)
            _check(root, tally)
        if not whole:
            _build_whole(videos, root, tally)
    return tally


def _build(videos: Path, root: Path, longest_s: float, rng: random.Random, tally: Kills) -> bool:
    """Run the command, killed at any instant or soon after a commit; return whether it came to its end before."""
    child = _start(videos, root, tally)
    decoders_too, at_commit = rng.random() < 1 / 2, rng.random() < 2 / 3
    version = len(manifests.versions(root)) + rng.randint(1, 3)
    after_s = longest_s if at_commit else rng.uniform(0, longest_s)
    dies, lost_decoder = time.monotonic() + after_s, False
    while time.monotonic() < dies:
        if at_commit and len(manifests.versions(root)) >= version:
            at_commit, dies = False, min(dies, time.monotonic() + rng.uniform(0, SOON_S))
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return _ended(root, status, lost_decoder, tally)
        if decoders_too and rng.random() < SHARE:
            decoders_too = not _kill_decoder(child, rng)
            lost_decoder = not decoders_too
            tally.killed["a decode process"] += lost_decoder
        time.sleep(STEP_S)
    os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    if not os.WIFSIGNALED(status):
        return _ended(root, status, lost_decoder, tally)
    tally.killed["the builder"] += 1
    tally.stages[len(manifests.read(root).segments) if manifests.exists(root) else -1] += 1
    return False


def _ended(root: Path, status: int, lost_decoder: bool, tally: Kills) -> bool:
    """Return whether a build did all; one whose decode process died before it listened may say so and end, to be run again."""
    if lost_decoder and "decode workers cannot be started" in _told(root).read_text(encoding="utf-8"):
        tally.gave_up += 1
        return False
    _judge(root, status, tally)
    return True


def _build_whole(videos: Path, root: Path, tally: Kills) -> float:
    """Run the command to its end; return the seconds it took."""
    started = time.monotonic()
    _, status = os.waitpid(_start(videos, root, tally), 0)
    _judge(root, status, tally)
    return time.monotonic() - started


def _start(videos: Path, root: Path, tally: Kills) -> int:
    tally.builds += 1
    child = os.fork()
    if child:
        return child
    code = CRASHED
    try:
        silence = os.open(os.devnull, os.O_RDWR)
        told = os.open(_told(root), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        for stream, target in enumerate((silence, silence, told)):
            os.dup2(target, stream)
        sys.argv = ["vidsearch", "index", str(videos), "--out", str(root), "--model", MODEL, "--split", "none", "--workers", "1"]
        main()
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else CRASHED
    finally:
        os._exit(code)


def _kill_decoder(builder: int, rng: random.Random) -> bool:
    with suppress(psutil.NoSuchProcess, IndexError):
        rng.choice(psutil.Process(builder).children()).kill()
        return True
    return False


def _check(root: Path, tally: Kills) -> None:
    """An index is whole at any time, as soon as there is one."""
    if manifests.exists(root):
        tally.violations += [f"{root.name}: {fault.detail}" for fault in verify(root).faults]


def _judge(root: Path, status: int, tally: Kills) -> None:
    """A build that was not killed ends well, and every clip is there once, and pending none."""
    if os.waitstatus_to_exitcode(status):
        told = _told(root).read_text(encoding="utf-8")[-300:]
        tally.violations.append(f"{root.name}: the build ended with {os.waitstatus_to_exitcode(status)}: {told}")
        return
    report = verify(root)
    tally.indexes += 1
    tally.violations += [f"{root.name}: {fault.detail}" for fault in report.faults]
    if (report.indexed, report.pending, report.quarantined) != (VIDEOS, 0, 0):
        tally.violations.append(f"{root.name}: {json.dumps(report.to_json())}")


def _told(root: Path) -> Path:
    """Return where the standard error of builds of an index goes."""
    return root.with_suffix(".told")


def _write_videos(folder: Path) -> Path:
    folder.mkdir(parents=True)
    for number in range(VIDEOS):
        write_video(folder / f"v{number}.mp4", frames=FRAMES, width=64, height=64)
    return folder

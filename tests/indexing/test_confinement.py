"""Whatever a video makes of the process that decodes it, that ends in time, with a reason, and costs no other video."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from indexer import _worker, workers
from indexer.workers import ClipPixels, DecodePool, JobDone
from tests.support.decoding import double, pretend, run

TIMEOUT_S = 2.0
CLIP_S = 0.4  # so that silence shows well before a video's whole time is over
DEADLINE_S = TIMEOUT_S + 4 * CLIP_S  # for a whole video of four clips
SILENT = ("DECODER_TIMEOUT", "no sign of progress for 2 s")
LASTING = ("DECODER_TIMEOUT", "not done after 4 s")
NONSENSE = ("DECODER_CRASH", "the decode process talked nonsense")
ENDS = {
    "hang": SILENT,
    "sleep-survey": SILENT,
    "spin": LASTING,
    "chatter": LASTING,
    "crash": ("DECODER_CRASH", "the decode process ended, killed by SIGSEGV,"),
    "leave": ("DECODER_CRASH", "the decode process ended, with exit status 0,"),
    "die": ("DECODER_OOM", "the decode process was killed from outside, as happens when the machine runs out of memory,"),
    "babble": NONSENSE,
    "lie": NONSENSE,
    "flood": NONSENSE,
    "boast-survey": NONSENSE,
}


@pytest.fixture(scope="module")
def pool() -> Iterator[DecodePool]:
    """One worker for all tests in which none dies."""
    with double() as pool:
        yield pool


@pytest.fixture(autouse=True)
def no_process_is_left(pool: DecodePool) -> Iterator[None]:
    before = psutil.Process().children(recursive=True)
    yield
    assert set(psutil.Process().children(recursive=True)) <= set(before)  # a zombie would be among them


def test_bad_conduct_ends_in_time_with_its_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "ATTEMPTS", 1)
    monkeypatch.setattr(_worker, "SLOWEST_CLIP_S", CLIP_S)
    jobs = pretend(tmp_path, *[name for bad in ENDS for name in (bad, "good")])
    jobs = [replace(job, spans=(), split="window:1s") if "survey" in job.path.name else job for job in jobs]
    memory = psutil.Process().memory_info().rss
    with double(workers=2, timeout_s=TIMEOUT_S) as pool:
        outcome = run(pool, jobs)
    for number, name in enumerate(ENDS):
        done = outcome.done[2 * number]
        assert (done.reason, done.detail) == (ENDS[name][0], f"{ENDS[name][1]} in {name}.mp4")
        if "survey" not in name:
            assert outcome.done_at[2 * number] - outcome.last_clip_at[2 * number] < DEADLINE_S + 2
    good = range(1, len(jobs), 2)
    assert {place: value for place, value in outcome.clips.items() if place[0] % 2} == {
        (job, clip): clip for job in good for clip in range(4)
    }
    assert all(outcome.done[job].reason == "" for job in good)
    assert psutil.Process().memory_info().rss - memory < 30e6


def test_processor_time_is_bounded_while_the_caller_is_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "ATTEMPTS", 1)
    monkeypatch.setattr(_worker, "SLOWEST_CLIP_S", 0.1)
    with double(timeout_s=1.0) as pool, closing(pool.run(pretend(tmp_path, "spin"))) as results:
        clips = (result for result in results if isinstance(result, ClipPixels))
        assert [next(clips).index, next(clips).index] == [0, 1]
        worker = psutil.Process(pool._workers[0].process.pid)
        gone_by = time.monotonic() + 20
        while worker.status() != psutil.STATUS_ZOMBIE and time.monotonic() < gone_by:
            sum(range(1000))
        (done,) = (result for result in results if isinstance(result, JobDone))
    assert (done.reason, done.detail) == ("DECODER_TIMEOUT", "more than 1 s of processor time in spin.mp4")


def test_memory_is_bounded(pool: DecodePool, tmp_path: Path) -> None:
    outcome = run(pool, pretend(tmp_path, "eat", "good"))
    assert outcome.done[0].reason == "DECODER_OOM"
    assert outcome.done[1].reason == ""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_worker_may_do_little(pool: DecodePool, tmp_path: Path) -> None:
    run(pool, pretend(tmp_path, "good"))
    proc = Path(f"/proc/{pool._workers[0].process.pid}")
    limits = {line[:26].strip(): line[26:].split()[:2] for line in (proc / "limits").read_text().splitlines()}
    assert limits["Max address space"] == [str(4 << 30)] * 2
    assert limits["Max file size"] == limits["Max core file size"] == ["0", "0"]
    assert limits["Max open files"] == ["64", "64"]
    assert 20 < int(limits["Max cpu time"][0]) < 30  # what it has used, and what a video of four clips may use
    assert "NoNewPrivs:\t1" in (proc / "status").read_text()


def test_a_worker_writes_no_file(pool: DecodePool, tmp_path: Path) -> None:
    outcome = run(pool, pretend(tmp_path, "write"))
    assert outcome.done[0].reason == "DECODE_ERROR"
    assert (tmp_path / "write.written").stat().st_size == 0


def test_an_error_in_a_decoder_is_one_line(pool: DecodePool, tmp_path: Path) -> None:
    outcome = run(pool, pretend(tmp_path, "raise"))
    assert outcome.done[0].detail == "ZeroDivisionError: a bug\\x0ain two lines"


def test_workers_load_a_decoder_and_numpy_only(pool: DecodePool, tmp_path: Path) -> None:
    outcome = run(pool, pretend(tmp_path, "modules"))
    heavy, _, count = outcome.done[0].detail.partition("of")
    assert heavy.strip() == ""
    assert int(count) < 500


SCRIPT = """
import sys
from pathlib import Path
from indexer.workers import ClipPixels, DecodePool, VideoJob
from vidsearch.config import Preset
from vidsearch.decoders.base import Span

with DecodePool(Preset("test", size=16, frames=4), workers=2, decoder="tests.support.misbehaving") as pool:
    spans = (Span(1, 2), Span(2, 3))
    started = set()
    for result in pool.run(VideoJob(number, Path(f"{name}.mp4"), spans) for number, name in enumerate(["hang", "sleep"])):
        if isinstance(result, ClipPixels):
            started.add(result.job_id)
        if len(started) == 2:
            print(*[worker.process.pid for worker in pool._workers], flush=True)
"""


def start_script() -> tuple[subprocess.Popen[str], list[psutil.Process]]:
    """Start a program whose two workers never end by themselves, one with the interpreter's lock held; return it with its workers."""
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        cwd=Path(__file__).parents[2],
    )
    assert process.stdout is not None
    return process, [psutil.Process(int(number)) for number in process.stdout.readline().split()]


def test_ctrl_c_ends_everything_without_a_word_from_the_workers() -> None:
    process, children = start_script()
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=20)
    assert errors.count("Traceback") == 1  # the parent's own
    assert errors.rstrip().endswith("KeyboardInterrupt")
    assert "decode_worker" not in errors
    assert psutil.wait_procs(children, timeout=5)[1] == []


@pytest.mark.skipif(sys.platform != "linux", reason="nothing inside a process that holds the interpreter's lock for ever could end it")
def test_workers_end_when_their_parent_is_killed() -> None:
    process, children = start_script()
    process.kill()
    process.communicate(timeout=20)
    left = psutil.wait_procs(children, timeout=5)[1]
    for child in left:
        child.kill()
    assert left == []

"""Decode processes: every clip comes once or fails once, whatever a video does to the process that reads it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import psutil
import pytest

from indexer import workers
from indexer.workers import ClipFailure, ClipPixels, DecodePool, JobDone, VideoJob
from tests.support.videos import RECIPES
from vidsearch.config import Preset
from vidsearch.decoders.base import Span
from vidsearch.decoders.pyav import open_decoder
from vidsearch.errors import UsageError, VidsearchError
from vidsearch.resize import resize_frames
from vidsearch.sampling import choose_frames

PRESET = Preset("test", size=16, frames=4)
DOUBLE = "tests.support.misbehaving"
FOUR = tuple(Span(float(second), second + 1.0) for second in range(4))


class Outcome:
    """What a run said about each job, clip by clip."""

    def __init__(self) -> None:
        self.clips: dict[tuple[int, int], int] = {}  # what the pixels show
        self.failures: dict[tuple[int, int], str] = {}
        self.done: dict[int, JobDone] = {}


def run(pool: DecodePool, jobs: Iterable[VideoJob]) -> Outcome:
    """Run jobs to their end; see that nothing is said twice, or after the last word."""
    outcome = Outcome()
    for result in pool.run(jobs):
        if result is None:
            continue
        assert result.job_id not in outcome.done
        if isinstance(result, JobDone):
            outcome.done[result.job_id] = result
            continue
        place = result.job_id, result.index
        assert place not in outcome.clips
        assert place not in outcome.failures
        if isinstance(result, ClipPixels):
            assert result.pixels.shape == (4, 16, 16, 3)
            outcome.clips[place] = int(result.pixels.mean())
        else:
            outcome.failures[place] = result.reason
    return outcome


def pretend(tmp_path: Path, *names: str) -> list[VideoJob]:
    return [VideoJob(number, tmp_path / f"{name}.mp4", FOUR) for number, name in enumerate(names)]


def double(**settings: float) -> DecodePool:
    return DecodePool(PRESET, **{"workers": 1, "decoder": DOUBLE, "slots": 4, "timeout_s": 20.0, **settings})  # type: ignore[arg-type]


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


def test_pixels_are_those_of_the_decoder_resized(tmp_path: Path) -> None:
    preset = Preset("test", size=48, frames=4)
    path = RECIPES["h264"].write(tmp_path / "video.mp4")
    spans = (Span(0.0, 1.0), Span(0.5, 1.5), Span(5.0, 6.0), Span(1.5, 9.0))
    direct = {
        clip.index: clip
        for clip in open_decoder().read_clips(
            path, spans, choose=lambda n: choose_frames(n, preset), transform=lambda frame: resize_frames(frame, preset)
        )
    }
    seen = set()
    with DecodePool(preset, workers=1) as pool:
        for result in pool.run([VideoJob(7, path, spans)]):
            if isinstance(result, ClipPixels):
                true = direct[result.index]
                np.testing.assert_array_equal(result.pixels, true.frames)
                assert (result.times_s, result.end_s) == (true.times_s, true.end_s)
            elif isinstance(result, ClipFailure):
                assert (result.index, result.reason) == (2, "SPAN_PAST_END")
            elif isinstance(result, JobDone):
                assert (result.job_id, result.reason, result.attempts) == (7, "", 1)
                assert 0 < result.decode_s < 10
            if isinstance(result, ClipPixels | ClipFailure):
                seen.add(result.index)
    assert seen == {0, 1, 2, 3}


def test_many_videos_over_two_workers_all_come_once(tmp_path: Path) -> None:
    jobs = pretend(tmp_path, *["good"] * 60)
    with double(workers=2) as pool:
        outcome = run(pool, jobs)
    assert outcome.clips == {(job, index): index for job in range(60) for index in range(4)}
    assert sorted(outcome.done) == list(range(60))


def test_jobs_are_taken_only_a_few_ahead(pool: DecodePool, tmp_path: Path) -> None:
    taken = finished = 0

    def feed() -> Iterator[VideoJob]:
        nonlocal taken
        for job in pretend(tmp_path, *["good"] * 30):
            taken += 1
            yield job

    for result in pool.run(feed()):
        finished += isinstance(result, JobDone)
        assert taken - finished <= workers.JOBS_AHEAD
    assert finished == 30


def test_no_jobs_are_no_results(pool: DecodePool) -> None:
    assert list(pool.run([])) == []


def test_a_job_without_spans_is_done_at_once(pool: DecodePool, tmp_path: Path) -> None:
    outcome = run(pool, [VideoJob(3, tmp_path / "good.mp4", ())])
    assert outcome.done[3].reason == ""


def test_a_video_that_kills_its_worker_is_tried_once_more_and_costs_no_other(tmp_path: Path) -> None:
    with double(workers=2) as pool:
        outcome = run(pool, pretend(tmp_path, "good", "crash", "good"))
    assert (outcome.done[1].reason, outcome.done[1].attempts) == ("DECODER_CRASH", 2)
    assert "SIGSEGV in crash.mp4" in outcome.done[1].detail.replace(",", "")
    assert outcome.clips == {(job, index): index for job in range(3) for index in range(4 if job != 1 else 2)}


def test_a_worker_that_leaves_or_talks_nonsense_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "ATTEMPTS", 1)
    with double() as pool:
        outcome = run(pool, pretend(tmp_path, "leave", "babble", "lie", "flood", "good"))
    assert [outcome.done[number].reason for number in range(5)] == ["DECODER_CRASH"] * 4 + [""]
    assert "exit status 0" in outcome.done[0].detail
    assert outcome.clips == {(job, index): index for job in range(5) for index in range(2 if job < 4 else 4)}


def test_a_video_that_hangs_with_the_lock_held_is_killed_in_time(tmp_path: Path) -> None:
    started = time.monotonic()
    with double(workers=2, timeout_s=1.5) as pool:
        results = list(pool.run(pretend(tmp_path, "hang", "good", "good"), idle_s=0.02))
    assert time.monotonic() - started < 2 * 1.5 + 20  # and what starting processes takes on a busy machine
    done = {result.job_id: result for result in results if isinstance(result, JobDone)}
    assert (done[0].reason, done[0].attempts, done[1].reason, done[2].reason) == ("DECODER_TIMEOUT", 2, "", "")
    assert sum(isinstance(result, ClipPixels) for result in results) == 2 + 8
    assert results.count(None) > 5  # nothing came for a while, and the caller was told


def test_a_clip_delivered_before_a_crash_is_not_delivered_again(tmp_path: Path) -> None:
    with double() as pool:
        outcome = run(pool, pretend(tmp_path, "crashonce", "good"))
    assert outcome.clips == {(job, index): index for job in range(2) for index in range(4)}
    assert (outcome.done[0].reason, outcome.done[0].attempts) == ("", 2)


def test_memory_is_bounded(pool: DecodePool, tmp_path: Path) -> None:
    outcome = run(pool, pretend(tmp_path, "eat", "good"))
    assert outcome.done[0].reason == "DECODER_OOM"
    assert outcome.done[1].reason == ""


def test_a_worker_writes_no_file(pool: DecodePool, tmp_path: Path) -> None:
    outcome = run(pool, pretend(tmp_path, "write"))
    assert outcome.done[0].reason == "DECODE_ERROR"
    assert (tmp_path / "write.written").stat().st_size == 0


def test_an_error_in_a_decoder_is_one_line(pool: DecodePool, tmp_path: Path) -> None:
    outcome = run(pool, pretend(tmp_path, "raise"))
    assert outcome.done[0].detail == "ZeroDivisionError: a bug\\x0ain two lines"


def test_a_clip_that_a_decoder_forgets_has_failed(pool: DecodePool, tmp_path: Path) -> None:
    outcome = run(pool, pretend(tmp_path, "silent"))
    assert outcome.failures == dict.fromkeys([(0, index) for index in range(4)], "DECODE_ERROR")
    assert outcome.done[0].reason == ""


def test_a_bad_file_is_the_reason_of_its_job(tmp_path: Path) -> None:
    (tmp_path / "empty.mp4").write_bytes(b"")
    good = RECIPES["vp9"].write(tmp_path / "video.webm")
    jobs = [VideoJob(number, path, (Span(),)) for number, path in enumerate([tmp_path / "empty.mp4", good, tmp_path / "none.mp4"])]
    with DecodePool(PRESET, workers=2) as pool:
        outcome = run(pool, jobs)
    assert [outcome.done[number].reason for number in range(3)] == ["EMPTY", "", "NOT_FOUND"]
    assert set(outcome.clips) == {(1, 0)}


def test_workers_load_a_decoder_and_numpy_only(pool: DecodePool, tmp_path: Path) -> None:
    outcome = run(pool, pretend(tmp_path, "modules"))
    heavy, _, count = outcome.done[0].detail.partition("of")
    assert heavy.strip() == ""
    assert int(count) < 500


def test_workers_are_replaced_after_a_number_of_videos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "VIDEOS_PER_WORKER", 3)
    with double() as pool:
        outcome = run(pool, pretend(tmp_path, *["process"] * 7))
    processes = [done.detail for _, done in sorted(outcome.done.items())]
    assert [processes.count(process) for process in dict.fromkeys(processes)] == [3, 3, 1]


def test_a_slow_caller_is_not_taken_for_a_hanging_worker(tmp_path: Path) -> None:
    """With two slots the worker waits for the caller most of the time, longer than its own time-out."""
    done = []
    with double(timeout_s=1.0, slots=2) as pool, closing(pool.run([VideoJob(0, tmp_path / "good.mp4", FOUR[:3])])) as results:
        for result in results:
            if isinstance(result, ClipPixels):
                busy_until = time.monotonic() + 1.1
                while time.monotonic() < busy_until:
                    sum(range(1000))
            elif isinstance(result, JobDone):
                done.append((result.reason, result.attempts))
    assert done == [("", 1)]


def test_a_run_that_is_broken_off_leaves_a_pool_that_works(tmp_path: Path) -> None:
    with double(workers=2) as pool:
        with closing(pool.run(pretend(tmp_path, *["good"] * 20))) as results:
            assert isinstance(next(result for result in results if result is not None), ClipPixels)
        outcome = run(pool, pretend(tmp_path, "good", "good"))
    assert len(outcome.clips) == 8


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"decoder": "pyaw"}, "unknown decoder 'pyaw'; choose from decord, pyav"), ({"workers": 0}, "at least 1 is needed")],
)
def test_impossible_settings_are_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        DecodePool(PRESET, **{"workers": 1, **settings})  # type: ignore[arg-type]


def test_a_decoder_that_cannot_be_loaded_is_one_line(tmp_path: Path) -> None:
    with DecodePool(PRESET, workers=1, decoder="tests.support.absent") as pool, pytest.raises(VidsearchError, match="cannot be loaded"):
        run(pool, pretend(tmp_path, "good"))


SCRIPT = """
import sys
from pathlib import Path
from indexer.workers import ClipPixels, DecodePool, VideoJob
from vidsearch.config import Preset
from vidsearch.decoders.base import Span

with DecodePool(Preset("test", size=16, frames=4), workers=2, decoder="tests.support.misbehaving") as pool:
    spans = (Span(1, 2), Span(2, 3))
    jobs = [VideoJob(number, Path(f"{{name}}-{{number}}.mp4"), spans) for number, name in enumerate(["{conduct}", "good", "good"])]
    for result in pool.run(jobs):
        if isinstance(result, ClipPixels) and result.job_id == 0:
            print(*[worker.process.pid for worker in pool._workers], flush=True)
"""


def start_script(conduct: str) -> tuple[subprocess.Popen[str], list[psutil.Process]]:
    """Start a program one of whose workers never ends by itself; return it with its workers."""
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT.format(conduct=conduct)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        cwd=Path(__file__).parents[2],
    )
    assert process.stdout is not None
    return process, [psutil.Process(int(number)) for number in process.stdout.readline().split()]


def test_ctrl_c_ends_everything_without_a_word_from_the_workers() -> None:
    process, children = start_script("hang")
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=20)
    assert errors.count("Traceback") == 1  # the parent's own
    assert errors.rstrip().endswith("KeyboardInterrupt")
    assert "decode_worker" not in errors
    assert psutil.wait_procs(children, timeout=5)[1] == []


def test_workers_end_when_their_parent_is_killed() -> None:
    """All but one that holds the interpreter's lock for ever, which nothing inside its own process could end."""
    process, children = start_script("sleep")
    process.kill()
    process.communicate(timeout=20)
    left = psutil.wait_procs(children, timeout=5)[1]
    for child in left:
        child.kill()
    assert left == []

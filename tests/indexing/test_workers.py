"""Decode processes: every clip comes once or fails once."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pytest

from indexer import workers
from indexer.workers import ClipFailure, ClipPixels, DecodePool, JobDone, VideoJob
from tests.support.decoding import FOUR, PRESET, double, pretend, run
from tests.support.videos import RECIPES
from vidsearch.config import Preset
from vidsearch.decoders.base import Span
from vidsearch.decoders.pyav import open_decoder
from vidsearch.errors import UsageError, VidsearchError
from vidsearch.resize import resize_frames
from vidsearch.sampling import choose_frames


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


@pytest.mark.parametrize(("clips", "ahead"), [(4, 2), (2, 2), (1, 4)])
def test_jobs_are_taken_only_far_enough_ahead_to_fill_the_slots(pool: DecodePool, tmp_path: Path, clips: int, ahead: int) -> None:
    taken = finished = most = 0

    def feed() -> Iterator[VideoJob]:
        nonlocal taken
        for job in pretend(tmp_path, *["good"] * 30):
            taken += 1
            yield replace(job, spans=FOUR[:clips])

    for result in pool.run(feed()):
        finished += isinstance(result, JobDone)
        most = max(most, taken - finished)
    assert finished == 30
    assert ahead <= most <= ahead + 1  # one whose clips have all come is not done yet


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


def test_a_clip_delivered_before_a_crash_is_not_delivered_again(tmp_path: Path) -> None:
    with double() as pool:
        outcome = run(pool, pretend(tmp_path, "crashonce", "good"))
    assert outcome.clips == {(job, index): index for job in range(2) for index in range(4)}
    assert (outcome.done[0].reason, outcome.done[0].attempts) == ("", 2)


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


def test_an_uncut_video_is_cut_and_its_clips_come(pool: DecodePool, tmp_path: Path) -> None:
    outcome = run(pool, [VideoJob(0, tmp_path / "good.mp4", split="window:1s"), VideoJob(1, tmp_path / "good.mp4", split="none")])
    assert outcome.spans == {0: FOUR, 1: (Span(),)}
    assert outcome.clips == {**{(0, index): index for index in range(4)}, (1, 0): 0}
    assert [outcome.done[number].reason for number in range(2)] == ["", ""]


def test_clips_that_the_caller_knows_are_not_decoded(pool: DecodePool, tmp_path: Path) -> None:
    asked: list[Sequence[Span]] = []

    def skip(spans: Sequence[Span]) -> set[int]:
        asked.append(spans)
        return {0, 2}

    jobs = [VideoJob(0, tmp_path / "good.mp4", split="window:1s", skip=skip)]
    all_known = VideoJob(1, tmp_path / "good.mp4", split="window:1s", skip=lambda spans: range(len(spans)))
    outcome = run(pool, [*jobs, all_known])
    assert asked == [FOUR]
    assert outcome.clips == {(0, 1): 1, (0, 3): 3}
    assert [outcome.done[number].reason for number in range(2)] == ["", ""]


def test_what_was_found_before_a_crash_is_not_looked_for_again(tmp_path: Path) -> None:
    """And a video that crashes while it is cut is cut by the next worker."""
    jobs = [VideoJob(number, tmp_path / f"{name}.mp4", split="window:1s") for number, name in enumerate(["crashonce", "crashonce-survey"])]
    with double() as pool:
        outcome = run(pool, jobs)
    assert outcome.spans == {0: FOUR, 1: FOUR}
    assert outcome.clips == {(job, index): index for job in range(2) for index in range(4)}
    assert [(outcome.done[number].reason, outcome.done[number].attempts) for number in range(2)] == [("", 2), ("", 2)]


def test_a_decoder_that_cannot_look_over_videos_says_so_once(tmp_path: Path) -> None:
    with double() as pool, pytest.raises(VidsearchError, match="decoder misbehaving cannot cut videos into shots; choose --decoder pyav"):
        run(pool, [VideoJob(0, tmp_path / "good.mp4", split="scenes")])


def test_shots_of_a_real_video_are_found_within_the_limits_of_a_worker(tmp_path: Path) -> None:
    path = RECIPES["h264"].write(tmp_path / "video.mp4")
    (tmp_path / "text.mp4").write_text("no video")
    jobs = [VideoJob(number, name, split="scenes") for number, name in enumerate([path, tmp_path / "text.mp4"])]
    with DecodePool(PRESET, workers=1) as pool:
        outcome = run(pool, jobs)
        memory = psutil.Process(pool._workers[0].process.pid).memory_info().rss
    assert outcome.spans[0][-1].end_s == 2.0
    assert set(outcome.clips) == {(0, number) for number in range(len(outcome.spans[0]))}
    assert [outcome.done[number].reason for number in range(2)] == ["", "OPEN_FAILED"]
    assert memory < 160e6


def test_the_queue_is_told(tmp_path: Path) -> None:
    spans = tuple(Span(float(second), second + 1.0) for second in range(20))
    with double(slots=8) as pool, closing(pool.run([VideoJob(0, tmp_path / "good.mp4", spans)])) as results:
        assert (pool.queued, pool.slots) == (0, 8)
        assert isinstance(next(result for result in results if result is not None), ClipPixels)
        assert pool.idle_s > 0
        until = time.monotonic() + 10
        while pool.queued < 7 and time.monotonic() < until:
            sum(range(1000))
        assert pool.queued == 7  # the eighth is being read
        list(results)
        assert pool.queued == 0

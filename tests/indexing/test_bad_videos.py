"""The corpus of bad and odd files, through the real decode processes: no hang, no crash, no wrong frame, every clip accounted for."""

from __future__ import annotations

import os
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from urllib.error import URLError

import psutil
import pytest

from indexer.workers import JobDone
from tests.support import bad_videos
from tests.support.bad_corpus import CORPUS, ENCODED, odd
from tests.support.bad_videos import PRESET, Outcome
from tests.support.canary import Canary
from vidsearch.decoders._files import check_file
from vidsearch.errors import DecodeError
from vidsearch.sampling import choose_frames

FORBIDDEN = ("DECODER_CRASH", "DECODER_TIMEOUT", "DECODER_OOM", "CHANGED_DURING_READ")


@pytest.fixture(scope="module")
def canary(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Canary]:
    with Canary(tmp_path_factory.mktemp("corpus") / "canary") as canary:
        yield canary


@pytest.fixture(scope="module")
def touched() -> list[bool]:
    return []


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory, canary: Canary, touched: list[bool]) -> dict[str, Outcome]:
    before = set(psutil.Process().children(recursive=True))
    outcomes = bad_videos.run(tmp_path_factory.mktemp("files"), canary)
    touched.append(canary.touched())
    assert set(psutil.Process().children(recursive=True)) <= before
    return outcomes


@pytest.mark.parametrize("name", CORPUS)
def test_a_file_gives_its_own_frames_or_a_reason(outcomes: dict[str, Outcome], name: str) -> None:
    outcome = outcomes[name]
    assert outcome.wrong() == []
    assert outcome.done is not None
    assert outcome.done.attempts == 1  # no worker died of it
    assert not set(outcome.refused.values()) & set(FORBIDDEN)


def test_no_script_opens_another_file_or_address(outcomes: dict[str, Outcome], touched: list[bool]) -> None:
    assert len(outcomes) == len(CORPUS) >= 100
    assert touched == [False]


def test_the_canary_sees_who_touches_it(tmp_path: Path) -> None:
    with Canary(tmp_path / "canary") as canary:
        assert not canary.touched()
        if Path("/proc/sys/fs/inotify").is_dir():
            (canary.folder / "target.ts").read_bytes()
            assert canary.touched()
        with pytest.raises((URLError, OSError)):
            urllib.request.urlopen(canary.url, timeout=0.2)
        assert canary.touched()
        assert not canary.touched()


def as_it_should_be() -> Outcome:
    outcome = Outcome(odd("", lambda place: place.file(), ENCODED))
    for index, span in enumerate(outcome.entry.spans):
        inside = outcome.entry.between(span)
        if inside:
            wanted = [inside[position] for position in choose_frames(len(inside), PRESET)]
            outcome.clips[index] = (wanted, tuple(ENCODED[number] for number in wanted))
        else:
            outcome.refused[index] = "SPAN_PAST_END"
    outcome.account(JobDone(0))
    return outcome


@pytest.mark.parametrize(
    ("numbers", "times_s", "problem"),
    [
        ([6, 18, 31, 43], (0.24, 0.72, 1.24, 1.72), "frames [6, 18, 31, 43] instead of [5, 18, 30, 43]"),
        ([6, 18, 31, 43], (0.16, 0.72, 1.24, 1.72), "frame 6 is given for 0.160 s"),
        ([6, 18, 31, 60], (0.24, 0.72, 1.24, 1.72), "frame 60 is given for 1.720 s"),
    ],
)
def test_the_judge_knows_a_wrong_frame(numbers: list[int], times_s: tuple[float, ...], problem: str) -> None:
    outcome = as_it_should_be()
    assert outcome.wrong() == []
    outcome.clips[0] = (numbers, times_s)
    assert f"clip 0: {problem}" in outcome.wrong()


def test_the_judge_misses_a_clip_and_sees_one_that_cannot_be() -> None:
    outcome = as_it_should_be()
    del outcome.clips[0]
    assert outcome.wrong() == ["clips [1, 2, 3, 4] of 5", "clip 0 did not come"]
    outcome = as_it_should_be()
    outcome.clips[4] = outcome.clips[0]
    del outcome.refused[4]
    assert len(outcome.wrong()) == 1
    outcome = as_it_should_be()
    outcome.refused[4] = "DECODER_TIMEOUT"
    assert outcome.wrong() == ["clip 4 was refused as DECODER_TIMEOUT"]


def test_a_file_without_read_permission_is_a_reason(tmp_path: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may read every file")
    (tmp_path / "video.mp4").write_bytes(b"x")
    (tmp_path / "video.mp4").chmod(0)
    with pytest.raises(DecodeError, match="OPEN_FAILED"):
        check_file(tmp_path / "video.mp4")

"""Videos that nobody has described become clips that follow each other without gap or overlap, cut where shots begin."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from indexer import shots
from indexer.shots import Split, cut_at, cut_evenly, find_spans, parse_split
from tests.support.videos import X264, truncate, write_video
from vidsearch.decoders.base import Decoder, Frame, Span
from vidsearch.decoders.pyav import open_decoder
from vidsearch.errors import DecodeError, UsageError

CUTS_S = (1.2, 2.4, 4.4)
VPX = {"g": "50", "deadline": "realtime", "cpu-used": "8"}


@pytest.fixture(scope="module")
def decoder() -> Decoder:
    return open_decoder()


def four_shots(number: int, width: int, height: int) -> Frame:
    """Return a frame of 5.4 s at 25 frames a second: waves that travel, in another colour and direction after each cut."""
    shot = sum(number >= round(cut_s * 25) for cut_s in CUTS_S)
    tint = np.array([[255, 90, 60], [70, 200, 90], [60, 80, 255], [240, 230, 120]])[shot]
    y, x = np.mgrid[0:height, 0:width]
    wave = 0.6 + 0.4 * np.sin((x * np.cos(shot) + y * np.sin(shot) + number) / 9)
    return (wave[:, :, None] * tint).astype(np.uint8)


@pytest.mark.parametrize(
    ("text", "split"),
    [("scenes", Split("scenes")), ("none", Split("none")), ("window:5s", Split("window", 5.0)), ("window:2.5s", Split("window", 2.5))],
)
def test_ways_to_split_are_read(text: str, split: Split) -> None:
    assert parse_split(text) == split


@pytest.mark.parametrize(
    "text", ["", "scene", "window", "window:5", "window:0s", "window:-5s", "window:1e3s", "window:4000s", "window:nans"]
)
def test_other_ways_to_split_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match=f"cannot split by '{text}'; choose scenes, none, or a window of 0.5 to 3600 seconds such as"):
        parse_split(text)


@pytest.mark.parametrize(
    ("cuts_s", "end_s", "bounds"),
    [
        ([], 4.0, [0, 4]),
        ([], 10.0, [0, 10]),
        ([], 10.5, [0, 5.25, 10.5]),  # evenly, not 10 and a rest
        ([], 25.0, [0, 8.333, 16.666, 25]),
        ([3.0, 7.0], 9.0, [0, 3, 7, 9]),
        ([7.0, 3.0, 3.0], 9.0, [0, 3, 7, 9]),
        ([0.4, 3.0], 9.0, [0, 3, 9]),  # the first is too short
        ([3.0, 3.4, 3.8], 9.0, [0, 3, 3.8, 9]),
        ([3.0, 8.7], 9.0, [0, 3, 9]),  # the last is too short
        ([2.0], 30.0, [0, 2, 11.333, 20.666, 30]),
        ([1 / 3, 2 / 3], 1.5, [0, 0.666, 1.5]),  # downwards: the frame at a cut belongs to the new shot
        ([], 0.04, [0, 0.04]),
        ([-1.0, 0.0, 5.0, 9.0], 5.0, [0, 5]),  # times that a damaged file may hold
    ],
)
def test_shots_are_cut_and_divided(cuts_s: list[float], end_s: float, bounds: list[float]) -> None:
    assert cut_at(cuts_s, end_s) == [Span(start_s, stop_s) for start_s, stop_s in pairwise(bounds)]


@pytest.mark.parametrize(
    ("end_s", "window_s", "bounds"),
    [
        (15.0, 5.0, [0, 5, 10, 15]),
        (12.0, 5.0, [0, 5, 10, 12]),
        (10.4, 5.0, [0, 5, 10.4]),
        (0.3, 5.0, [0, 0.3]),
        (5.0, 2.5, [0, 2.5, 5]),
        (10.0004, 5.0, [0, 5, 10.001]),
    ],
)
def test_windows_have_one_length_but_the_last(end_s: float, window_s: float, bounds: list[float]) -> None:
    assert cut_evenly(end_s, window_s) == [Span(start_s, stop_s) for start_s, stop_s in pairwise(bounds)]


def check_cover(spans: list[Span], end_s: float) -> list[int]:
    """See that spans cover a video without gap or overlap; return their lengths, milliseconds."""
    assert spans[0].start_s == 0
    assert all(one.end_s == two.start_s for one, two in pairwise(spans))
    assert spans[-1].end_s is not None
    assert -2e-6 < spans[-1].end_s - end_s < 0.0011
    return [round((span.end_s or 0) * 1000) - round(span.start_s * 1000) for span in spans]


@given(st.lists(st.floats(-10, 400), max_size=40), st.floats(0.01, 300))
def test_parts_of_shots_cover_the_video(cuts_s: list[float], end_s: float) -> None:
    lengths = check_cover(cut_at(cuts_s, end_s), end_s)
    assert max(lengths) <= shots.LONGEST_S * 1000
    assert len(lengths) == 1 or min(lengths) >= shots.SHORTEST_S * 1000


@given(st.floats(0.5, 60), st.floats(0.01, 300))
def test_windows_cover_the_video(window_s: float, end_s: float) -> None:
    lengths = check_cover(cut_evenly(end_s, window_s), end_s)
    assert set(lengths[:-1]) <= {round(window_s * 1000)}
    assert lengths[-1] < round(window_s * 1000) + shots.SHORTEST_S * 1000


@pytest.mark.parametrize(
    ("suffix", "settings"),
    [
        (".mp4", {"codec": "libx264", "options": X264}),  # frames that no other refers to are not decoded
        (".webm", {"codec": "libvpx-vp9", "options": VPX}),
        (".avi", {"codec": "mpeg4", "options": {"bf": "2", "b": "2M"}}),  # known by number, not by time
    ],
)
def test_cuts_are_found_where_they_are(tmp_path: Path, decoder: Decoder, suffix: str, settings: dict[str, object]) -> None:
    path = write_video(tmp_path / f"video{suffix}", frames=135, picture_of=four_shots, **settings)  # type: ignore[arg-type]
    bounds = [span.start_s for span in find_spans(decoder, path, Split("scenes"))]
    np.testing.assert_allclose(bounds, [0, *CUTS_S], atol=0.0801)


def test_times_are_those_of_the_frames(tmp_path: Path, decoder: Decoder) -> None:
    """The second half runs at a third of the speed, and the clock starts at an hour."""
    times_s = [3600 + number / 25 + max(0, number - 70) * 0.08 for number in range(135)]
    path = write_video(tmp_path / "video.mkv", frames=135, picture_of=four_shots, options=X264, times_s=times_s)
    bounds = [span.start_s for span in find_spans(decoder, path, Split("scenes"))]
    np.testing.assert_allclose(bounds, [0, 1.2, 2.4, 4.4 + 40 * 0.08], atol=0.2401)


def test_a_picture_that_only_moves_is_one_shot(tmp_path: Path, decoder: Decoder) -> None:
    path = write_video(tmp_path / "video.mp4", frames=30, picture_of=four_shots, options=X264)
    assert find_spans(decoder, path, Split("scenes")) == [Span(0.0, 1.2)]


def test_windows_need_no_picture(tmp_path: Path, decoder: Decoder, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_video(tmp_path / "video.mp4", options=X264)
    monkeypatch.setattr(type(decoder), "read_thumbnails", None)
    assert find_spans(decoder, path, Split("window", 0.8)) == [Span(0.0, 0.8), Span(0.8, 2.0)]


@pytest.mark.parametrize("split", [Split("scenes"), Split("window", 0.5)])
def test_what_a_file_has_lost_is_a_clip_that_fails(tmp_path: Path, decoder: Decoder, split: Split) -> None:
    whole = write_video(tmp_path / "whole.mp4", options=X264, container_options={"movflags": "faststart"})
    spans = find_spans(decoder, truncate(whole, tmp_path / "half.mp4", 0.5), split)
    assert spans[-1].end_s is None
    assert spans[-1].start_s == spans[-2].end_s
    clips = {
        clip.index: clip.reason
        for clip in decoder.read_clips(tmp_path / "half.mp4", spans, choose=lambda n: [0], transform=lambda frame: frame)
    }
    assert clips == {**dict.fromkeys(range(len(spans) - 1), ""), len(spans) - 1: "SHORT_DECODE"}


def test_a_file_that_cannot_be_read_says_why(tmp_path: Path, decoder: Decoder) -> None:
    (tmp_path / "text.mp4").write_text("no video " * 100)
    with pytest.raises(DecodeError, match="OPEN_FAILED"):
        find_spans(decoder, tmp_path / "text.mp4", Split("scenes"))

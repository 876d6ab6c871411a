"""Every decoder returns the frames that were asked for, known by the number each of them shows, or says why it cannot."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support import videos
from tests.support.archives import write_tar
from tests.support.videos import RECIPES, Recipe, read_number
from vidsearch.config import Preset
from vidsearch.decoders.base import DecodedClip, Decoder, Span
from vidsearch.errors import DecodeError
from vidsearch.registry import names, plugin
from vidsearch.sampling import choose_frames

DECODERS = names("vidsearch.decoders")
PRESET = Preset("test", frames=4)

OTHER_FRAMES = "decord 0.6.0 returns other frames than those asked for"
NOT_OPENED = "decord 0.6.0 is not given this format, or cannot open it"
KNOWN_FAILURES = {
    ("decord", "h264 open gop"): OTHER_FRAMES,
    ("decord", "h264 intra refresh"): OTHER_FRAMES,
    ("decord", "hevc open gop"): OTHER_FRAMES,
    ("decord", "hevc temporal layers"): OTHER_FRAMES,
    ("decord", "mpeg4 mp4"): OTHER_FRAMES,
    ("decord", "fragmented mp4"): OTHER_FRAMES,
    ("decord", "av1"): "decord 0.6.0 has no AV1 decoder",
    ("decord", "mpeg4 avi"): "decord 0.6.0 makes nothing of the times of AVI with B frames",
    ("decord", "mpeg2 mpg"): NOT_OPENED,
    ("decord", "gif"): NOT_OPENED,
    ("decord", "flv"): NOT_OPENED,
    ("decord", "mpegts"): NOT_OPENED + ": it would hang for ever",
    ("decord", "start offset ts"): NOT_OPENED + ": it would hang for ever",
    ("decord", "mkv without cues"): NOT_OPENED,
}


def known(decoder: str, what: str) -> Sequence[pytest.MarkDecorator]:
    reason = KNOWN_FAILURES.get((decoder, what))
    return [pytest.mark.xfail(strict=True, reason=reason)] if reason else []


@pytest.fixture(scope="module", params=DECODERS)
def decoder(request: pytest.FixtureRequest) -> Decoder:
    return load(request.param)


def load(name: str) -> Decoder:
    decoder: Decoder = plugin("vidsearch.decoders", name).open_decoder()
    return decoder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("videos")


def make(folder: Path, name: str) -> Path:
    """Return a recipe's video, written once."""
    place = folder / name.replace(" ", "-")
    path = place / f"video{RECIPES[name].suffix}"
    if not path.exists():
        place.mkdir()
        RECIPES[name].write(path)
    return path


def read(decoder: Decoder, path: Path, spans: Sequence[Span]) -> list[DecodedClip]:
    """Return the clips of `spans`, in order."""
    found = decoder.read_clips(path, spans, choose=lambda n: choose_frames(n, PRESET), transform=lambda frame: frame)
    clips = sorted(found, key=lambda clip: clip.index)
    assert [clip.index for clip in clips] == list(range(len(spans)))
    return clips


def check(clip: DecodedClip, span: Span, recipe: Recipe) -> None:
    """Compare a clip with what the recipe put into the video."""
    length_s = recipe.times_s[-1] + 1 / videos.FPS
    inside = recipe.between(span.start_s, length_s if span.end_s is None else span.end_s)
    if not inside:
        assert (clip.frames, clip.reason in ("SPAN_EMPTY", "SPAN_PAST_END")) == (None, True)
        return
    wanted = [inside[position] for position in choose_frames(len(inside), PRESET)]
    assert clip.frames is not None, clip
    assert [read_number(frame) for frame in clip.frames] == wanted
    assert clip.times_s == pytest.approx([recipe.times_s[recipe.numbers.index(number)] for number in wanted], abs=1.1e-3)
    assert clip.end_s == pytest.approx(length_s if span.end_s is None else min(span.end_s, length_s), abs=0.011)


@pytest.mark.parametrize(
    ("decoder", "name"), [pytest.param(one, name, marks=known(one, name)) for one in DECODERS for name in RECIPES], indirect=["decoder"]
)
def test_returns_the_frames_that_were_asked_for(decoder: Decoder, folder: Path, name: str) -> None:
    recipe = RECIPES[name]
    length_s = recipe.times_s[-1] + 0.04
    shares = [(0.6, 1.0), (0.0, 0.5), (0.3, 0.7), (0.31, 0.33), (0.9, 1.4), (0.02, 0.98)]
    spans = [Span(), Span(0.0, 0.04), *(Span(start * length_s, end * length_s) for start, end in shares)]
    path = make(folder, name)
    for clip, span in zip(read(decoder, path, spans), spans, strict=True):
        check(clip, span, recipe)


@settings(max_examples=25, deadline=None, derandomize=True)
@given(
    name=st.sampled_from(["h264", "h264 one gop", "hevc closed gop", "vp9", "mkv", "variable rate", "cut inside a gop"]),
    shares=st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=6),
)
def test_overlapping_spans_in_any_order_each_get_their_own_frames(
    decoder: Decoder, folder: Path, name: str, shares: list[tuple[float, float]]
) -> None:
    recipe = RECIPES[name]
    length_s = recipe.times_s[-1] + 0.04
    spans = [Span(round(min(pair) * length_s, 3), round(max(pair) * length_s + 0.05, 3)) for pair in shares]
    for clip, span in zip(read(decoder, make(folder, name), spans), spans, strict=True):
        check(clip, span, recipe)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    name=st.sampled_from(["h264 open gop", "h264 intra refresh", "hevc open gop", "hevc temporal layers", "mpegts", "mpeg4 avi", "av1"]),
    shares=st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=6),
)
def test_pyav_gets_them_where_keyframes_are_no_clean_start(folder: Path, name: str, shares: list[tuple[float, float]]) -> None:
    recipe = RECIPES[name]
    length_s = recipe.times_s[-1] + 0.04
    spans = [Span(round(min(pair) * length_s, 3), round(max(pair) * length_s + 0.05, 3)) for pair in shares]
    for clip, span in zip(read(load("pyav"), make(folder, name), spans), spans, strict=True):
        check(clip, span, recipe)


def test_each_wanted_frame_is_transformed_once_and_alone(decoder: Decoder, folder: Path) -> None:
    seen: list[int] = []

    def shrink(frame: np.ndarray) -> np.ndarray:
        seen.append(read_number(frame))
        return frame[:8, :8].copy()

    spans = [Span(0.0, 1.0), Span(1.0, 1.1)]
    found = decoder.read_clips(make(folder, "h264"), spans, choose=lambda n: choose_frames(n, PRESET), transform=shrink)
    clips = sorted(found, key=lambda clip: clip.index)
    assert [clip.frames.shape for clip in clips if clip.frames is not None] == [(4, 8, 8, 3), (4, 8, 8, 3)]
    assert sorted(seen) == [2, 8, 14, 21, 25, 26, 27]  # the second clip has three frames, and its last one twice


@pytest.mark.parametrize(
    ("span", "reason"),
    [
        (Span(1.0, 0.5), "SPAN_EMPTY"),
        (Span(1.0, 1.0), "SPAN_EMPTY"),
        (Span(float("nan"), 1.0), "SPAN_EMPTY"),
        (Span(1.001, 1.002), "SPAN_EMPTY"),
        (Span(2.0, 3.0), "SPAN_PAST_END"),
        (Span(600.0, None), "SPAN_PAST_END"),
    ],
)
def test_a_span_without_frames_is_refused_alone(decoder: Decoder, folder: Path, span: Span, reason: str) -> None:
    refused, good = read(decoder, make(folder, "h264"), [span, Span(0.0, 1.0)])
    assert (refused.frames, refused.reason) == (None, reason)
    assert good.frames is not None


@pytest.mark.parametrize("name", ["h264", "mkv"])
def test_no_spans_are_no_clips(decoder: Decoder, folder: Path, name: str) -> None:
    assert read(decoder, make(folder, name), []) == []


# --- files that are no videos


def write_audio(path: Path) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=16_000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), dtype=np.float32), format="fltp", layout="mono")
        frame.sample_rate = 16_000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def write_without_moov(path: Path) -> None:
    videos.write_video(path, frames=10)
    data = path.read_bytes()
    path.write_bytes(data[: data.index(b"moov") - 4])


def write_script(path: Path) -> None:
    """A concatenation script that names a good video: FFmpeg would open that."""
    videos.write_video(path.with_name("target.mp4"), frames=10)
    path.write_text("ffconcat version 1.0\nfile target.mp4\n")


def write_playlist(path: Path) -> None:
    videos.write_video(path.with_name("target.ts"), frames=10)
    path.write_text("#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:0.4,\ntarget.ts\n#EXT-X-ENDLIST\n")


UNREADABLE = ("OPEN_FAILED", "FORMAT_NOT_ALLOWED", "NO_VIDEO_STREAM")
BAD_FILES = {
    "absent": (lambda path: None, ("NOT_FOUND",)),
    "empty": (lambda path: path.write_bytes(b""), ("EMPTY",)),
    "a folder": (lambda path: path.mkdir(), ("NOT_REGULAR_FILE",)),
    "a pipe": (os.mkfifo, ("NOT_REGULAR_FILE",)),
    "a device": (lambda path: path.symlink_to("/dev/zero"), ("NOT_REGULAR_FILE",)),
    "zeros": (lambda path: path.write_bytes(bytes(5000)), UNREADABLE),
    "text": (lambda path: path.write_text("this is not a video\n" * 50), UNREADABLE),
    "a web page": (lambda path: path.write_text("<html><body>404 not found</body></html>\n" * 9), UNREADABLE),
    "noise": (lambda path: path.write_bytes(np.random.default_rng(0).bytes(5000)), UNREADABLE),
    "no moov": (write_without_moov, UNREADABLE),
    "audio only": (write_audio, ("NO_VIDEO_STREAM",)),
    "a concatenation script": (write_script, ("FORMAT_NOT_ALLOWED",)),
    "a playlist": (write_playlist, UNREADABLE),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_a_bad_file_is_one_reason(decoder: Decoder, tmp_path: Path, name: str) -> None:
    write, reasons = BAD_FILES[name]
    path = tmp_path / "video.mp4"
    write(path)
    with pytest.raises(DecodeError) as caught:
        read(decoder, path, [Span(0.0, 1.0), Span()])
    assert caught.value.reason in reasons
    assert caught.value.detail


def test_a_member_of_an_archive_is_read_or_refused_in_a_word(decoder: Decoder, folder: Path, tmp_path: Path) -> None:
    path = write_tar(tmp_path / "a.tar", [("video.mp4", make(folder, "h264").read_bytes())]) / "video.mp4"
    with pytest.raises(DecodeError, match="NOT_FOUND"):
        read(decoder, path.with_name("no.mp4"), [Span()])
    if decoder.name == "decord":
        with pytest.raises(DecodeError, match="decord reads none in place"):
            read(decoder, path, [Span()])
        return
    for clip, span in zip(read(decoder, path, QUARTERS), QUARTERS, strict=True):
        check(clip, span, RECIPES["h264"])


# --- videos that are damaged


@pytest.fixture(scope="module")
def plain(folder: Path) -> Path:
    """Four closed GOPs of half a second in a file whose header comes first, as one for the web does."""
    options = {**videos.X264, "x264-params": "scenecut=0:keyint=12:min-keyint=12"}
    return videos.write_video(folder / "plain.mp4", frames=48, options=options, container_options={"movflags": "faststart"})


QUARTERS = [Span(number * 0.48, number * 0.48 + 0.48) for number in range(4)]


def outcome(decoder: Decoder, path: Path, spans: Sequence[Span]) -> list[DecodedClip | str]:
    """Return clips, or the reason of each that failed, alone or with its file."""
    try:
        return [clip if clip.frames is not None else clip.reason for clip in read(decoder, path, spans)]
    except DecodeError as error:
        return [error.reason] * len(spans)


@pytest.mark.parametrize("share", [0.9, 0.5, 0.1])
def test_a_truncated_video_gives_no_clip_past_its_end(decoder: Decoder, plain: Path, tmp_path: Path, share: float) -> None:
    path = videos.truncate(plain, tmp_path / "video.mp4", share)
    whole = read(decoder, plain, QUARTERS)
    found = outcome(decoder, path, [*QUARTERS, Span()])
    assert isinstance(found[3], str)
    assert isinstance(found[4], str)
    for clip, true in zip(found, whole, strict=False):
        if isinstance(clip, DecodedClip):
            np.testing.assert_array_equal(clip.frames, true.frames)
    assert all(result in ("SHORT_DECODE", "DECODE_ERROR", "OPEN_FAILED") for result in found if isinstance(result, str))


def test_damage_costs_the_clips_that_need_it_and_no_other(decoder: Decoder, plain: Path, tmp_path: Path) -> None:
    if decoder.name == "decord":
        pytest.xfail("decord 0.6.0 returns damaged frames as if they were sound")
    with av.open(str(plain)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
        hit = packets[13]  # the frame after the second keyframe
        start = (hit.pos or 0) / plain.stat().st_size
    path = videos.punch_hole(plain, tmp_path / "video.mp4", start=start + 1e-9, length=hit.size // 2)
    found, whole = outcome(decoder, path, QUARTERS), read(decoder, plain, QUARTERS)
    assert found[1] == "DECODE_ERROR"
    for number in (0, 2, 3):
        clip = found[number]
        assert isinstance(clip, DecodedClip)
        np.testing.assert_array_equal(clip.frames, whole[number].frames)

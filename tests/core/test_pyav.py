"""What the PyAV decoder promises beyond the contract: the same bits as a full decode, and care with what a file claims."""

from __future__ import annotations

import gc
from collections.abc import Callable, Sequence
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image, ImageOps

from tests.support import videos
from tests.support.videos import RECIPES, Frame, read_number
from vidsearch.config import Preset
from vidsearch.decoders import _pyav_gops as gops
from vidsearch.decoders import _pyav_source
from vidsearch.decoders._pyav_source import Source
from vidsearch.decoders.base import DecodedClip, Span, nothing
from vidsearch.decoders.pyav import open_decoder
from vidsearch.errors import DecodeError
from vidsearch.sampling import choose_frames

PRESET = Preset("test")
REAL_VIDEOS = Path(__file__).parents[2].parent / "shared" / "videos"


def read(path: Path, spans: Sequence[Span], alive: Callable[[], None] = nothing) -> list[DecodedClip]:
    """Return the clips of `spans`, in order."""
    found = open_decoder().read_clips(path, spans, choose=lambda n: choose_frames(n, PRESET), transform=lambda frame: frame, alive=alive)
    return sorted(found, key=lambda clip: clip.index)


def full_decode(path: Path, positions: Sequence[int] | None = None) -> list[Frame]:
    """Decode a video from its start, nothing skipped, and return its frames in order; with `positions`, of the middle ones only."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 1
        wanted = None if positions is None else set(positions)
        return [
            np.rot90(frame.to_ndarray(format="rgb24"), frame.rotation // 90)
            for number, frame in enumerate(container.decode(stream))
            if wanted is None or number in wanted
        ]


@pytest.fixture(scope="module")
def h264(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Fifty frames, a keyframe every twelve, its header at the front."""
    options = {**videos.X264, "x264-params": "scenecut=0:keyint=12:min-keyint=12"}
    path = tmp_path_factory.mktemp("h264") / "video.mp4"
    return videos.write_video(path, frames=50, options=options, container_options={"movflags": "faststart"})


@pytest.mark.parametrize("name", RECIPES)
def test_every_frame_is_identical_to_that_of_a_full_decode(tmp_path: Path, name: str) -> None:
    recipe = RECIPES[name]
    path = recipe.write(tmp_path / f"video{recipe.suffix}")
    length_s = recipe.times_s[-1] + 0.04
    spans = [Span(part * length_s / 6, (part + 1) * length_s / 6) for part in range(6)]
    whole = dict(zip(recipe.numbers, full_decode(path), strict=True))
    compared = 0
    for clip in read(path, spans):
        for frame in clip.frames if clip.frames is not None else ():
            np.testing.assert_array_equal(frame, whole[read_number(frame)])
            compared += 1
    assert compared >= min(len(whole), 40)


def test_overlapping_clips_share_one_pass_that_skips_what_no_frame_needs(h264: Path) -> None:
    spans = [Span(start, start + 1.0) for start in (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)]
    decoded = 0
    with Source(h264, nothing) as source:
        decode = source.decode

        def count(packet: av.Packet | None) -> list[av.VideoFrame] | None:
            nonlocal decoded
            frames = decode(packet)
            decoded += len(frames or ())
            return frames

        source.decode = count  # type: ignore[method-assign]  # counts, and changes nothing
        stretch = gops.scan(source, gops.Cover(0, None, ()))
        assert stretch is not None
        wanted = sorted({int(stretch.shown[int(span.start_s * 25) + middle]) for span in spans for middle in choose_frames(25, PRESET)})
        got = [position for position, outcome in gops.fetch(source, stretch, wanted, lambda frame: np.zeros(0, dtype=np.uint8))]
    assert sorted(got) == wanted
    assert decoded < 50


def test_an_intra_refresh_stream_is_read_from_a_keyframe_earlier(tmp_path: Path) -> None:
    """At the "keyframes" of such a stream the picture is whole only a GOP later, so the frames of the first attempt are missing."""
    path = RECIPES["h264 intra refresh"].write(tmp_path / "video.mp4")
    (clip,) = read(path, [Span(0.6, 0.7)])
    assert clip.frames is not None
    assert read_number(clip.frames[0]) == 15


def test_hidden_vp8_frames_are_not_counted(tmp_path: Path) -> None:
    """A VP8 packet may hold a picture that is only referred to; show_frame is bit 4 of its first byte (RFC 6386, 9.1)."""
    source = RECIPES["vp8"].write(tmp_path / "source.webm")
    with av.open(str(source)) as read_from, av.open(str(tmp_path / "video.webm"), "w") as write:
        stream = read_from.streams.video[0]
        copy = write.add_stream_from_template(stream)
        for number, packet in enumerate(packet for packet in read_from.demux(stream) if packet.size):
            data = bytearray(bytes(packet))
            data[0] &= ~0x10 if number in (3, 7, 20) else 0xFF
            changed = av.Packet(bytes(data))
            changed.pts, changed.dts, changed.time_base, changed.is_keyframe = packet.pts, packet.dts, packet.time_base, packet.is_keyframe
            changed.stream = copy
            write.mux(changed)
    (clip,) = read(tmp_path / "video.webm", [Span(0.0, 0.4)])
    assert clip.frames is not None
    assert [read_number(frame) for frame in clip.frames] == [0, 1, 2, 4, 5, 6, 8, 9]


@pytest.mark.parametrize(
    ("matrix", "turn"),
    [
        ((-1, 0, 0, 0, 1, 0, 0, 0), lambda picture: picture[:, ::-1]),
        ((1, 0, 0, 0, -1, 0, 0, 0), lambda picture: picture[::-1]),
        ((0, 1, 0, 1, 0, 0, 0, 0), lambda picture: picture.transpose(1, 0, 2)),
        ((0, -1, 0, -1, 0, 0, 0, 0), lambda picture: picture[::-1, ::-1].transpose(1, 0, 2)),
    ],
)
def test_mirrored_pictures_are_turned_as_their_matrix_says(tmp_path: Path, matrix: tuple[int, ...], turn: Callable[[Frame], Frame]) -> None:
    path = tmp_path / "video.mov"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("png", rate=25)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "rgb24"
        stream.set_display_matrix([value << 16 for value in matrix] + [1 << 30])
        container.mux(stream.encode(av.VideoFrame.from_ndarray(videos.numbered_frame(5, 96, 64), format="rgb24")))
        container.mux(stream.encode(None))
    (clip,) = read(path, [Span()])
    assert clip.frames is not None
    np.testing.assert_array_equal(clip.frames[0], turn(videos.numbered_frame(5, 96, 64)))


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_a_camera_s_turn_beside_exif_is_undone(tmp_path: Path, orientation: int) -> None:
    """PyAV cannot list a frame's side data where EXIF is among it."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(videos.numbered_frame(5, 96, 64)).save(tmp_path / "p.jpg", quality=95, subsampling=0, exif=exif)
    with av.open(str(tmp_path / "p.jpg"), format="jpeg_pipe") as read_from, av.open(str(tmp_path / "v.mkv"), "w") as write:
        copy = write.add_stream_from_template(read_from.streams.video[0])
        for packet in read_from.demux(video=0):
            if packet.size:
                packet.stream, packet.pts, packet.dts = copy, 0, 0
                write.mux(packet)
    (clip,) = read(tmp_path / "v.mkv", [Span()])
    assert clip.frames is not None
    with Image.open(tmp_path / "p.jpg") as picture:
        upright = np.asarray(ImageOps.exif_transpose(picture).convert("RGB")).astype(int)
    assert np.abs(clip.frames[0].astype(int) - upright).mean() < 5


def test_a_clip_that_outlasts_the_video_ends_with_it(h264: Path) -> None:
    (clip,) = read(h264, [Span(1.5, 7.0)])
    assert clip.end_s == pytest.approx(2.0)
    assert clip.times_s[-1] == pytest.approx(1.92)  # the middle of the last eighth


def test_a_video_cut_off_says_how_much_of_it_is_there(h264: Path, tmp_path: Path) -> None:
    path = videos.truncate(h264, tmp_path / "video.mp4", 0.6)
    early, late, whole = read(path, [Span(0.0, 0.4), Span(1.6, 1.9), Span()])
    assert early.frames is not None
    assert late.reason == whole.reason == "SHORT_DECODE"
    assert late.detail.endswith("of the 2.00 s that its header claims")


def test_sound_that_outlasts_the_picture_is_no_loss(tmp_path: Path) -> None:
    """Matroska gives one length for all streams; here it is that of the sound."""
    path = tmp_path / "video.mkv"
    with av.open(str(path), "w") as container:
        picture, sound = container.add_stream("mjpeg", rate=25), container.add_stream("pcm_s16le", rate=8000)
        picture.width, picture.height, picture.pix_fmt = 96, 64, "yuvj420p"
        for number in range(25):
            container.mux(picture.encode(av.VideoFrame.from_ndarray(videos.numbered_frame(number, 96, 64), format="rgb24")))
        samples = av.AudioFrame.from_ndarray(np.zeros((1, 16_000), dtype=np.int16), format="s16", layout="mono")
        samples.sample_rate = 8000
        container.mux(sound.encode(samples))
        for stream in (picture, sound):
            container.mux(stream.encode(None))
    (clip,) = read(path, [Span()])
    assert clip.end_s == pytest.approx(1.0, abs=0.05)
    half = videos.truncate(path, tmp_path / "half.mkv", 0.5)
    (clip,) = read(half, [Span()])
    assert clip.reason == "SHORT_DECODE"


def test_flipped_bits_never_pass_for_a_sound_h264_clip_of_another_time(h264: Path, tmp_path: Path) -> None:
    """FFmpeg overlooks a few wrong bits; what it notices in a frame or in what the frame is made from costs the clip."""
    spans = [Span(part * 0.48, part * 0.48 + 0.48) for part in range(4)]
    whole = read(h264, spans)
    first = h264.read_bytes().index(b"mdat")
    outcomes = {"same": 0, "refused": 0, "silent": 0}
    for seed in range(40):
        path = videos.flip_bits(h264, tmp_path / "video.mp4", seed=seed, count=4, first=first + 4)
        for clip, true in zip(read(path, spans), whole, strict=True):
            same = clip.frames is not None and np.array_equal(clip.frames, true.frames)
            outcomes["refused" if clip.frames is None else "same" if same else "silent"] += 1
    assert outcomes["refused"] > 40
    assert outcomes["same"] > 40
    assert outcomes["silent"] <= 8  # of 160


@pytest.mark.parametrize(
    ("limit", "value", "reason"), [("MAX_PIXELS", 96 * 64 - 1, "DIMENSIONS_TOO_LARGE"), ("MAX_SECONDS", 1.9, "DURATION_TOO_LONG")]
)
def test_a_video_over_a_limit_is_refused_before_it_is_decoded(
    h264: Path, monkeypatch: pytest.MonkeyPatch, limit: str, value: float, reason: str
) -> None:
    monkeypatch.setattr(_pyav_source, limit, value)
    with pytest.raises(DecodeError, match=reason):
        read(h264, [Span()])


@pytest.mark.parametrize("name", ["concat:a|b.mp4", "http:--x.mp4", "a b%20c'\"\u00e9.mp4", "-i.mp4"])
def test_a_file_name_is_never_an_address(h264: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.chdir(tmp_path)
    Path(name).write_bytes(h264.read_bytes())
    (clip,) = read(Path(name), [Span()])
    assert clip.frames is not None


def test_a_script_opens_no_other_file(h264: Path, tmp_path: Path) -> None:
    """Its target is a good video, so that clips would come if it were opened."""
    script = tmp_path / "video.mp4"
    script.write_text(f"ffconcat version 1.0\nfile '{h264}'\n")
    with pytest.raises(DecodeError, match="FORMAT_NOT_ALLOWED"):
        read(script, [Span()])


def test_progress_is_told(h264: Path) -> None:
    calls = 0

    def alive() -> None:
        nonlocal calls
        calls += 1

    read(h264, [Span()], alive)
    assert calls >= 50


def test_frames_are_freed_without_waiting_for_the_garbage_collector(h264: Path) -> None:
    gc.collect()
    gc.disable()
    try:
        read(h264, [Span(), Span(0.0, 1.0)])
        left = [kept for kept in gc.get_objects() if issubclass(type(kept), av.VideoFrame | av.Packet | Source)]
    finally:
        gc.enable()
    assert left == []


@pytest.mark.slow
@pytest.mark.skipif(not REAL_VIDEOS.is_dir(), reason="no ../shared/videos")
def test_real_videos_are_identical_to_a_full_decode() -> None:
    paths = [path for path in sorted(REAL_VIDEOS.iterdir()) if path.suffix in (".mp4", ".mkv", ".webm", ".avi")]
    assert len(paths) > 100
    for path in paths:
        (clip,) = read(path, [Span()])
        assert clip.frames is not None, (path.name, clip.reason, clip.detail)
        with av.open(str(path)) as container:
            count = sum(1 for _ in container.decode(video=0))
        wanted = full_decode(path, choose_frames(count, PRESET))
        np.testing.assert_array_equal(clip.frames, np.stack(wanted), err_msg=path.name)

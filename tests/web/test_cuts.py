"""Cuts: how each kind of file is played, and that a cut shows the clip's frames at the clip's times."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from support.videos import RECIPES, read_number, write_video

from vidsearch.errors import DecodeError
from vidsearch.playback._cutting import cut, fitted
from vidsearch.playback._probing import probe
from vidsearch.playback.cuts import Plan, Probe, plan

MP4 = Probe("mov,mp4,m4a,3gp,3g2,mj2", "h264", "aac", "yuv420p", 25.0, 0.0, 60.0, 4.0, turned=False)
START_S, END_S = 0.8, 1.2


def with_(**changes) -> Probe:
    return Probe(**{**MP4.__dict__, **changes})


MKV = "matroska,webm"


@pytest.mark.parametrize(
    ("found", "suffix", "wanted"),
    [
        (MP4, "mp4", Plan("direct")),
        (with_(audio=""), "mov", Plan("direct")),
        (with_(video="av1", pixels="yuv420p10le"), "mp4", Plan("direct")),
        (with_(container=MKV, video="vp8", audio="vorbis"), "webm", Plan("direct")),
        (with_(container=MKV), "mkv", Plan("copy", "mp4", 2.0, "copy")),
        (with_(container=MKV), "mp4", Plan("copy", "mp4", 2.0, "copy")),  # named mp4, and is none
        (with_(container=MKV, audio="ac3"), "mkv", Plan("copy", "mp4", 2.0, "encode")),
        (with_(container=MKV, video="vp8", audio="opus"), "mkv", Plan("copy", "webm", 2.0, "copy")),
        (with_(container=MKV, video="vp8", audio="aac"), "mkv", Plan("encode", audio="encode")),
        (with_(container="mpegts", zero_s=1.4, audio=""), "ts", Plan("copy", "mp4", 2.0, "none")),
        (with_(zero_s=0.08), "mp4", Plan("copy", "mp4", 2.0, "copy")),
        (with_(container="avi"), "avi", Plan("encode", audio="encode")),
        (with_(video="hevc"), "mp4", Plan("encode", audio="encode")),
        (with_(video="mpeg4", audio=""), "mp4", Plan("encode", audio="none")),
        (with_(pixels="yuv444p"), "mp4", Plan("encode", audio="encode")),
        (with_(pixels="yuv420p10le"), "mp4", Plan("encode", audio="encode")),
        (with_(key_s=-20.0), "mp4", Plan("encode", audio="encode")),  # much to decode before the first picture
        (with_(key_s=6.5), "mp4", Plan("encode", audio="encode")),  # no key frame before the clip
        (with_(container=MKV, turned=True), "mkv", Plan("encode", audio="encode")),
        (with_(turned=True), "mp4", Plan("direct")),
        (with_(container=MKV, timed=False), "mkv", Plan("encode", audio="encode")),
    ],
)
def test_a_file_is_played_as_it_is_where_browsers_can(found, suffix, wanted):
    assert plan(found, suffix, 6.0) == wanted


def test_a_packed_file_is_cut():
    assert plan(MP4, "mp4", 6.0, packed=True) == Plan("copy", "mp4", 2.0, "copy")


# of AVI, where frames are reordered, nobody knows when they are shown but by decoding from the start
UNLIKE = ("one frame", "cut inside a gop", "mpeg4 avi")
QUICK = (
    "h264", "h264 open gop", "fragmented mp4", "mpegts", "mkv", "mkv without cues", "flv", "variable rate mkv", "start offset",
    "start offset mkv", "start offset ts", "rotated 90", "hevc closed gop", "vp8", "mjpeg avi", "mpeg2 mpg", "10 bit", "odd size", "gif",
)  # fmt: skip
SHOWN = [pytest.param(name, marks=() if name in QUICK else pytest.mark.slow) for name in RECIPES if name not in UNLIKE]


@pytest.mark.parametrize("name", SHOWN)
def test_a_cut_shows_the_frames_of_the_clip_from_its_lead_on(tmp_path, name):
    recipe = RECIPES[name]
    video = recipe.write(tmp_path / f"v{recipe.suffix}")
    place = {"root": str(tmp_path), "video": video.name, "start_s": START_S}
    chosen = plan(Probe(**probe(place)), recipe.suffix[1:], START_S)
    if chosen.way == "direct":
        assert [number for time_s, number in frames_of(video) if START_S - 1e-3 <= time_s < END_S - 1e-3] == recipe.between(START_S, END_S)
        return
    made = tmp_path / f"cut.{chosen.form}"
    cut({**place, "end_s": END_S, "way": chosen.way, "form": chosen.form, "audio": chosen.audio, "to": str(made)})
    length_s = END_S - START_S
    shown = [number for time_s, number in frames_of(made) if chosen.lead_s - 2e-3 <= time_s < chosen.lead_s + length_s - 2e-3]
    assert shown == recipe.between(START_S, END_S)


def frames_of(path: Path) -> list[tuple[float, int]]:
    with av.open(str(path)) as container:
        found = [(frame.time, frame.to_ndarray(format="rgb24"), frame.rotation) for frame in container.decode(video=0)]
    return [(time_s, read_number(np.rot90(picture, rotation // 90))) for time_s, picture, rotation in found]


def test_sound_stays_with_the_picture(tmp_path):
    write_with_sound(tmp_path / "v.mkv", audio="ac3")
    place = {"root": str(tmp_path), "video": "v.mkv", "start_s": START_S}
    chosen = plan(Probe(**probe(place)), "mkv", START_S)
    assert chosen.audio == "encode"
    cut({**place, "end_s": END_S, "way": "encode", "form": "mp4", "audio": "encode", "to": str(tmp_path / "cut.mp4")})
    with av.open(str(tmp_path / "cut.mp4")) as container:
        assert container.streams.audio[0].codec_context.name == "aac"
        times = [frame.time for frame in container.decode(audio=0)]
    assert times[0] == pytest.approx(0, abs=0.05)
    assert times[-1] == pytest.approx(END_S - START_S, abs=0.05)


def write_with_sound(path: Path, *, audio: str) -> None:
    picture = write_video(path.with_name("picture.mp4"), frames=50)
    with av.open(str(picture)) as read, av.open(str(path), "w") as write:
        video, sound = write.add_stream_from_template(read.streams.video[0]), write.add_stream(audio, rate=48_000, layout="stereo")
        for packet in read.demux(video=0):
            if packet.size:
                packet.stream = video
                write.mux(packet)
        for number in range(62):
            frame = av.AudioFrame(format="fltp", layout="stereo", samples=1536)
            frame.sample_rate, frame.pts, frame.time_base = 48_000, number * 1536, Fraction(1, 48_000)
            write.mux(sound.encode(frame))
        write.mux(sound.encode(None))


def test_a_clip_after_the_end_of_its_video_is_told(tmp_path):
    write_video(tmp_path / "v.mp4", frames=25)
    with pytest.raises(DecodeError, match="SPAN_PAST_END"):
        probe({"root": str(tmp_path), "video": "v.mp4", "start_s": 7.0})


def test_a_list_of_other_files_is_no_video(tmp_path):
    write_video(tmp_path / "secret.mp4", frames=5)
    (tmp_path / "v.mp4").write_text("ffconcat version 1.0\nfile secret.mp4\n")
    with pytest.raises(DecodeError, match="OPEN_FAILED"):
        probe({"root": str(tmp_path), "video": "v.mp4", "start_s": 0.0})


@pytest.mark.parametrize(
    ("size", "aspect", "seconds", "wanted"),
    [
        ((1920, 1080), None, 10, (1280, 720)),
        ((1080, 1920), Fraction(1), 10, (720, 1280)),
        ((97, 63), None, 10, (96, 62)),
        ((720, 576), Fraction(16, 15), 10, (768, 576)),
        ((1920, 1080), None, 100, (640, 360)),
        ((8000, 2), None, 10, (1280, 2)),
    ],
)
def test_a_cut_is_small_and_keeps_its_shape(size, aspect, seconds, wanted):
    assert fitted(*size, aspect, seconds=seconds) == wanted

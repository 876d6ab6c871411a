"""Where the PyAV decoder reads from: files that change under it, and members of archives."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from tests.support.archives import write_tar, write_zip
from tests.support.videos import RECIPES
from vidsearch.config import Preset
from vidsearch.decoders.base import DecodedClip, Span
from vidsearch.decoders.pyav import open_decoder
from vidsearch.errors import DecodeError
from vidsearch.sampling import choose_frames

PRESET = Preset("test")


def read(path: Path, spans: Sequence[Span]) -> list[DecodedClip]:
    """Return the clips of `spans`, in order."""
    found = open_decoder().read_clips(path, spans, choose=lambda n: choose_frames(n, PRESET), transform=lambda frame: frame)
    return sorted(found, key=lambda clip: clip.index)


@pytest.fixture
def h264(tmp_path: Path) -> Path:
    return RECIPES["h264"].write(tmp_path / "h264.mp4")


def test_a_file_written_to_while_it_is_read_is_named(tmp_path: Path) -> None:
    path = RECIPES["png alpha"].write(tmp_path / "video.mov")  # larger than what FFmpeg reads ahead
    spans = [Span(0.0, 0.2), Span(1.5, 1.9)]
    clips = open_decoder().read_clips(path, spans, choose=lambda n: choose_frames(n, PRESET), transform=lambda frame: frame)
    assert next(clips).frames is not None
    data = path.read_bytes()
    with path.open("r+b") as file:  # in place, as a download that starts again would
        file.seek(len(data) // 2)
        file.write(bytes(len(data) - len(data) // 2))
    assert next(clips).reason == "CHANGED_DURING_READ"


@pytest.mark.parametrize("at", ["between two clips", "before the second look at the file"])
def test_a_file_replaced_by_another_video_gives_no_frame_of_the_other(tmp_path: Path, at: str) -> None:
    """The other has the same times, so that nothing else tells its frames from those of the first; MPEG-4 is looked at twice."""
    name = "h264" if at == "between two clips" else "mpeg4 mp4"
    path, other = RECIPES[name].write(tmp_path / "video.mp4"), tmp_path / "other.mp4"
    other.write_bytes(path.read_bytes())
    spans = [Span(0.0, 0.2), Span(1.5, 1.9)]

    def choose(available: int) -> Sequence[int]:
        if at != "between two clips" and other.exists():
            other.replace(path)
        return choose_frames(available, PRESET)

    clips = open_decoder().read_clips(path, spans, choose=choose, transform=lambda frame: frame)
    if at == "between two clips":
        assert next(clips).frames is not None
        other.replace(path)
    assert {clip.reason for clip in clips} == {"CHANGED_DURING_READ"}


def test_a_file_that_vanishes_while_it_is_read_is_named(tmp_path: Path) -> None:
    path = RECIPES["mpeg4 mp4"].write(tmp_path / "video.mp4")

    def choose(available: int) -> Sequence[int]:
        path.unlink(missing_ok=True)
        return choose_frames(available, PRESET)

    with pytest.raises(DecodeError, match="CHANGED_DURING_READ"):
        list(open_decoder().read_clips(path, [Span(0.0, 0.2)], choose=choose, transform=lambda frame: frame))


# the header last and first, one read by decoding from the start, one without an index, one in pieces, a small one, a large one
IN_ARCHIVES = ["h264", "mkv", "mpeg4 avi", "mpegts", "fragmented mp4", "vp9", "gif", "png alpha", "start offset ts"]


@pytest.mark.parametrize("name", IN_ARCHIVES)
def test_a_member_of_an_archive_is_decoded_as_the_file_is(tmp_path: Path, name: str) -> None:
    path = RECIPES[name].write(tmp_path / f"video{RECIPES[name].suffix}")
    files = [("before.txt", b"x" * 999), (path.name, path.read_bytes()), ("after.txt", b"y" * 999)]
    write_tar(tmp_path / "a.tar", files)
    write_zip(tmp_path / "stored.zip", files)
    write_zip(tmp_path / "packed.zip", files, zipfile.ZIP_DEFLATED)
    spans = [Span(0.1, 0.9), Span(1.2, 1.9), Span(0.5, 1.5), Span(5.0, 6.0)]
    true = read(path, spans)
    for archive in ("a.tar", "stored.zip", "packed.zip"):
        for clip, wanted in zip(read(tmp_path / archive / path.name, spans), true, strict=True):
            assert (clip.reason, clip.times_s, clip.end_s) == (wanted.reason, wanted.times_s, wanted.end_s)
            np.testing.assert_array_equal(clip.frames, wanted.frames)  # type: ignore[arg-type]


def test_a_member_leaves_no_file_open(h264: Path, tmp_path: Path) -> None:
    write_tar(tmp_path / "a.tar", [("v.mp4", h264.read_bytes()), ("no.mp4", b"no video")])
    before = len(list(Path("/proc/self/fd").iterdir())) if Path("/proc/self/fd").is_dir() else 0
    for _ in range(5):
        read(tmp_path / "a.tar/v.mp4", [Span()])
        with pytest.raises(DecodeError, match="OPEN_FAILED"):
            read(tmp_path / "a.tar/no.mp4", [Span()])
    assert (len(list(Path("/proc/self/fd").iterdir())) if before else 0) == before


def test_an_archive_replaced_while_a_member_is_read_is_named(tmp_path: Path) -> None:
    video = RECIPES["h264"].write(tmp_path / "v.mp4").read_bytes()
    write_tar(tmp_path / "a.tar", [("v.mp4", video)])
    found = open_decoder().read_clips(
        tmp_path / "a.tar/v.mp4", [Span(0, 0.2), Span(1.5, 1.9)], choose=lambda n: choose_frames(n, PRESET), transform=lambda frame: frame
    )
    assert next(found).frames is not None
    write_tar(tmp_path / "b.tar", [("v.mp4", video)]).replace(tmp_path / "a.tar")
    assert next(found).reason == "CHANGED_DURING_READ"

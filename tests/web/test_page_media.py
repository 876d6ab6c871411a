"""Clips as pictures and videos: the right frame, nothing from outside the media folder, and no harm from a video that is broken."""

import io
import os
import shutil
import signal
import threading
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image
from support.archives import write_tar, write_zip
from support.made import made
from support.videos import RECIPES, copy_packets, read_number, write_video

from vidsearch import open_index
from vidsearch.errors import DecodeError, QueryError
from vidsearch.playback._kept_files import KeptFiles
from vidsearch.playback._video_processes import VideoProcesses
from vidsearch.playback.media import Media, NoMediaError
from vidsearch.upkeep.delete import delete

VIDEOS = (
    "v.mp4", "turned.mp4", "v.mkv", "set.tar/in/v.mp4", "packed.zip/v.mp4", "gone.mp4", "text.mp4", "link.mp4", "../out.mp4", "pipe.mp4",
    "folder.mp4", "", "/etc/hostname", "a\0b.mp4", "folder.mp4/link/out.mp4", "set.tar/../../out.mp4",
)  # fmt: skip
GOOD = VIDEOS[:5]


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """An index whose clips c0, c1, … lie in VIDEOS, from 0.4 to 1.2 s: frames 10 to 29."""
    base = tmp_path_factory.mktemp("media")
    root = base / "videos"
    (root / "folder.mp4").mkdir(parents=True)
    write_video(root / "v.mp4", options={"g": "12", "preset": "ultrafast"})
    RECIPES["rotated 90"].write(root / "turned.mp4")
    copy_packets(root / "v.mp4", root / "v.mkv")
    data = (root / "v.mp4").read_bytes()
    write_tar(root / "set.tar", [("in/first.txt", b"not for you"), ("in/v.mp4", data), ("in/last.txt", b"nor this")])
    write_zip(root / "packed.zip", [("v.mp4", data)], zipfile.ZIP_DEFLATED)
    (root / "text.mp4").write_text("<script>no video</script>")
    shutil.copy(root / "v.mp4", base / "out.mp4")
    (root / "link.mp4").symlink_to(base / "out.mp4")
    (root / "folder.mp4" / "link").symlink_to(base)
    os.mkfifo(root / "pipe.mp4")
    made(root / "index", np.eye(len(VIDEOS), 20), video=list(VIDEOS), start_s=[0.4] * len(VIDEOS), end_s=[1.2] * len(VIDEOS))
    return root


@pytest.fixture(scope="module")
def media(root, tmp_path_factory):
    media = Media(open_index(root), cache=tmp_path_factory.mktemp("cache"))
    yield media
    media.close()


def id_of(video: str) -> str:
    return f"c{VIDEOS.index(video)}"


def read(opened) -> bytes:
    with opened.file:
        return opened.file.read()


@pytest.mark.parametrize("video", GOOD)
def test_a_poster_is_the_middle_frame_upright(media, video):
    opened = media.poster(id_of(video))
    assert (opened.mime, opened.name) == ("image/jpeg", f"{id_of(video)}.jpg")
    picture = Image.open(io.BytesIO(read(opened)))
    assert (picture.format, picture.size) == ("JPEG", (320, 213))
    assert read_number(np.asarray(picture)) == 20


def test_a_poster_has_the_width_asked_for(media):
    assert Image.open(io.BytesIO(read(media.poster("c0", 160)))).width == 160
    with pytest.raises(QueryError, match="160, 320, 640"):
        media.poster("c0", 161)


def test_a_video_is_its_own_bytes_and_no_more(root, media):
    data = (root / "v.mp4").read_bytes()
    for video in ("v.mp4", "set.tar/in/v.mp4"):
        opened = media.video(id_of(video))
        assert (opened.size_bytes, opened.mime) == (len(data), "video/mp4")
        assert read(opened) == data


@pytest.mark.parametrize("video", [video for video in VIDEOS if video not in GOOD and video != "text.mp4"])
def test_nothing_outside_the_media_folder_is_opened(media, video):
    for opens in (media.video, media.cut, media.poster):
        with pytest.raises(NoMediaError, match=r"^its video (is not in|lies outside) the media folder$"):
            opens(id_of(video))
    assert media.playback(id_of(video)).why.startswith("its video ")


def test_what_is_no_video_is_told_in_a_sentence(media):
    for opens in (media.cut, media.poster):
        with pytest.raises(NoMediaError, match=r"^its video cannot be read$"):
            opens(id_of("text.mp4"))
    assert media.playback(id_of("text.mp4")).why == "its video cannot be read"


def test_playback_tells_url_and_times(media):
    direct, cut = media.playback(id_of("v.mp4")), media.playback(id_of("v.mkv"))
    assert (direct.url, direct.start_s, direct.end_s, direct.fps, direct.why) == ("/media/video/c0", 0.4, 1.2, 25.0, "")
    assert (cut.url, cut.why) == (f"/media/cut/{id_of('v.mkv')}", "")
    assert (cut.end_s - cut.start_s) == pytest.approx(0.8)
    assert media.playback(id_of("packed.zip/v.mp4")).url.startswith("/media/cut/")


def test_an_unknown_clip_and_a_deleted_one_are_not_there(root, tmp_path):
    made(tmp_path / "index", np.eye(2), video=["v.mp4", "v.mp4"])
    delete(tmp_path / "index", clip_ids=["c1"])
    media = Media(open_index(tmp_path / "index"), root, tmp_path / "cache")
    read(media.video("c0"))
    for clip_id in ("c1", "c2", "", "../c0", "v.mp4"):
        with pytest.raises(QueryError, match="no clip"):
            media.video(clip_id)


def test_a_replaced_video_has_another_poster_and_etag(root, tmp_path):
    shutil.copy(root / "v.mp4", tmp_path / "v.mp4")
    media = Media(made(tmp_path / "index", np.eye(1)), tmp_path, tmp_path / "cache")
    first, picture = media.video("c0"), read(media.poster("c0"))
    write_video(tmp_path / "new.mp4", frames=30, picture_of=lambda number, width, height: np.full((height, width, 3), 200, np.uint8))
    (tmp_path / "new.mp4").replace(tmp_path / "v.mp4")
    second = media.video("c0")
    assert first.etag != second.etag
    assert read(media.poster("c0")) != picture
    assert len(read(first)) == first.size_bytes  # what was opened is still that file
    second.file.close()
    media.close()


def test_missing_videos_are_counted(root, media, tmp_path):
    assert media.missing() == (len(VIDEOS), len(VIDEOS) - 8)  # what is there: the good, "text.mp4", "pipe.mp4" and "folder.mp4"
    assert Media(media.index, tmp_path / "nowhere", tmp_path).missing() == (len(VIDEOS), len(VIDEOS))


def test_a_process_that_dies_or_hangs_costs_its_job_alone(root, tmp_path):
    processes = VideoProcesses(1, timeout_s=1.0)
    job = {"do": "probe", "root": str(root), "video": "v.mp4", "start_s": 0.0}
    assert processes.ask(job)["video"] == "h264"
    (child,) = processes._children
    os.kill(child._process.pid, signal.SIGKILL)
    child._process.wait()
    assert processes.ask(job)["video"] == "h264"
    (child,) = processes._children
    os.kill(child._process.pid, signal.SIGSTOP)
    started = time.monotonic()
    with pytest.raises(DecodeError, match="TIMEOUT"):
        processes.ask(job)
    assert time.monotonic() - started < 10
    assert processes.ask(job)["video"] == "h264"
    processes.close()
    assert child._process.poll() is not None
    assert not processes._children


def test_closing_ends_what_is_under_way(root):
    processes = VideoProcesses(1, timeout_s=60.0)
    job = {"do": "probe", "root": str(root), "video": "v.mp4", "start_s": 0.0}
    processes.ask(job)
    (child,) = processes._children
    os.kill(child._process.pid, signal.SIGSTOP)
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(processes.ask, job)
        while not child.jobs > 1:
            pass
        processes.close()
        with pytest.raises(DecodeError, match="CRASH"):
            asked.result(timeout=20)


class Refused(DecodeError):
    """What a making of these tests fails with."""


def test_one_making_serves_all_who_ask(tmp_path):
    kept = KeptFiles(tmp_path, limit_bytes=100, failure=Refused)
    made_files = []
    together = threading.Barrier(4)

    def make(path):
        made_files.append(path)
        path.write_bytes(b"x")

    def ask(_):
        together.wait()
        with kept.open("a", make) as file:
            return file.read()

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(ask, range(4))) == [b"x"] * 4
    assert len(made_files) == 1


def test_a_failed_making_leaves_nothing_and_is_not_tried_again_at_once(tmp_path):
    kept = KeptFiles(tmp_path, limit_bytes=100, failure=Refused)
    tries = []

    def make(path):
        tries.append(path)
        path.write_bytes(b"half")
        raise Refused("OPEN_FAILED", "no")

    for _ in range(3):
        with pytest.raises(Refused):
            kept.open("a", make)
    assert len(tries) == 1
    assert list(tmp_path.iterdir()) == []


def test_the_least_used_files_go_first(tmp_path):
    kept = KeptFiles(tmp_path, limit_bytes=100, failure=Refused)
    for age, name in enumerate(("c", "b", "a")):
        kept.open(name, lambda path: path.write_bytes(bytes(30))).close()
        os.utime(tmp_path / name, (1e9 + age, 1e9 + age))
    kept.open("c", lambda path: path.write_bytes(b"made again")).close()  # used last
    kept.open("d", lambda path: path.write_bytes(bytes(30))).close()
    assert {path.name: path.stat().st_size for path in tmp_path.iterdir()} == {"a": 30, "c": 30, "d": 30}

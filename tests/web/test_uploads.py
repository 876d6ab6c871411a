"""Files that are dropped into the page: only pictures and videos, each once, for their owner alone, not for ever."""

import os

import numpy as np
import pytest
from PIL import Image
from support.videos import write_video

from ui.asking import uploads
from ui.asking.uploads import keep, path_of
from vidsearch.errors import QueryError, UsageError


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "kept" / "uploads"


def picture(path, seed=0):
    Image.fromarray(np.random.default_rng(seed).integers(0, 255, (32, 32, 3), dtype=np.uint8)).save(path)
    return path


def test_a_picture_is_kept_once_under_its_hash_for_its_owner_alone(tmp_path, folder):
    path = picture(tmp_path / "My Dog.PNG")
    name = keep(path, folder=folder)
    assert name.endswith(".png")
    assert uploads.NAME.fullmatch(name)
    assert keep(picture(tmp_path / "other name.png"), folder=folder) == name
    kept = path_of(name, folder=folder)
    assert kept.read_bytes() == path.read_bytes()
    assert folder.stat().st_mode & 0o777 == 0o700
    assert kept.stat().st_mode & 0o777 == 0o600
    assert keep(picture(tmp_path / "b.png", seed=1), folder=folder) != name
    assert len(list(folder.iterdir())) == 2


def test_a_video_is_kept_and_its_odd_suffix_is_not(tmp_path, folder):
    path = tmp_path / "clip.mp4"
    write_video(path, frames=5)
    assert path_of(keep(path, folder=folder), folder=folder).suffix == ".mp4"
    path.rename(tmp_path / "clip.<script>")
    assert keep(tmp_path / "clip.<script>", folder=folder).endswith(".bin")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("x.txt", b"just words"),
        ("x.png", b""),
        ("x.jpg", b"\xff\xd8\xff\xe0 no picture"),
        ("x.svg", b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'),
        ("x.mp4", b"<html><body onload=alert(1)>"),
        ("x.mp4", b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n"),
        ("x.pdf", b"%PDF-1.4"),
    ],
)
def test_anything_else_is_refused_in_one_line(tmp_path, folder, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UsageError, match=rf"^{name} is no picture or video this reads; drop in a JPEG.*\)$"):
        keep(tmp_path / name, folder=folder)
    assert list(folder.iterdir()) == []


def test_a_file_that_is_too_large_is_refused_before_it_is_read(tmp_path, folder):
    path = tmp_path / "long.mp4"
    with path.open("wb") as file:
        file.truncate(uploads.MAX_BYTES + 1)
    with pytest.raises(UsageError, match=r"long.mp4 has 64 MB; a picture or video to search with may have 64 MB"):
        keep(path, folder=folder)
    assert not folder.exists()


def test_the_oldest_go_when_there_are_too_many_and_a_link_to_one_says_so(tmp_path, folder, monkeypatch):
    names = [keep(picture(tmp_path / "p.png", seed=seed), folder=folder) for seed in range(3)]
    for age, name in enumerate(names):
        os.utime(folder / name, (1000 - age, 1000 - age))
    keep(picture(tmp_path / "p.png", seed=2), folder=folder)  # used again: the newest now
    size = (folder / names[0]).stat().st_size
    monkeypatch.setattr(uploads, "MAX_KEPT_BYTES", 2 * size + size // 2)
    newest = keep(picture(tmp_path / "p.png", seed=3), folder=folder)
    assert {path.name for path in folder.iterdir()} == {names[2], newest}
    with pytest.raises(QueryError, match="is not kept here any more; drop it in again"):
        path_of(names[0], folder=folder)


@pytest.mark.parametrize("name", ["../../etc/passwd", "/etc/passwd", "0123456789abcdef.png/..", "0123456789ABCDEF.png", ""])
def test_a_name_leads_nowhere_else(folder, name):
    with pytest.raises(QueryError, match="is no name of a file that was dropped in"):
        path_of(name, folder=folder)

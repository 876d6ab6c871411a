"""Where the clips of rows lie: every layout of files that people hold."""

import json
from pathlib import Path

import pytest

from indexer.readers import internvid
from indexer.readers._paths import Paths
from indexer.readers._video_files import VideoFiles
from indexer.readers.base import clip_key

A = {
    "YoutubeID": "HdYoyzCSWyw",
    "Start_timestamp": "00:03:10.567",
    "End_timestamp": "00:03:11.200",
    "Caption": "A woman: using a computer mouse/keyboard, slowly",
}
B = {"YoutubeID": "_Vl-_s8BhSE", "Start_timestamp": "00:00:07.533", "End_timestamp": "00:00:11.633", "Caption": "diy gift wrap"}
A_KEY, B_KEY = clip_key("HdYoyzCSWyw", 190.567, 191.2), clip_key("_Vl-_s8BhSE", 7.533, 11.633)
A_CUT, B_CUT = "HdYoyzCSWyw_00:03:10.567_00:03:11.200.mp4", "_Vl-_s8BhSE_00:00:07.533_00:00:11.633.mp4"
CUT, A_TIMES, B_TIMES = (0.0, None), (190.567, 191.2), (7.533, 11.633)


def touch(folder: Path, *videos: str) -> None:
    for video in videos:
        (folder / video).parent.mkdir(parents=True, exist_ok=True)
        (folder / video).write_bytes(b"\0")


def read(folder: Path, *rows: dict, name: str = "rows.jsonl"):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    blocks = list(internvid.read(path, folder))
    return [clip for block in blocks for clip in block.clips.to_pylist()], [row for block in blocks for row in block.bad]


def places(folder: Path, *rows: dict, name: str = "rows.jsonl") -> list[tuple]:
    clips, bad = read(folder, *rows, name=name)
    assert not bad
    return [(clip["video"] if clip["there"] else None, clip["start_s"], clip["end_s"]) for clip in clips]


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ([A_CUT, B_CUT], [(A_CUT, *CUT), (B_CUT, *CUT)]),
        (["s/" + A_CUT.replace(":", "-")], [("s/" + A_CUT.replace(":", "-"), *CUT), (None, *B_TIMES)]),
        ([B_CUT.replace(":", "_").replace(".mp4", ".webm")], [(None, *A_TIMES), (B_CUT.replace(":", "_").replace(".mp4", ".webm"), *CUT)]),
        (["HdYoyzCSWyw.mkv", "x/_Vl-_s8BhSE.mp4"], [("HdYoyzCSWyw.mkv", *A_TIMES), ("x/_Vl-_s8BhSE.mp4", *B_TIMES)]),
        ([A_CUT, "HdYoyzCSWyw.mp4"], [(A_CUT, *CUT), (None, *B_TIMES)]),
        (["HdYoyzCSWyw_00:03:10.568_00:03:11.200.mp4"], [(None, *A_TIMES), (None, *B_TIMES)]),
        (["17_HdYoyzCSWyw.mp4", "4_other.mp4"], [("17_HdYoyzCSWyw.mp4", *A_TIMES), (None, *B_TIMES)]),
        (
            ["HdYoyzCSWyw_A woman_ using a computer mouse_keyboard, slowly.mp4"],
            [("HdYoyzCSWyw_A woman_ using a computer mouse_keyboard, slowly.mp4", *CUT), (None, *B_TIMES)],
        ),
        (["_Vl-_s8BhSE_another caption.mp4"], [(None, *A_TIMES), (None, *B_TIMES)]),
        (["0.mp4", "00001.mkv", "2.mp4"], [("0.mp4", *CUT), ("00001.mkv", *CUT)]),
        (["1.mp4", "2.mp4"], [(None, *A_TIMES), (None, *B_TIMES)]),  # may be numbered from 1
        (["0.mp4", "HdYoyzCSWyw.mp4"], [("HdYoyzCSWyw.mp4", *A_TIMES), (None, *B_TIMES)]),
    ],
    ids=str,
)
def test_clips_are_found_by_what_rows_say_of_them(files, expected, tmp_path):
    touch(tmp_path, *files)
    assert places(tmp_path, A, B) == expected


@pytest.mark.parametrize("rows", ["metadata/shard-7.jsonl", "videos/shard-7/shard-7.jsonl", "videos/shard-7/any.jsonl"])
def test_files_numbered_like_the_rows_of_a_shard_are_whole_videos(rows, tmp_path):
    touch(tmp_path, "videos/shard-7/0_a title.mp4", "videos/shard-7/1_b.mkv", "videos/other/0_x.mp4", "videos/other/1_x.mp4")
    assert places(tmp_path, A, B, name=rows) == [("videos/shard-7/0_a title.mp4", *A_TIMES), ("videos/shard-7/1_b.mkv", *B_TIMES)]


def test_the_row_number_that_pandas_wrote_counts_before_the_place(tmp_path):
    touch(tmp_path, "41_y.mp4", "42_z.mp4")
    assert places(tmp_path, {"Unnamed: 0": 42, **A}, {"Unnamed: 0": 41, **B}) == [("42_z.mp4", *A_TIMES), ("41_y.mp4", *B_TIMES)]


def test_numbers_are_no_names_where_several_files_of_rows_share_a_folder(tmp_path):
    touch(tmp_path, "0.mp4", "1.mp4")
    for name, row in (("a.jsonl", A), ("b.jsonl", B)):
        (tmp_path / name).write_text(json.dumps(row) + "\n")
    blocks = internvid.read_all([tmp_path / "a.jsonl", tmp_path / "b.jsonl"], tmp_path)
    assert [clip["there"] for block in blocks for clip in block.clips.to_pylist()] == [False, False]


def test_two_folders_of_one_name_make_numbers_ambiguous(tmp_path):
    touch(tmp_path, "a/rows/0_x.mp4", "b/rows/0_y.mp4", "b/rows/1_y.mp4")
    assert places(tmp_path, A, B) == [(None, *A_TIMES), (None, *B_TIMES)]


@pytest.mark.parametrize(
    ("row", "files", "expected"),
    [
        ({**A, "video_path": "v/x.mp4"}, ["v/x.mp4"], ("v/x.mp4", *A_TIMES, A_KEY)),
        ({**A, "video_path": "v/../v/x.mp4"}, ["v/x.mp4"], ("v/x.mp4", *A_TIMES, A_KEY)),
        ({**A, "video_path": A_CUT}, [A_CUT], (A_CUT, *CUT, A_KEY)),
        ({**A, "video_path": f"gone/{A_CUT}"}, [f"here/{A_CUT}"], (f"here/{A_CUT}", *CUT, A_KEY)),
        ({**A, "video_path": "gone.mp4"}, ["HdYoyzCSWyw.mp4"], ("HdYoyzCSWyw.mp4", *A_TIMES, A_KEY)),
        ({**A, "video_path": "gone.mp4"}, [], (None, *A_TIMES, A_KEY)),
        ({**A, "video_path": ""}, ["HdYoyzCSWyw.mp4"], ("HdYoyzCSWyw.mp4", *A_TIMES, A_KEY)),
        ({**B, "file": "_Vl-_s8BhSE_diy gift wrap.mp4"}, ["_Vl-_s8BhSE_diy gift wrap.mp4"], ("_Vl-_s8BhSE_diy gift wrap.mp4", *CUT, B_KEY)),
        ({"video": A_CUT, "caption": "c"}, [A_CUT], (A_CUT, *CUT, A_KEY)),
        ({"video": A_CUT, "caption": "c"}, [], (None, *A_TIMES, A_KEY)),
        ({"video": "HdYoyzCSWyw", "caption": "c"}, ["HdYoyzCSWyw.mp4"], ("HdYoyzCSWyw.mp4", 0.0, None, "HdYoyzCSWyw|0.000|end")),
        ({"video": "d/b.mp4", "caption": "c", "start_s": 1, "end_s": 2.5}, ["d/b.mp4"], ("d/b.mp4", 1.0, 2.5, "d/b.mp4|1.000|2.500")),
        ({"video": "d/b.mp4", "caption": "c"}, [], (None, 0.0, None, "d/b.mp4|0.000|end")),
    ],
    ids=str,
)
def test_a_path_is_followed_and_its_name_believed(row, files, expected, tmp_path):
    touch(tmp_path, *files)
    clips, bad = read(tmp_path, row)
    assert not bad
    assert [(clip["video"] if clip["there"] else None, clip["start_s"], clip["end_s"], clip["key"]) for clip in clips] == [expected]


def test_what_a_path_says_of_its_clip_becomes_columns(tmp_path):
    (clip,), _ = read(tmp_path, {"video": A_CUT, "caption": "c"})
    assert (clip["youtube_id"], clip["source_start_s"], clip["source_end_s"]) == ("HdYoyzCSWyw", 190.567, 191.2)


@pytest.mark.parametrize(
    "path", ["../../etc/passwd", "/etc/passwd", "http://127.0.0.1/x.mp4", "file:///etc/passwd", "a\0b", "out/x.mp4", "link.mp4", ".."]
)
def test_a_path_out_of_the_folder_is_refused(path, tmp_path):
    inside = tmp_path / "videos"
    touch(tmp_path, "secret/x.mp4", "videos/a.mp4")
    (inside / "out").symlink_to(tmp_path / "secret")
    (inside / "link.mp4").symlink_to(tmp_path / "secret" / "x.mp4")
    clips, bad = read(inside, {**A, "video_path": path}, {**A, "video_path": "a.mp4"})
    assert [clip["video"] for clip in clips] == ["a.mp4"]
    assert [(row.reason, row.video) for row in bad] == [("PATH_ESCAPE", path)]
    assert "rows.jsonl:1" in bad[0].detail


@pytest.mark.parametrize("path", ["concat:a|b", "a\nb.mp4", "x" * 300 + ".mp4", "a/" * 3000 + "b.mp4", "file.txt/x.mp4"])
def test_a_path_to_nothing_is_a_clip_that_is_not_there(path, tmp_path):
    (tmp_path / "file.txt").write_text("")
    (clip,), bad = read(tmp_path, {"video": path, "caption": "c"})
    assert (clip["video"], clip["there"], bad) == (path, False, [])


def test_links_inside_the_folder_are_followed(tmp_path):
    touch(tmp_path, "real/x.mp4")
    (tmp_path / "link").symlink_to("real")
    (tmp_path / "y.mp4").symlink_to("real/x.mp4")
    (tmp_path / "loop").symlink_to("loop")
    paths = Paths(tmp_path)
    assert paths.place("link/x.mp4") == paths.place("y.mp4") == paths.place(str(tmp_path / "real" / "x.mp4")) == ("real/x.mp4", True)
    assert paths.place("loop/x.mp4") == ("loop/x.mp4", False)


def test_the_names_of_files_take_little_memory(tmp_path):
    touch(tmp_path, *(f"{number:011x}_00:00:{number % 60:02}.000_00:01:00.000.mp4" for number in range(2_000)))
    known = VideoFiles(tmp_path).map
    assert len(known.keys) == 2_000
    assert known.nbytes / 2_000 < 100
    assert (tmp_path / known.names[int(known.numbers[0])].as_py()).is_file()

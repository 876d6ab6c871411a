"""Annotation files in all the shapes that people hold, literal and real."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from vidsearch.errors import InputNotFoundError, UsageError
from vidsearch.evaluation.annotations import layouts, read_annotation
from vidsearch.evaluation.annotations.base import Clip

SHARED = Path(__file__).parents[2].parent / "shared" / "annotations"
needs_shared = pytest.mark.skipif(not SHARED.is_dir(), reason="no real annotations beside the repository")


def written(folder: Path, name: str, content: object) -> Path:
    path = folder / name
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


def pairs(path: Path, dataset: str, *, paragraph: bool = False) -> list[tuple[str, str]]:
    found = read_annotation(path, dataset, paragraph=paragraph)
    return [(found.clips[clip].video, caption) for clip, caption in zip(found.clip_of.tolist(), found.captions, strict=True)]


def test_a_layout_is_a_file():
    assert layouts() == ("activitynet", "didemo", "lsmdc", "msrvtt", "msvd", "table")


@pytest.mark.parametrize("dataset", ["msrvtt", "msvd", "lsmdc", "didemo", "activitynet", "table"])
def test_every_layout_reads_videos_with_one_caption_or_a_list(tmp_path, dataset):
    path = written(tmp_path, "ret.json", [{"video": "a.mp4", "caption": "one"}, {"video": "b.mp4", "caption": ["two", " three "]}])
    assert pairs(path, dataset) == [("a.mp4", "one"), ("b.mp4", "two"), ("b.mp4", "three")]
    assert pairs(path, dataset, paragraph=True) == [("a.mp4", "one"), ("b.mp4", "two three")]


def test_msrvtt_1k_a_as_csv(tmp_path):
    path = written(
        tmp_path, "test.csv", 'key,vid_key,video_id,sentence\nret0,msr9770,video9770,"a man, talking"\nret1,msr9771,video9771,a girl\n'
    )
    assert pairs(path, "msrvtt") == [("video9770", "a man, talking"), ("video9771", "a girl")]


def test_msrvtt_of_its_own_keeps_the_test_split(tmp_path):
    value = {
        "videos": [{"video_id": "video0", "split": "train"}, {"video_id": "video7010", "split": "test"}],
        "sentences": [{"video_id": "video0", "caption": "no"}, {"video_id": "video7010", "caption": "yes"}],
    }
    assert pairs(written(tmp_path, "data.json", value), "msrvtt") == [("video7010", "yes")]


def test_msvd_of_its_own_keeps_the_listed_videos(tmp_path):
    path = written(tmp_path, "AllVideoDescriptions.txt", "# corpus\n\na_1_2 a bird bathes.\nb_3_4 a dog\na_1_2 a bird\n")
    assert pairs(path, "msvd") == [("a_1_2", "a bird bathes."), ("b_3_4", "a dog"), ("a_1_2", "a bird")]
    written(tmp_path, "test_list.txt", "a_1_2\n")
    assert pairs(path, "msvd") == [("a_1_2", "a bird bathes."), ("a_1_2", "a bird")]


def test_lsmdc_of_2016_has_tabs_and_neither_header_nor_quotes(tmp_path):
    line = '1004_Juno_00.00.32.161-00.00.33.889\t00.00.32.161\t00.00.33.889\t00.00.32.161\t00.00.33.889\tSOMEONE says "hi, there\n'
    expected = [("1004_Juno_00.00.32.161-00.00.33.889", 'SOMEONE says "hi, there')]
    assert pairs(written(tmp_path, "LSMDC16_challenge_1000_publictect.csv", line), "lsmdc") == expected
    header = "clip\tstart_aligned\tend_aligned\tstart_extracted\tend_extracted\tsentence\n"
    assert pairs(written(tmp_path, "headed.csv", header + line), "lsmdc") == expected


def test_didemo_of_its_own_shows_the_first_thirty_seconds(tmp_path):
    value = [
        {"annotation_id": 1, "description": "later", "times": [[3, 3]], "video": "12@N02_1_a.mov", "num_segments": 6},
        {"annotation_id": 2, "description": "first", "times": [[0, 1]], "video": "12@N02_1_a.mov", "num_segments": 6},
    ]
    path = written(tmp_path, "test_data.json", value)
    assert read_annotation(path, "didemo").clips == (Clip("12@N02_1_a.mov", 0.0, 30.0),)
    assert pairs(path, "didemo", paragraph=True) == [("12@N02_1_a.mov", "later first")]


def test_activitynet_of_its_own_orders_a_paragraph_by_time(tmp_path):
    value = {"v_x": {"duration": 9, "timestamps": [[5, 9], [0.5, 3]], "sentences": [" then that", "first this "]}}
    path = written(tmp_path, "val_1.json", value)
    assert pairs(path, "activitynet") == [("v_x", "then that"), ("v_x", "first this")]
    assert pairs(path, "activitynet", paragraph=True) == [("v_x", "first this then that")]
    assert read_annotation(path, "activitynet").clips == (Clip("v_x"),)


def test_a_table_may_cut_clips_out_of_videos(tmp_path):
    rows = [
        {"YoutubeID": "x", "video_path": "a/x.mp4", "Start_timestamp": "00:01:00.500", "End_timestamp": "00:01:02.000", "Caption": "one"},
        {"YoutubeID": "x", "video_path": "a/x.mp4", "Start_timestamp": 70, "End_timestamp": None, "Caption": "two\u2028lines"},
    ]
    path = written(tmp_path, "rows.jsonl", "\n".join(json.dumps(row, ensure_ascii=False) for row in rows))
    found = read_annotation(path)
    assert found.clips == (Clip("a/x.mp4", 60.5, 62.0), Clip("a/x.mp4", 70.0))
    assert found.captions == ("one", "two lines")
    tabs = written(tmp_path, "rows.tsv", 'file\tstart_s\tend_s\ttext\nb.mp4\t1\t2.5\t"in\ntwo lines"\n')
    assert read_annotation(tabs).clips == (Clip("b.mp4", 1.0, 2.5),)


def test_the_clips_that_are_left_keep_their_captions(tmp_path):
    path = written(tmp_path, "t.csv", "video,caption\na,1\nb,2\na,3\nc,4\n")
    found = read_annotation(path)
    left = found.keep(found.clip_of[[0, 1, 3]] != 1)
    assert ([clip.video for clip in left.clips], left.captions, left.clip_of.tolist()) == (["a", "c"], ("1", "3", "4"), [0, 0, 1])


BAD = {
    "empty.csv": ("", "holds no captions"),
    "header.csv": ("video,caption\n", "holds no captions"),
    "short.csv": ("video,caption\na,b,c\n", "row 1: 3 values under 2 columns"),
    "nameless.csv": ("clip,caption\na,b\n", "row 1: names no video; columns clip, caption"),
    "mute.jsonl": ('{"video": "a"}\n', "row 1: has no caption"),
    "blank.jsonl": ('{"video": "a", "caption": " "}\n', "row 1: has no caption"),
    "number.json": ('[{"video": "a", "caption": [1]}]', "row 1: has no caption"),
    "cut.json": ('[{"video": "a"', "neither JSON nor an object a line"),
    "word.json": ('"text"', "an array of objects was expected, not str"),
    "list.json": ("[1, 2]", "entry 1 is no object"),
    "time.csv": ("video,start_s,caption\na,soon,b\n", "time 'soon' is neither"),
    "back.csv": ("video,start_s,end_s,caption\na,5,4,b\n", "a clip from 5 s to 4 s is empty"),
    "rows.xlsx": ("", "not understood; choose from .csv, .tsv, .json, .jsonl"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_not_understood_is_said_in_a_line(tmp_path, name):
    content, message = BAD[name]
    with pytest.raises(UsageError, match=message) as raised:
        read_annotation(written(tmp_path, name, content))
    assert "\n" not in str(raised.value)


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(InputNotFoundError, match="no annotation file"):
        read_annotation(tmp_path / "none.csv")
    with pytest.raises(UsageError, match="unknown data set 'k400'; choose from activitynet, didemo"):
        read_annotation(tmp_path / "none.csv", "k400")
    (tmp_path / "latin.csv").write_bytes(b"video,caption\na,caf\xe9\n")
    with pytest.raises(UsageError, match="byte 20 is not UTF-8"):
        read_annotation(tmp_path / "latin.csv")
    with pytest.raises(UsageError, match='v_x must have "sentences"'):
        read_annotation(written(tmp_path, "val.json", {"v_x": {"sentences": ["a"], "timestamps": []}}), "activitynet")
    with pytest.raises(UsageError, match="line 1: 6 fields were expected"):
        read_annotation(written(tmp_path, "l.csv", "a\tb\tc\td\te\t \n"), "lsmdc")


@needs_shared
@pytest.mark.parametrize(
    ("name", "dataset", "clips", "captions"),
    [
        ("MSRVTT_JSFUSION_test.csv", "msrvtt", 1000, 1000),
        ("msrvtt_caption_test.json", "msrvtt", 2990, 59_800),
        ("msvd_caption_test.json", "msvd", 670, 27_763),
    ],
)
def test_real_annotations(name, dataset, clips, captions):
    found = read_annotation(SHARED / name, dataset)
    assert (len(found.clips), len(found.captions)) == (clips, captions)
    assert len(read_annotation(SHARED / name, dataset, paragraph=True).captions) == clips

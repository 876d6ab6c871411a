"""Annotations that give clips a class, in the layouts that users hold."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from indexer.evaluation.zeroshot import find_clips
from indexer.features import ClipSource
from vidsearch.errors import InputNotFoundError, UsageError
from vidsearch.evaluation.annotations.base import Clip
from vidsearch.evaluation.classes import read_classes
from vidsearch.evaluation.labels import read_labels
from vidsearch.evaluation.labels.base import Labelled

KINETICS = (
    "label,youtube_id,time_start,time_end,split,is_cc\n"
    "javelin throw,--07WQ2iBlw,1,11,validate,0\n"
    "massaging person's head,-0JnWPBvUzg,124,134,validate,0\n"
)


def written(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def test_kinetics_names_the_cut_and_the_whole_video(tmp_path):
    assert read_labels(written(tmp_path, "validate.csv", KINETICS)) == [
        Labelled(Clip("--07WQ2iBlw", 1, 11), "javelin throw", "--07WQ2iBlw_000001_000011"),
        Labelled(Clip("-0JnWPBvUzg", 124, 134), "massaging person's head", "-0JnWPBvUzg_000124_000134"),
    ]


def test_of_several_splits_one_must_be_named(tmp_path):
    path = written(tmp_path, "all.csv", KINETICS + "yoga,aaaaaaaaaaa,0,10,train,0\n")
    with pytest.raises(UsageError, match="holds the splits train, validate; choose one with --split"):
        read_labels(path)
    with pytest.raises(UsageError, match="no split 'val'; it holds train, validate"):
        read_labels(path, split="val")
    assert [one.label for one in read_labels(path, split="train")] == ["yoga"]


def test_something_something_is_labelled_by_its_template(tmp_path):
    rows = [
        {
            "id": "78687",
            "label": "holding potato next to vicks vaporub bottle",
            "template": "Holding [something] next to [something]",
            "placeholders": ["potato", "vicks vaporub bottle"],
        }
    ]
    path = written(tmp_path, "validation.json", json.dumps(rows))
    assert read_labels(path) == [Labelled(Clip("78687"), "Holding [something] next to [something]")]


@pytest.mark.parametrize("name", ["mine.csv", "mine.tsv", "mine.jsonl", "mine.json"])
def test_a_table_of_ones_own_is_read_and_rows_without_a_class_are_left_out(tmp_path, name):
    rows = [{"file": "a.mp4", "label": "run"}, {"file": "b.mp4", "label": ""}, {"file": "c.mp4", "label": "sit down"}]
    if name.endswith("sv"):
        mark = "," if name.endswith("csv") else "\t"
        text = "".join(mark.join(row) + "\n" for row in [["file", "label"], *([row["file"], row["label"]] for row in rows)])
    else:
        text = json.dumps(rows) if name.endswith("json") else "".join(json.dumps(row) + "\n" for row in rows)
    assert read_labels(written(tmp_path, name, text)) == [Labelled(Clip("a.mp4"), "run"), Labelled(Clip("c.mp4"), "sit down")]


def test_a_table_may_label_by_index(tmp_path):
    assert [one.label for one in read_labels(written(tmp_path, "mine.csv", "video,label\na,3\nb,0\n"))] == [3, 0]


@pytest.mark.parametrize(
    ("text", "labels"),
    [
        ("ApplyEyeMakeup/v_g01_c01.avi\nYoYo/v_g02_c01.avi\n", ["ApplyEyeMakeup", "YoYo"]),
        ("ApplyEyeMakeup/v_g01_c01.avi 1\nYoYo/v_g02_c01.avi 101\n", ["ApplyEyeMakeup", "YoYo"]),
        ("riding a bike/v 1.mp4 7\nyoga/v 2.mp4 9\n", ["riding a bike", "yoga"]),
        ("val/a.mp4 287\nval/b.mp4 3\n", [287, 3]),
        ("part1/a.mp4 4\npart2/b.mp4 4\n", [4, 4]),
        ("a.mp4 287\n", [287]),
    ],
)
def test_a_list_labels_by_folder_or_by_index(tmp_path, text, labels):
    assert [one.label for one in read_labels(written(tmp_path, "testlist01.txt", text))] == labels


def test_a_csv_without_a_header_is_a_list(tmp_path):
    assert read_labels(written(tmp_path, "val.csv", "k400/a b.mp4,12\nk400/c.mp4,0\n")) == [
        Labelled(Clip("k400/a b.mp4"), 12),
        Labelled(Clip("k400/c.mp4"), 0),
    ]


def test_hmdb51_has_a_file_a_class_and_three_splits(tmp_path):
    written(tmp_path, "brush_hair_test_split1.txt", "a.avi 1 \nb.avi 2 \nc.avi 0 \n")
    written(tmp_path, "wave_test_split1.txt", "d.avi 2 \n")
    written(tmp_path, "wave_test_split2.txt", "e.avi 2 \n")
    assert read_labels(tmp_path) == [Labelled(Clip("b.avi"), "brush_hair"), Labelled(Clip("d.avi"), "wave")]
    assert read_labels(tmp_path, split="2") == [Labelled(Clip("e.avi"), "wave")]
    with pytest.raises(UsageError, match="no split '4'; choose from 1, 2, 3"):
        read_labels(tmp_path, split="4")


def test_folders_are_classes_where_there_is_no_annotation(tmp_path):
    for name in ("run/b.mp4", "run/a.webm", "sit/c.avi", "sit/notes.txt", ".cache/d.mp4", "loose.mp4"):
        written(tmp_path, name, "")
    assert [(one.clip.video, one.label) for one in read_labels(tmp_path)] == [
        ("run/a.webm", "run"),
        ("run/b.mp4", "run"),
        ("sit/c.avi", "sit"),
    ]


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("a.csv", "video,caption\na,b\n", "has no column of classes; it must be one of template, label"),
        ("a.csv", "name,label\na,b\n", "row 1: names no video"),
        ("a.csv", "video,label,start_s,end_s\na,run,5,2\n", "row 1: a: a clip from 5 s to 2 s is empty"),
        ("a.csv", "video,label,start_s,end_s\na,run,x,2\n", "row 1: could not convert"),
        ("a.txt", "a.mp4\n", "line 1: a.mp4 has neither a folder"),
        ("a.txt", "no video\n", "line 1: 'no video' is no video file"),
        ("a.txt", "", "holds no labelled clips"),
        ("a.xml", "<a/>", "is not understood"),
    ],
)
def test_what_is_not_understood_is_said_in_one_line(tmp_path, name, text, said):
    with pytest.raises(UsageError, match=said) as refused:
        read_labels(written(tmp_path, name, text))
    assert "\n" not in str(refused.value)


def test_an_annotation_that_is_not_there_is_said(tmp_path):
    with pytest.raises(InputNotFoundError, match="no annotation"):
        read_labels(tmp_path / "gone.csv")


def test_a_cut_counts_before_its_whole_video_of_which_the_times_are_kept(tmp_path):
    annotation = written(tmp_path, "validate.csv", KINETICS)
    written(tmp_path, "val/javelin throw/--07WQ2iBlw_000001_000011.mp4", "")
    written(tmp_path, "val/--07WQ2iBlw.mkv", "")
    written(tmp_path, "val/-0JnWPBvUzg.webm", "")
    found = find_clips(read_labels(annotation), read_classes("kinetics400"), tmp_path / "val")
    assert found.sources == (
        ClipSource(tmp_path / "val/javelin throw/--07WQ2iBlw_000001_000011.mp4"),
        ClipSource(tmp_path / "val/-0JnWPBvUzg.webm", 124, 134),
    )
    assert [read_classes("kinetics400").names[label] for label in found.labels] == ["javelin throw", "massaging person's head"]
    (tmp_path / "val/-0JnWPBvUzg.webm").unlink()
    left = find_clips(read_labels(annotation), read_classes("kinetics400"), tmp_path / "val")
    assert (len(left.sources), left.missing) == (1, ("-0JnWPBvUzg_000124_000134",))

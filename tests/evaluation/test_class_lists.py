"""Class lists: those that ship, those of users, and labels found in them however they are spelt."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from vidsearch.errors import UsageError
from vidsearch.evaluation.classes import ClassList, classes_of, read_classes, shipped, spoken

ANNOTATIONS = Path(__file__).parents[2].parent / "shared" / "annotations"
COUNTS = {"hmdb51": 51, "kinetics400": 400, "kinetics600": 600, "kinetics700": 700, "ssv2": 174, "ucf101": 101}


def test_the_lists_that_ship_are_whole():
    assert {name: len(read_classes(name)) for name in shipped()} == COUNTS


@pytest.mark.parametrize("number", [400, 600, 700])
def test_the_lists_of_kinetics_are_those_that_users_hold(number):
    held = ANNOTATIONS / f"label_map_k{number}.txt"
    if not held.exists():
        pytest.skip("no annotations beside the repository")
    assert read_classes(f"kinetics{number}").names == tuple(held.read_text().splitlines())


@pytest.mark.parametrize(
    ("data_set", "index", "name"),
    [
        ("kinetics400", 0, "abseiling"),
        ("kinetics700", 699, "zumba"),
        ("ucf101", 0, "ApplyEyeMakeup"),
        ("ucf101", 33, "Haircut"),
        ("ucf101", 100, "YoYo"),
        ("hmdb51", 0, "brush_hair"),
        ("hmdb51", 50, "wave"),
        ("ssv2", 0, "Approaching something with your camera"),
        ("ssv2", 173, "Wiping something off of something"),
    ],
)
def test_an_index_means_what_it_means_in_the_data_set(data_set, index, name):
    classes = read_classes(data_set)
    assert classes.names[index] == name
    assert classes.find([index, name]).tolist() == [index, index]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("ApplyEyeMakeup", "apply eye makeup"),
        ("apply_eye_makeup", "apply eye makeup"),
        ("YoYo", "yo yo"),
        ("TaiChi", "tai chi"),
        ("brush_hair", "brush hair"),
        ("passing American football (in game)", "passing American football (in game)"),
        ("Opening [something]", "Opening something"),
        ("abseiling", "abseiling"),
    ],
)
def test_names_become_words(name, words):
    assert spoken(name) == words


def test_labels_are_found_however_they_are_spelt():
    classes = read_classes("ucf101")
    spellings = ["HandStandPushups", "handstand_pushups", "Handstand Pushups", "HandstandPushups"]
    assert set(classes.find(spellings).tolist()) == {36}
    something = read_classes("ssv2")
    place = something.find(["Pouring [something] into [something]"])[0]
    assert something.names[place] == "Pouring something into something"


def test_unknown_labels_are_named_with_the_nearest_classes():
    with pytest.raises(UsageError) as refused:
        read_classes("ucf101").find(["Surfin", "Surfing", "zzzz", "Archry", "qqqq", "Surfin"])
    said = str(refused.value)
    assert "'Surfin' (nearest: 'Surfing'), 'zzzz', 'Archry' (nearest: 'Archery') and 1 more labels among its 101 classes" in said
    assert "\n" not in said
    with pytest.raises(UsageError, match="'101'"):
        read_classes("ucf101").find([100, 101])
    with pytest.raises(UsageError, match="'-1'"):
        read_classes("ucf101").find([-1])


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("plain.txt", "running\njumping\n\nsitting down\n"),
        ("classInd.txt", "1 running\n2 jumping\n3 sitting down\n"),
        ("labels.json", json.dumps({"jumping": "1", "running": "0", "sitting down": "2"})),
        ("names.json", json.dumps(["running", "jumping", "sitting down"])),
        ("names.csv", "id,name\n0,running\n1,jumping\n2,sitting down\n"),
    ],
)
def test_a_list_of_ones_own_is_read_in_its_order(tmp_path, file, text):
    (tmp_path / file).write_text(text)
    assert read_classes(tmp_path / file).names == ("running", "jumping", "sitting down")


@pytest.mark.parametrize(
    ("file", "text", "said"),
    [
        ("one.txt", "running\n", "holds 1 classes; at least two"),
        ("twice.txt", "JumpRope\njump rope\n", "'jump rope' is the same as 'JumpRope'"),
        ("empty.txt", "", "holds 0 classes"),
        ("shape.json", '{"a": [1]}', "an array of names"),
        ("columns.csv", "a,b\n1,2\n", "no column of class names"),
    ],
)
def test_a_list_that_cannot_be_used_is_refused(tmp_path, file, text, said):
    (tmp_path / file).write_text(text)
    with pytest.raises(UsageError, match=said):
        read_classes(tmp_path / file)


def test_classes_may_come_from_the_annotation():
    assert classes_of(["run", "sit", "Run", "climb"], "mine.csv").names == ("climb", "run", "sit")
    with pytest.raises(UsageError, match=r"mine.csv labels clips by number; name .* --classes FILE"):
        classes_of([3, 4], "mine.csv")


def test_a_class_without_a_name_is_refused():
    with pytest.raises(UsageError, match="'--' has no name"):
        ClassList("mine", ("run", "--"))

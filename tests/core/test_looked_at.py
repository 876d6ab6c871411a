"""A sample of clips to label: drawn from a real index, written, filled in by the truth, read, and what is said of bad files."""

import csv
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from support.clips import make_rows, write_index

from vidsearch.curate.counting import draw_sample, rank_all
from vidsearch.curate.labels import NAMES, ask, estimate_from, read_labels, sample_of, strata_of, write_labels
from vidsearch.errors import UsageError

TEXT, WHERE = "a dog on the beach", "language != 'zh'"


@pytest.fixture(scope="module")
def index(tmp_path_factory):
    vectors, rows = make_rows(400, seed=3)
    return write_index(tmp_path_factory.mktemp("labels") / "index", vectors, rows, parts=3)


@pytest.fixture(scope="module")
def items(index):
    rows, scores, probabilities = rank_all(index, TEXT, index.encode_texts, where=WHERE)
    assert probabilities is None  # nothing was learnt about this index
    assert np.all(np.diff(scores) <= 0)
    assert len(rows) == index.count(where=WHERE).rows
    return sample_of(index, rows, scores.tolist(), draw_sample(len(rows), None, 120, seed=1), text=TEXT, where=WHERE, seed=1)


def labelled(index, items, wanted="dog"):
    """Fill in what the captions say, as someone who looks would."""
    return [replace(item, label="y" if wanted in item.caption else "n") for item in items]


def test_a_sample_that_is_filled_in_gives_the_estimate(index, items, tmp_path):
    path = tmp_path / "labels.csv"
    write_labels(path, items)
    with path.open(newline="", encoding="utf-8") as file:
        lines = list(csv.DictReader(file))
    assert list(lines[0]) == list(NAMES)
    assert len(lines) == len({line["clip_id"] for line in lines}) == 120
    with pytest.raises(UsageError, match=r"120 of 120 clips in .*labels.csv have no label"):
        read_labels(path, text=TEXT, where=WHERE)
    path.unlink()
    write_labels(path, labelled(index, items))
    read = read_labels(path, text=TEXT, where=WHERE)
    assert read == labelled(index, items)
    found = estimate_from(read, strata_of(read))
    truth = index.count(where=f"{WHERE} and caption like '%dog%'").rows
    assert found.low <= truth <= found.high
    assert found.searched == index.count(where=WHERE).rows
    assert found.labelled == 120


def test_scores_and_strata_are_those_of_the_clips(index, items):
    scores = dict(zip(index.rows_of([item.clip_id for item in items]).tolist(), [item.score for item in items], strict=True))
    vector = index.encode_texts([TEXT])[0]
    for row, score in scores.items():
        assert score == pytest.approx(float(index.vectors_of([row])[0] @ vector), abs=1e-4)
    by_stratum = [[item.score for item in items if item.stratum == number] for number in sorted(strata_of(items))]
    assert all(min(upper) >= max(lower) for upper, lower in pairwise(by_stratum))
    assert sum(strata_of(items).values()) == index.count(where=WHERE).rows


def test_whoever_stops_early_is_answered_from_what_was_seen(index, items):
    answers = iter([*(["y"] * 30), *(["?"] * 10), *(["n"] * 40), "q"])
    seen = ask(items, lambda number, item: next(answers))
    assert len(seen) == 80
    found = estimate_from(seen, strata_of(items))
    assert found.labelled == 70
    assert found.searched == index.count(where=WHERE).rows
    with pytest.raises(UsageError, match=r"none of the .* clips of stratum"):
        estimate_from([item for item in seen if item.stratum > 1], strata_of(items))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"label": "maybe"}, r"labels.csv:2 has the label 'maybe'; write y, n, or \?"),
        ({"stratum": "top"}, "labels.csv:2 holds no number where one was"),
        ({"stratum_rows": "7"}, "two sizes of one stratum"),
        ({"text": "a cat"}, "was drawn for 'a cat'"),
        ({"where": ""}, "where ''"),
    ],
)
def test_a_file_that_was_spoilt_is_refused(index, items, tmp_path, change, said):
    path = tmp_path / "labels.csv"
    lines = [{name: getattr(item, name) for name in NAMES} for item in labelled(index, items)]
    lines[0].update(change)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=NAMES)
        writer.writeheader()
        writer.writerows(lines)
    with pytest.raises(UsageError, match=said):
        read_labels(path, text=TEXT, where=WHERE)


def test_what_is_no_sample_is_refused(tmp_path):
    path = tmp_path / "labels.csv"
    for content, said in (("", "holds no clip"), ("clip_id,label\nc1,y\n", "labels.csv:2 has no video"), ("\x00\x01", "holds no clip|CSV")):
        path.write_text(content, encoding="utf-8")
        with pytest.raises(UsageError, match=said):
            read_labels(path, text=TEXT, where=None)
    with pytest.raises(FileExistsError):
        write_labels(path, [])

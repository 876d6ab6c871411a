"""`vidsearch count` with a sentence, and what the other commands say of scores."""

import csv
import io
import json

import numpy as np
import pytest
from support.clips import make_rows, write_index

from indexer.fold import fold


@pytest.fixture(scope="module")
def index(tmp_path_factory):
    """300 clips near their captions, which say one of twelve things."""
    vectors, rows = make_rows(300, seed=3)
    found = write_index(tmp_path_factory.mktemp("count") / "index", vectors, rows)
    captions = [row["caption"] or "nothing" for row in rows]
    near = found.encode_texts(captions) + 0.5 * vectors.astype(np.float32)
    near /= np.linalg.norm(near, axis=1, keepdims=True)
    learnt = write_index(found.root.parent / "learnt", near.astype(np.float16), rows)
    fold(learnt.root, encode_texts=learnt.encode_texts)
    return learnt.root


def test_count_estimates_what_a_sentence_shows(vidsearch, index):
    code, out, err = vidsearch("count", "an old red bus", "--index", index, "--json")
    found = json.loads(out)
    assert (code, err, found["basis"], found["searched"]) == (0, "", "captions", 300)
    assert 0 <= found["low"] <= found["rows"] <= found["high"] <= 300
    assert vidsearch("count", "an old red bus", "--index", index)[1] == found["words"] + "\n"
    assert vidsearch("count", "--index", index, "--json")[1] == '{"rows": 300}\n'


def test_labels_are_written_filled_in_and_counted(vidsearch, index, tmp_path):
    path = tmp_path / "labels.csv"
    asked = ("count", "a dog", "--labels", path, "--label", 90)
    code, out, err = vidsearch(*asked, "--index", index)
    assert (code, out) == (0, "")
    assert err.startswith("90 clips written to")
    code, _, err = vidsearch(*asked, "--index", index)
    assert code == 2
    assert "90 of 90 clips" in err
    with path.open(newline="", encoding="utf-8") as file:
        lines = list(csv.DictReader(file))
    for line in lines:
        line["label"] = "yes" if "dog" in line["caption"] else "N"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=list(lines[0]))
        writer.writeheader()
        writer.writerows(lines)
    code, out, _ = vidsearch(*asked, "--json", "--index", tmp_path / "not needed any more")
    found = json.loads(out)
    assert (code, found["basis"], found["labelled"], found["searched"]) == (0, "labels", 90, 300)
    assert found["low"] <= 75 <= found["high"]  # every fourth is of a dog
    assert found["high"] - found["low"] < 100


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--label", 50), "give one, and leave --min-score out"),
        (("a dog", "--label", 50, "--min-score", 0.2), "give one, and leave --min-score out"),
        (("a dog", "--label", 50), "no terminal to ask at; add --labels FILE.csv"),
        ((" ",), "the query is empty"),
        (("a dog", "--label", 5), "Invalid value for '--label'"),
    ],
)
def test_what_cannot_be_counted_is_said_in_a_line(vidsearch, index, monkeypatch, arguments, said):
    monkeypatch.setattr("sys.stdin", io.StringIO())
    code, out, err = vidsearch("count", *arguments, "--index", index)
    assert (code, out) == (2, "")
    assert said in err
    assert err.count("\n") == 1


def test_hits_say_how_likely_they_are_right(vidsearch, index, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    _, out, err = vidsearch("query", "A cat on the street, number 13", "-k", 3, "--index", index)
    header, best, *_ = out.splitlines()
    assert header.split() == ["score", "right", "video", "seconds", "caption"]
    assert int(best.split()[2]) > 30
    assert best.split()[3] == "%"
    assert "no confident match" not in err
    assert max(map(len, out.splitlines())) <= 80
    assert "right" not in vidsearch("query", "cat", "--keyword", "-k", 2, "--index", index)[1].splitlines()[0]


def test_no_confident_match_is_said_on_stderr_in_every_format(vidsearch, index, tmp_path):
    absurd = "the third derivative of a pension reform"
    for output in ("table", "jsonl", "csv", "ids"):
        _, out, err = vidsearch("query", absurd, "-k", 2, "--index", index, "--format", output)
        assert "no confident match (best 0." in err
        assert "no confident match" not in out
    rows = [json.loads(line) for line in vidsearch("query", absurd, "-k", 2, "--index", index, "--format", "jsonl")[1].splitlines()]
    assert all(0 < row["probability"] < 1 for row in rows)
    assert [row["percentile"] for row in rows] == [pytest.approx(299 / 300), pytest.approx(298 / 300)]
    about = vidsearch("query", absurd, "--index", index, "--format", "ids", "--explain")[2]
    assert json.loads(about)["confidence"]["confident"] is False
    queries = tmp_path / "queries.txt"
    queries.write_text(f"A cat on the street, number 13\n{absurd}\n")
    err = vidsearch("query", "--queries", queries, "--index", index, "--format", "ids")[2]
    assert [line[:3] for line in err.splitlines() if "no confident match" in line] == ["2: "]

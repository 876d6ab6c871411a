"""What a careless user types: one clear line on stderr and the right exit code, nothing lost."""

import numpy as np
import pytest

from indexer.rows import clips_table
from vidsearch.cli import main
from vidsearch.config import Space, viclip_preset
from vidsearch.storage import manifest as manifests
from vidsearch.storage import segment as segments
from vidsearch.storage.quarantine import quarantine_table


def run(capsys, monkeypatch, *arguments: str) -> tuple[int, str, str]:
    monkeypatch.setattr("sys.argv", ["vidsearch", *arguments])
    with pytest.raises(SystemExit) as stopped:
        main()
    captured = capsys.readouterr()
    return int(stopped.value.code or 0), captured.out, captured.err


@pytest.fixture
def vidsearch(capsys, monkeypatch):
    return lambda *arguments: run(capsys, monkeypatch, *arguments)


@pytest.fixture(scope="module")
def index(tmp_path_factory):
    """Four clips on the axes of a four-dimensional space; no model is needed to ask for clips like them."""
    root = tmp_path_factory.mktemp("made") / "index"
    manifests.create(root, Space("viclip", "no model", "0" * 64, 1, viclip_preset("eval"), 4))
    vectors = np.eye(4, dtype=np.float16)
    vectors[1] = [0.8, 0.6, 0, 0]
    captions = ["a dog\x1b[31m surfs", None, "東京 [bold]tower[/bold]", "x" * 300]
    rows = [
        {
            "clip_id": f"clip{number}",
            "video": f"{number}.mp4",
            "start_s": 0.0,
            "end_s": 2.5,
            "duration_s": 2.5,
            "caption": captions[number],
            "language": "en" if number else "de",
            "aesthetic": 4.0 + number,
        }
        for number in range(4)
    ]
    reference = segments.write(
        root,
        vectors=vectors,
        rows=clips_table(rows),
        index_files={},
        quarantine=quarantine_table([{"clip_id": "q", "video": "bad.mp4", "reason": "OPEN_FAILED"}]),
        info={"index": "flat"},
    )
    manifests.commit(root, lambda manifest: manifest.with_segments([reference]))
    return str(root)


def test_similar_prints_exact_cosines_as_json_lines(vidsearch, index):
    code, out, _ = vidsearch("similar", "clip0", "--index", index, "--format", "jsonl", "-k", "2")
    first, second = out.splitlines()
    assert code == 0
    assert '"rank": 1, "score": 1.0, "percentile": 0.75, "probability": null, "clip_id": "clip0"' in first
    assert '"score": 0.7998' in second
    assert '"clip_id": "clip1", "video": "1.mp4", "start_s": 0.0, "end_s": 2.5, "caption": null' in second
    assert '"language": "en"' in second


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        ("ids", "clip0\nclip1\n"),
        ("csv", "rank,score,percentile,probability,clip_id,video,start_s,end_s,caption,duration_s,language,aesthetic\n1,1.0,0.75,,clip0,"),
    ],
)
def test_similar_prints_ids_and_csv(vidsearch, index, output, expected):
    assert vidsearch("similar", "clip0", "--index", index, "--format", output, "-k", "2")[1].startswith(expected)


def test_a_table_stays_within_the_terminal_and_cannot_steer_it(vidsearch, index, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    _, out, err = vidsearch("similar", "clip0", "--index", index)
    assert "\x1b" not in out
    assert "[bold]tower[/bold]" in out
    assert max(len(line) for line in out.splitlines()) <= 80
    assert "exact: 4 clips" in err


def test_a_filter_is_applied_before_the_search(vidsearch, index):
    _, out, _ = vidsearch("similar", "clip0", "--index", index, "--where", "language = 'en' and aesthetic > 5.5", "--format", "ids")
    assert out.split() == ["clip2", "clip3"]


def test_a_filter_that_nothing_passes_gives_an_empty_answer(vidsearch, index):
    code, out, err = vidsearch("similar", "clip0", "--index", index, "--where", "aesthetic > 100")
    assert (code, out) == (0, "")
    assert "none of 4 clips passes the filter" in err


def test_info_describes_rows_columns_and_quarantine(vidsearch, index):
    code, out, _ = vidsearch("info", index)
    assert code == 0
    for expected in ("4 in 1 segment(s)", "no model", "preset eval", "en 3, de 1", "4 … 7, mean 5.5", "1 OPEN_FAILED"):
        assert expected in out


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["query", ""], 2, "the query is empty"),
        (["query", "  "], 2, "the query is empty"),
        (["query", "x" * 5000], 2, "5,000 characters; at most 4,096"),
        (["query", "x", "-k", "0"], 2, "k is 0; it must be 1 to 1000"),
        (["query", "x", "-k", "-1"], 2, "k is -1"),
        (["query", "x", "-k", "1000000000"], 2, "k is 1000000000"),
        (["query", "x", "-k", "many"], 2, "'many' is not a valid int"),
        (["query", "x", "--format", "xml"], 2, "xml"),
        (["query", "x", "--frobnicate"], 2, "No such option"),
        (["query"], 2, "nothing to search for"),
        (["similar", "nobody"], 2, "no clip 'nobody'"),
        (["similar", "clip0", "--where", "aestetic > 5"], 2, "aesthetic"),
        (["similar", "clip0", "--where", "aesthetic > 'high'"], 2, "aesthetic"),
        (["similar", "clip0", "--where", "aesthetic >"], 2, "filter"),
        (["query", "x", "--model", "nowhere.safetensors"], 2, "nowhere.safetensors"),
    ],
)
def test_a_wrong_value_is_one_line_and_exit_2(vidsearch, index, arguments, code, message):
    got, out, err = vidsearch(*arguments, *(["--index", index] if arguments[1:] else []))
    assert (got, out) == (code, "")
    assert message in err
    assert err.startswith("error: ")
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize("path", ["nowhere", "."])
def test_what_is_no_index_is_exit_5(vidsearch, tmp_path, monkeypatch, path):
    monkeypatch.chdir(tmp_path)
    code, _, err = vidsearch("query", "x", "--index", path)
    assert code == 5
    assert "not a vidsearch index" in err
    assert list(tmp_path.iterdir()) == []


def test_without_any_index_the_places_looked_at_are_named(vidsearch, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("VIDSEARCH_INDEX", raising=False)
    code, _, err = vidsearch("query", "x")
    assert code == 5
    assert "./shards/index, ./index or ." in err


def test_the_index_is_found_by_environment_and_said(vidsearch, index, monkeypatch):
    monkeypatch.setenv("VIDSEARCH_INDEX", index)
    code, out, err = vidsearch("similar", "clip3", "--format", "ids", "-k", "1")
    assert (code, out) == (0, "clip3\n")
    assert f"searching {index}" in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["index", "nowhere"], "no folder nowhere"),
        (["index", "."], "no video in ."),
        (["index", ".", "--metadata", "gone.jsonl"], "no metadata file gone.jsonl"),
        (["index", ".", "--workers", "0"], "'--workers': 0 is not in the range"),
    ],
)
def test_nothing_to_index_is_one_line_and_no_index_is_left(vidsearch, tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    code, _, err = vidsearch(*arguments)
    assert code == 2
    assert message in err
    assert len(err.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_help_lists_every_command(vidsearch):
    code, out, _ = vidsearch("--help")
    assert code == 0
    for name in ("index", "query", "similar", "info", "models", "demo"):
        assert name in out

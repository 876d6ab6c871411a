"""`vidsearch query` as people and programs call it: every option, every form of output, one line for what is wrong."""

import csv
import io
import json
import subprocess
import sys

import numpy as np
import pytest
from support.clips import DIM, make_rows, write_index

from vidsearch import open_index
from vidsearch._query_parts import Weighted, sentences
from vidsearch.cli import main
from vidsearch.query import Query

ROWS = 90
VECTORS, TABLE = make_rows(ROWS, seed=31)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("options") / "index"
    write_index(root, VECTORS, TABLE)
    return root


@pytest.fixture(scope="module")
def index(root):
    return open_index(root)


@pytest.fixture
def query(capsys, monkeypatch, root):
    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["vidsearch", "query", *arguments, "--index", str(root)])
        with pytest.raises(SystemExit) as stopped:
            main()
        captured = capsys.readouterr()
        return int(stopped.value.code or 0), captured.out, captured.err

    return run


def ids(answer):
    code, out, _ = answer
    assert code == 0
    return out.split()


def expected(index, **fields):
    return [hit.clip_id for hit in index.ask([Query(**fields)])[0]]


DOG = (Weighted("a dog"),)


@pytest.mark.parametrize(
    ("arguments", "fields"),
    [
        (["a dog"], {"texts": DOG}),
        (["a dog", "a beach^0.5"], {"texts": sentences(["a dog", ("a beach", 0.5)])}),
        (["a dog", "--not", "text", "--not", "a cat"], {"texts": DOG, "exclude": ("text", "a cat")}),
        (["--like", "c5", "--like", "c6"], {"like": ("c5", "c6")}),
        (["a dog", "--up", "c1", "--down", "c2"], {"texts": DOG, "up": ("c1",), "down": ("c2",)}),
        (["a dog", "--then", "a cat"], {"texts": DOG, "then": ("a cat",)}),
        (["red car", "--keyword"], {"texts": (Weighted("red car"),), "mode": "keywords"}),
        (['"red car"', "--hybrid"], {"texts": (Weighted('"red car"'),), "mode": "hybrid"}),
        (["a dog", "--hybrid-weight", "0.3"], {"texts": DOG, "mode": "hybrid", "hybrid_weight": 0.3}),
        (["a dog", "--min-score", "0.02"], {"texts": DOG, "min_score": 0.02}),
        (["a dog", "--per-video", "1", "--dedupe", "0.9"], {"texts": DOG, "per_video": 1, "dedupe": 0.9}),
        (["a dog", "--diverse"], {"texts": DOG, "diverse": 0.5}),
        (["a dog", "--lambda", "0.1"], {"texts": DOG, "diverse": 0.1}),
        (["a dog", "--sort", "aesthetic desc"], {"texts": DOG, "sort": "aesthetic desc"}),
        (["a dog", "--group", "video", "-k", "3"], {"texts": DOG, "group": "video", "k": 3}),
        (["a dog", "--exact", "--recall", "0.5", "--where", "language = 'en'"], {"texts": DOG, "exact": True, "where": "language = 'en'"}),
    ],
)
def test_an_option_is_a_field_of_the_question(query, index, arguments, fields):
    assert ids(query(*arguments, "--format", "ids")) == expected(index, **fields)


def test_a_vector_of_a_file_is_searched_by(query, index, tmp_path):
    vector = VECTORS[7].astype(np.float64)
    for name, array in (("one", vector), ("row", vector[None])):
        np.save(tmp_path / name, array)
        assert ids(query("--vector", str(tmp_path / f"{name}.npy"), "--format", "ids")) == expected(index, like=("c7",))


def test_pages_follow_each_other_until_the_last(query, index):
    seen, cursor = [], []
    while True:
        code, out, err = query("a dog", "-k", "40", "--format", "jsonl", "--explain", *cursor)
        assert code == 0
        seen += [json.loads(line)["clip_id"] for line in out.splitlines()]
        told = json.loads(err)
        if told["cursor"] is None:
            break
        cursor = ["--cursor", told["cursor"]]
    assert seen == expected(index, texts=DOG, k=ROWS)
    assert (told["total"], told["total_is_exact"], told["matching"]) == (ROWS, True, ROWS)


def test_the_answer_is_explained_on_stderr(query):
    code, out, err = query("a dog", "--explain", "-k", "2")
    assert (code, len(out.splitlines())) == (0, 3)
    for expected_line in (
        "plan      exact: 90 clips",
        "rows      90 of 90 pass, 90 to page through",
        "recall    1.000",
        "time      filter",
    ):
        assert expected_line in err
    assert "more of 90: --cursor " in err
    assert "plan  " not in query("a dog")[2]


def test_a_filter_that_nothing_passes_is_taken_apart(query):
    code, out, err = query("a dog", "--where", "language = 'en' and aesthetic > 11")
    assert (code, out) == (0, "")
    assert "none of 90 clips passes the filter" in err
    assert f"{sum(row['language'] == 'en' for row in TABLE)} pass language = 'en' alone" in err
    assert "0 pass aesthetic > 11 alone" in err


def test_what_belongs_to_a_hit_is_shown_with_it(query):
    code, out, _ = query("a dog", "--then", "a cat", "-k", "2", "--format", "jsonl")
    first = json.loads(out.splitlines()[0])
    assert (code, [clip["rank"] for clip in first["chain"]]) == (0, [1, 2])
    assert first["score"] == pytest.approx(sum(clip["score"] for clip in first["chain"]))
    table = query("a dog", "--then", "a cat", "-k", "2")[1].splitlines()
    assert [line.split()[0] for line in table[1:]] == ["1", "then", "2", "then"]
    grouped = json.loads(query("a dog", "--group", "video", "--format", "jsonl", "-k", "1")[1])
    assert 1 <= len(grouped["group"]) <= 2
    (row,) = csv.DictReader(io.StringIO(query("a dog", "--group", "video", "--format", "csv", "-k", "1")[1]))
    assert json.loads(row["group"]) == grouped["group"]
    folded = json.loads(query("--like", "c0", "--dedupe", "0.9", "--format", "jsonl", "-k", "1")[1])
    assert folded["duplicates"] == 1
    assert "[1 alike]" in query("--like", "c0", "--dedupe", "0.9", "-k", "1")[1]
    assert json.loads(query("dog", "--hybrid", "--format", "jsonl", "-k", "1")[1])["cosine"] <= 1


def test_many_queries_are_read_from_a_file(query, index, tmp_path):
    path = tmp_path / "queries.txt"
    lines = ["a dog", "", json.dumps({"text": "a cat", "k": 1, "where": "language = 'de'"}), "a beach^2", json.dumps({"like": ["c3"]})]
    path.write_text("\n".join(lines), encoding="utf-8")
    wanted = [
        expected(index, texts=DOG, k=2),
        expected(index, texts=(Weighted("a cat"),), k=1, where="language = 'de'"),
        expected(index, texts=(Weighted("a beach"),), k=2),
        expected(index, like=("c3",), k=2),
    ]
    numbered = [(str(number), name) for number, names in enumerate(wanted, 1) for name in names]
    assert [tuple(line.split("\t")) for line in query("--queries", str(path), "-k", "2", "--format", "ids")[1].splitlines()] == numbered
    rows = [json.loads(line) for line in query("--queries", str(path), "-k", "2", "--format", "jsonl")[1].splitlines()]
    assert [(str(row["query"]), row["clip_id"]) for row in rows] == numbered
    rows = list(csv.DictReader(io.StringIO(query("--queries", str(path), "-k", "2", "--format", "csv")[1])))
    assert [(row["query"], row["clip_id"]) for row in rows] == numbered
    assert "3: a beach" in query("--queries", str(path), "-k", "2")[1]


def test_similar_takes_a_clip(capsys, monkeypatch, root, index):
    monkeypatch.setattr("sys.argv", ["vidsearch", "similar", "c4", "--index", str(root), "--format", "ids"])
    with pytest.raises(SystemExit):
        main()
    assert capsys.readouterr().out.split() == expected(index, like=("c4",))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "nothing to search for"),
        (["--like", "nobody"], "no clip 'nobody'"),
        (["--like", "gone.jpg"], "no clip 'gone.jpg'"),
        (["x", "--up", "nobody"], "no clip 'nobody'"),
        (["x^nan"], "the weight of 'x' is nan"),
        (["x^1e999"], "the weight of 'x' is inf"),
        (["x^1.2.3"], "is no weight"),
        (["x^0"], "weigh nothing"),
        (["x^1", "x^-1"], "cancel each other"),
        (["x", "--min-score", "nan"], "min_score is nan"),
        (["x", "--dedupe", "2"], "dedupe is 2.0; it must be above 0, at most 1"),
        (["x", "--lambda", "-1"], "diverse is -1.0"),
        (["x", "--per-video", "0"], "per_video is 0"),
        (["x", "--hybrid", "--keyword"], "exclude each other"),
        (["?!", "--keyword"], "no word to look for"),
        (["x", "--keyword", "--not", "y"], "keywords alone compare no vectors"),
        (["x", "--sort", "views"], "unknown column 'views' to sort by"),
        (["x", "--group", "language"], "grouped by video"),
        (["x", "--then", "y", "--hybrid"], "then cannot be combined"),
        (["x", "--cursor", "garbage"], "'garbage' is no cursor"),
        (["x", "--cursor", "é"], "is no cursor"),
        (["x", "--recall", "1.5"], "recall is 1.5"),
        (["--vector", "gone.npy"], "no file gone.npy"),
        (["--queries", "gone.txt"], "no file gone.txt"),
    ],
)
def test_what_is_wrong_is_one_line_and_exit_2(query, tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    code, out, err = query(*arguments)
    assert (code, out) == (2, "")
    assert message in err
    assert err.startswith("error: ")
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"no array", "holds no vector"),
        (b"", "holds no vector"),
        (np.ones((2, DIM)), r"holds shape \(2,"),
        (np.ones(3), "shape (3,)"),
        (np.full(DIM, np.nan), "finite"),
        (np.array(["a"] * DIM), "holds no vector"),
        (np.array([{}], dtype=object), "holds no vector"),
        (np.float64(3), "holds shape ()"),
    ],
)
def test_a_file_without_a_vector_is_one_line(query, tmp_path, content, message):
    path = tmp_path / "v.npy"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        np.save(path, content, allow_pickle=True)
    code, _, err = query("--vector", str(path))
    assert (code, len(err.splitlines())) == (2, 1)
    assert message.replace("\\", "") in err


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"text": ', "starts like JSON and is none"),
        ("{" * 100_000, "starts like JSON and is none"),
        ('{"txt": "x"}', "a query has no 'txt'"),
        ('{"text": "x", "k": 0}', "k is 0"),
        ("x" * 5000, "at most 4,096"),
        ("x^nan", "weight of 'x' is nan"),
    ],
)
def test_a_bad_line_of_a_file_is_named(query, tmp_path, line, message):
    path = tmp_path / "queries.txt"
    path.write_text(f"a dog\n{line}\n", encoding="utf-8")
    code, out, err = query("--queries", str(path))
    assert (code, out, len(err.splitlines())) == (2, "", 1)
    assert f"{path}:2: " in err
    assert message in err


def test_paging_ends_at_the_limit_of_the_command(query, monkeypatch):
    monkeypatch.setattr("vidsearch.query_cli.MAX_DEPTH", 50)
    cursor = json.loads(query("a dog", "-k", "40", "--format", "jsonl", "--explain")[2])["cursor"]
    code, _, err = query("a dog", "-k", "40", "--cursor", cursor)
    assert code == 2
    assert "no more than 50 clips can be paged through here" in err


def test_a_plain_query_loads_no_heavy_library_and_no_more_of_ours_than_it_needs(root):
    code = """
import sys
from vidsearch.cli import main
try:
    main()
except SystemExit as stopped:
    print(*sorted(sys.modules), file=sys.stderr)
    sys.exit(stopped.code)
"""
    done = subprocess.run(
        [sys.executable, "-c", code, "query", "a dog", "--where", "language = 'en'", "--index", str(root), "--format", "ids"],
        capture_output=True,
        text=True,
        check=True,
    )
    loaded = set(done.stderr.split())
    assert len(done.stdout.split()) == 10
    assert not {"torch", "av", "faiss", "numba", "tantivy", "pandas", "matplotlib"} & loaded
    assert not {"vidsearch.answers.media", "vidsearch.answers.chains", "vidsearch.captions.keywords", "vidsearch.captions.store"} & loaded
    assert "vidsearch.answers.answer" in loaded

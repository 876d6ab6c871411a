"""A corpus of vectors brought along, then made into data sets: every command as it is typed, with a real model for the sentences."""

import json
from collections.abc import Callable
from itertools import product
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from vidsearch import open_index
from vidsearch.cli import main
from vidsearch.encoders import load_encoder

SHAPES, COLOURS = ("circle", "square", "star"), ("red", "green", "blue", "yellow")
CAPTIONS = [f"a {colour} {shape} {motion}" for colour, shape, motion in product(COLOURS, SHAPES, ("grows", "blinks", "moves left"))]
COPIES = 4

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """Vectors and rows as another tool may have left them: each caption's own vector, four times, a little moved."""
    folder = tmp_path_factory.mktemp("brought")
    rng = np.random.default_rng(0)
    vectors = load_encoder("demo-viclip", device="cpu", precision="float32").encode_texts(CAPTIONS).repeat(COPIES, axis=0)
    noise = rng.standard_normal(vectors.shape)
    vectors = vectors + 0.1 * noise / np.linalg.norm(noise, axis=1, keepdims=True)
    np.save(folder / "vectors.npy", 7 * vectors)
    rows = [
        {
            "YoutubeID": f"video{number // 8:06d}",
            "Start_timestamp": f"00:00:{number % 8:02d}.000",
            "End_timestamp": f"00:00:{number % 8 + 1:02d}.000",
            "Caption": CAPTIONS[number // COPIES],
            "Aesthetic_Score": float(number % COPIES),
            "Language": "en" if number % 2 else "de",
        }
        for number in range(len(vectors))
    ]
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


@pytest.fixture(scope="module")
def brought(made, request) -> Path:
    """The index of them, by the command."""
    with pytest.MonkeyPatch.context() as patch:
        arguments = ["--vectors", made / "vectors.npy", "--metadata", made / "rows.jsonl", "--model", "demo-viclip"]
        patch.setattr("sys.argv", ["vidsearch", "index", *map(str, [made / "index", *arguments])])
        with pytest.raises(SystemExit) as stopped:
            main()
    assert not stopped.value.code
    return made / "index"


def captions(path: Path) -> list[str]:
    return pq.read_table(path)["caption"].to_pylist()


def test_vectors_brought_along_answer_sentences(vidsearch, brought):
    code, out, _ = vidsearch("query", CAPTIONS[5], "--index", brought, "-k", COPIES, "--format", "jsonl")
    assert code == 0
    hits = [json.loads(line) for line in out.splitlines()]
    assert [hit["caption"] for hit in hits] == [CAPTIONS[5]] * COPIES
    assert (hits[0]["youtube_id"], hits[0]["duration_s"]) == ("video000002", 1.0)


def test_vectors_of_another_length_or_number_of_rows_are_one_line(vidsearch, made, tmp_path):
    np.save(tmp_path / "short.npy", np.ones((3, 8)))
    for arguments, message in (
        (["--model", "demo-viclip"], "vectors of 8 numbers, those of demo-viclip have"),
        (["--metadata", made / "rows.jsonl"], "3 vectors, rows.jsonl 144 rows"),
        (["--vector-column", "x"], "has no columns"),
    ):
        code, _, err = vidsearch("index", tmp_path / "index", "--vectors", tmp_path / "short.npy", *arguments)
        assert code in (2, 6)
        assert message in err
        assert len(err.splitlines()) == 1
        assert not (tmp_path / "index").exists()
    code, _, err = vidsearch("index", tmp_path / "index", "--vector-column", "x")
    assert (code, "go with --vectors" in err) == (2, True)


def test_vectors_without_a_model_are_asked_by_vector_only(vidsearch, tmp_path):
    np.save(tmp_path / "v.npy", np.eye(5, dtype=np.float32))
    np.save(tmp_path / "one.npy", np.eye(5, dtype=np.float32)[2])
    index = tmp_path / "index"
    code, out, _ = vidsearch("index", index, "--vectors", tmp_path / "v.npy")
    assert (code, out.splitlines()[0].startswith("5 clips indexed")) == (0, True)
    code, out, _ = vidsearch("index", index, "--vectors", tmp_path / "v.npy")
    assert "0 clips indexed" in out
    assert "5 were there already" in out
    code, _, err = vidsearch("query", "a dog", "--index", index)
    assert code == 2
    assert err.splitlines()[-1].startswith("error: these vectors came without a model")
    vidsearch("export", "--vector", tmp_path / "one.npy", "--top", 1, "--index", index, "--format", "ids", "-o", tmp_path / "out")
    found = open_index(index)
    assert found.vectors_of([found.row_of((tmp_path / "out").read_text().strip())])[0].tolist() == [0, 0, 1, 0, 0]


def test_export_replay_and_diff_go_together(vidsearch, brought, tmp_path):
    arguments = ["--index", brought, "--where", "language = 'en'", "--top", 6]
    code, out, err = vidsearch("export", "a red star blinks", *arguments, "-o", tmp_path / "a.parquet")
    assert (code, out) == (0, "")
    assert "6 clips written" in err
    assert captions(tmp_path / "a.parquet")[:2] == ["a red star blinks"] * 2
    code, out, _ = vidsearch("replay", tmp_path / "a.parquet.recipe.json", "-o", tmp_path / "b.parquet")
    assert (code, out) == (0, "the same 6 clips in the same order\n")
    assert vidsearch("diff", tmp_path / "a.parquet", tmp_path / "b.parquet.recipe.json") == (
        0,
        "only in A: 0; only in B: 0; in both: 6\n",
        "",
    )
    vidsearch("export", "a red star blinks", "--index", brought, "--top", 6, "--format", "ids", "-o", tmp_path / "c.txt")
    a, c = pq.read_table(tmp_path / "a.parquet")["clip_id"].to_pylist(), (tmp_path / "c.txt").read_text().split()
    code, out, _ = vidsearch("diff", tmp_path / "a.parquet", tmp_path / "c.txt", "--format", "ids")
    assert code == 1
    assert out.split("\n")[:-1] == [f"< {name}" for name in a if name not in c] + [f"> {name}" for name in c if name not in a]
    code, out, _ = vidsearch("diff", tmp_path / "a.parquet", tmp_path / "c.txt", "--format", "jsonl")
    assert {(row["clip_id"], row["in"]) for row in map(json.loads, out.splitlines())} == {
        (name, "both" if name in a and name in c else "A" if name in a else "B") for name in {*a, *c}
    }


def test_a_replay_that_finds_other_clips_says_so(vidsearch, made, brought, tmp_path):
    vidsearch("export", "--index", brought, "--format", "ids", "-o", tmp_path / "all.txt")
    np.save(tmp_path / "half.npy", np.load(made / "vectors.npy")[:10])
    vidsearch("index", tmp_path / "other", "--vectors", tmp_path / "half.npy")
    code, out, err = vidsearch("replay", tmp_path / "all.txt.recipe.json", "--index", tmp_path / "other", "-o", tmp_path / "again.txt")
    assert code == 1
    assert "not the same clips: the recipe's export had 144" in out
    assert "note: the recipe was written for another index" in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["a dog"], "ranks every clip"),
        (["--min-score", "0.3"], "give a sentence"),
        (["--format", "xml"], "xml"),
        (["--where", "nope = 1"], "nope"),
        (["--media-root", "."], "goes with --format webdataset"),
        (["a dog", "--top", "3", "--per-video", "0"], "per_video is 0"),
    ],
)
def test_an_export_that_cannot_be_made_is_one_line(vidsearch, brought, tmp_path, arguments, message):
    code, _, err = vidsearch("export", *arguments, "--index", brought, "-o", tmp_path / "out")
    assert code == 2
    assert message in err
    assert len(err.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_count_prints_a_number(vidsearch, brought, tmp_path):
    assert vidsearch("count", "--index", brought) == (0, "144\n", "")
    assert vidsearch("count", "--index", brought, "--where", "language = 'de' and aesthetic > 1")[1] == "36\n"
    vidsearch("export", "a blue square grows", "--min-score", 0.8, "--index", brought, "--format", "ids", "-o", tmp_path / "out")
    counted = vidsearch("count", "a blue square grows", "--min-score", 0.8, "--index", brought)[1]
    assert int(counted) == len((tmp_path / "out").read_text().split()) >= COPIES


def test_near_duplicates_are_counted_and_written(vidsearch, made, tmp_path):
    index = tmp_path / "index"
    vectors = np.load(made / "vectors.npy")[::COPIES]  # one a caption
    np.save(tmp_path / "v.npy", np.concatenate([vectors, vectors[:9] * 1.001]))
    scores = [{"clip_id": f"c{number}", "aesthetic": number / 10} for number in range(len(vectors) + 9)]
    (tmp_path / "r.jsonl").write_text("".join(json.dumps(row) + "\n" for row in scores))
    vidsearch("index", index, "--vectors", tmp_path / "v.npy", "--metadata", tmp_path / "r.jsonl")
    code, out, _ = vidsearch("dedup", "--index", index, "--threshold", 0.9999)
    assert (code, out) == (0, "9 groups of near-duplicates with 18 of 45 clips; 9 could go\n")
    assert "duplicate_of" not in open_index(index).schema.names
    code, out, _ = vidsearch("dedup", "--index", index, "--threshold", 0.9999, "--write", "duplicate_of")
    assert "written to column duplicate_of" in out
    assert vidsearch("count", "--index", index, "--where", "duplicate_of is null")[1] == "36\n"
    vidsearch("export", "--index", index, "--where", "duplicate_of is not null", "--format", "jsonl", "-o", tmp_path / "gone.jsonl")
    gone = [json.loads(line) for line in (tmp_path / "gone.jsonl").read_text().splitlines()]
    assert {row["clip_id"]: row["duplicate_of"] for row in gone} == {f"c{number}": f"c{number + 36}" for number in range(9)}
    code, _, err = vidsearch("dedup", "--index", index, "--write", "caption")
    assert (code, "part of what was indexed" in err) == (2, True)


def test_coverage_shows_what_is_missing(vidsearch, brought, tmp_path):
    terms = ["a red star", "a green circle", "a purple cross", "a blue square"]
    (tmp_path / "terms.jsonl").write_text("".join(json.dumps({"search_word_id": term, "search_word": "x"}) + "\n" for term in terms))
    code, out, err = vidsearch("coverage", tmp_path / "terms.jsonl", "--index", brought, "--quantile", 0.95)
    assert code == 0
    lines = [line.split(maxsplit=2) for line in out.splitlines()[1:]]
    assert lines[0][2].strip() == "a purple cross"
    assert [int(line[0]) for line in lines] == sorted(int(line[0]) for line in lines)
    assert "4 terms, 144 clips; by chance about 7 a term" in err
    vidsearch("coverage", tmp_path / "terms.jsonl", "--index", brought, "--format", "parquet", "-o", tmp_path / "out", "--quantile", 0.95)
    table = pq.read_table(tmp_path / "out")
    assert table.schema.names == ["term", "floor", "language", "clips"]
    assert sum(row["clips"] for row in table.to_pylist() if row["term"] == lines[-1][2].strip()) == int(lines[-1][0])
    code, _, err = vidsearch("coverage", tmp_path / "terms.jsonl", "--index", brought, "--format", "csv")
    assert (code, "give --out FILE" in err) == (2, True)

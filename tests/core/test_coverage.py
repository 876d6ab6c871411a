"""Counts of clips for each term against naive loops, and the floor of noise on vectors whose matches are known."""

import json
from pathlib import Path

import numpy as np
import pytest
from support.made import made

from vidsearch import open_index
from vidsearch.config import external_space
from vidsearch.corpus import Corpus
from vidsearch.curate import coverage
from vidsearch.curate.coverage import measure_coverage, noise_floors
from vidsearch.curate.terms import jumbles, read_terms
from vidsearch.errors import UsageError
from vidsearch.storage import manifest as manifests

DIM = 128
TERMS = ["a cat", "a dog", "a boat at sea", "nobody"]


def unit(vectors: np.ndarray) -> np.ndarray:
    return (vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)).astype(np.float32)


def own(text: str) -> np.ndarray:
    """Draw what is a text's own."""
    return np.random.default_rng(list(text.encode())).standard_normal(DIM)


def encode(texts: list[str]) -> np.ndarray:
    """Give each text a direction of its own, in a cone."""
    return unit(np.stack([own(text) + 1 for text in texts])) if texts else np.zeros((0, DIM), np.float32)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> Corpus:
    """2,000 clips: 20 cats, 40 dogs and 10 boats among clips of nothing."""
    rng = np.random.default_rng(7)
    vectors = rng.standard_normal((2000, DIM))
    shown = [TERMS[0]] * 20 + [TERMS[1]] * 40 + [TERMS[2]] * 10
    vectors[: len(shown)] += [own(text) for text in shown]
    vectors = unit(vectors)[rng.permutation(2000)]
    columns = {"language": [("en", "de", None)[n % 3] for n in range(2000)], "type": [f"t{n % 4}" for n in range(2000)]}
    return made(tmp_path_factory.mktemp("coverage") / "index", vectors[:900], vectors[900:], **columns)


def naive(corpus: Corpus, floors: np.ndarray, where=lambda row: True) -> dict:
    counts: dict = {}
    rows = [row for table in corpus.read_columns(["language", "type"]) for row in table.to_pylist()]
    vectors = corpus.vectors_of(range(len(corpus)))
    for term, vector, floor in zip(TERMS, encode(TERMS), floors, strict=True):
        for row, clip in zip(rows, vectors, strict=True):
            if where(row) and clip @ vector >= floor:
                key = (term, row["language"], row["type"])
                counts[key] = counts.get(key, 0) + 1
    return counts


def test_counts_are_those_of_a_naive_loop(corpus, monkeypatch):
    monkeypatch.setattr(coverage, "BLOCK_ROWS", 300)
    found = measure_coverage(corpus, TERMS, encode, by=["language", "type"], min_score=0.4)
    table = found.to_table().to_pylist()
    expected = naive(corpus, np.full(4, 0.4))
    assert {(row["term"], row["language"], row["type"]): row["clips"] for row in table if row["clips"]} == expected
    assert found.totals.tolist() == [sum(number for (name, *_), number in expected.items() if name == term) for term in TERMS]
    assert [row for row in table if row["term"] == "nobody"] == [
        {"term": "nobody", "floor": pytest.approx(0.4), "language": None, "type": None, "clips": 0}
    ]
    assert (found.rows, found.noise) == (2000, None)


def test_a_filter_leaves_rows_out(corpus):
    found = measure_coverage(corpus, TERMS, encode, min_score=0.15, where="language = 'de'")
    expected = naive(corpus, np.full(4, 0.15), lambda row: row["language"] == "de")
    assert found.totals.tolist() == [sum(number for (name, *_), number in expected.items() if name == term) for term in TERMS]
    assert found.groups == [()]
    assert found.rows == 667


def test_the_floor_lets_matches_through_and_little_else(corpus):
    found = measure_coverage(corpus, TERMS, encode)
    assert found.noise == pytest.approx(2)
    for total, shown in zip(found.totals.tolist(), (20, 40, 10, 0), strict=True):
        assert shown <= total <= shown + 8
    again = measure_coverage(corpus, TERMS, encode)
    np.testing.assert_array_equal(again.floors, found.floors)


def test_the_floor_of_texts_that_are_like_the_background_lets_the_share_through():
    rng = np.random.default_rng(1)
    clips = unit(rng.standard_normal((4000, DIM)) + 1)
    texts = unit(rng.standard_normal((400, DIM)) + 1)
    floors = noise_floors(texts[:200], texts[200:], clips, 0.99)
    assert ((texts[:200] @ clips.T) >= floors[:, None]).mean() == pytest.approx(0.01, abs=0.001)


def test_an_empty_index_covers_nothing(tmp_path):
    manifests.create(tmp_path / "index", external_space(DIM))
    found = measure_coverage(open_index(tmp_path / "index"), TERMS, encode)
    assert found.totals.tolist() == [0, 0, 0, 0]
    assert found.to_table()["term"].to_pylist() == TERMS


@pytest.mark.parametrize(("arguments", "message"), [({"by": ["genre"]}, "unknown column 'genre'"), ({"quantile": 1.0}, "between 0 and 1")])
def test_what_cannot_be_counted_is_refused(corpus, arguments, message):
    with pytest.raises(UsageError, match=message):
        measure_coverage(corpus, TERMS, encode, **arguments)


def test_terms_come_from_lines_and_from_internvids_search_words(tmp_path):
    lines, rows = tmp_path / "terms.txt", tmp_path / "queries.jsonl"
    lines.write_text("\ufeffa cat\n\n a dog \na cat\n", encoding="utf-8")
    words = [("feeding ducks", "喂鸭子"), ("canoeing", "划独木舟")]
    rows.write_text("".join(json.dumps({"search_word_id": english, "search_word": chinese}) + "\n" for english, chinese in words))
    assert read_terms(lines) == ["a cat", "a dog"]
    assert read_terms(rows) == ["feeding ducks", "canoeing"]
    assert read_terms(rows, "search_word") == ["喂鸭子", "划独木舟"]


@pytest.mark.skipif(not Path("../shared/annotations/internvid_queries.jsonl").is_file(), reason="InternVid's queries are not here")
def test_internvids_own_queries_are_read():
    terms = read_terms(Path("../shared/annotations/internvid_queries.jsonl"))
    assert len(terms) > 6000
    assert "doing brazilian jiu-jitsu" in terms


@pytest.mark.parametrize(
    ("name", "content", "field", "message"),
    [
        ("t.txt", "\n\n", None, "holds no term"),
        ("t.txt", "a", "x", "has no fields"),
        ("t.jsonl", "[1]", None, "t.jsonl:1 is not a JSON object"),
        ("t.jsonl", '{"term": "a"}\n{"term": 3}', None, "t.jsonl:2 has no text under term or query"),
    ],
)
def test_a_file_without_terms_is_one_clear_line(tmp_path, name, content, field, message):
    (tmp_path / name).write_text(content)
    with pytest.raises(UsageError, match=message):
        read_terms(tmp_path / name, field)


def test_jumbles_have_the_words_of_the_terms_and_not_their_order():
    made_up = jumbles([f"word{n} and thing{n}" for n in range(300)], seed=1)
    words = " ".join(made_up).split()
    assert len(made_up) == 256
    assert sum(word.startswith(("word", "thing")) for word in words) > 0.8 * len(words)
    assert jumbles(["x"], seed=1) == jumbles(["x"], seed=1)
    assert "x x x x" not in jumbles(["x"])

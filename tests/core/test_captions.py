"""Keyword search over captions: every language, quoted phrases, filters, and an index that is never trusted."""

import logging
import os
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.clips import make_rows, write_index

from vidsearch import open_index
from vidsearch.answers.refine import fuse_ranks, scale
from vidsearch.captions import store
from vidsearch.captions.keywords import FEW_ROWS, Keywords, write
from vidsearch.captions.text import Wanted, read
from vidsearch.errors import QueryError
from vidsearch.selection import Selection

ROWS = 240
VECTORS, TABLE = make_rows(ROWS, seed=21)
LANGUAGES = [
    "A dog runs on the beach",
    "Ein Café in Köln, daneben ein Hund",
    "东京的红色出租车",
    "東京タワーの前を走る犬",
    "서울에서 달리는 강아지",
    "สุนัขวิ่งบนชายหาด",
    "Красная машина едет по улице",
    "كلب يجري على الشاطئ",
    "ＤＯＧ on the ｂｅａｃｈ; foo_bar 3.5",
    "red dog, car",
]


EVERYTHING = Selection.of_mask(np.ones(len(LANGUAGES), dtype=np.bool_))


@pytest.fixture(scope="module")
def keywords(tmp_path_factory):
    folder = tmp_path_factory.mktemp("words")
    write(folder, enumerate(LANGUAGES))
    return Keywords(folder, store._names(folder))


@pytest.fixture(scope="module")
def index(tmp_path_factory):
    return write_index(tmp_path_factory.mktemp("captions") / "index", VECTORS, TABLE, parts=2)


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("dog", [0, 8, 9]),
        ("DOG!", [0, 8, 9]),
        ("cafe koln", [1]),
        ("CAFÉ", [1]),
        ("东京", [2]),
        ("東京", [3]),
        ("红色", [2]),
        ("色红", []),
        ("犬", [3]),
        ("강아지", [4]),
        ("서울", [4]),
        ("ชายหาด", [5]),
        ("машина", [6]),
        ("كلب", [7]),
        ("foo", [8]),
        ("unheard", []),
        ("caption:dog", [0, 8, 9]),
        ("dog AND NOT beach", [0, 8, 9]),
        ("do*", []),
        ("dog~2 [a TO z] (", [0, 8, 9]),
    ],
)
def test_words_of_every_language_are_found_and_syntax_is_none(keywords, text, rows):
    assert sorted(keywords.search([read(text)], 100, EVERYTHING)[0].tolist()) == rows


@pytest.mark.parametrize(
    ("phrase", "rows"),
    [
        ("red dog", [9]),
        ("dog red", []),
        ("the beach", [0, 8]),
        ("東京タワー", [3]),
        ("東京", [3]),
        ("Café in KÖLN", [1]),
        ("dog, car", [9]),
    ],
)
def test_a_phrase_stands_as_it_is(keywords, phrase, rows):
    assert keywords.holding([phrase]).tolist() == rows


def test_several_phrases_must_all_occur(keywords):
    assert keywords.holding(["the beach", "dog"]).tolist() == [0, 8]


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=60) | st.from_regex(r"[\w\"*:^~()\[\]+\-/\\ ]{0,40}"))
def test_no_text_is_an_error(keywords, text):
    rows, scores = keywords.search([read(text)], 5, EVERYTHING)
    assert len(rows) == len(scores) <= 5
    assert np.isfinite(scores).all()


@pytest.mark.parametrize(
    ("text", "words", "phrases"),
    [
        ('a "red car" here', "a red car here", ("red car",)),
        ("“curly” and „low“", "curly and low", ("curly", "low")),
        ('an unpaired " quote', "an unpaired quote", ()),
        ('"" " "', '"" " "', ()),
    ],
)
def test_quotes_make_phrases(text, words, phrases):
    assert read(text) == Wanted(words, phrases)


def words_in(text):
    return set(re.findall(r"[a-z0-9]+", (text or "").lower()))


@pytest.mark.parametrize("where", [None, "language = 'en'", "aesthetic > 9.5"])
def test_keyword_search_finds_all_that_hold_a_word_under_the_filter(index, where):
    allowed = {hit.clip_id for hit in index.search(like="c0", k=ROWS, where=where)}
    expected = {row["clip_id"] for row in TABLE if row["clip_id"] in allowed and words_in(row["caption"]) & {"cat", "forest"}}
    hits = index.search("cat forest", mode="keywords", k=ROWS, where=where)
    assert {hit.clip_id for hit in hits} == expected
    assert len(hits) == len(expected) == hits.total.rows
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
    both = [words_in(hit.caption) >= {"cat", "forest"} for hit in hits]
    assert both == sorted(both, reverse=True)  # two words are worth more than one
    assert index.count("cat forest", mode="keywords", where=where).rows == len(expected)


def test_keyword_search_needs_no_model(index):
    fresh = open_index(index.root)
    fresh.search("cat", mode="keywords")
    assert "encoder" not in vars(fresh)


def test_quoted_words_must_occur(index):
    hits = index.search('"red car" forest', mode="keywords", k=ROWS)
    assert {hit.clip_id for hit in hits} == {row["clip_id"] for row in TABLE if "red car" in (row["caption"] or "")}
    assert hits.matching == len(hits) > 0
    none = index.search('"car red"', mode="hybrid")
    assert (len(none), none.matching) == (0, 0)
    assert "holds the quoted words" in none.plan


def test_paging_through_keywords_returns_every_row_once(index):
    seen, cursor = [], None
    while True:
        hits = index.search("dog street", mode="keywords", k=9, cursor=cursor)
        seen += [hit.clip_id for hit in hits]
        cursor = hits.cursor
        if cursor is None:
            break
    assert len(seen) == len(set(seen)) == index.count("dog street", mode="keywords").rows


def lists(index, text, where):
    near = index.search(text, k=ROWS, where=where)
    words = index.search(text, k=ROWS, where=where, mode="keywords")
    return near, words, [np.array([int(hit.clip_id[1:]) for hit in hits]) for hits in (near, words)]


@pytest.mark.parametrize("where", [None, "language = 'de'"])
def test_hybrid_fuses_the_ranks_of_both(index, where):
    near, _, rankings = lists(index, "a cat in a forest", where)
    rows, scores = fuse_ranks(rankings)
    hits = index.search("a cat in a forest", k=30, where=where, mode="hybrid")
    assert [int(hit.clip_id[1:]) for hit in hits] == rows[:30].tolist()
    assert [hit.score for hit in hits] == pytest.approx(scores[:30].tolist())
    cosines = {hit.clip_id: hit.score for hit in near}
    assert [hit.cosine for hit in hits] == pytest.approx([cosines[hit.clip_id] for hit in hits], abs=1e-6)


@pytest.mark.parametrize("weight", [0.0, 0.4, 1.0])
def test_hybrid_with_a_weight_adds_scaled_scores(index, weight):
    near, words, _ = lists(index, "a cat in a forest", None)
    cosines = dict(zip((hit.clip_id for hit in near), scale(np.array([hit.score for hit in near])), strict=True))
    bm25 = {hit.clip_id: hit.score / words[0].score for hit in words}
    expected = {name: weight * cosine + (1 - weight) * bm25.get(name, 0) for name, cosine in cosines.items()}
    hits = index.search("a cat in a forest", k=20, mode="hybrid", hybrid_weight=weight)
    assert [hit.score for hit in hits] == pytest.approx(sorted(expected.values(), reverse=True)[:20], abs=1e-5)
    assert all(hit.score == pytest.approx(expected[hit.clip_id], abs=1e-5) for hit in hits)


def test_a_threshold_in_a_hybrid_search_is_of_the_cosine(index):
    hits = index.search("cat", k=ROWS, mode="hybrid", min_score=0.0)
    assert {hit.clip_id for hit in hits} == {hit.clip_id for hit in index.search("cat", k=ROWS, min_score=0.0)}
    assert hits.total.rows == len(hits) == index.count("cat", min_score=0.0).rows


@pytest.mark.parametrize(("share", "limit"), [(0.001, 5), (0.5, 50), (0.9, 10_000)])
def test_many_captions_are_filtered_whichever_way_is_cheaper(tmp_path, share, limit):
    count = 2 * FEW_ROWS + 7
    write(tmp_path, ((row, "dog " * (1 + row % 3) + "runs") for row in range(count)))
    keywords = Keywords(tmp_path, store._names(tmp_path))
    mask = np.random.default_rng(1).random(count) < share
    rows, scores = keywords.search([Wanted("dog")], limit, Selection.of_mask(mask))
    assert mask[rows].all()
    assert len(rows) == min(limit, mask.sum())
    assert (np.diff(scores) <= 0).all()
    assert (rows % 3)[: min(len(rows), int((np.flatnonzero(mask) % 3 == 2).sum()))].min() == 2  # three dogs are more than one


def test_an_index_is_made_once_and_reused(index, caplog):
    with caplog.at_level(logging.WARNING):
        index.search("dog", mode="keywords")
        caplog.clear()
        open_index(index.root).search("dog", mode="keywords")
    assert not caplog.records
    assert sorted(path.name for path in (index.root / "keywords").iterdir()) == sorted(segment.uuid for segment in index.segments)


def damage_flip(folder):
    path = max(folder.iterdir(), key=lambda path: path.stat().st_size)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 16
    path.write_bytes(content)


def damage_truncate(folder):
    for path in folder.iterdir():
        path.write_bytes(path.read_bytes()[:-3])


def damage_seal(folder):
    (folder / store.SEAL).write_text("[" * 10_000)


def damage_link(folder):
    path = max(folder.iterdir(), key=lambda path: path.stat().st_size)
    path.rename(folder.parent.parent / "elsewhere")
    path.symlink_to(folder.parent.parent / "elsewhere")


def damage_file(folder):
    shutil.rmtree(folder)
    folder.write_bytes(b"no folder")


@pytest.mark.parametrize("damage", [damage_flip, damage_truncate, damage_seal, damage_link, damage_file, shutil.rmtree])
def test_a_damaged_index_is_made_anew(index, tmp_path, caplog, damage):
    root = shutil.copytree(index.root, tmp_path / "index", ignore=shutil.ignore_patterns("keywords"))
    expected = [(hit.clip_id, hit.score) for hit in open_index(root).search("dog beach", mode="keywords", k=50)]
    damage(root / "keywords" / index.segments[0].uuid)
    caplog.clear()
    assert [(hit.clip_id, hit.score) for hit in open_index(root).search("dog beach", mode="keywords", k=50)] == expected
    assert "making the keyword index of 120 captions" in caplog.text
    caplog.clear()
    open_index(root).search("dog", mode="keywords")
    assert not caplog.records


def test_where_none_can_be_kept_a_temporary_one_is_used(index, tmp_path, caplog):
    root = shutil.copytree(index.root, tmp_path / "index", ignore=shutil.ignore_patterns("keywords"))
    (root / "keywords").symlink_to(tmp_path)  # a link out of the index is not written through, nor is a read-only folder
    hits = open_index(root).search("dog", mode="keywords", k=3)
    assert len(hits) == 3
    assert "a temporary one is used" in caplog.text
    assert sorted(path.name for path in tmp_path.iterdir()) == ["index"]


def test_nothing_temporary_is_left_behind(index, tmp_path):
    code = f"import vidsearch; print(len(vidsearch.open_index({str(index.root)!r}).search('dog', mode='keywords')))"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True, env={**os.environ, "TMPDIR": str(tmp_path)}
    )
    assert (done.stdout, done.stderr) == ("10\n", "")
    assert list(tmp_path.iterdir()) == []


def test_build_makes_what_is_missing_and_removes_what_is_gone(index, tmp_path, caplog):
    root = shutil.copytree(index.root, tmp_path / "index", ignore=shutil.ignore_patterns("keywords"))
    stale = root / "keywords" / ("0" * 36)
    stale.mkdir(parents=True)
    opened = open_index(root)
    store.build(root, opened.segments)
    made = {path.name: path.stat().st_mtime_ns for path in (root / "keywords").iterdir()}
    assert set(made) == {segment.uuid for segment in opened.segments}
    store.build(root, opened.segments)
    assert {path.name: path.stat().st_mtime_ns for path in (root / "keywords").iterdir()} == made
    caplog.clear()
    assert len(open_index(root).search("dog", mode="keywords")) == 10
    assert not caplog.records


def test_another_column_can_be_searched_and_a_wrong_one_is_named(index):
    hits = index.search("v7", mode="keywords", keyword_column="video", k=ROWS)
    assert {hit.video for hit in hits} == {"v7.mp4"}
    with pytest.raises(QueryError, match="unknown column 'title' for keywords; choose from clip_id"):
        index.search("x", mode="keywords", keyword_column="title")
    with pytest.raises(QueryError, match="'aesthetic' holds float, not text"):
        index.search("x", mode="keywords", keyword_column="aesthetic")
    with pytest.raises(QueryError, match="no word to look for in '\\?!'"):
        index.search("?!", mode="keywords")


def test_clips_without_captions_have_no_keywords(tmp_path):
    vectors, rows = make_rows(5, seed=1)
    bare = write_index(tmp_path / "index", vectors, [{name: value for name, value in row.items() if name != "caption"} for row in rows])
    assert len(bare.search("dog", mode="keywords")) == 0
    assert len(bare.search("dog", mode="hybrid")) == 5

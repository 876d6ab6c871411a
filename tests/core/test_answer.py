"""Answers of small real indexes against naive loops over every row."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.clips import DIM, make_rows, pages, write_index

from vidsearch._query_parts import Weighted
from vidsearch.answers.refine import ORDER_SLACK_S, diversify
from vidsearch.answers.streams import Ranking, Stream
from vidsearch.errors import FilterError, QueryError
from vidsearch.query import Query
from vidsearch.results import Certificate, Count

ROWS = 300
VECTORS, TABLE = make_rows(ROWS, seed=11)
WIDE = VECTORS.astype(np.float32)
UNIT = WIDE / np.linalg.norm(WIDE, axis=1, keepdims=True)
QUERIES = np.random.default_rng(12).standard_normal((6, DIM)).astype(np.float32)
QUERIES /= np.linalg.norm(QUERIES, axis=1, keepdims=True)
FILTERS = {
    None: lambda row: True,
    "language = 'en'": lambda row: row["language"] == "en",
    "aesthetic > 7 and language != 'zh'": lambda row: row["aesthetic"] is not None and row["aesthetic"] > 7 and row["language"] != "zh",
    "clip_id in ('c3', 'c4')": lambda row: row["clip_id"] in ("c3", "c4"),
}


@pytest.fixture(scope="module")
def index(tmp_path_factory):
    return write_index(tmp_path_factory.mktemp("answer") / "index", VECTORS, TABLE, parts=3)


def source(row):
    return row["youtube_id"] or row["video"]


def span(row):
    start = row["start_s"] if row["source_start_s"] is None else row["source_start_s"]
    return start, start + 2.0


def cosines(vector):
    return (WIDE * vector).sum(axis=1)


def naive(vector, *, where=None, min_score=None, per_video=None, dedupe=None, group=None):
    """Return the numbers of all rows that a question is answered with, in order."""
    scores = cosines(vector)
    per_video = 1 if group else per_video
    kept = []
    for row in sorted(range(ROWS), key=lambda row: (-scores[row], row)):
        if not FILTERS[where](TABLE[row]) or (min_score is not None and scores[row] < min_score):
            continue
        if dedupe is not None and any(UNIT[row] @ UNIT[other] >= dedupe for other in kept):
            continue
        if per_video is not None and sum(source(TABLE[other]) == source(TABLE[row]) for other in kept) >= per_video:
            continue
        kept.append(row)
    return kept


def numbers(hits):
    return [int(hit.clip_id[1:]) for hit in hits]


questions = st.fixed_dictionaries(
    {"where": st.sampled_from(list(FILTERS))},
    optional={
        "min_score": st.sampled_from([-0.05, 0.02, 0.08, 0.99]),
        "per_video": st.integers(1, 4),
        "dedupe": st.sampled_from([0.5, 0.8, 0.95]),
        "group": st.just("video"),
    },
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, len(QUERIES) - 1), questions, st.integers(7, 200))
def test_all_pages_together_are_what_a_naive_loop_returns(index, number, question, k):
    expected = naive(QUERIES[number], **question)
    found = list(pages(index, vector=QUERIES[number], k=k, **question))
    assert [row for hits in found for row in numbers(hits)] == expected
    assert [hit.rank for hits in found for hit in hits] == list(range(1, len(expected) + 1))
    assert all(len(hits) == k for hits in found[:-2])  # no short page but the last; an empty one may follow it


@pytest.mark.parametrize("question", [{}, {"diverse": 0.5}, {"diverse": 0.0, "where": "language = 'en'"}])
def test_paging_returns_every_row_once(index, question):
    found = [row for hits in pages(index, vector=QUERIES[0], k=23, **question) for row in numbers(hits)]
    assert sorted(found) == sorted(naive(QUERIES[0], where=question.get("where")))


def test_scores_are_exact_cosines_and_equal_ones_are_in_the_order_of_rows(tmp_path):
    vectors = np.repeat(VECTORS[:4], 10, axis=0)
    index = write_index(tmp_path / "index", vectors, TABLE[:40], parts=4)
    found = [hit for hits in pages(index, vector=QUERIES[1], k=7) for hit in hits]
    scores = (vectors.astype(np.float32) * QUERIES[1]).sum(axis=1)
    assert numbers(found) == sorted(range(40), key=lambda row: (-scores[row], row))
    assert [hit.score for hit in found] == pytest.approx(sorted(scores.tolist(), reverse=True), abs=1e-6)


def test_the_page_stays_full_and_says_how_many_were_folded(index):
    hits = index.search(vector=UNIT[0], k=20, dedupe=0.9)
    assert len(hits) == 20
    assert numbers(hits) == naive(UNIT[0], dedupe=0.9)[:20]
    first = hits[0]
    assert first.duplicates == sum(UNIT[0] @ UNIT[row] >= 0.9 for row in range(1, ROWS)) > 0
    assert first.to_json()["duplicates"] == first.duplicates
    assert index.search(vector=UNIT[0], k=1)[0].duplicates is None


def test_variety_reorders_a_pool_as_the_pure_function_does(index):
    ranked = naive(QUERIES[2])[:100]
    order = diversify(cosines(QUERIES[2])[ranked], UNIT[ranked], 30, 0.4)
    found = [row for hits in itertools.islice(pages(index, vector=QUERIES[2], k=10, diverse=0.4), 3) for row in numbers(hits)]
    assert found == [ranked[place] for place in order]


@pytest.mark.parametrize("per_video", [None, 1, 2, 5])
def test_grouped_hits_bring_the_best_further_clips_of_their_video(index, per_video):
    hits = index.search(vector=QUERIES[3], k=8, group="video", per_video=per_video, where="language = 'en'")
    ranked = naive(QUERIES[3], where="language = 'en'")
    assert numbers(hits) == naive(QUERIES[3], where="language = 'en'", group="video")[:8]
    for hit in hits:
        same = [row for row in ranked if source(TABLE[row]) == source(TABLE[int(hit.clip_id[1:])])]
        assert numbers([hit, *hit.group]) == same[: per_video or 3]
        assert [clip.rank for clip in hit.group] == list(range(2, 2 + len(hit.group)))


def test_a_page_is_shown_in_the_order_of_a_column_and_keeps_its_ranks(index):
    plain = index.search(vector=QUERIES[4], k=15)
    for sort, falling in (("aesthetic", False), ("AESTHETIC desc", True)):
        hits = index.search(vector=QUERIES[4], k=15, sort=sort)
        assert sorted(hits, key=lambda hit: hit.rank) == list(plain)
        values = [hit.metadata["aesthetic"] for hit in hits]
        known = [value for value in values if value is not None]
        assert known == sorted(known, reverse=falling)
        assert values[len(known) :] == [None] * (len(values) - len(known))
        assert 0 < len(known) < len(values)
    with pytest.raises(QueryError, match="unknown column 'views' to sort by; choose from clip_id"):
        index.search(vector=QUERIES[4], sort="views", where="clip_id = 'nobody'")


def naive_chains(vectors, where, min_score=None):
    stages = [cosines(vector) for vector in vectors]
    best = {}
    for rows in itertools.groupby(
        sorted((row for row in range(ROWS) if FILTERS[where](TABLE[row])), key=lambda r: source(TABLE[r])), key=lambda r: source(TABLE[r])
    ):
        members = list(rows[1])
        for chain in itertools.permutations(members, len(vectors)):
            if all(span(TABLE[a])[1] <= span(TABLE[b])[0] + ORDER_SLACK_S for a, b in itertools.pairwise(chain)):
                scores = [stage[row] for stage, row in zip(stages, chain, strict=True)]
                if min_score is None or min(scores) >= min_score:
                    best[rows[0]] = max(best.get(rows[0], -9.0), float(sum(scores)))
    return sorted(best.values(), reverse=True)


@pytest.mark.parametrize(
    ("stages", "where", "min_score"), [(2, None, None), (2, "language = 'en'", None), (3, None, None), (2, None, 0.01)]
)
def test_chains_are_the_best_of_each_video(index, stages, where, min_score):
    first, *then = texts = ["a man opens a door", "a dog runs out", "a red car"][:stages]
    expected = naive_chains(index.encode_texts(texts), where, min_score)
    found = [hit for hits in pages(index, text=first, then=then, k=5, where=where, min_score=min_score) for hit in hits]
    assert [hit.score for hit in found] == pytest.approx(expected, abs=1e-5)
    assert len({source(TABLE[int(hit.clip_id[1:])]) for hit in found}) == len(found)
    for hit in found:
        rows = numbers(hit.chain)
        assert len({source(TABLE[row]) for row in rows}) == 1
        assert all(span(TABLE[a])[1] <= span(TABLE[b])[0] + ORDER_SLACK_S for a, b in itertools.pairwise(rows))
        assert hit.score == pytest.approx(sum(clip.score for clip in hit.chain), abs=1e-6)
        assert hit.clip_id == hit.chain[0].clip_id


@pytest.mark.parametrize("where", FILTERS)
@pytest.mark.parametrize("min_score", [None, 0.02, 2.0])
def test_totals_count_what_passes(index, where, min_score):
    (vector,) = index.encode_texts(["a dog"])
    expected = len(naive(vector, where=where, min_score=min_score))
    hits = index.search("a dog", k=5, where=where, min_score=min_score)
    assert index.count("a dog", where=where, min_score=min_score) == Count(expected)
    assert hits.matching == len(naive(vector, where=where))
    if hits.total.exact:
        assert hits.total.rows == expected
    else:
        assert 5 <= hits.total.rows <= expected
    assert index.count(where=where) == Count(hits.matching)


def test_many_questions_are_answered_as_one_by_one(index):
    asked = [
        Query(
            vector=QUERIES[number % 6],
            k=1 + number % 4,
            where=list(FILTERS)[number % 4],
            dedupe=(None, 0.8)[number % 2],
            exact=number % 3 == 0,
        )
        for number in range(24)
    ]
    together = index.ask(asked)
    for query, hits in zip(asked, together, strict=True):
        (alone,) = index.ask([query])
        assert replace(hits, timings_ms={}) == replace(alone, timings_ms={})
    assert index.ask([]) == []


def test_a_filter_that_nothing_passes_says_what_each_part_passes(index):
    hits = index.search(vector=QUERIES[0], where="language = 'en' and aesthetic > 10 and clip_id = 'c3'")
    english = sum(row["language"] == "en" for row in TABLE)
    assert (len(hits), hits.matching, hits.cursor) == (0, 0, None)
    assert [number for _, number in hits.parts] == [english, 0, 1]
    assert hits.parts[1][0] == "aesthetic > 10"
    assert "none of 300 clips passes the filter" in hits.plan
    assert index.search(vector=QUERIES[0], where="aesthetic > 1 and aesthetic < 1.05").parts  # each passes some, together none
    with pytest.raises(FilterError):
        index.search(vector=QUERIES[0], where="nothing > 1")


def test_an_answer_says_how_it_was_found(index):
    hits = index.search(vector=QUERIES[0], where="language = 'en'", exact=True)
    told = hits.explain()
    assert told["plan"] == "exact"
    assert told["matching"] == hits.matching == hits.total.rows
    assert (told["recall"], told["total_is_exact"]) == (1.0, True)
    assert set(told["timings_ms"]) == {"filter", "encode", "search", "fetch"}
    assert told["cursor"] == hits.cursor is not None


def test_a_cursor_of_an_index_that_changed_is_refused(tmp_path):
    index = write_index(tmp_path / "index", VECTORS[:40], TABLE[:40])
    cursor = index.search(vector=QUERIES[0]).cursor
    with pytest.raises(QueryError, match="another query"):
        index.search(vector=QUERIES[1], cursor=cursor)
    grown = write_index(tmp_path / "index", VECTORS[40:50], TABLE[40:50])
    with pytest.raises(QueryError, match="the index has changed"):
        grown.search(vector=QUERIES[0], cursor=cursor)


def test_an_empty_index_answers_nothing(tmp_path):
    index = write_index(tmp_path / "index", VECTORS[:0], [], parts=1)
    assert len(index.search(vector=QUERIES[0], k=3)) == 0
    assert index.search("dog", mode="keywords").plan == "the index is empty"


def approximate(depth: int) -> Ranking:
    """Ten rows that score 9 to 0; a search less deep than 8 misses row 0."""
    rows = np.array([row for row in range(10) if row or depth >= 8][:depth], dtype=np.int64)
    return Ranking(rows, (9 - rows).astype(np.float32), Certificate("ivf", ""), None, 0.0 if depth < 10 else -np.inf)


def test_a_row_found_late_comes_after_what_was_shown():
    stream = Stream(approximate, first=2, limit=10)
    shown = []
    while not stream.done:
        stream.grow(10)
        shown.append(stream.rows.tolist())
    assert shown == [[1, 2], [1, 2, 3, 4], [1, 2, 3, 4, 0, 5, 6, 7], [1, 2, 3, 4, 0, 5, 6, 7, 8, 9]]


def test_a_missing_clip_is_named(index):
    for arguments in ({"like": "nobody"}, {"up": ["nobody"]}, {"like": "c1", "down": ["nobody"]}):
        with pytest.raises(QueryError, match="no clip 'nobody'"):
            index.search(**arguments)


def test_thumbs_and_examples_are_clips_of_the_index(index):
    hits = index.search(like="c5", up=["c6"], down=["c7"], k=3)
    moved = UNIT[5] + 0.75 * WIDE[6] - 0.15 * WIDE[7]
    assert numbers(hits) == naive(moved / np.linalg.norm(moved))[:3]
    assert index.search(texts=[], like=["c5"], k=1)[0].clip_id == "c5"
    assert Weighted("x").weight == 1

"""What a page's state shows, against naive loops over every row."""

import threading
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.clips import SPACE, make_rows, write_index

from ui.asking import ranking
from ui.asking.question import asked_part
from ui.asking.ranking import KEPT, Ranker
from ui.state import PAGE_SIZE, Point, State
from vidsearch import open_index
from vidsearch.answers.compose import NEGATIVE_WEIGHT
from vidsearch.errors import FilterError, QueryError
from vidsearch.query import Query
from vidsearch.storage import manifest as manifests
from vidsearch.upkeep.delete import delete

ROWS = 200
VECTORS, TABLE = make_rows(ROWS, seed=21)
WIDE = VECTORS.astype(np.float32)
FILTERS = {"": lambda row: True, "language = 'en'": lambda row: row["language"] == "en", "aesthetic > 20": lambda row: False}
LASSO = (Point(0, 0), Point(1, 0), Point(0, 1))
SORTED = ("clip_id", "video", "start_s", "caption", "youtube_id", "source_start_s", "language", "aesthetic")
EVERY = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module")
def index(tmp_path_factory):
    return write_index(tmp_path_factory.mktemp("ranking") / "index", VECTORS, TABLE, parts=3)


@pytest.fixture
def ranker(index):
    return Ranker(index, lambda state: np.arange(0, ROWS, 2) if state.lasso else None)


def unit(vector):
    return vector / np.linalg.norm(vector)


def naive(vector, rows=range(ROWS)):
    """Return rows by falling score, equal ones by number."""
    scores = (WIDE * vector).sum(axis=1)
    return sorted(rows, key=lambda row: (-scores[row], row)), scores


def all_cards(ranker, state):
    first = ranker.page(state)
    return [card for number in range(1, first.pages + 1) for card in ranker.page(replace(state, page=number)).cards]


def source(row):
    return row["youtube_id"] or row["video"]


@pytest.mark.parametrize("where", FILTERS)
@pytest.mark.parametrize("lasso", [(), LASSO])
def test_a_clip_s_likes_are_ranked_as_a_naive_loop_ranks_them(ranker, where, lasso):
    rows = [row for row in range(ROWS) if FILTERS[where](TABLE[row]) and not (lasso and row % 2)]
    found = ranker.rank(State(like=("c7",), where=where, lasso=lasso))
    expected, scores = naive(unit(WIDE[7]), rows)
    assert found.rows.tolist() == expected
    np.testing.assert_allclose(found.scores, scores[expected], atol=1e-6)
    assert found.matching == len(rows)
    assert found.parts == ((("aesthetic > 20", 0),) if where == "aesthetic > 20" else ())
    assert found.certificate is None if not rows else found.certificate.plan == "exact"
    assert set(found.timings_ms) >= ({"filter", "encode", "search"} if rows else {"filter"})
    assert found.confidence is None  # more than a sentence was asked with


@pytest.mark.parametrize("pull", [0.0, 0.3, 0.5, 1.0])
def test_thumbs_pull_as_far_as_the_slider_says(ranker, index, pull):
    dog, text = index.encode_texts(["a dog on the beach", "text on screen"])
    asked = unit(unit(dog) - NEGATIVE_WEIGHT * unit(text))
    moved = unit(asked + pull * 1.5 * WIDE[[3, 5]].mean(axis=0) - pull * 0.3 * WIDE[11])
    state = State(q="a dog on the beach", nots=("text on screen",), up=("c3", "c5"), down=("c11",), pull=pull)
    expected, scores = naive(moved)
    found = ranker.rank(state)
    np.testing.assert_allclose(found.scores, scores[expected], atol=1e-5)
    np.testing.assert_allclose(found.vector, moved, atol=1e-5)
    assert found.confidence is None  # nothing was learnt about this index's scores; see test_confidence


def test_thumbs_alone_ask_only_as_long_as_they_pull(ranker):
    assert ranker.rank(State(up=("c3",))).rows.tolist() == naive(unit(WIDE[3]))[0]
    for browsed in (State(up=("c3",), pull=0), State(down=("c3",))):
        assert ranker.rank(browsed).scores is None
        assert ranker.rank(browsed).rows.tolist() == list(range(ROWS))


@EVERY
@given(
    rows=st.lists(st.integers(0, ROWS - 1), max_size=40),
    where=st.sampled_from(["", "language = 'en'"]),
    mode=st.sampled_from(["vectors", "hybrid", "keywords"]),
)
def test_only_rows_within_are_found_in_every_mode(index, rows, where, mode):
    query = Query.from_json({"text": "a dog", "mode": mode, "where": where or None, "k": 1000, "within": rows})
    whole = index.answer(replace(query, within=None))
    found = index.answer(query)
    inside = np.isin(whole.rows, rows)
    if mode == "hybrid":  # ranks of either side are those among the rows within
        assert set(found.rows) == set(whole.rows[inside])
    else:
        assert found.rows.tolist() == whole.rows[inside].tolist()
        np.testing.assert_allclose(found.scores, whole.scores[inside], atol=1e-6)
    assert found.matching == index.count_of(query).rows if mode != "keywords" else found.matching >= len(found.rows)
    assert [hit.clip_id for hit in index.ask([query])[0]] == [f"c{row}" for row in found.rows]


@pytest.mark.parametrize("rows", [[-1], [ROWS], [2**62, 0]])
def test_rows_that_are_not_there_are_refused(index, rows):
    with pytest.raises(QueryError, match=f"this index has rows 0 to {ROWS - 1}"):
        index.search(like="c1", within=np.array(rows))


@pytest.mark.parametrize("within", [np.zeros((2, 2), np.int64), np.zeros(2), [1, 2]])
def test_within_is_an_array_of_row_numbers(within):
    with pytest.raises(QueryError, match=r"within must be a \(m,\) int64 array"):
        Query(like=("c1",), within=within)


def test_a_cursor_belongs_to_its_rows_within(index):
    cursor = index.search(like="c1", k=3, within=np.arange(90)).cursor
    assert len(index.search(like="c1", k=3, within=np.arange(90), cursor=cursor)) == 3
    with pytest.raises(QueryError, match="belongs to another query"):
        index.search(like="c1", k=3, within=np.arange(91), cursor=cursor)


@pytest.mark.parametrize("column", SORTED)
@pytest.mark.parametrize("falling", [False, True])
@pytest.mark.parametrize("state", [State(), State(like=("c7",), where="language = 'en'"), State(lasso=LASSO)])
def test_any_column_sorts_what_is_shown(ranker, column, falling, state):
    cards = all_cards(ranker, replace(state, sort=column + " desc" * falling))
    ranked = ranker.rank(state).rows.tolist()
    known = [row for row in ranked if TABLE[row][column] is not None]
    expected = sorted(known, key=lambda row: TABLE[row][column], reverse=falling)
    assert [card.row for card in cards] == expected + [row for row in ranked if TABLE[row][column] is None]
    if state.asks:
        assert [ranked[card.hit.rank - 1] for card in cards] == [card.row for card in cards]


def test_a_column_that_is_not_there_is_refused(ranker):
    for state in (State(sort="colour"), State(like=("c1",), sort="colour"), State(sort="colour", where="aesthetic > 20")):
        with pytest.raises(QueryError, match="unknown column 'colour' to sort by; choose from clip_id"):
            ranker.page(state)
    with pytest.raises(FilterError):
        ranker.page(State(where="colour = 1"))


@pytest.mark.parametrize("sort", ["", "aesthetic desc"])
@pytest.mark.parametrize("state", [State(), State(like=("c7",))])
def test_a_source_video_has_one_card_with_its_first_clip(ranker, state, sort):
    order = [card.row for card in all_cards(ranker, replace(state, sort=sort))]
    cards = all_cards(ranker, replace(state, sort=sort, group=True))
    sources = [source(TABLE[row]) for row in order]
    assert [card.row for card in cards] == [row for place, row in enumerate(order) if sources[place] not in sources[:place]]
    assert [card.members for card in cards] == [sources.count(source(TABLE[card.row])) for card in cards]


def test_pages_are_cut_from_one_ranking_and_the_last_stands_for_those_beyond(ranker):
    state = State(like=("c7",))
    assert [card.row for card in all_cards(ranker, state)] == ranker.rank(state).rows.tolist()
    page = ranker.page(replace(state, page=400))
    assert (page.number, page.pages, page.shown) == (9, 9, ROWS)
    assert len(page.cards) == ROWS - 8 * PAGE_SIZE
    hit = page.cards[-1].hit
    assert (hit.rank, hit.clip_id) == (ROWS, f"c{page.cards[-1].row}")
    assert hit.caption == TABLE[page.cards[-1].row]["caption"]
    nothing = ranker.page(State(where="aesthetic > 20"))
    assert (nothing.cards, nothing.number, nothing.pages, nothing.shown) == ((), 1, 0, 0)


@pytest.mark.parametrize("state", [State(), State(sort="aesthetic"), State(like=("c7",)), State(q="a dog", mode="keywords")])
def test_no_more_is_shown_than_can_be_paged_through(ranker, monkeypatch, state):
    whole = [card.row for card in all_cards(ranker, state)]
    monkeypatch.setattr(ranking, "DEPTH", 50)
    page = Ranker(ranker.index).page(state)
    assert (page.shown, page.pages) == (50, 3)
    assert page.ranking.rows.tolist() == whole[:50]
    assert page.ranking.matching == ROWS


def test_scores_of_clips_that_were_not_ranked_are_known_too(ranker, index):
    state = State(like=("c7",), where="language = 'en'")
    _, scores = naive(unit(WIDE[7]))
    for row in (7, 8, 9, 10):
        found = ranker.score_of(state, f"c{row}")
        assert found.score == pytest.approx(scores[row], abs=1e-5)
        assert found.percentile is None  # an example says nothing about the clips that the filter leaves out
        everywhere = ranker.score_of(replace(state, where=""), f"c{row}")
        assert everywhere.percentile == pytest.approx((scores < scores[row] - 1e-6).mean(), abs=1e-6)
    assert ranker.score_of(State(), "c7") is None
    hybrid = State(q="a dog", mode="hybrid", where="language = 'en'")
    ranked = ranker.rank(hybrid)
    assert ranker.score_of(hybrid, f"c{ranked.rows[5]}").score == ranked.scores[5]
    assert ranker.score_of(hybrid, f"c{next(row for row in range(ROWS) if row not in ranked.rows)}") is None
    with pytest.raises(QueryError, match="no clip 'gone'"):
        ranker.score_of(state, "gone")


def test_keywords_and_both_rank_as_the_library_does(ranker, index):
    for mode in ("keywords", "hybrid"):
        hits = index.search("old red bus", mode=mode, k=PAGE_SIZE)
        page = ranker.page(State(q="old red bus", mode=mode))
        assert [card.hit.clip_id for card in page.cards] == [hit.clip_id for hit in hits] or mode == "hybrid"
        assert page.cards[0].hit.score == pytest.approx(hits[0].score)
        assert (page.cards[0].percentile is None) == (mode == "keywords")
    with pytest.raises(QueryError, match="keywords alone compare no vectors"):
        ranker.page(State(q="dog", like=("c1",), mode="keywords"))


def test_deleted_clips_are_never_shown(tmp_path):
    root = write_index(tmp_path / "index", VECTORS, TABLE, parts=2).root
    delete(root, where="language = 'en'")
    ranker = Ranker(open_index(root), lambda state: np.arange(ROWS) if state.lasso else None)
    left = [row for row in range(ROWS) if TABLE[row]["language"] != "en"]
    for state in (State(), State(sort="caption"), State(like=(f"c{left[0]}",)), State(q="dog", mode="hybrid"), State(lasso=LASSO)):
        assert sorted(card.row for card in all_cards(ranker, state)) == left


def test_a_segment_found_damaged_while_asking_leaves_its_rows_out_and_says_so(tmp_path):
    index = write_index(tmp_path / "index", VECTORS, TABLE, parts=2)
    ranker = Ranker(index)
    assert ranker.page(State()).ranking.skipped == ()
    damage(index)
    found = ranker.rank(State(like=("c150",)))
    assert len(found.skipped) == 1
    assert "row 0 changed since it was written" in found.skipped[0]
    assert found.rows.tolist() == [row - 100 for row in naive(unit(WIDE[150]), range(100, ROWS))[0]]
    assert [card.hit.clip_id for card in ranker.page(State()).cards] == [f"c{row}" for row in range(100, 124)]
    assert ranker.page(State()).ranking.skipped == found.skipped


def damage(index):
    """Change a vector of the first segment's first row, as it was mapped already."""
    path = index.root / "segments" / index.segments[0].uuid / "vectors.f16"
    data = bytearray(path.read_bytes())
    data[3] ^= 0x10
    path.write_bytes(data)


def test_rows_within_are_looked_up_again_when_their_numbers_change_under_a_question(tmp_path):
    index = write_index(tmp_path / "index", VECTORS, TABLE, parts=2)
    index.check()
    damage(index)
    with pytest.raises(QueryError, match="look them up again"):
        open_index(index.root).search("a dog", k=ROWS, within=np.arange(ROWS))
    segments = []

    def inside(state):
        segments.append(len(index.segments))
        return index.rows_of([f"c{row}" for row in range(0, ROWS, 2)])

    found = Ranker(index, inside).rank(State(q="a dog", lasso=LASSO))
    assert segments[0] == 2
    assert segments[-1] == 1
    assert sorted(found.rows) == list(range(0, 100, 2))
    assert len(found.skipped) == 1


def test_one_question_from_many_pages_is_ranked_once_and_few_rankings_are_kept(ranker):
    together, found = threading.Barrier(6), []

    def ask(number):
        together.wait()
        found.append(ranker.page(State(q="a dog", page=number, group=number % 2 == 0, sort="caption")).ranking)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(1, 7)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 6
    assert all(ranking is found[0] for ranking in found)
    for row in range(KEPT + 10):
        ranker.rank(State(like=(f"c{row}",)))
    assert len(ranker._kept) == KEPT
    assert ranker.rank(State(q="a dog")) is not found[0]


def test_what_only_shapes_a_page_is_no_part_of_its_question():
    state = State(q="a dog", where="language = 'en'", sort="caption", group=True, page=3, clip="c1", tab="map", color="language")
    assert asked_part(state) == State(q="a dog", where="language = 'en'")
    assert asked_part(replace(state, q="")) == State(where="language = 'en'", sort="caption")


@pytest.mark.parametrize("deleted", [0, 3])
def test_an_empty_index_has_nothing_to_show(tmp_path, deleted):
    if deleted:
        delete(write_index(tmp_path, VECTORS[:deleted], TABLE[:deleted]).root, where="true")
    else:
        manifests.create(tmp_path, SPACE)
    ranker = Ranker(open_index(tmp_path))
    for state in (State(), State(q="a dog"), State(sort="caption", group=True)):
        page = ranker.page(state)
        assert (page.cards, page.pages, page.ranking.matching) == ((), 0, 0)

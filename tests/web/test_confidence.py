"""What the page says of scores: shares counted one by one, and whether sentences find more than jumbles do."""

from dataclasses import replace

import numpy as np
import pytest
from support.clips import DIM, SPACE, make_rows, write_index

from indexer.fold import fold
from indexer.likelihood import JUMBLES
from ui.asking.ranking import Ranker
from ui.markup.results import results
from ui.state import State
from vidsearch import open_index
from vidsearch.curate.terms import jumbles
from vidsearch.encoders import load_text_encoder

SHOWN = (
    "a brown dog runs across a sandy beach",
    "a chef chops onions in a restaurant kitchen",
    "a snowboarder jumps over a rail",
    "an orchestra plays in a concert hall",
    "a baby laughs in the arms of its mother",
    "a tractor ploughs a wheat field",
    "a man repairs the engine of a motorcycle",
    "fireworks explode above a harbour at night",
)
ABSENT = (
    "a notary stamps a mortgage contract",
    "the parliament votes on a pension reform",
    "a diagram of the citric acid cycle",
    "a chess endgame of rook against bishop",
    "colourless green ideas sleep furiously",
    "the third derivative of a polynomial",
)
COPIES = 12


@pytest.fixture(scope="module")
def index(tmp_path_factory):
    """Clips without captions, whose vectors lie about sentences', as far away as those of real clips do."""
    rng = np.random.default_rng(5)
    texts = load_text_encoder(SPACE, None).encode_texts(SHOWN)
    noise = rng.standard_normal((len(SHOWN) * COPIES, DIM)) / np.sqrt(DIM)
    vectors = np.repeat(texts, COPIES, axis=0) + 1.2 * noise
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    _, rows = make_rows(len(vectors), seed=1)
    rows = [{**row, "caption": None} for row in rows]
    found = write_index(tmp_path_factory.mktemp("confidence") / "index", vectors.astype(np.float16), rows, parts=2)
    fold(found.root, encode_texts=found.encode_texts, compact=True)
    return open_index(found.root)


def test_a_percentile_is_the_share_of_all_clips_that_score_lower(index):
    page = Ranker(index).page(State(q=SHOWN[0]))
    scores = index.vectors_of(range(len(index))) @ index.encode_texts([SHOWN[0]])[0]
    for card in page.cards:
        assert card.percentile == pytest.approx((scores < card.hit.score - 1e-6).mean(), abs=1e-6)


def test_with_a_filter_a_percentile_is_estimated_within_what_the_ranking_shows(index):
    cards = Ranker(index).page(State(q=SHOWN[0], where="language = 'en'")).cards
    passing = Ranker(index).page(State(q=SHOWN[0], where="language = 'en'")).ranking.matching
    shares = [card.percentile for card in cards]
    assert shares == sorted(shares, reverse=True)
    for place, share in enumerate(shares):
        assert (passing - 1 - place) / len(index) - 1e-9 <= share <= 1 - (place + 1) / len(index) + 1e-9


def test_sentences_are_told_from_jumbles_by_how_far_the_best_clip_rises(index):
    ranker = Ranker(index)
    clips = index.vectors_of(range(len(index)))
    mean = clips.mean(axis=0)

    def rise(texts):
        scores = index.encode_texts(texts) @ clips.T
        return scores.max(axis=1) - index.encode_texts(texts) @ mean

    noise = rise(jumbles((), seed=0, count=JUMBLES))
    for text in (*SHOWN, *ABSENT):
        found = ranker.rank(State(q=text)).confidence
        assert found.basis == "background"
        assert found.best - found.floor == pytest.approx(rise([text])[0] - np.quantile(noise, 0.75), abs=2e-3)
        assert found.confident == (found.best > found.floor)
        assert found.probability == pytest.approx((noise < rise([text])[0]).mean(), abs=0.02)
    assert all(ranker.rank(State(q=text)).confidence.confident for text in SHOWN)
    assert sum(ranker.rank(State(q=text)).confidence.confident for text in ABSENT) <= len(ABSENT) // 2


def test_only_sentences_are_judged(index):
    ranker = Ranker(index)
    for state in (State(like=("c1",)), State(q="a dog", up=("c1",)), State(q="a dog", up=("c1",), pull=0.1)):
        assert ranker.rank(state).confidence is None
        assert all(card.probability is None for card in ranker.page(state).cards)
    for state in (State(q="a dog"), State(q="a dog", nots=("a cat",)), State(q="a dog", up=("c1",), pull=0)):
        assert ranker.rank(state).confidence is not None
        assert all(card.probability is not None for card in ranker.page(state).cards)
    assert ranker.rank(State()).confidence is None


def test_the_page_says_what_the_verdict_rests_on(index):
    ranker = Ranker(index)
    state = State(q=ABSENT[4])
    page = ranker.page(state)
    doubted = replace(page.ranking.meaning.likelihood, floor=1.0)
    unsure = replace(page, ranking=replace(page.ranking, meaning=replace(page.ranking.meaning, likelihood=doubted)))
    assert "No confident match" in results(state, unsure)
    assert "words thrown together" in results(state, unsure)
    learnt = replace(page.ranking.meaning, likelihood=replace(doubted, basis="captions"))
    assert "such cases here" in results(state, replace(page, ranking=replace(page.ranking, meaning=learnt)))


def test_what_the_first_question_would_wait_for_can_be_done_before(index):
    ranker = Ranker(open_index(index.root))
    ranker.warm()
    assert ranker.index.encoder is not None
    assert ranker._kept

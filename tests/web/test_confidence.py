"""What a score is said to mean: shares counted one by one, and real sentences told from jumbles."""

import numpy as np
import pytest
from support.clips import DIM, SPACE, make_rows, write_index

from ui.asking import confidence
from ui.asking.confidence import QUANTILE, Background
from ui.asking.ranking import Ranker
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
    """Clips whose vectors lie about their captions', as far away as those of real clips do."""
    rng = np.random.default_rng(5)
    texts = load_text_encoder(SPACE, None).encode_texts(SHOWN)
    noise = rng.standard_normal((len(SHOWN) * COPIES, DIM)) / np.sqrt(DIM)
    vectors = np.repeat(texts, COPIES, axis=0) + 1.2 * noise
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    _, rows = make_rows(len(vectors), seed=1)
    for number, row in enumerate(rows):
        row["caption"] = SHOWN[number // COPIES]
    return write_index(tmp_path_factory.mktemp("confidence") / "index", vectors.astype(np.float16), rows, parts=2)


def test_a_percentile_is_the_share_of_all_clips_that_score_lower(index):
    page = Ranker(index).page(State(q=SHOWN[0]))
    scores = index.vectors_of(range(len(index))) @ index.encode_texts([SHOWN[0]])[0]
    for card in page.cards:
        assert card.percentile == pytest.approx((scores < card.hit.score - 1e-6).mean(), abs=0.011)
    assert page.cards[0].percentile > page.cards[-1].percentile > 0.5


def test_of_many_clips_a_fixed_sample_stands_for_all(tmp_path, monkeypatch):
    vectors, rows = make_rows(600, seed=2)
    index = write_index(tmp_path / "index", vectors, rows, parts=3)
    monkeypatch.setattr(confidence, "SAMPLE_ROWS", 150)
    one, other = Background(index), Background(open_index(index.root))
    assert one.sample.shape == (150, DIM)
    assert np.array_equal(one.sample, other.sample)
    query = vectors[0].astype(np.float32)
    scores = (vectors.astype(np.float32) * query).sum(axis=1)
    wanted = np.linspace(scores.min(), scores.max(), 20).astype(np.float32)
    exact = np.array([(scores < score).mean() for score in wanted])
    assert np.abs(one.percentiles(query, wanted) - exact).max() < 0.1  # the error of 150 draws is 0.04
    monkeypatch.setattr(confidence, "SAMPLE_BYTES", 40 * 4 * DIM)
    assert Background(index).sample.shape == (40, DIM)


def test_sentences_are_told_from_jumbles_by_how_far_the_best_clip_rises(index):
    ranker = Ranker(index)
    clips = index.vectors_of(range(len(index)))

    def rise(texts):
        scores = index.encode_texts(texts) @ clips.T
        return scores.max(axis=1) - scores.mean(axis=1)

    least = np.quantile(rise(jumbles((), seed=confidence.SEED, count=confidence.JUMBLES)), QUANTILE)
    for text in (*SHOWN, *ABSENT):
        found = ranker.rank(State(q=text)).confidence
        assert found.confident == (rise([text])[0] > least) == (found.best > found.floor)
        assert found.best - found.floor == pytest.approx(rise([text])[0] - least, abs=1e-4)
    assert all(ranker.rank(State(q=text)).confidence.confident for text in SHOWN)
    assert sum(ranker.rank(State(q=text)).confidence.confident for text in ABSENT) <= len(ABSENT) // 2
    others = rise(jumbles((), seed=confidence.SEED + 1, count=400))
    assert (others > least).mean() == pytest.approx(1 - QUANTILE, abs=0.1)


def test_only_sentences_are_judged(ranker_of_random):
    for state in (State(like=("c1",)), State(q="a dog", up=("c1",)), State(q="a dog", mode="keywords"), State()):
        assert ranker_of_random.rank(state).confidence is None
    for state in (
        State(q="a dog"),
        State(q="a dog", nots=("a cat",)),
        State(q="a dog", mode="hybrid"),
        State(q="a dog", up=("c1",), pull=0),
    ):
        assert ranker_of_random.rank(state).confidence is not None


@pytest.fixture
def ranker_of_random(tmp_path):
    return Ranker(write_index(tmp_path / "index", *make_rows(30, seed=2)))


def test_what_the_first_question_would_wait_for_can_be_done_before(ranker_of_random):
    ranker_of_random.warm()
    assert ranker_of_random._background.__dict__["jumbled"].shape == (confidence.JUMBLES, DIM)

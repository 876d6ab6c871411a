"""What scores mean: calibrated on a held-out half of the demo world, and told to whoever asks."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from support.clips import SPACE, write_index

from indexer.curves import Pairs, equal_error, isotonic, kind_of, share_below
from indexer.fold import fold
from indexer.likelihood import fit
from indexer.phrases import normalized, phrases_of
from indexer.rows import clips_table
from indexer.toyrender import render
from indexer.toyworld import describe, sample_scene
from vidsearch import Index, load_encoder, open_index
from vidsearch.errors import QueryError
from vidsearch.likelihood import LEVELS, Curve, Likelihood
from vidsearch.storage import manifest as manifests
from vidsearch.storage import segment as segments
from vidsearch.storage.quarantine import quarantine_table

CLIPS = 300


def calibration_error(probabilities: np.ndarray, right: np.ndarray, bins: int = 10) -> float:
    """Expected calibration error: of ten bins, by hand."""
    places = np.minimum((probabilities * bins).astype(int), bins - 1)
    return sum(
        abs(probabilities[places == place].mean() - right[places == place].mean()) * (places == place).mean() for place in set(places)
    )


@cache
def toy_clips(count: int, seed: int) -> tuple[np.ndarray, list[str]]:
    """Return vectors and captions of rendered scenes, without going through video files."""
    rng = np.random.default_rng(seed)
    scenes = [sample_scene(rng) for _ in range(count)]
    vectors = load_encoder("demo-viclip").encode_clips(np.stack([render(scene, size=64, frames=8) for scene in scenes]))
    return vectors.astype(np.float16), [describe(scene, rng) for scene in scenes]


def write_toy(root: Path, count: int, *, seed: int, captioned=lambda number: True) -> Index:
    vectors, captions = toy_clips(count, seed)
    rows = [
        {
            **{"clip_id": f"c{number}", "video": f"{number}.mp4", "start_s": 0.0, "end_s": 3.0, "duration_s": 3.0},
            **{"caption": caption if captioned(number) else None, "embedded_from": "video", "held_out": number % 2},
        }
        for number, caption in enumerate(captions)
    ]
    manifests.create(root, load_encoder("demo-viclip").space)
    reference = segments.write(
        root,
        vectors=vectors,
        rows=clips_table(rows),
        index_files={},
        quarantine=quarantine_table([]),
        info={"index": "flat"},
    )
    manifests.commit(root, lambda manifest: manifest.with_segments([reference]))
    return open_index(root)


@pytest.fixture(scope="module")
def half(tmp_path_factory):
    """An index of the toy world that learnt from every second caption, with the other captions and their rows."""
    captions = toy_clips(CLIPS, 7)[1]
    blind = write_toy(tmp_path_factory.mktemp("likelihood") / "index", CLIPS, seed=7, captioned=lambda number: number % 2 == 0)
    fold(blind.root, encode_texts=blind.encode_texts)
    held_out = [(row, captions[row]) for row in range(1, CLIPS, 2)]
    return open_index(blind.root), held_out


def test_the_probabilities_of_hits_are_calibrated_on_the_half_that_was_held_out(half):
    index, held_out = half
    assert index.likelihood.basis == "captions"
    same = {row: {other for other, text in held_out if normalized(text) == normalized(caption)} for row, caption in held_out}
    said, right = [], []
    for row, caption in held_out:
        for hit in index.search(caption, k=10):
            said.append(hit.probability)
            right.append(int(hit.clip_id[1:]) in same[row])
    assert len(said) == 10 * len(held_out)
    assert calibration_error(np.array(said), np.array(right)) < 0.05
    assert np.mean(right) > 0.05  # they are found, or there is nothing to calibrate
    best = np.array(said[::10]), np.array(right[::10])
    assert abs(best[0].mean() - best[1].mean()) < 0.1


def test_captions_pass_for_a_match_and_other_things_do_not(half):
    index, held_out = half
    own = [index.search(caption, k=1).confident for _, caption in held_out]
    absent = (
        "a notary stamps a contract",
        "two nurses in a corridor",
        "an elephant drinks",
        "a chess endgame",
        "snow on a roof",
        "a violin solo",
    )
    assert np.mean(own) > 0.85
    assert sum(index.search(text, k=1).confident for text in absent) <= 1
    hits = index.search(absent[0], k=3)
    assert hits.confidence.words.startswith("no confident match (best 0.")
    assert hits.confidence.best == hits[0].score < hits.confidence.floor
    assert hits.confidence.probability == hits[0].probability
    assert hits.explain()["confidence"]["confident"] is False


def test_what_cannot_be_said_is_not_said(half):
    index, held_out = half
    text = held_out[0][1]
    assert index.search(text, mode="keywords", k=1, keyword_column="video").confidence is None
    for hits in (index.search(like="c3"), index.search(text, like="c3"), index.search(vector=index.vector_of("c3"))):
        assert (hits.confidence, hits.confident, hits[0].probability) == (None, None, None)
        assert hits[0].percentile == pytest.approx(1 - 1 / CLIPS)
    hybrid = index.search(text, mode="hybrid", k=5)
    assert hybrid.confidence.best >= max(hit.cosine for hit in hybrid)
    assert all(0 < hit.probability < 1 for hit in hybrid)


def test_pages_and_groups_say_the_same_of_a_clip(half):
    index, held_out = half
    text = held_out[1][1]
    whole = {hit.clip_id: (hit.percentile, hit.probability) for hit in index.search(text, k=40)}
    first = index.search(text, k=20)
    second = index.search(text, k=20, cursor=first.cursor)
    assert {hit.clip_id: (hit.percentile, hit.probability) for hit in (*first, *second)} == whole
    assert second.confidence == first.confidence
    grouped = index.search(text, k=3, group="video")
    assert all((hit.percentile, hit.probability) == whole[hit.clip_id] for hit in grouped)
    assert {"percentile", "probability"} <= set(first.to_table().schema.names)


def test_with_a_filter_percentiles_stay_within_what_is_known(half):
    index, held_out = half
    for _, text in held_out[:5]:
        scores = index.vectors_of(range(CLIPS)) @ index.encode_texts([text])[0]
        hits = index.search(text, k=20, where="held_out = 1")
        true = np.array([(scores < hit.score - 1e-6).mean() for hit in hits])
        assert np.abs(np.array([hit.percentile for hit in hits]) - true).mean() < 0.05


def test_the_estimated_count_holds_the_truth_for_phrases_of_the_captions_that_were_held_out(half):
    """As many clips as the captions name: the half that was not learnt from tells of phrases that the other half never said."""
    index, held_out = half
    known = set(phrases_of([row["caption"] for row in index.take(range(0, CLIPS, 2), ["caption"])], 128, seed=0))
    captions = [normalized(caption) for _, caption in held_out]
    phrases = [phrase for phrase in phrases_of(captions, 400, seed=1) if phrase not in known and len(phrase) > 8][:100]
    assert len(phrases) == 100
    inside = 0
    for phrase in phrases:
        truth = 2 * sum(f" {phrase} " in caption for caption in captions)  # the other half of the clips is alike
        found = index.estimate_count(phrase)
        assert found.low <= found.rows <= found.high <= CLIPS
        inside += found.low <= truth <= found.high
    assert inside >= 90


def test_a_filter_limits_the_count(half):
    index, held_out = half
    text = held_out[0][1]
    every, some = index.estimate_count(text), index.estimate_count(text, where="held_out = 1")
    assert (every.searched, some.searched) == (CLIPS, CLIPS // 2)
    assert some.rows < every.rows
    assert index.estimate_count(text, where="held_out = 5").rows == 0
    with pytest.raises(QueryError, match="empty"):
        index.estimate_count(" ")


def test_without_captions_the_background_is_all_there_is(tmp_path):
    index = write_toy(tmp_path / "index", 40, seed=3, captioned=lambda number: False)
    fold(index.root, encode_texts=index.encode_texts)
    index = open_index(index.root)
    hits = index.search("a red circle moves up")
    assert hits.confidence.basis == "background"
    assert "words thrown together" in hits.confidence.words
    assert all(0 < hit.probability < 1 for hit in hits)
    with pytest.raises(QueryError, match=r"needs captions.*--label"):
        index.estimate_count("a red circle")


def test_an_index_from_before_knows_nothing_until_it_is_compacted(tmp_path):
    index = write_toy(tmp_path / "index", 60, seed=4)
    hits = index.search("a red circle")
    assert (hits.confidence, hits[0].probability) == (None, None)
    assert hits[0].percentile == pytest.approx(59 / 60)
    assert index.search("a red circle", where="held_out = 1")[0].percentile is None
    with pytest.raises(QueryError, match="vidsearch compact"):
        index.estimate_count("a red circle")
    fold(index.root, encode_texts=index.encode_texts, compact=True)
    assert open_index(index.root).search("a red circle").confidence.basis == "captions"


def test_a_few_more_clips_do_not_make_an_index_learn_anew(tmp_path):
    index = write_toy(tmp_path / "index", 60, seed=4)
    asked = []

    def encode(texts):
        asked.append(len(texts))
        return index.encode_texts(texts)

    for _ in range(2):
        fold(index.root, encode_texts=encode)
    assert len(asked) == 1
    assert asked[0] <= 448


def test_clips_embedded_from_their_captions_teach_nothing(tmp_path):
    rng = np.random.default_rng(1)
    vectors = rng.standard_normal((60, SPACE.dim))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    rows = [
        {
            **{"clip_id": f"c{number}", "video": f"v{number}.mp4", "start_s": 0.0, "end_s": 1.0, "duration_s": 1.0},
            **{"caption": f"clip {number}", "embedded_from": "caption"},
        }
        for number in range(60)
    ]
    index = write_index(tmp_path / "index", vectors.astype(np.float16), rows)
    assert fit(index, lambda texts: vectors[: len(texts)].astype(np.float32), seed=0) is None


def test_what_is_learnt_survives_the_manifest_and_nonsense_there_is_nothing(half):
    index, held_out = half
    known = index.likelihood
    read = Likelihood.from_json(json.loads(json.dumps(known.to_json())), dim=index.space.dim)
    vector = index.encode_texts([held_out[0][1]])[0]
    cosines = np.linspace(-0.2, 1, 50, dtype=np.float32)
    rises = known.rises(vector, cosines)
    np.testing.assert_allclose(read.rises(vector, cosines), rises, atol=1e-6)
    np.testing.assert_allclose(read.probabilities(rises, cosines > 0.9, 60), known.probabilities(rises, cosines > 0.9, 60), atol=1e-5)
    np.testing.assert_allclose(read.percentiles(rises), known.percentiles(rises), atol=1e-3)
    assert len(json.dumps(known.to_json())) < 20_000
    for nonsense in (
        None,
        {},
        [],
        {**known.to_json(), "mean": "?"},
        {**known.to_json(), "kinds": []},
        {**known.to_json(), "background": [1]},
    ):
        assert Likelihood.from_json(nonsense, dim=index.space.dim) is None
    assert Likelihood.from_json(known.to_json(), dim=3) is None


def test_isotonic_regression_by_a_literal_example():
    curve = isotonic(np.array([1.0, 2.0, 3.0, 4.0]), np.array([0.0, 1.0, 0.0, 1.0]), np.ones(4))
    assert curve.rises.tolist() == [1, 1, 2, 3, 4, 4]
    assert curve.probabilities.tolist() == [0.25, 0.25, 0.5, 0.5, 0.75, 0.75]  # (0, 1 + 0 of two, 1), each with its half
    assert curve.at(np.array([0.0, 2.5, 3.5, 9.0])).tolist() == [0.25, 0.5, 0.625, 0.75]


def test_the_floor_misses_as_many_as_it_lets_pass():
    assert equal_error(np.array([5.0, 6.0, 7.0]), np.array([1.0, 2.0, 3.0])) in (3.0, 4.0)
    rng = np.random.default_rng(0)
    wanted, unwanted = rng.normal(1, 1, 4000), rng.normal(0, 1, 4000)
    floor = equal_error(wanted, unwanted)
    assert floor == pytest.approx(0.5, abs=0.05)
    assert (wanted <= floor).mean() == pytest.approx((unwanted > floor).mean(), abs=0.01)
    assert share_below(np.array([3.0, 1.0])).at(np.array([0.0, 1.0, 3.0])).tolist() == [0.25, 0.25, 0.75]


def test_the_factors_hold_for_further_sentences_of_the_kind():
    """Simulated sentences with 1 to 40 right clips of 500, whose rises overlap those of the wrong ones."""
    rng = np.random.default_rng(2)
    middles = np.linspace(-4, 8, 241)
    edges = np.append(middles - 0.025, middles[-1] + 0.025)

    def simulated(sentences):
        rows = []
        for _ in range(sentences):
            right = rng.random(500) < rng.integers(1, 41) / 500
            rises = rng.normal(0, 1, 500) + 2.5 * right
            best = rises.argmax()
            others = np.arange(500) != best
            counts = [np.histogram(rises[chosen], edges)[0].astype(float) for chosen in (others, others & right)]
            rows.append((*counts, rises[best], float(right[best])))
        weights, hits, best, best_right = (np.array(part) for part in zip(*rows, strict=True))
        return Pairs(middles, weights, hits, best, best_right)

    kind = kind_of(simulated(200), 10.0)
    further = simulated(300)
    sums = further.weights @ kind.others.at(middles) + kind.best.at(further.best)
    low, high = ((sums + 0.5) * factor - 0.5 for factor in kind.factors)
    assert np.mean((low <= further.truths) & (further.truths <= high)) >= 0.9
    assert sums.mean() == pytest.approx(further.truths.mean(), rel=0.1)


def test_length_decides_between_phrases_and_captions():
    kinds = [
        {"size_bytes": size, "best": [[0], [share]], "others": [[0], [share / 2]], "factors": [0.5, share * 10], "sentences": 9}
        for size, share in ((10.0, 0.2), (40.0, 0.8))
    ]
    values = {"basis": "captions", "mean": "AAAAAA==", "background": [0.0] * len(LEVELS), "floor": 0.0, "kinds": kinds, "rows": 5}
    known = Likelihood.from_json(values, dim=2)
    best = np.array([True, False])
    said = {size: known.probabilities(np.zeros(2), best, size).tolist() for size in (1, 10, 20, 40, 400)}
    assert said[1] == said[10] == [pytest.approx(0.2), pytest.approx(0.1)]
    assert said[20] == [pytest.approx(0.5), pytest.approx(0.25)]
    assert said[400] == said[40] == [pytest.approx(0.8), pytest.approx(0.4)]
    assert [known.factors(size) for size in (10, 20, 40)] == [(0.5, 2.0), (0.5, 8.0), (0.5, 8.0)]
    assert isinstance(known.kinds[0].best, Curve)


def test_phrases_are_said_by_several_captions_and_not_by_all():
    captions = ["A red dog runs", "a red dog sleeps", "the cat sleeps", "a bird", "a fish", "a fox"]
    found = phrases_of(captions, 99, seed=0)
    assert set(found) == {"a red", "red dog", "a red dog", "sleeps"}
    assert phrases_of(captions, 2, seed=0) == found[:2]
    assert normalized("A Red-dog, RUNS!") == " a red dog runs "

"""Retrieval through an index, captions that are encoded once, and videos found by name."""

from __future__ import annotations

import tarfile
from pathlib import Path

import numpy as np
import pytest

from indexer.evaluation.retrieval import Embedded, encode_captions, rank_exactly, rank_through_index
from indexer.evaluation.video_files import find_videos
from indexer.features import FeatureStore
from vidsearch.config import external_space
from vidsearch.encoders import load_encoder
from vidsearch.encoders._tokens import Tokenizer, clip_merges
from vidsearch.errors import InputNotFoundError, UsageError
from vidsearch.evaluation.annotations.base import Annotation, Clip
from vidsearch.evaluation.ranks import cosines, rank


def vectors(clips: int, captions: int, noise: float) -> Embedded:
    """Return clips in random directions, and captions near theirs."""
    rng = np.random.default_rng(2)
    shown = rng.standard_normal((clips, 32)).astype(np.float32)
    of_clip = np.arange(captions) % clips
    texts = shown[of_clip] + noise * rng.standard_normal((captions, 32)).astype(np.float32)
    shown, texts = (rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (shown, texts))
    annotation = Annotation(tuple(Clip(f"v{number}") for number in range(clips)), tuple("" for _ in texts), of_clip)
    return Embedded(annotation, texts, shown, {}, 0)


def test_a_small_index_finds_what_exact_scores_do():
    found = vectors(300, 600, 2.5)
    exact, asked = rank_exactly(found).text_to_video, rank_through_index(found, external_space(32))
    assert asked.kind == "flat"
    assert 0.2 < exact.hit(10).mean() < 0.9
    top = np.argsort(-(found.texts @ found.clips.astype(np.float16).astype(np.float32).T), axis=1)[:, :10]
    for k in (1, 5, 10):
        assert asked.text_to_video.hit(k).tolist() == (top[:, :k] == found.annotation.clip_of[:, None]).any(axis=1).tolist()


@pytest.mark.slow
def test_a_large_index_loses_few_hits_and_says_how_it_asked():
    found = vectors(60_000, 1000, 2.0)
    exact = rank(cosines(found.texts, found.clips), found.annotation.clip_of, np.arange(60_000)).hit(10)
    asked = rank_through_index(found, external_space(32))
    hits = asked.text_to_video.hit(10)
    assert (asked.kind, asked.plan[:6]) == ("ivfpq", "IVF-PQ")
    assert 0.1 < exact.mean() < 0.5
    assert np.maximum(exact - hits, 0).sum() / exact.sum() < 0.1
    assert (hits > exact).mean() < 0.01  # those ranked 11th may move up where others are lost


def test_fewer_clips_than_hits_are_asked_for():
    found = vectors(3, 3, 0.1)
    assert rank_through_index(found, external_space(32)).text_to_video.hit(1).tolist() == [1, 1, 1]


def test_captions_are_encoded_once_and_kept(tmp_path):
    encoder = load_encoder("demo-viclip", device="cpu", precision="float32")
    captions = ["a red circle", "a blue star", "a red circle"]
    store, seen = FeatureStore(tmp_path / "texts.sqlite"), []
    first = encode_captions(captions, encoder, store=store, progress=seen.append)
    again = encode_captions(captions, encoder, store=store, progress=seen.append)
    store.close()
    assert [(one.done, one.total, one.cached) for one in seen] == [(2, 2, 0)]
    np.testing.assert_allclose(first, encoder.encode_texts(captions), atol=1e-6)
    np.testing.assert_array_equal(again, first)
    assert encode_captions([], encoder).shape == (0, encoder.dim)


@pytest.mark.parametrize(("words", "cut"), [(30, 0), (31, 1)])
def test_captions_that_are_cut_are_counted(words, cut):
    """32 tokens are a start, 30 words and an end."""
    tokenizer = Tokenizer(clip_merges(), context_length=32)
    assert tokenizer.count_cut(["dog " * words]) == cut
    assert (tokenizer.encode(["dog " * words])[0, 30] != tokenizer.encode(["dog " * 29])[0, 30]) == (words >= 30)


def test_videos_are_found_by_name(tmp_path):
    for name in ("a/video1.mp4", "b/video2.webm", "b/film_00.01-00.02.avi", "c/video3.mp4", "d/video3.mp4", "e/clip.mp4", "e/clip.mkv"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    with tarfile.open(tmp_path / "more.tar", "w") as archive:
        archive.add(tmp_path / "a" / "video1.mp4", "video9.mp4")
    wanted = ["video1", "video1.avi", "x/y/video2.mp4", "film_00.01-00.02", "d/video3", "clip.mkv", "video9", "video4", "b/../b/video2.mp4"]
    found = find_videos(tmp_path, wanted)
    assert {name: path.relative_to(tmp_path).as_posix() for name, path in found.items()} == {
        "video1": "a/video1.mp4",
        "video1.avi": "a/video1.mp4",
        "x/y/video2.mp4": "b/video2.webm",
        "film_00.01-00.02": "b/film_00.01-00.02.avi",
        "d/video3": "d/video3.mp4",
        "clip.mkv": "e/clip.mkv",
        "video9": "more.tar/video9.mp4",
        "b/../b/video2.mp4": "b/video2.webm",
    }
    with pytest.raises(UsageError, match=r"'video3' means c/video3.mp4 and d/video3.mp4"):
        find_videos(tmp_path, ["video3"])
    with pytest.raises(InputNotFoundError, match="no folder of videos"):
        find_videos(Path(tmp_path / "none"), [])

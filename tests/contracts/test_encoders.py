"""The contract of every encoder: what indexing and searching rely on, whatever the model."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from support.openclip import tiny_openclip
from support.weights import MERGES, TINY, seeded_viclip

from vidsearch.config import Space
from vidsearch.encoders import load_encoder, load_text_encoder
from vidsearch.encoders._checkpoint import write_checkpoint
from vidsearch.registry import names
from vidsearch.resize import resize_frames

TEXTS = ["a dog surfing", "", "the cat, the dog & 3 red squares: run!", "北京 🎹", "word " * 400]


def _tiny_viclip(folder: Path) -> str:
    path = folder / "tiny.safetensors"
    write_checkpoint(path, seeded_viclip(TINY), model="tiny", merges=MERGES)
    return str(path)


# A new encoder gets in with one line: its name, and what makes a small model of it and returns the source to load, or skips.
SOURCES: dict[str, Callable[[Path], str]] = {
    "conse": lambda _: "conse",
    "openclip": tiny_openclip,
    "viclip": _tiny_viclip,
}


@pytest.fixture(scope="module", params=SOURCES)
def source(request, tmp_path_factory):
    return SOURCES[request.param](tmp_path_factory.mktemp(request.param))


@pytest.fixture(scope="module")
def encoder(source):
    return load_encoder(source, device="cpu", precision="float32")


@pytest.fixture(scope="module")
def clips(encoder):
    """Two clips as decoded: smooth pictures that move."""
    rng = np.random.default_rng(11)
    coarse = rng.integers(0, 256, (2, 1, 6, 8, 3), dtype=np.uint8).repeat(12, axis=2).repeat(12, axis=3)
    return np.concatenate([np.roll(coarse, 5 * frame, axis=3) for frame in range(encoder.preset.frames)], axis=1)


@pytest.fixture(scope="module")
def vectors(encoder, clips):
    return encoder.encode_clips(clips)


def assert_unit_rows(vectors, rows, dim):
    assert vectors.shape == (rows, dim)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)


def test_every_encoder_is_under_contract():
    assert set(SOURCES) == set(names("vidsearch.encoders"))


def test_texts_and_clips_become_unit_rows_of_one_space(encoder, vectors):
    assert_unit_rows(encoder.encode_texts(TEXTS), len(TEXTS), encoder.dim)
    assert_unit_rows(vectors, 2, encoder.dim)


def test_nothing_becomes_no_rows(encoder):
    preset = encoder.preset
    assert encoder.encode_texts([]).shape == (0, encoder.dim)
    for nothing in (
        encoder.encode_clips(np.zeros((0, preset.frames, 48, 64, 3), dtype=np.uint8)),
        encoder.encode_pixels(np.zeros((0, preset.frames, preset.size, preset.size, 3), dtype=np.uint8)),
    ):
        assert nothing.shape == (0, encoder.dim)
        assert nothing.dtype == np.float32


def test_one_is_as_many(encoder, clips, vectors):
    for clip, vector in zip(clips, vectors, strict=True):
        np.testing.assert_allclose(encoder.encode_clips(clip[None]), vector[None], atol=1e-5)
    for text, vector in zip(TEXTS, encoder.encode_texts(TEXTS), strict=True):
        np.testing.assert_allclose(encoder.encode_texts([text]), vector[None], atol=1e-5)


def test_different_input_gives_different_vectors(encoder, vectors):
    assert vectors[0] @ vectors[1] < 0.9999
    assert encoder.encode_texts(TEXTS[:1])[0] @ encoder.encode_texts(TEXTS[2:3])[0] < 0.9999


def test_encode_clips_is_encode_pixels_after_the_presets_resize(encoder, clips, vectors):
    pixels = np.stack([resize_frames(clip, encoder.preset) for clip in clips])
    np.testing.assert_allclose(encoder.encode_pixels(pixels), vectors, atol=1e-6)


def test_the_text_side_alone_gives_the_same_vectors(encoder, source):
    for light in (load_text_encoder(encoder.space), load_text_encoder(encoder.space, source)):
        sentences = light.encode_texts(TEXTS)
        assert_unit_rows(sentences, len(TEXTS), encoder.dim)
        assert (sentences * encoder.encode_texts(TEXTS)).sum(axis=1).min() > 0.9999
        assert light.encode_texts([]).shape == (0, encoder.dim)
        assert light.space.id == encoder.space.id


def test_a_space_is_the_same_after_every_load_and_through_json(encoder, source):
    again = load_encoder(source, device="cpu", precision="float32").space
    assert again.id == encoder.space.id
    read = Space.from_json(json.loads(json.dumps(asdict(encoder.space))))
    assert read == encoder.space
    assert read.id == encoder.space.id
    assert encoder.space.encoder in names("vidsearch.encoders")

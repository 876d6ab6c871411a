"""Models as evaluations load them: with 1 frame or 8, and averaged with a CLIP; each way has vectors and a fingerprint of its own."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import safetensors.numpy
from support.openclip import tiny_openclip
from support.weights import MERGES, TINY, seeded_viclip

from indexer.evaluation.models import load
from indexer.features import store_of
from vidsearch.encoders import load_encoder, load_text_encoder
from vidsearch.encoders._checkpoint import convert, write_checkpoint
from vidsearch.encoders.base import unit_rows
from vidsearch.errors import SpaceMismatchError, UsageError

ONLY_VICLIP = ("temp", "vision_encoder.temporal_positional_embedding")


@pytest.fixture(autouse=True)
def models(tmp_path, monkeypatch):
    monkeypatch.setenv("VIDSEARCH_MODELS", str(tmp_path / "models"))


@pytest.fixture(scope="module")
def weights():
    return seeded_viclip(TINY)


@pytest.fixture
def tiny(tmp_path, weights):
    write_checkpoint(tmp_path / "tiny.safetensors", weights, model="tiny", merges=MERGES)
    return str(tmp_path / "tiny.safetensors")


@pytest.fixture
def clip(tmp_path, weights):
    """An image CLIP of the same size: the ViCLIP's weights the other way round, under OpenAI's names."""
    renamed = {}
    for name, tensor in weights.items():
        new = np.ascontiguousarray(tensor.ravel()[::-1].reshape(tensor.shape))
        if name == "vision_encoder.conv1.weight":
            new = new[:, :, 0]
        if name not in ONLY_VICLIP:
            renamed[name.replace("vision_encoder.", "visual.").removeprefix("text_encoder.")] = new
    safetensors.numpy.save_file(renamed, tmp_path / "clip.safetensors")
    return str(tmp_path / "clip.safetensors")


def pixels(encoder, clips=2):
    size, frames = encoder.preset.size, encoder.preset.frames
    return np.random.default_rng(2).integers(0, 256, (clips, frames, size, size, 3), dtype=np.uint8)


def on_cpu(model, **options):
    return load(model, device="cpu", precision="float32", **options)


# --- frames ----------------------------------------------------------------------------------------------------------------------------


def test_a_clip_of_a_model_of_pictures_is_the_mean_of_as_many_frames(tmp_path):
    source = tiny_openclip(tmp_path)
    one, eight = on_cpu(source, frames=1), on_cpu(source)
    assert (one.preset.frames, eight.preset.frames) == (1, 8)
    clips = pixels(eight)
    singly = np.stack([one.encode_pixels(clips[:, [frame]]) for frame in range(8)])
    np.testing.assert_allclose(eight.encode_pixels(clips), unit_rows(singly.mean(axis=0)), atol=1e-5)
    assert np.abs(singly[0] - singly[1]).max() > 1e-3


def test_viclip_takes_one_frame_or_eight(tiny):
    one = on_cpu(tiny, frames=1)
    assert one.encode_pixels(pixels(one)).shape == (2, TINY["embed_dim"])
    assert on_cpu(tiny, frames=8).space == load_encoder(tiny).space
    with pytest.raises(UsageError, match="tiny cannot take 4 frames of a clip; choose 1 or 8"):
        on_cpu(tiny, frames=4)


@pytest.mark.parametrize("frames", [0, 1025])
def test_a_number_of_frames_that_no_clip_has_is_refused(tmp_path, frames):
    with pytest.raises(UsageError, match="frames"):
        on_cpu(tiny_openclip(tmp_path), frames=frames)


def test_frames_are_of_the_fingerprint_so_that_no_measurement_is_mixed(tiny, tmp_path):
    one, eight = on_cpu(tiny, frames=1), on_cpu(tiny)
    assert one.space.id != eight.space.id
    key = {"clip": np.ones(3, dtype=np.float32)}
    store, other = store_of(tmp_path / "cache", eight), store_of(tmp_path / "cache", one)
    store.write(key)
    assert (len(store.read(["clip"])), len(other.read(["clip"]))) == (1, 0)
    store.close()
    other.close()


@pytest.mark.parametrize("source", [lambda _: "conse", tiny_openclip], ids=["conse", "openclip"])
def test_an_index_of_one_frame_finds_its_text_side(tmp_path, source):
    encoder = on_cpu(source(tmp_path), frames=1)
    np.testing.assert_allclose(load_text_encoder(encoder.space).encode_texts(["a dog"]), encoder.encode_texts(["a dog"]), atol=1e-5)
    with pytest.raises(SpaceMismatchError):
        load_text_encoder(replace(encoder.space, preset=replace(encoder.preset, size=encoder.preset.size + 1, resize_side=400)))


# --- WiSE-FT ---------------------------------------------------------------------------------------------------------------------------


def test_a_share_of_one_is_the_model_and_of_nothing_is_the_clip(tiny, clip, tmp_path, weights):
    plain, all_ours, all_clip = on_cpu(tiny), on_cpu(tiny, blend=clip, coefficient=1), on_cpu(tiny, blend=clip, coefficient=0)
    clips, texts = pixels(plain), ["red dog", "the cat runs"]
    np.testing.assert_allclose(all_ours.encode_pixels(clips), plain.encode_pixels(clips), atol=1e-6)
    np.testing.assert_allclose(all_ours.encode_texts(texts), plain.encode_texts(texts), atol=1e-6)
    as_clip = {name: tensor if name in ONLY_VICLIP else tensor.ravel()[::-1].reshape(tensor.shape) for name, tensor in weights.items()}
    write_checkpoint(tmp_path / "as_clip.safetensors", as_clip, model="clip", merges=MERGES)
    other = on_cpu(str(tmp_path / "as_clip.safetensors"))
    np.testing.assert_allclose(all_clip.encode_pixels(clips), other.encode_pixels(clips), atol=1e-6)
    np.testing.assert_allclose(all_clip.encode_texts(texts), other.encode_texts(texts), atol=1e-6)
    assert np.abs(plain.encode_pixels(clips) - other.encode_pixels(clips)).max() > 0.05


def test_half_and_half_is_the_default_and_what_converting_writes(tiny, clip, tmp_path):
    blended = on_cpu(tiny, blend=clip)
    done = convert(tmp_path / "tiny.safetensors", tmp_path / "half.safetensors", blend=tmp_path / "clip.safetensors")
    assert blended.space.weights_sha256 == done.weights_sha256
    assert blended.space.id not in (on_cpu(tiny).space.id, on_cpu(tiny, blend=clip, coefficient=0.25).space.id)
    assert sorted(path.name for path in tmp_path.glob("*")) == [
        *("clip.safetensors", "half.safetensors", "text", "tiny.safetensors"),
    ]  # nothing but what converting wrote


def test_blending_and_frames_go_together(tiny, clip):
    assert on_cpu(tiny, blend=clip, frames=1).preset.frames == 1


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"coefficient": 0.5}, "name that with --blend CLIP"),
        ({"blend": "CLIP", "coefficient": 1.5}, "1.5 must be from 0 to 1"),
        ({"blend": "CLIP", "coefficient": float("nan")}, "nan must be from 0 to 1"),
    ],
)
def test_a_blend_that_makes_no_sense_is_refused(tiny, clip, options, said):
    with pytest.raises(UsageError, match=said):
        on_cpu(tiny, **{name: clip if value == "CLIP" else value for name, value in options.items()})


def test_only_a_viclip_can_be_blended(clip):
    with pytest.raises(UsageError, match="conse cannot be averaged with a CLIP"):
        on_cpu("conse", blend=clip)

"""open_clip's models give open_clip's own features, by value, under our preprocessing, hashing and averaging."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.hub import serving
from support.openclip import ARCHITECTURE, add_architecture, tiny_openclip

from vidsearch.encoders import load_encoder, load_text_encoder
from vidsearch.encoders.base import unit_rows
from vidsearch.encoders.openclip import find_weights, recognises
from vidsearch.errors import CheckpointError, InputNotFoundError, SpaceMismatchError, UsageError

TEXTS = ["a dog surfing", "A café — &amp; <b>", ""]


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return tiny_openclip(tmp_path_factory.mktemp("openclip"))


@pytest.fixture(scope="module")
def encoder(source):
    import torch

    torch.set_num_threads(1)
    return load_encoder(source, device="cpu", precision="float32")


@pytest.fixture(scope="module")
def reference(source):
    """open_clip's own way: the network, its picture transform and its tokenizer."""
    import open_clip

    net, transform = open_clip.create_model_from_pretrained(ARCHITECTURE, source.partition("/")[2])
    return net.eval(), transform, open_clip.get_tokenizer(ARCHITECTURE)


@pytest.fixture(scope="module")
def clips():
    """Two clips of eight pictures 40 x 70, (2, 8, 40, 70, 3)."""
    coarse = np.random.default_rng(5).integers(0, 256, (16, 4, 7, 3), dtype=np.uint8)
    return coarse.repeat(10, axis=1).repeat(10, axis=2).reshape(2, 8, 40, 70, 3)


def weights_with(folder: Path, source: str, **changes: object) -> Path:
    """Write the tiny weights again with some tensors changed, or left out where None."""
    from safetensors.numpy import load_file, save_file

    state = load_file(source.partition("/")[2]) | changes
    save_file({name: tensor for name, tensor in state.items() if tensor is not None}, folder / "changed.safetensors")
    return folder / "changed.safetensors"


def test_clips_are_the_mean_of_open_clips_own_unit_frame_features(encoder, reference, clips):
    import torch

    net, transform, _ = reference
    pictures = torch.stack([transform(Image.fromarray(frame)) for frame in clips.reshape(16, 40, 70, 3)])
    with torch.inference_mode():
        frames = net.encode_image(pictures, normalize=True).numpy().reshape(2, 8, 32)
    expected = unit_rows(frames.mean(axis=1))
    assert expected[0] @ expected[1] < 0.99
    np.testing.assert_allclose(encoder.encode_clips(clips), expected, atol=5e-3)  # one grey level apart at most
    assert (encoder.encode_clips(clips) * expected).sum(axis=1).min() > 0.9999


def test_texts_have_open_clips_own_features(encoder, reference):
    import torch

    net, _, tokenize = reference
    with torch.inference_mode():
        np.testing.assert_allclose(encoder.encode_texts(TEXTS), net.encode_text(tokenize(TEXTS), normalize=True).numpy(), atol=1e-5)


def test_reserved_tokens_in_a_sentence_are_text(encoder):
    tokens = encoder._texts._tokenize(["a <end_of_text> dog", "a &amp;lt;END_OF_TEXT&amp;gt; dog", "a < end _ of _ text > dog"])
    assert (tokens == 49_407).sum(dim=1).tolist() == [1, 1, 1]
    np.testing.assert_array_equal(tokens[0], tokens[2])
    np.testing.assert_array_equal(tokens[1], tokens[2])


def test_the_preset_is_the_models_own(encoder):
    preset = encoder.preset
    assert (preset.name, preset.size, preset.frames, preset.sampling) == ("open_clip", 32, 8, "middle")
    assert (preset.filter, preset.antialias, preset.fit, preset.resize_side) == ("bicubic", True, "crop", 32)
    with pytest.raises(UsageError, match=r"unknown preset 'eval' of vidsearch-test/tiny; choose open_clip"):
        load_encoder(f"open_clip:{ARCHITECTURE}/{encoder.space.source.partition('/')[2]}", preset="eval")


@pytest.mark.parametrize(
    ("known", "fields"),
    [
        (
            {"resize_mode": "squash", "interpolation": "bilinear", "mean": 0.5, "std": (0.5, 0.4, 0.3)},
            ("stretch", 0, "bilinear", (0.5,) * 3),
        ),
        (
            {"resize_mode": "shortest", "interpolation": "random", "mean": (0.1, 0.2, 0.3), "std": 0.5},
            ("crop", 64, "bicubic", (0.1, 0.2, 0.3)),
        ),
    ],
)
def test_preprocessing_of_every_kind_becomes_a_preset(encoder, known, fields):
    from vidsearch.encoders._openclip_model import read_preset

    preset = read_preset(_Net({"size": (64, 64)} | known), quick_gelu=True)
    assert (preset.fit, preset.resize_side, preset.filter, preset.mean) == fields
    assert preset.name == "open_clip-quickgelu"


@pytest.mark.parametrize("known", [{"size": 64, "resize_mode": "longest"}, {"size": (64, 32), "resize_mode": "shortest"}])
def test_preprocessing_that_cannot_be_done_is_refused(encoder, known):
    from vidsearch.encoders._openclip_model import read_preset

    with pytest.raises(UsageError, match="a square, and shortest or squash, can be done"):
        read_preset(_Net({"interpolation": "bicubic", "mean": 0.5, "std": 0.5} | known), quick_gelu=False)


class _Net:
    """What open_clip hangs its preprocessing on."""

    def __init__(self, known):
        self.visual = type("Visual", (), {"preprocess_cfg": known})


def test_the_same_weights_under_another_activation_are_another_space(encoder, source, tmp_path):
    add_architecture(tmp_path, "vidsearch-test-quickgelu", quick_gelu=True)
    other = load_encoder(source.replace(ARCHITECTURE, "vidsearch-test-quickgelu"), device="cpu", precision="float32").space
    assert other.weights_sha256 == encoder.space.weights_sha256
    assert other.id != encoder.space.id


def test_the_text_side_lets_go_of_the_picture_tower(encoder):
    light = load_text_encoder(encoder.space)
    assert not hasattr(light._net, "visual")
    np.testing.assert_allclose(light.encode_texts(TEXTS), encoder.encode_texts(TEXTS), atol=1e-6)


def test_other_weights_are_another_space(encoder, source, tmp_path):
    from safetensors.numpy import load_file

    scale = load_file(source.partition("/")[2])["logit_scale"]
    path = weights_with(tmp_path, source, logit_scale=np.array(scale + 1, dtype=np.float32))
    with pytest.raises(SpaceMismatchError, match=r"these vectors are of vidsearch-test/tiny .* is vidsearch-test/changed"):
        load_text_encoder(encoder.space, f"open_clip:{ARCHITECTURE}/{path}")
    with pytest.raises(SpaceMismatchError):
        load_text_encoder(replace(encoder.space, network_version=99))


def test_weights_that_do_not_fit_are_refused_by_name(source, tmp_path):
    path = weights_with(tmp_path, source, text_projection=None)
    with pytest.raises(CheckpointError, match=r"does not hold weights of vidsearch-test: .*text_projection") as caught:
        load_encoder(f"open_clip:{ARCHITECTURE}/{path}")
    assert "\n" not in str(caught.value)
    path = weights_with(tmp_path, source, logit_scale=np.array(np.nan, dtype=np.float32))
    with pytest.raises(CheckpointError, match="not finite: logit_scale"):
        load_encoder(f"open_clip:{ARCHITECTURE}/{path}")


@pytest.mark.parametrize("name", ["bad.pt", "bad.safetensors"])
def test_a_file_that_is_no_checkpoint_is_one_line(source, tmp_path, name):
    (tmp_path / name).write_bytes(b"not weights at all")
    with pytest.raises(CheckpointError, match="does not hold weights of") as caught:
        load_encoder(f"open_clip:{ARCHITECTURE}/{tmp_path / name}")
    assert "\n" not in str(caught.value)


def test_sources_are_recognised_and_mistakes_explained(source, tmp_path):
    assert recognises("open_clip:ViT-L-14/openai")
    assert recognises("clip-l-14-openai")
    assert not recognises("ViCLIP-L-14")
    assert not recognises("conse")
    for wrong, line in {
        "open_clip:ViT-L-41/openai": "unknown open_clip model 'ViT-L-41'; did you mean ViT-L-16, ViT-L-14",
        "open_clip:ViT-L-14/openia": "unknown weights 'openia' of ViT-L-14; choose a file or one of openai, ",
        "open_clip:ViT-L-14": "which weights of ViT-L-14? name a file or one of openai, ",
        f"open_clip:{ARCHITECTURE}/{tmp_path}/no.pt": f"no such checkpoint: {tmp_path}/no.pt",
    }.items():
        with pytest.raises((UsageError, InputNotFoundError), match=re.escape(line)):
            find_weights(wrong)


def test_published_weights_are_taken_from_the_models_folder_then_the_hub(source, tmp_path, monkeypatch):
    monkeypatch.setenv("VIDSEARCH_MODELS", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    with serving() as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.endpoint)
        with pytest.raises(InputNotFoundError, match=r"has no open_clip_pytorch_model.bin .* put it at .*EVA02-L-14--merged2b_s4b_b131k"):
            find_weights("EVA-CLIP-L-14")
        hub.files["laion/CLIP-ViT-H-14-laion2B-s32B-b79K/open_clip_model.safetensors"] = b"weights"
        found = find_weights("open_clip:ViT-H-14/laion2b_s32b_b79k")  # not of our catalogue: open_clip knows where it is
        assert (found.architecture, found.tag, found.path.read_bytes()) == ("ViT-H-14", "laion2b_s32b_b79k", b"weights")
        hub.requests.clear()
        assert find_weights("open_clip:ViT-H-14") == found  # the only weights of it that are here
        assert hub.requests == []

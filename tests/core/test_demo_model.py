"""The demo model that ships: it finds toy clips it never saw, and it sees time. Bounds lie well below what data/README.md reports."""

from __future__ import annotations

import hashlib
import io
import json
import os
import subprocess
import sys
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from indexer.toyrender import render
from indexer.toyvideos import encode_video
from indexer.toyworld import Clip, Scene, describe, held_out_scenes, reverse
from vidsearch.encoders import load_encoder
from vidsearch.encoders.base import Encoder
from vidsearch.sampling import choose_frames

torch = pytest.importorskip("torch")

MODEL = Path(__file__).parents[2] / "data" / "demo-viclip.safetensors"
Vectors = npt.NDArray[np.float32]


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return load_encoder(MODEL, device="cpu", precision="float32")


@lru_cache(maxsize=1)
def _scenes() -> tuple[Scene, ...]:
    return tuple(held_out_scenes(200, seed=77))  # another seed than the training script evaluates with


@pytest.fixture(scope="module")
def texts(encoder: Encoder) -> Vectors:
    rng = np.random.default_rng(78)
    return encoder.encode_texts([describe(scene, rng, complete=True) for scene in _scenes()])


@pytest.fixture(scope="module")
def clips(encoder: Encoder) -> Vectors:
    return _encode(encoder, [_render(encoder, scene) for scene in _scenes()])


def _render(encoder: Encoder, scene: Scene) -> Clip:
    return render(scene, size=encoder.preset.size, frames=encoder.preset.frames)


def _encode(encoder: Encoder, shown: list[Clip]) -> Vectors:
    return np.concatenate([encoder.encode_clips(np.stack(shown[first : first + 40])) for first in range(0, len(shown), 40)])


def _recall(texts: Vectors, clips: Vectors, k: int) -> float:
    scores = texts @ clips.T
    return float(np.mean((scores > np.diag(scores)[:, None]).sum(axis=1) < k))


def test_demo_model_is_small_and_half_precision() -> None:
    assert MODEL.stat().st_size < 8_000_000
    header = MODEL.read_bytes()[8:200_000]
    assert b'"F16"' in header
    assert b'"F32"' not in header


def test_demo_model_is_the_one_data_readme_describes(encoder: Encoder) -> None:
    readme = (MODEL.parent / "README.md").read_text()
    assert hashlib.sha256(MODEL.read_bytes()).hexdigest() in readme
    assert encoder.space.weights_sha256 in readme


def test_demo_model_loads_as_a_viclip_of_its_own_size(encoder: Encoder) -> None:
    assert encoder.space.encoder == "viclip"
    assert encoder.space.model == "demo-viclip"
    assert encoder.preset.clean_text
    assert (encoder.preset.frames, encoder.preset.size, encoder.dim) == (8, 48, 128)


def test_demo_model_finds_unseen_combinations(texts: Vectors, clips: Vectors) -> None:
    assert np.allclose(np.linalg.norm(clips, axis=1), 1, atol=1e-4)
    assert _recall(texts, clips, 1) > 0.75
    assert _recall(texts, clips, 5) > 0.95


def test_demo_model_tells_a_clip_from_its_reversal(encoder: Encoder, texts: Vectors, clips: Vectors) -> None:
    pairs = [(place, backwards) for place, scene in enumerate(_scenes()) if (backwards := reverse(scene)) is not None][:80]
    assert len(pairs) == 80
    places = [place for place, _ in pairs]
    others = _encode(encoder, [_render(encoder, backwards) for _, backwards in pairs])
    forward, backward = (texts[places] * clips[places]).sum(axis=1), (texts[places] * others).sum(axis=1)
    assert np.mean(forward > backward) > 0.8  # a model blind to time: 0.5


def test_demo_model_works_on_decoded_video(encoder: Encoder, texts: Vectors) -> None:
    av = pytest.importorskip("av")
    decoded = []
    for scene in _scenes()[:40]:
        file = io.BytesIO()
        encode_video(file, render(scene, size=128, frames=30), rate=10)
        with av.open(io.BytesIO(file.getvalue())) as container:
            frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
        decoded.append(np.stack([frames[place] for place in choose_frames(len(frames), encoder.preset)]))
    assert _recall(texts[:40], _encode(encoder, decoded), 1) > 0.75


def test_demo_model_ignores_capitals_and_punctuation(encoder: Encoder) -> None:
    plain = encoder.encode_texts(["a red circle moves to the right"])
    assert np.allclose(plain, encoder.encode_texts(["A red circle, moves to the RIGHT!"]), atol=1e-6)
    assert not np.allclose(plain, encoder.encode_texts(["a red circle moves to the left"]), atol=0.05)


def test_demo_model_understands_some_german(encoder: Encoder, clips: Vectors) -> None:
    rng = np.random.default_rng(79)
    captions = [describe(scene, rng, complete=True, language="de") for scene in _scenes()]
    assert _recall(encoder.encode_texts(captions), clips, 1) > 0.7


@pytest.mark.slow
def test_training_script_goes_on_where_it_stopped(tmp_path: Path) -> None:
    pytest.importorskip("av")
    script = Path(__file__).parents[2] / "tools" / "train_demo_model.py"
    tiny = ["--batch", "8", "--word-steps", "2", "--singles", "1", "--unmasked", "1", "--decay", "2", "--candidates", "10"]
    said = []
    for steps in (2, 4):
        command = [sys.executable, str(script), "out.safetensors", "--state", "state", "--steps", str(steps), *tiny]
        environment = os.environ | {"PYTHONPATH": str(script.parents[1])}
        said.append(subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True).stdout)
    assert [json.loads(line)["real_path"] for line in said[1].splitlines()[-2:]] == [False, True]
    assert torch.load(tmp_path / "state" / "state.pt", weights_only=True)["step"] == 4
    model = load_encoder(tmp_path / "out.safetensors", device="cpu", precision="float32")
    assert model.encode_texts(["a red circle"]).shape == (1, 128)

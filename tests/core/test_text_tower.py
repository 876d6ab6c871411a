"""The NumPy text tower gives torch's features."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from support.weights import TINY, seeded_viclip

from vidsearch.encoders._blas import _find_controls, one_thread
from vidsearch.encoders._text_tower import TextTower
from vidsearch.encoders._viclip_net import NetConfig, ViCLIP
from vidsearch.errors import CheckpointError

TEXT = "text_encoder."


@pytest.fixture(scope="module")
def weights():
    return {name: tensor for name, tensor in seeded_viclip(TINY).items() if name.startswith(TEXT)}


def _tokens(seed: int = 0, texts: int = 9) -> np.ndarray:
    """Return ids of texts of every kind of length: none, some, cut."""
    rng = np.random.default_rng(seed)
    tokens = np.zeros((texts, TINY["context_length"]), dtype=np.int64)
    start, end = TINY["vocab_size"] - 2, TINY["vocab_size"] - 1
    for row, length in zip(tokens, [0, 30, *rng.integers(1, 30, texts - 2)], strict=True):
        row[0], row[1 : length + 1], row[length + 1] = start, rng.integers(0, start, length), end
    return tokens


def _in_torch(weights: dict[str, np.ndarray], tokens: np.ndarray) -> np.ndarray:
    torch.set_num_threads(1)
    with torch.device("meta"):
        net = ViCLIP(NetConfig(**TINY)).text_encoder
    net.load_state_dict({name.removeprefix(TEXT): torch.from_numpy(w.astype(np.float32)) for name, w in weights.items()}, assign=True)
    with torch.inference_mode():
        return net(torch.from_numpy(tokens)).numpy()


def test_encode_gives_the_features_of_torch(weights):
    np.testing.assert_allclose(TextTower(weights).encode(_tokens()), _in_torch(weights, _tokens()), atol=2e-5)


def test_encode_reads_float16_weights(weights):
    half = {name: tensor.astype(np.float16) for name, tensor in weights.items()}
    features = TextTower(half).encode(_tokens())
    assert features.dtype == np.float32
    np.testing.assert_allclose(features, _in_torch(half, _tokens()), atol=2e-5)


def test_encode_of_one_text_is_that_of_many(weights):
    tower, tokens = TextTower(weights), _tokens()
    np.testing.assert_allclose(np.concatenate([tower.encode(row[None]) for row in tokens]), tower.encode(tokens), atol=1e-5)


def test_what_follows_the_end_of_a_text_changes_nothing(weights):
    tokens = _tokens(texts=4)
    noisy = tokens.copy()
    noisy[0, 2:] = 5
    np.testing.assert_allclose(TextTower(weights).encode(noisy), TextTower(weights).encode(tokens), atol=1e-5)


def test_large_activations_overflow_nothing(weights):
    loud = weights | {TEXT + "transformer.resblocks.0.mlp.c_fc.bias": np.linspace(-4000, 4000, 512, dtype=np.float32)}
    np.testing.assert_allclose(TextTower(loud).encode(_tokens()), _in_torch(loud, _tokens()), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("name", ["token_embedding.weight", "ln_final.bias", "transformer.resblocks.1.mlp.c_fc.weight"])
def test_weights_that_do_not_fit_are_refused_by_name(name, weights):
    with pytest.raises(CheckpointError, match=name):
        TextTower({key: tensor for key, tensor in weights.items() if key != TEXT + name})
    with pytest.raises(CheckpointError, match=name):
        TextTower(weights | {TEXT + name: np.ones(3, dtype=np.float32)})


def test_no_weights_are_refused():
    with pytest.raises(CheckpointError, match="text tower"):
        TextTower({})


def test_one_thread_holds_and_gives_back():
    controls = _find_controls()
    if controls is None:
        pytest.skip("this NumPy came without an OpenBLAS of its own")
    get_threads, set_threads = controls
    at_first = get_threads()
    set_threads(2)
    try:
        with one_thread():
            assert get_threads() == 1
        assert get_threads() == 2
    finally:
        set_threads(at_first)

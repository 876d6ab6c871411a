"""ViCLIP's text tower in NumPy over a memory-mapped file, so that a cold query never waits for torch.

The same equations as `_viclip_net.TextTower`. Weights are read where they lie: only the rows of the token embedding that a text needs
are touched, and float16 weights are widened one layer at a time.

    B batch   M tokens up to the last end of text   D width   H heads   E width of the joint space
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from vidsearch.encoders._blas import one_thread
from vidsearch.errors import CheckpointError

Array = npt.NDArray[Any]
Floats = npt.NDArray[np.float32]

HEAD_WIDTH = 64  # as in _viclip_net
PREFIX = "text_encoder."


class TextTower:
    """Turns token ids into features, float32, not normalised.

    Args:
        tensors: those of a checkpoint whose names begin with "text_encoder.", float32 or float16, memory-mapped or not.
    """

    def __init__(self, tensors: Mapping[str, Array]) -> None:
        self._tensors = {name.removeprefix(PREFIX): tensor for name, tensor in tensors.items()}
        self.layers = len({name.split(".")[2] for name in self._tensors if name.startswith("transformer.resblocks.")})
        _check_shapes(self._tensors, self.layers)
        self.width, self.dim = self._tensors["text_projection"].shape
        self.heads = max(1, self.width // HEAD_WIDTH)

    def encode(self, tokens: npt.NDArray[np.int64]) -> Floats:
        """Return (B, E) of token ids (B, context_length); the end-of-text token has the highest id."""
        with one_thread():
            return self._encode(tokens)

    def _encode(self, tokens: npt.NDArray[np.int64]) -> Floats:
        end = tokens.argmax(axis=1)
        length = int(end.max()) + 1  # attention is causal: what follows the last end changes nothing
        x = self._rows("token_embedding.weight", tokens[:, :length]) + self._floats("positional_embedding")[:length]
        for layer in range(self.layers):
            x = self._block(x, f"transformer.resblocks.{layer}.")  # (B, M, D)
        x = self._layer_norm(x[np.arange(len(x)), end], "ln_final")
        features: Floats = x @ self._floats("text_projection")
        return features

    def _block(self, x: Floats, name: str) -> Floats:
        x = x + self._attention(self._layer_norm(x, name + "ln_1"), name + "attn.")
        hidden = self._linear(self._layer_norm(x, name + "ln_2"), name + "mlp.c_fc.weight", name + "mlp.c_fc.bias")
        return x + self._linear(_quick_gelu(hidden), name + "mlp.c_proj.weight", name + "mlp.c_proj.bias")

    def _attention(self, x: Floats, name: str) -> Floats:
        batch, length, width = x.shape
        qkv = self._linear(x, name + "in_proj_weight", name + "in_proj_bias")
        q, k, v = qkv.reshape(batch, length, 3, self.heads, -1).transpose(2, 0, 3, 1, 4)  # (B, H, M, D/H)
        scores = q @ k.swapaxes(2, 3) * np.float32((width // self.heads) ** -0.5)
        scores += np.triu(np.full((length, length), -np.inf, dtype=np.float32), 1)  # no token looks ahead
        attended = _softmax(scores) @ v
        return self._linear(attended.transpose(0, 2, 1, 3).reshape(x.shape), name + "out_proj.weight", name + "out_proj.bias")

    def _linear(self, x: Floats, weight: str, bias: str) -> Floats:
        flat = x.reshape(-1, x.shape[-1]) @ self._floats(weight).T  # one matrix product for all texts
        return flat.reshape(*x.shape[:-1], -1) + self._floats(bias)

    def _layer_norm(self, x: Floats, name: str) -> Floats:
        centred = x - x.mean(axis=-1, keepdims=True)
        variance = np.square(centred).mean(axis=-1, keepdims=True)
        normed: Floats = centred / np.sqrt(variance + np.float32(1e-5))
        return normed * self._floats(name + ".weight") + self._floats(name + ".bias")

    def _floats(self, name: str) -> Floats:
        return np.asarray(self._tensors[name], dtype=np.float32)

    def _rows(self, name: str, rows: npt.NDArray[np.int64]) -> Floats:
        return np.asarray(self._tensors[name][rows], dtype=np.float32)


def _quick_gelu(x: Floats) -> Floats:
    gated: Floats = x / (1 + np.exp(np.minimum(np.float32(-1.702) * x, np.float32(80))))  # 80: exp stays finite
    return gated


def _softmax(scores: Floats) -> Floats:
    weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
    total: Floats = weights / weights.sum(axis=-1, keepdims=True)
    return total


def _check_shapes(tensors: Mapping[str, Array], layers: int) -> None:
    expected = _expected_shapes(tensors, layers)
    wrong = [name for name, shape in expected.items() if name not in tensors or tensors[name].shape != shape]
    wrong += [name for name in tensors if name not in expected]
    if wrong or not layers:
        raise CheckpointError(f"these weights do not fit ViCLIP's text tower: {', '.join(sorted(wrong)[:5]) or 'no layers'}")


def _expected_shapes(tensors: Mapping[str, Array], layers: int) -> dict[str, tuple[int, ...]]:
    missing = [
        name for name in ("token_embedding.weight", "positional_embedding", "text_projection") if getattr(tensors.get(name), "ndim", 0) != 2
    ]
    if missing:
        raise CheckpointError(f"these weights do not fit ViCLIP's text tower: {', '.join(missing)}")
    width, dim = tensors["text_projection"].shape
    block = {
        "attn.in_proj_weight": (3 * width, width),
        "attn.in_proj_bias": (3 * width,),
        "attn.out_proj.weight": (width, width),
        "attn.out_proj.bias": (width,),
        "mlp.c_fc.weight": (4 * width, width),
        "mlp.c_fc.bias": (4 * width,),
        "mlp.c_proj.weight": (width, 4 * width),
        "mlp.c_proj.bias": (width,),
    } | {f"{norm}.{part}": (width,) for norm in ("ln_1", "ln_2") for part in ("weight", "bias")}
    return {
        "token_embedding.weight": (tensors["token_embedding.weight"].shape[0], width),
        "positional_embedding": (tensors["positional_embedding"].shape[0], width),
        "text_projection": (width, dim),
        "ln_final.weight": (width,),
        "ln_final.bias": (width,),
    } | {f"transformer.resblocks.{layer}.{name}": shape for layer in range(layers) for name, shape in block.items()}

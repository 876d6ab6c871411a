"""Reproducible ViCLIP weights without a download: every parameter from its own seeded stream, at scales like a trained CLIP's.

`fixtures/expected_b16.npz` holds what the reference implementation (OpenGVLab/InternVideo, Data/InternVid/viclip, commit 3965eef, fp32, one
thread) computes with the B/16 ones: tokens (3, 32), text_raw (3, 512), video_raw (2, 512), image_raw_T1 (2, 512), sim_video_text (2, 3),
pixels_eval and pixels_demo (8, 3, 224, 224) float16 after normalisation, mp4_eval and mp4_demo (1, 512).
"""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np
import numpy.typing as npt

SEED = 20230713
EXPECTED = Path(__file__).parents[1] / "fixtures" / "expected_b16.npz"
TEXTS = [
    "A man in a gray sweater plays fetch with his dog in the snowy yard, throwing a toy and watching it run.",
    "playing guitar",
    "Une fille joue du piano \u2014 caf\u00e9 \U0001f3b9 &amp; th\u00e9",
]
MERGES = (("d", "o"), ("do", "g</w>"), ("c", "a"), ("ca", "t</w>"), ("r", "u"), ("ru", "n"), ("t", "h"), ("th", "e</w>"))

B16 = {
    "image_size": 224,
    "patch_size": 16,
    "frames": 8,
    "vision_width": 768,
    "vision_layers": 12,
    "text_width": 512,
    "text_layers": 12,
    "context_length": 32,
    "vocab_size": 49_408,
    "embed_dim": 512,
}
L14 = B16 | {"patch_size": 14, "vision_width": 1024, "vision_layers": 24, "text_width": 768, "embed_dim": 768}
TINY = B16 | {  # two heads in each tower, so that a mistake in their order shows
    "image_size": 32,
    "patch_size": 8,
    "vision_width": 128,
    "vision_layers": 2,
    "text_width": 128,
    "text_layers": 2,
    "vocab_size": 512 + len(MERGES) + 2,
    "embed_dim": 48,
}


def viclip_shapes(sizes: dict[str, int]) -> dict[str, tuple[int, ...]]:
    """Return the names and shapes of a published checkpoint of these sizes, written down apart from the network under test."""
    patches = (sizes["image_size"] // sizes["patch_size"]) ** 2
    vision, text = sizes["vision_width"], sizes["text_width"]
    return {
        "temp": (),
        "vision_encoder.class_embedding": (vision,),
        "vision_encoder.positional_embedding": (patches + 1, vision),
        "vision_encoder.temporal_positional_embedding": (1, sizes["frames"], vision),
        "vision_encoder.proj": (vision, sizes["embed_dim"]),
        "vision_encoder.conv1.weight": (vision, 3, 1, sizes["patch_size"], sizes["patch_size"]),
        **_norm_shapes("vision_encoder.ln_pre", vision),
        **_norm_shapes("vision_encoder.ln_post", vision),
        **_block_shapes("vision_encoder", vision, sizes["vision_layers"]),
        "text_encoder.positional_embedding": (sizes["context_length"], text),
        "text_encoder.text_projection": (text, sizes["embed_dim"]),
        "text_encoder.token_embedding.weight": (sizes["vocab_size"], text),
        **_norm_shapes("text_encoder.ln_final", text),
        **_block_shapes("text_encoder", text, sizes["text_layers"]),
    }


def seeded_viclip(sizes: dict[str, int]) -> dict[str, npt.NDArray[np.float32]]:
    """Return all tensors of a ViCLIP of these sizes."""
    return {name: np.asarray(seeded(name, shape)) for name, shape in viclip_shapes(sizes).items()}


def seeded(name: str, shape: tuple[int, ...]) -> npt.NDArray[np.float32]:
    """Return one parameter; q and k are doubled, so that attention is peaky and mistakes of order and position show."""
    if name == "temp":
        return np.full((), 0.01, dtype=np.float32)
    rng = np.random.default_rng([SEED, zlib.crc32(name.encode())])
    return rng.standard_normal(shape, dtype=np.float32) * _scale(name, shape) + np.float32(_is_norm(name) and name.endswith(".weight"))


def _scale(name: str, shape: tuple[int, ...]) -> npt.NDArray[np.float32] | np.float32:
    leaf = name.rsplit(".", 1)[-1]
    if _is_norm(name):
        return np.float32(0.1 if leaf == "weight" else 0.05)
    if leaf in ("bias", "in_proj_bias") or name.endswith("token_embedding.weight"):
        return np.float32(0.02)
    if name == "text_encoder.positional_embedding":
        return np.float32(0.01)
    if leaf == "in_proj_weight":
        rows = np.full((shape[0], 1), shape[1] ** -0.5, dtype=np.float32)
        rows[: 2 * shape[1]] *= 2
        return rows
    if name.endswith(("out_proj.weight", "c_proj.weight")):
        return np.float32(0.3 * shape[0] ** -0.5)
    fan_in = {
        "class_embedding": shape[-1],
        "positional_embedding": shape[-1],
        "temporal_positional_embedding": shape[-1],
        "proj": shape[0],
        "text_projection": shape[0],
        "weight": 2 * shape[1] if name.endswith("c_fc.weight") else int(np.prod(shape[1:])),
    }
    return np.float32(fan_in[leaf] ** -0.5)


def _is_norm(name: str) -> bool:
    return any(part in name for part in (".ln_1", ".ln_2", ".ln_pre", ".ln_post", ".ln_final"))


def _norm_shapes(name: str, width: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (width,), f"{name}.bias": (width,)}


def _block_shapes(tower: str, width: int, layers: int) -> dict[str, tuple[int, ...]]:
    block = {
        "attn.in_proj_weight": (3 * width, width),
        "attn.in_proj_bias": (3 * width,),
        "attn.out_proj.weight": (width, width),
        "attn.out_proj.bias": (width,),
        **_norm_shapes("ln_1", width),
        **_norm_shapes("ln_2", width),
        "mlp.c_fc.weight": (4 * width, width),
        "mlp.c_fc.bias": (4 * width,),
        "mlp.c_proj.weight": (width, 4 * width),
        "mlp.c_proj.bias": (width,),
    }
    return {f"{tower}.transformer.resblocks.{layer}.{name}": shape for layer in range(layers) for name, shape in block.items()}

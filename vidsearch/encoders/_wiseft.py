"""Average fine-tuned weights with the CLIP they started from (WiSE-FT, Wortsman et al. 2022, arXiv 2109.01903).

ViCLIP's published evaluation averages half and half, every tensor that both have (InternVideo, ViCLIP tasks/shared_utils.py); whether a
published file is such an average already is stated nowhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from vidsearch.errors import CheckpointError, UsageError

Array = npt.NDArray[Any]

ONLY_VICLIP = ("temp", "vision_encoder.temporal_positional_embedding")  # an image model knows no time
TEXT_NAMES = ("transformer.", "token_embedding.", "positional_embedding", "ln_final.", "text_projection")


def blend_with_clip(viclip: Mapping[str, Array], clip: Mapping[str, Array], *, share: float, named: Path) -> dict[str, Array]:
    """Return share * viclip + (1 - share) * clip in float32; a CLIP that lacks a tensor or has another size is refused by name."""
    if not 0 <= share <= 1:
        raise UsageError(f"a blend coefficient of {share} must be from 0 to 1")
    renamed = {_viclip_name(name): tensor for name, tensor in clip.items()}
    return {
        name: tensor if name in ONLY_VICLIP else share * tensor.astype(np.float32) + (1 - share) * _fitted(name, renamed, tensor, named)
        for name, tensor in viclip.items()
    }


def _fitted(name: str, clip: Mapping[str, Array], like: Array, named: Path) -> Array:
    """Return CLIP's tensor in ViCLIP's shape: a patch is one frame deep, and a text has fewer positions."""
    if name not in clip:
        raise CheckpointError(f"{named} cannot be blended in: it has no {name}; take an OpenAI CLIP under open_clip's names")
    tensor = clip[name]
    if name == "vision_encoder.conv1.weight" and tensor.ndim == 4:
        tensor = tensor[:, :, None]
    if name == "text_encoder.positional_embedding":
        tensor = tensor[: len(like)]
    if tensor.shape != like.shape:
        raise CheckpointError(f"{named} cannot be blended in: its {name} is {tensor.shape} instead of {like.shape}")
    return tensor.astype(np.float32)


def _viclip_name(name: str) -> str:
    if name.startswith("visual."):
        return "vision_encoder." + name.removeprefix("visual.")
    return "text_encoder." + name if name.startswith(TEXT_NAMES) else name

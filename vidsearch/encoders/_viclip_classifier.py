"""A ViCLIP fine-tuned to tell classes apart: its vision tower on torch, and a linear head in NumPy."""

from __future__ import annotations

import numpy as np
import torch

from vidsearch.config import Space, viclip_preset
from vidsearch.encoders._checkpoint import Checkpoint
from vidsearch.encoders._checks import PROJECTION, VISION_PREFIX
from vidsearch.encoders._torch import choose_device, choose_precision
from vidsearch.encoders._viclip_clips import ClipTower
from vidsearch.encoders._viclip_head import Head, Rows
from vidsearch.encoders._viclip_net import NetConfig, VisionTower
from vidsearch.encoders.base import Pixels, unit_rows, with_frames
from vidsearch.errors import CheckpointError


class ViCLIPClassifier:
    """Clips in, logits of classes out, in two steps, so that features can be kept and heads exchanged.

    Attributes:
        space: of the features, which another head may read too.
        head: what makes logits of them.
        clips_at_once: a batch that keeps the device busy.
    """

    def __init__(self, space: Space, clips: ClipTower, head: Head, place: torch.device, precision: str, *, projected: bool) -> None:
        self.space, self.head = space, head
        self.device, self.precision = str(place), precision
        self.projected = projected
        self.clips_at_once = clips.step(space.preset.frames)
        self._clips = clips

    def __repr__(self) -> str:
        return f"ViCLIPClassifier({self.space.model}, {self.head}, {self.device}, {self.precision})"

    def features(self, pixels: Pixels) -> Rows:
        """Return (n, width) float32, as the tower gives them and not unit rows, of clips as `Encoder.encode_pixels` takes them."""
        parts = [part.cpu().numpy() for part in self._clips.features(pixels, projected=self.projected)]
        return np.concatenate([np.zeros((0, self.head.width), dtype=np.float32), *parts])

    def logits(self, features: Rows, *, unit: bool = False) -> Rows:
        """Return (n, classes) float32.

        Args:
            features: (n, width) of `features`.
            unit: make them unit rows first, for a head that was trained on those.
        """
        logits: Rows = (unit_rows(features) if unit else features) @ self.head.weight.T + self.head.bias
        return logits


def build_classifier(
    checkpoint: Checkpoint, head: Head, *, device: str, precision: str, preset: str, frames: int | None, network_version: int
) -> ViCLIPClassifier:
    """Put the checked weights of a vision tower on the device; the head's width says whether it reads projected features."""
    config = NetConfig.of_vision({name: tensor.shape for name, tensor in checkpoint.tensors.items()})
    has_projection = PROJECTION in checkpoint.tensors
    if head.width not in (config.embed_dim, config.vision_width):
        raise CheckpointError(
            f"{checkpoint.path}: its head reads {head.width} features; the tower gives {config.vision_width}"
            + (f", or {config.embed_dim} after the projection" if has_projection else "")
        )
    place = choose_device(device)
    chosen = choose_precision(precision, place)
    space = Space(
        encoder="viclip",
        model=checkpoint.model,
        weights_sha256=checkpoint.weights_sha256,
        network_version=network_version,
        preset=viclip_preset(preset, size=config.image_size, frames=config.frames),
        dim=head.width,
    )
    if frames is not None:
        space = with_frames(space, frames, (1, config.frames))
    clips = ClipTower(_build_tower(checkpoint, config, place), config, space.preset, place, chosen)
    return ViCLIPClassifier(space, clips, head, place, chosen, projected=has_projection and head.width == config.embed_dim)


def _build_tower(checkpoint: Checkpoint, config: NetConfig, place: torch.device) -> VisionTower:
    with torch.device("meta"):
        tower = VisionTower(config)
    if PROJECTION not in checkpoint.tensors:
        del tower.proj  # nothing reads it
    state = {
        name.removeprefix(VISION_PREFIX): torch.from_numpy(np.require(tensor, requirements="W")).float()
        for name, tensor in checkpoint.tensors.items()
    }
    tower.load_state_dict(state, strict=True, assign=True)
    return tower.requires_grad_(False).eval().to(place)

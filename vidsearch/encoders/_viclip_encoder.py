"""ViCLIP's encoder on torch: uint8 clips and sentences in, unit rows out, in batches that keep memory flat."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from vidsearch.config import Space, viclip_preset
from vidsearch.encoders._checkpoint import Checkpoint
from vidsearch.encoders._tokens import Tokenizer, clean_caption
from vidsearch.encoders._torch import choose_device, choose_precision
from vidsearch.encoders._viclip_clips import ClipTower
from vidsearch.encoders._viclip_net import NetConfig, ViCLIP
from vidsearch.encoders.base import Encoder, Pixels, Vectors, unit_rows

TEXTS_AT_ONCE = {"cpu": 64, "cuda": 1024}


class ViCLIPEncoder(Encoder):
    """Both towers on one device; made by `build_encoder`.

    bfloat16 is for clips: in the text tower it costs accuracy (cosine 0.9997 on B/16), and a sentence is cheap.
    """

    def __init__(self, space: Space, net: ViCLIP, tokenizer: Tokenizer, device: torch.device, precision: str) -> None:
        self.space = space
        self.device = str(device)
        self.precision = precision
        self._net, self._tokenizer, self._place = net, tokenizer, device
        self._clips = ClipTower(net.vision_encoder, net.config, space.preset, device, precision)
        self.clips_at_once = self._clips.step(space.preset.frames)
        self.frame_counts = tuple(sorted({1, net.config.frames}))

    def __repr__(self) -> str:
        return f"ViCLIPEncoder({self.space.model}, {self.preset.name}, {self.device}, {self.precision})"

    @torch.inference_mode()
    def encode_texts(self, texts: Sequence[str]) -> Vectors:
        tokens = self._tokenizer.encode(self._cleaned(texts))
        step = TEXTS_AT_ONCE[self._place.type]
        starts = range(0, len(tokens), step)
        return self._gather([self._net.encode_text(torch.from_numpy(tokens[start : start + step]).to(self._place)) for start in starts])

    def count_cut(self, texts: Sequence[str]) -> tuple[int, int]:
        return self._tokenizer.count_cut(self._cleaned(texts)), self._tokenizer.context_length

    def _cleaned(self, texts: Sequence[str]) -> Sequence[str]:
        return [clean_caption(text) for text in texts] if self.preset.clean_text else texts

    @torch.inference_mode()
    def encode_pixels(self, pixels: Pixels) -> Vectors:
        return self._gather(self._clips.features(pixels))

    def _gather(self, parts: list[Tensor]) -> Vectors:
        return unit_rows(torch.cat([torch.zeros((0, self.dim), device=self._place), *parts]).cpu().numpy())


def build_encoder(checkpoint: Checkpoint, *, device: str, precision: str, preset: str, network_version: int, source: str) -> ViCLIPEncoder:
    """Put checked weights into a network built without weights of its own, on the device and at the precision asked for."""
    place = choose_device(device)
    net = build_net(checkpoint, place)
    space = Space(
        encoder="viclip",
        model=checkpoint.model,
        weights_sha256=checkpoint.weights_sha256,
        network_version=network_version,
        preset=viclip_preset(preset, size=net.config.image_size, frames=net.config.frames),
        dim=net.config.embed_dim,
        source=source,
    )
    return ViCLIPEncoder(space, net, checkpoint.tokenizer(), place, choose_precision(precision, place))


def build_net(checkpoint: Checkpoint, place: torch.device) -> ViCLIP:
    """Return the network with these weights in float32; on a CPU, float32 weights of a memory-mapped file stay where they are."""
    config = NetConfig.from_shapes({name: tensor.shape for name, tensor in checkpoint.tensors.items()})
    with torch.device("meta"):
        net = ViCLIP(config)
    state = {name: torch.from_numpy(np.require(tensor, requirements="W")).float() for name, tensor in checkpoint.tensors.items()}
    net.load_state_dict(state, strict=True, assign=True)
    return net.requires_grad_(False).eval().to(place)

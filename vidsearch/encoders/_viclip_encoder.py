"""ViCLIP's encoder on torch: uint8 clips and sentences in, unit rows out, in batches that keep memory flat."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from vidsearch.config import Space, viclip_preset
from vidsearch.encoders._checkpoint import Checkpoint
from vidsearch.encoders._tokens import Tokenizer, clean_caption
from vidsearch.encoders._torch import choose_device, choose_precision, normalisation, running
from vidsearch.encoders._viclip_net import NetConfig, ViCLIP
from vidsearch.encoders.base import Encoder, Pixels, Vectors, unit_rows
from vidsearch.errors import UsageError

# Patch tokens in one forward pass. A CPU gains nothing from larger batches, a GPU does.
TOKENS_AT_ONCE = {"cpu": 4096, "cuda": 131_072}
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
        self._scale, self._shift = normalisation(space.preset, device)
        self._patches = (net.config.image_size // net.config.patch_size) ** 2
        self.clips_at_once = self._step(space.preset.frames)
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
        self._check_pixels(pixels)
        step = self._step(pixels.shape[1])
        with running(self._place, self.precision):
            parts = [self._net.encode_vision(self._normalised(batch)).float() for batch in self._on_device(pixels, step)]
        return self._gather(parts)

    def _step(self, frames: int) -> int:
        """Return how many clips go through the network together."""
        return max(1, TOKENS_AT_ONCE[self._place.type] // (frames * self._patches))

    def _check_pixels(self, pixels: Pixels) -> None:
        size, frames = self.preset.size, self.preset.frames
        if pixels.dtype != np.uint8 or pixels.ndim != 5 or pixels.shape[1] not in (1, frames) or pixels.shape[2:] != (size, size, 3):
            raise UsageError(
                f"{self.space.model} takes clips (n, {frames}, {size}, {size}, 3) uint8, not {pixels.shape} {pixels.dtype}; "
                "encode_clips resizes them"
            )

    def _on_device(self, pixels: Pixels, step: int) -> Iterator[Tensor]:
        """Yield batches as uint8 on the device, a quarter of the bytes of floats; on a GPU the next one travels while one is computed."""
        if self._place.type != "cuda":
            for start in range(0, len(pixels), step):
                yield torch.from_numpy(np.require(pixels[start : start + step], requirements=["C", "W"]))
            return
        staging = [torch.empty((step, *pixels.shape[1:]), dtype=torch.uint8, pin_memory=True) for _ in range(2)]
        copied: list[torch.cuda.Event | None] = [None, None]
        copies = torch.cuda.Stream(self._place)  # type: ignore[no-untyped-call]  # torch's own is untyped
        for number, start in enumerate(range(0, len(pixels), step)):
            batch, turn = pixels[start : start + step], number % 2
            if (before := copied[turn]) is not None:
                before.synchronize()  # its buffer is free again
            staging[turn][: len(batch)].numpy()[:] = batch
            with torch.cuda.stream(copies):
                there = staging[turn][: len(batch)].to(self._place, non_blocking=True)
                copied[turn] = copies.record_event()
            current = torch.cuda.current_stream(self._place)
            current.wait_stream(copies)
            there.record_stream(current)
            yield there

    def _normalised(self, pixels: Tensor) -> Tensor:
        """Return (B, T, 3, H, W) float32 of (B, T, H, W, 3) uint8."""
        return (pixels * self._scale + self._shift).permute(0, 1, 4, 2, 3)

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

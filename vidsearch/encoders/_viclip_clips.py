"""ViCLIP's vision tower on torch: uint8 clips in, features out, in batches that keep memory flat."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from vidsearch.config import Preset
from vidsearch.encoders._torch import normalisation, running
from vidsearch.encoders._viclip_net import NetConfig, VisionTower
from vidsearch.encoders.base import Pixels
from vidsearch.errors import UsageError

# Patch tokens in one forward pass. A CPU gains nothing from larger batches, a GPU does.
TOKENS_AT_ONCE = {"cpu": 4096, "cuda": 131_072}


class ClipTower:
    """A vision tower on a device, at a precision."""

    def __init__(self, tower: VisionTower, config: NetConfig, preset: Preset, place: torch.device, precision: str) -> None:
        self._tower, self._place, self._precision = tower, place, precision
        self._size, self._frames = config.image_size, config.frames
        self._patches = (config.image_size // config.patch_size) ** 2
        self._scale, self._shift = normalisation(preset, place)

    @torch.inference_mode()
    def features(self, pixels: Pixels, *, projected: bool = True) -> list[Tensor]:
        """Return features in batches (B, E), or as wide as the tower before the last projection; float32 on the device, not normalised."""
        self._check_pixels(pixels)
        forward = self._tower if projected else self._tower.before_projection
        with running(self._place, self._precision):
            return [forward(self._normalised(batch)).float() for batch in self._on_device(pixels, self.step(pixels.shape[1]))]

    def step(self, frames: int) -> int:
        """Return how many clips of so many frames go through the network together."""
        return max(1, TOKENS_AT_ONCE[self._place.type] // (frames * self._patches))

    def _check_pixels(self, pixels: Pixels) -> None:
        size, frames = self._size, self._frames
        if pixels.dtype != np.uint8 or pixels.ndim != 5 or pixels.shape[1] not in (1, frames) or pixels.shape[2:] != (size, size, 3):
            raise UsageError(
                f"this ViCLIP takes clips (n, {frames}, {size}, {size}, 3) uint8, not {pixels.shape} {pixels.dtype}; "
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

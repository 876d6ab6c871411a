"""What every encoder is: sentences and clips in, unit vectors of one space out.

A plug-in file `encoders/NAME.py` defines three functions, and imports its heavy library only inside them or in a private module:

    recognises(source: str) -> bool
        Whether this plug-in loads that name or file. Cheap: no heavy import.
    load(source: str, *, device: str, precision: str, preset: str | None) -> Encoder
        Both towers. `device` is "auto", "cpu" or "cuda[:n]"; `precision` is "auto", "float32" or "bfloat16".
    load_text(space: Space, source: str | None) -> TextEncoder
        The text side alone, for a query against vectors of that space, as light as it can be. Raises SpaceMismatchError when the
        weights it finds are others.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from vidsearch.config import Preset, Space
from vidsearch.errors import UsageError
from vidsearch.resize import resize_frames

Vectors = npt.NDArray[np.float32]  # (n, dim), unit rows
Pixels = npt.NDArray[np.uint8]  # (..., height, width, 3) RGB


class TextEncoder(ABC):
    """The query side of a model."""

    space: Space

    @abstractmethod
    def encode_texts(self, texts: Sequence[str]) -> Vectors:
        """Return (n, dim) float32 unit rows; an empty sequence gives (0, dim)."""

    def count_cut(self, texts: Sequence[str]) -> tuple[int, int] | None:
        """Return how many texts are longer than the model reads, and its limit in tokens; None where its tokenizer does not tell."""
        return None

    @property
    def dim(self) -> int:
        return self.space.dim

    @property
    def preset(self) -> Preset:
        return self.space.preset


class Encoder(TextEncoder):
    """Both sides of a model."""

    device: str = "cpu"  # where the network runs, as torch names it
    clips_at_once: int = 8  # a batch that keeps the device busy; more only costs memory
    frame_counts: tuple[int, ...] = ()  # how many frames of a clip the network can take; empty is any number

    def take_frames(self, frames: int) -> None:
        """Take that many frames of a clip from now on, which makes the vectors those of another space."""
        self.space = with_frames(self.space, frames, self.frame_counts)

    @abstractmethod
    def encode_pixels(self, pixels: Pixels) -> Vectors:
        """Return (n, dim) float32 unit rows of clips already resized: (n, frames, size, size, 3) uint8 RGB, as the preset has it."""

    def encode_clips(self, frames: Pixels) -> Vectors:
        """Return (n, dim) float32 unit rows of clips as decoded: (n, frames, height, width, 3) uint8 RGB."""
        if len(frames) == 0:
            return np.zeros((0, self.dim), dtype=np.float32)
        return self.encode_pixels(np.stack([resize_frames(clip, self.preset) for clip in frames]))


def unit_rows(vectors: npt.NDArray[np.floating]) -> Vectors:
    """Return float32 rows of length one; a zero row stays zero."""
    rows: Vectors = np.asarray(vectors, dtype=np.float32)
    length = np.linalg.norm(rows, axis=-1, keepdims=True)
    unit: Vectors = rows / np.maximum(length, np.float32(1e-12))
    return unit


def with_frames(space: Space, frames: int, allowed: Sequence[int] = ()) -> Space:
    """Return the space of the same model when it is given so many frames of a clip; a number it cannot take is refused."""
    if allowed and frames not in allowed:
        raise UsageError(f"{space.model} cannot take {frames} frames of a clip; choose {' or '.join(map(str, allowed))}")
    return replace(space, preset=replace(space.preset, frames=frames))

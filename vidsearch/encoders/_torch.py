"""What the encoders on torch share: device, precision, normalisation, and frames as uint8 batches on the device."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vidsearch.config import Preset
from vidsearch.encoders.base import Pixels
from vidsearch.errors import UsageError

DEVICES = ("cpu", "cuda")
PRECISIONS = ("auto", "float32", "bfloat16")


def choose_device(device: str) -> torch.device:
    """Return the device of "auto", "cpu", "cuda" or "cuda:n"; one that is not there is refused."""
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        place = torch.device(device)
    except RuntimeError as error:
        raise UsageError(f"unknown device {device!r}; choose from auto, cpu, cuda, cuda:0 …") from error
    if place.type not in DEVICES:
        raise UsageError(f"unknown device {device!r}; choose from auto, cpu, cuda, cuda:0 …")
    if place.type == "cuda" and (place.index or 0) >= torch.cuda.device_count():
        raise UsageError(f"device {device!r} is not here: torch sees {torch.cuda.device_count()} CUDA devices; choose auto or cpu")
    return place


def choose_precision(precision: str, place: torch.device) -> str:
    """Return "float32" or "bfloat16"; "auto" is bfloat16 where the hardware has it."""
    if precision not in PRECISIONS:
        raise UsageError(f"unknown precision {precision!r}; choose from {', '.join(PRECISIONS)}")
    if precision != "auto":
        return precision
    return "bfloat16" if has_fast_bfloat16(place) else "float32"


def has_fast_bfloat16(place: torch.device) -> bool:
    """Whether bfloat16 runs in hardware: emulated on a CPU it is four times slower than float32."""
    if place.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    flags = _cpu_flags()
    return "avx512_bf16" in flags or "amx_bf16" in flags


def _cpu_flags() -> set[str]:
    """Return what Linux says the processor can do; nothing elsewhere."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return set()
    lines = [line for line in text.splitlines() if line.startswith("flags")]
    return set(lines[0].partition(":")[2].split()) if lines else set()


def running(place: torch.device, precision: str) -> AbstractContextManager[object]:
    """Return the context to compute in."""
    return torch.autocast(place.type, torch.bfloat16) if precision == "bfloat16" else nullcontext()


def normalisation(preset: Preset, place: torch.device) -> tuple[Tensor, Tensor]:
    """Return the scale and shift (3,) that take a byte to (byte / 255 - mean) / std."""
    mean, std = np.array(preset.mean), np.array(preset.std)
    scale, shift = torch.tensor(1 / (255 * std), dtype=torch.float32), torch.tensor(-mean / std, dtype=torch.float32)
    return scale.to(place), shift.to(place)


def frame_batches(pixels: Pixels, preset: Preset, place: torch.device, at_once: Mapping[str, int]) -> Iterator[Tensor]:
    """Yield the frames of clips (n, T, size, size, 3) as (B, size, size, 3) uint8 on the device: a quarter of the bytes of floats."""
    size = preset.size
    if pixels.dtype != np.uint8 or pixels.ndim != 5 or pixels.shape[1] < 1 or pixels.shape[2:] != (size, size, 3):
        raise UsageError(
            f"preset {preset.name} takes clips (n, {preset.frames}, {size}, {size}, 3) uint8, not {pixels.shape} {pixels.dtype}; "
            "encode_clips resizes them"
        )
    frames = pixels.reshape(-1, size, size, 3)
    for start in range(0, len(frames), at_once[place.type]):
        batch = torch.from_numpy(np.require(frames[start : start + at_once[place.type]], requirements=["C", "W"]))
        yield (batch.pin_memory() if place.type == "cuda" else batch).to(place, non_blocking=True)

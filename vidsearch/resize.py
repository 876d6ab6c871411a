"""Resize frames in NumPy, the same to the bit on every machine and in every process: the resizer is part of an index's fingerprint.

The kernels are torch's (bicubic) and OpenCV's (bilinear) without antialias, and Pillow's with it. torch and Pillow agree with this file
within one grey level, OpenCV's bilinear, which ViCLIP's demo uses, to the bit.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from vidsearch.config import Preset


def resize_frames(frames: npt.NDArray[np.uint8], preset: Preset) -> npt.NDArray[np.uint8]:
    """Return (..., size, size, 3) uint8 of frames (..., height, width, 3) uint8, as the preset stretches or crops them."""
    height, width = frames.shape[-3:-1]
    rows = _taps(height, *_window(height, width, preset), preset.filter, preset.antialias)
    columns = _taps(width, *_window(width, height, preset), preset.filter, preset.antialias)
    flat = frames.reshape(-1, height, width, 3)
    resized = np.empty((len(flat), preset.size, preset.size, 3), dtype=np.uint8)
    for image, target in zip(flat, resized, strict=True):
        target[:] = _resize(image, rows, columns, preset)
    return resized.reshape(*frames.shape[:-3], preset.size, preset.size, 3)


BAND_ROWS = 16  # of the result at a time: what is being summed stays in a core's cache
Taps = tuple[npt.NDArray[np.intp], npt.NDArray[np.float32]]  # both (size, taps): source positions and their weights


def _resize(image: npt.NDArray[np.uint8], rows: Taps, columns: Taps, preset: Preset) -> npt.NDArray[np.uint8]:
    if preset.antialias:  # Pillow: columns first, rounded to bytes between the passes, halves up
        return _bytes(np.floor(_sum_rows(_bytes(np.floor(_sum_columns(image, columns) + 0.5)), rows) + 0.5))
    if preset.filter == "bilinear":
        return _opencv_linear(image, rows, columns)
    bands = [slice(start, start + BAND_ROWS) for start in range(0, preset.size, BAND_ROWS)]
    sums = (_sum_columns(_sum_rows(image, (rows[0][band], rows[1][band])), columns) for band in bands)
    return np.concatenate([_bytes(np.rint(band)) for band in sums])


def _opencv_linear(image: npt.NDArray[np.uint8], rows: Taps, columns: Taps) -> npt.NDArray[np.uint8]:
    """Bilinear in OpenCV's fixed point: weights of 11 bits; 4 bits are dropped after the columns, 16 of each row, 2 at the end."""
    (row_positions, row_weights), (positions, weights) = ((taps[0], np.rint(taps[1] * 2048).astype(np.int32)) for taps in (rows, columns))
    across = np.zeros((len(image), len(positions), 3), dtype=np.int32)
    for tap in range(positions.shape[1]):
        across += image[:, positions[:, tap]] * weights[:, tap, None]
    across >>= 4
    total = np.full((len(row_positions), len(positions), 3), 2, dtype=np.int32)
    for tap in range(row_positions.shape[1]):
        total += across[row_positions[:, tap]] * row_weights[:, tap, None, None] >> 16
    return (total >> 2).astype(np.uint8)


def _sum_rows(image: npt.NDArray[Any], rows: Taps) -> npt.NDArray[np.float32]:
    positions, weights = rows
    total = np.zeros((len(positions), *image.shape[1:]), dtype=np.float32)
    for tap in range(positions.shape[1]):
        total += image[positions[:, tap]] * weights[:, tap, None, None]
    return total


def _sum_columns(image: npt.NDArray[Any], columns: Taps) -> npt.NDArray[np.float32]:
    positions, weights = columns
    total = np.zeros((len(image), len(positions), 3), dtype=np.float32)
    for tap in range(positions.shape[1]):
        total += image.take(positions[:, tap], axis=1) * weights[:, tap, None]
    return total


def _bytes(values: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
    return np.clip(values, 0, 255).astype(np.uint8)


def _window(length: int, other: int, preset: Preset) -> tuple[int, int, int]:
    """Return (resized length, first pixel kept, pixels kept) of one axis."""
    if preset.fit == "stretch":
        return preset.size, 0, preset.size
    short = min(length, other)
    resized = preset.resize_side if length == short else preset.resize_side * length // short
    return resized, round((resized - preset.size) / 2), preset.size


@lru_cache(maxsize=64)
def _taps(length: int, resized: int, first: int, kept: int, kernel: str, antialias: bool) -> Taps:
    scale = length / resized
    stretch = max(scale, 1.0) if antialias else 1.0
    support = (2.0 if kernel == "bicubic" else 1.0) * stretch
    centre = (np.arange(first, first + kept) + 0.5) * scale  # in source pixels, whose centres lie at .5
    if antialias:  # Pillow: taps outside the image are dropped and the rest renormalised
        start = (centre - support + 0.5).astype(int)
        positions = start[:, None] + np.arange(int(2 * support) + 2)
    else:  # torch, OpenCV: the border pixel is repeated
        start = np.floor(centre - 0.5).astype(int) - (1 if kernel == "bicubic" else 0)
        positions = start[:, None] + np.arange(4 if kernel == "bicubic" else 2)
    distance = (positions + 0.5 - centre[:, None]) / stretch
    weights = _cubic(distance, -0.5 if antialias else -0.75) if kernel == "bicubic" else np.maximum(0, 1 - abs(distance))
    if antialias:
        weights[(positions < 0) | (positions >= length)] = 0
        weights /= weights.sum(axis=1, keepdims=True)
    used = np.flatnonzero(weights.any(axis=0))
    return np.clip(positions, 0, length - 1)[:, used], weights.astype(np.float32)[:, used]


def _cubic(distance: npt.NDArray[np.float64], a: float) -> npt.NDArray[np.float64]:
    """Keys' cubic convolution kernel (IEEE TASSP 1981)."""
    d = abs(distance)
    near = ((a + 2) * d - (a + 3)) * d * d + 1
    far = ((a * d - 5 * a) * d + 8 * a) * d - 4 * a
    return np.where(d < 1, near, np.where(d < 2, far, 0.0))

"""Pure: which frames of a clip the model sees."""

from __future__ import annotations

import itertools

from vidsearch.config import Preset


def choose_frames(available: int, preset: Preset) -> tuple[int, ...]:
    """Return `preset.frames` positions in 0..available-1, in order of time.

    "middle" takes the middle of equal parts and pads a short clip with its last frame (VindLU's `get_frame_indices`, used for
    ViCLIP's published numbers). "step" takes every n-th frame from the first, as the reference's notebook does; on a clip with too few
    frames, which the notebook refuses, it does what "middle" does.
    """
    wanted = preset.frames
    if available < 1:
        return ()
    if preset.sampling == "step" and available >= wanted:
        return tuple(range(0, available, available // wanted)[:wanted])
    parts = min(wanted, available)
    edges = [part * available // parts for part in range(parts + 1)]
    middles = [(start + end - 1) // 2 for start, end in itertools.pairwise(edges)]
    return tuple(middles + [middles[-1]] * (wanted - parts))

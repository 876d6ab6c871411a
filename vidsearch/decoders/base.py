"""What every decoder is: a video and time spans in, exactly those frames out.

A plug-in file `decoders/NAME.py` defines `open_decoder() -> Decoder`. It runs inside worker processes that import nothing but the
decoder's library and NumPy.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Frame = npt.NDArray[np.uint8]  # (height, width, 3) RGB, rotation applied


class Span(NamedTuple):
    """A clip of a video, half-open, in seconds from the video's first instant; `end_s` None is the end of the video."""

    start_s: float = 0.0
    end_s: float | None = None


@dataclass(frozen=True)
class DecodedClip:
    """One span's frames, or why there are none.

    Attributes:
        index: position of the span in what was asked.
        frames: (n, height, width, 3) uint8 as `transform` returned them, in order of time; None when the clip failed.
        times_s: presentation time of each frame, seconds from the video's first instant.
        end_s: where the clip really ends: the span's end or the video's.
        reason, detail: why it failed, a code of the quarantine and a sentence; empty when it did not.
    """

    index: int
    frames: Frame | None
    times_s: tuple[float, ...] = ()
    end_s: float = 0.0
    reason: str = ""
    detail: str = ""


class Decoder(ABC):
    """Reads all clips of one video in one pass."""

    name: str

    @abstractmethod
    def read_clips(
        self,
        path: Path,
        spans: Sequence[Span],
        *,
        choose: Callable[[int], Sequence[int]],
        transform: Callable[[Frame], Frame],
    ) -> Iterator[DecodedClip]:
        """Yield one DecodedClip for each span, in any order.

        Args:
            path: a regular file.
            spans: what to read; they may overlap and come in any order.
            choose: given the number of frames whose time lies in the span, the positions wanted (see `sampling.choose_frames`).
            transform: applied to each wanted frame as soon as it is decoded, so that full-size frames do not pile up.

        Raises:
            DecodeError: the video as a whole cannot be read. A failure of one clip is a DecodedClip with a reason.
        """

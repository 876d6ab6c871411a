"""What goes into a `DecodePool` and what comes out."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from vidsearch.decoders.base import Span


@dataclass(frozen=True)
class VideoJob:
    """A video and the clips wanted of it.

    Attributes:
        split: how to cut a video whose `spans` nobody knows, as `indexer.shots.parse_split` reads it.
        skip: given the spans that were found, the numbers of those not wanted; asked once, before any of them is decoded.
    """

    id: int
    path: Path
    spans: tuple[Span, ...] = ()
    split: str | None = None
    skip: Callable[[Sequence[Span]], Collection[int]] | None = None

    @property
    def uncut(self) -> bool:
        """Whether its spans have still to be found."""
        return self.split is not None and not self.spans


@dataclass(frozen=True)
class SpansFound:
    """The clips that a video without spans was cut into, in order; told before any of them comes."""

    job_id: int
    spans: tuple[Span, ...]


@dataclass(frozen=True)
class ClipPixels:
    """A clip as the model sees it.

    Attributes:
        index: its position in the job's spans, or in those found.
        pixels: (frames, size, size, 3) uint8 RGB, valid until the next item is asked for.
        times_s: of the frames, seconds from the video's first instant.
        end_s: where the clip really ends.
    """

    job_id: int
    index: int
    pixels: npt.NDArray[np.uint8]
    times_s: tuple[float, ...]
    end_s: float


@dataclass(frozen=True)
class ClipFailure:
    """A clip that cannot be had, with a reason of the quarantine."""

    job_id: int
    index: int
    reason: str
    detail: str


@dataclass(frozen=True)
class JobDone:
    """The last word on a video.

    Attributes:
        reason, detail: set when the video as a whole failed; clips not delivered until now have failed with it.
        decode_s: processor seconds.
    """

    job_id: int
    reason: str = ""
    detail: str = ""
    decode_s: float = 0.0
    attempts: int = 1


Result = SpansFound | ClipPixels | ClipFailure | JobDone

"""What every decoder is: a video and time spans in, exactly those frames out.

A plug-in file `decoders/NAME.py` defines `open_decoder() -> Decoder`. It runs inside worker processes that import nothing but the
decoder's library and NumPy. What fails carries one of these reasons, for a clip or for the whole video:

    NOT_FOUND NOT_REGULAR_FILE EMPTY OPEN_FAILED FORMAT_NOT_ALLOWED NO_VIDEO_STREAM CODEC_UNSUPPORTED
    DIMENSIONS_TOO_LARGE DURATION_TOO_LONG DECODER_OOM CHANGED_DURING_READ
    ZERO_DURATION       no frame is there, or the file gives no rate of frames, so that times in it mean nothing
    PATH_ESCAPE, MEMBER_TOO_LARGE    of a member of an archive: its name leads out of it; it would have to be unpacked and is too large
    DECODE_ERROR        a frame, or one that it depends on, is damaged
    SHORT_DECODE        the file ends before its header says, and before the clip does; or frames did not come
    SPAN_EMPTY          the clip ends before it starts, or no frame lies in it
    SPAN_PAST_END       the clip starts after the video's end
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from vidsearch.errors import UsageError

Frame = npt.NDArray[np.uint8]  # (height, width, 3) RGB, rotation applied

MAX_PIXELS = 8192 * 8192  # of one frame
MAX_SECONDS = 24 * 3600.0  # of one video
MAX_FRAMES_PER_S = 1000
THUMBNAIL = (96, 54)  # width and height, pixels


class Span(NamedTuple):
    """A clip of a video, half-open, in seconds from the video's first instant; `end_s` None is the end of the video."""

    start_s: float = 0.0
    end_s: float | None = None


class Length(NamedTuple):
    """Where a video's last frame ends, and where its header says it does; that is later only if the file has lost its end. Seconds."""

    end_s: float
    claimed_s: float


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


def nothing() -> None:
    """Stand in for `alive` where nobody watches."""


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
        alive: Callable[[], None] = nothing,
    ) -> Iterator[DecodedClip]:
        """Yield one DecodedClip for each span, in any order.

        Args:
            path: a regular file, or a link to one; it may lie in an archive.
            spans: what to read; they may overlap and come in any order.
            choose: given the number of frames whose time lies in the span, the positions wanted (see `sampling.choose_frames`).
            transform: applied to each wanted frame as soon as it is decoded, so that full-size frames do not pile up.
            alive: called now and then while there is progress, so that a watchdog knows a long video from a hang.

        Raises:
            DecodeError: the video as a whole cannot be read. A failure of one clip is a DecodedClip with a reason.
        """

    def read_length(self, path: Path, *, alive: Callable[[], None] = nothing) -> Length:
        """Return how long a video is, decoding only where nothing else tells.

        Raises:
            DecodeError: the video cannot be read.
            UsageError: this decoder cannot look over a video.
        """
        raise UsageError(f"the decoder {self.name} cannot cut videos into clips; choose --decoder pyav, or --split none")

    def read_thumbnails(self, path: Path, *, alive: Callable[[], None] = nothing) -> Iterator[tuple[float, Frame]]:
        """Yield enough of a video's frames, with their times in order, to see where shots begin; each (54, 96, 3), not turned upright.

        Raises: as `read_length`.
        """
        raise UsageError(f"the decoder {self.name} cannot cut videos into shots; choose --decoder pyav, or --split none")

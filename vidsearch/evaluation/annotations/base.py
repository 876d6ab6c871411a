"""What every annotation is: sentences that describe videos.

A plug-in file `annotations/NAME.py` is one data set's layout, and defines one function:

    read(path: Path) -> list[Sentence]
        All sentences of a file, in its order. Raises UsageError naming the place of what is not understood.

Videos are called what the file calls them, with or without a suffix; where they lie is no concern of an annotation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from vidsearch.errors import UsageError


@dataclass(frozen=True)
class Clip:
    """What is shown: a video or a part of it, seconds, half-open; `end_s` None is the video's end."""

    video: str
    start_s: float = 0.0
    end_s: float | None = None

    def __post_init__(self) -> None:
        if not self.video:
            raise UsageError("a row names no video")
        if self.start_s < 0 or (self.end_s is not None and self.end_s <= self.start_s):
            raise UsageError(f"{self.video}: a clip from {self.start_s:g} s to {self.end_s:g} s is empty")


@dataclass(frozen=True)
class Sentence:
    """One sentence and what it describes; `at_s` orders a video's sentences into a paragraph, None leaves them as they come."""

    clip: Clip
    text: str
    at_s: float | None = None


@dataclass(frozen=True, repr=False)
class Annotation:
    """Captions of clips.

    Attributes:
        clips: each once, in the order of their first caption.
        captions: queries, one or more a clip.
        clip_of: (captions,) int64, the place in `clips` of what each describes.
    """

    clips: tuple[Clip, ...]
    captions: tuple[str, ...]
    clip_of: npt.NDArray[np.int64]

    def __repr__(self) -> str:
        return f"Annotation({len(self.clips):,} clips, {len(self.captions):,} captions)"

    def keep(self, clips: npt.NDArray[np.bool_]) -> Annotation:
        """Return what is left with these clips, (clips,) bool, alone."""
        place = np.cumsum(clips) - 1
        wanted = np.flatnonzero(clips[self.clip_of])
        return Annotation(
            tuple(clip for clip, kept in zip(self.clips, clips.tolist(), strict=True) if kept),
            tuple(self.captions[number] for number in wanted.tolist()),
            place[self.clip_of[wanted]],
        )


def gather(sentences: Sequence[Sentence], path: Path, *, paragraph: bool = False) -> Annotation:
    """Return the sentences by clip: each a query of its own, or with `paragraph` a clip's sentences as one, in order of time."""
    if not sentences:
        raise UsageError(f"{path} holds no captions")
    places: dict[Clip, int] = {}
    for sentence in sentences:
        places.setdefault(sentence.clip, len(places))
    if not paragraph:
        numbers = np.array([places[sentence.clip] for sentence in sentences], dtype=np.int64)
        return Annotation(tuple(places), tuple(sentence.text for sentence in sentences), numbers)
    told: list[list[Sentence]] = [[] for _ in places]
    for sentence in sentences:
        told[places[sentence.clip]].append(sentence)
    texts = (" ".join(one.text for one in sorted(some, key=lambda one: one.at_s or 0.0)) for some in told)
    return Annotation(tuple(places), tuple(texts), np.arange(len(places)))

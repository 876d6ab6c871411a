"""What a question is made of: sentences with weights, files to resemble, and what thumbs weigh."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from vidsearch.archives.members import exists
from vidsearch.errors import QueryError

_BOOST = re.compile(r"(?s)(.*[^\\])\^([+-]?[0-9.]+(?:[eE][+-]?[0-9]+)?|[+-]?(?:nan|inf))", re.IGNORECASE)
_FRAGMENT = re.compile(r"(.+)#t=(?:npt:)?([0-9:.]*)(?:,([0-9:.]+))?")


class Weighted(NamedTuple):
    """A sentence and how much it counts; below zero it pushes away."""

    text: str
    weight: float = 1.0


@dataclass(frozen=True)
class Media:
    """A picture, or a part of a video, to find clips like it.

    Attributes:
        path: the file; it may lie in an archive: `shards/00000.tar/key.mp4`.
        start_s, end_s: of a video, half-open, seconds from its first instant; None is its end.
    """

    path: Path
    start_s: float = 0.0
    end_s: float | None = None

    def __post_init__(self) -> None:
        if "\0" in str(self.path):
            raise QueryError(f"{str(self.path)!r:.60} is no name of a file")
        if not (math.isfinite(self.start_s) and self.start_s >= 0 and (self.end_s is None or self.start_s < self.end_s < math.inf)):
            raise QueryError(f"{self}: a part of a video starts at 0 seconds or later and ends after it starts")

    def __str__(self) -> str:
        if not self.start_s and self.end_s is None:
            return str(self.path)
        return f"{self.path}#t={self.start_s:g}" + ("" if self.end_s is None else f",{self.end_s:g}")

    @classmethod
    def parse(cls, text: str) -> Media:
        """Read a path with or without a time: `video.mp4#t=3,9`.

        The time is a temporal fragment of Media Fragments URI 1.0 (W3C, 2012, section 4.2.1): seconds or [hh:]mm:ss.
        """
        match = _FRAGMENT.fullmatch(text)
        if match is None or "\0" in text or exists(Path(text)):
            return cls(Path(text))
        path, start, end = match.groups()
        if not start and end is None:
            raise QueryError(f"{text!r} names no time; write #t=3,9 or #t=3 or #t=,9")
        return cls(Path(path), _seconds(start or "0", text), None if end is None else _seconds(end, text))


class Rocchio(NamedTuple):
    """Weights of the question, the mean liked clip and the mean disliked one.

    Defaults: Manning, Raghavan, Schütze, Introduction to Information Retrieval (2008), section 9.1.1.
    """

    alpha: float = 1.0
    beta: float = 0.75
    gamma: float = 0.15


def weighted(text: str) -> Weighted:
    r"""Read a sentence with a weight as Lucene writes it, `a dog^0.5`; `\^` is a plain ^."""
    match = _BOOST.fullmatch(text)
    if match is None:
        return Weighted(text.replace("\\^", "^"))
    try:
        return Weighted(match[1].replace("\\^", "^"), float(match[2]))
    except ValueError:
        raise QueryError(f"{match[2]!r} in {text!r:.60} is no weight; write a number after ^, or \\^ for a plain ^") from None


def example(name: str) -> str | Media:
    """Read what --like takes: a file that is there (perhaps with #t=3,9), else the id of a clip."""
    if "\0" in name:
        return name
    try:
        media = Media.parse(name)
        return media if exists(media.path) else name
    except OSError:  # a name that no file can have
        return name


def sentences(texts: Sequence[str | tuple[str, float]]) -> tuple[Weighted, ...]:
    """Return texts, with or without a weight each, as `Query.texts` has them."""
    return tuple(Weighted(text) if isinstance(text, str) else Weighted(*text) for text in texts)


def examples(like: str | Path | Media | Sequence[str | Path | Media]) -> tuple[str | Media, ...]:
    """Return clip ids and files as `Query.like` has them: a str is an id, so a text from outside never names a file."""
    items = [like] if isinstance(like, str | Path | Media) else like
    return tuple(Media(item) if isinstance(item, Path) else item for item in items)


def _seconds(text: str, whole: str) -> float:
    try:
        parts = [float(part) for part in text.split(":")]
    except ValueError:
        parts = []
    if not 1 <= len(parts) <= 3 or any(part >= 60 for part in parts[1:]):
        raise QueryError(f"{text!r} in {whole!r} is no time; write seconds or hh:mm:ss")
    return sum(part * 60.0**place for place, part in enumerate(reversed(parts)))

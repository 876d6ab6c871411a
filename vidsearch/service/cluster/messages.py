"""What a shard is asked and what it answers; rows are numbered as whoever asks numbers them."""

from __future__ import annotations

from dataclasses import dataclass

from vidsearch.indexes.base import Best, Ids, Queries, Scores
from vidsearch.nearest import Choice
from vidsearch.selection import Selection


@dataclass(frozen=True)
class Piece:
    """A segment as it is asked about: its uuid, the number of its first row, and the rows that may be found."""

    segment: str
    first: int
    selection: Selection


@dataclass(frozen=True)
class Question:
    """Which rows are nearest.

    Attributes:
        queries: (q, dim) float32, unit rows.
        depth: rows wanted for each.
        pieces: where to look, in the order of their rows.
        by_codes: whether codes are compared where there are any.
        choice: where; None where no piece has codes that are compared together.
        kernels: whether rows are scored by compiled code when every one is.
    """

    queries: Queries
    depth: int
    pieces: tuple[Piece, ...]
    by_codes: bool
    choice: Choice | None
    kernels: bool


@dataclass(frozen=True)
class Scored:
    """What was found for one query.

    Attributes:
        best: rows of pieces that were scored whole, the best ones.
        rows, nearness, cosines: candidates of the codes in the order they were met, with both scores.
    """

    best: Best
    rows: Ids
    nearness: Scores
    cosines: Scores


@dataclass(frozen=True)
class Answer:
    """What was found for each query, and how many codes were compared for all."""

    scored: tuple[Scored, ...]
    compared: int


@dataclass(frozen=True)
class Damage:
    """A segment turned out to be damaged."""

    segment: str
    message: str


@dataclass(frozen=True)
class Unopened:
    """A shard that was started anew does not have the segment open yet."""

    segment: str

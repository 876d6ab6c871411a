"""What a user asks: one frozen value that checks itself, whoever fills it in."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import MISSING, dataclass, field, fields
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from vidsearch._query_parts import Media, Rocchio, Weighted
from vidsearch.errors import QueryError

MAX_K = 1000
MAX_TEXT = 4096  # characters
MAX_PARTS = 64  # texts of one question
MAX_THUMBS = 1000
MAX_DEPTH = 10_000  # rows to page through at a terminal
ARRAYS = ("vector", "within")  # fields that `==` and JSON take otherwise than the others
DEFAULT_TRADEOFF = 0.5  # of --diverse: relevance and variety weigh the same

Vector = npt.NDArray[np.float32]
Mode = Literal["vectors", "hybrid", "keywords"]

_SORT = re.compile(r"(?s)\s*(\S|\S.*?\S)(?:\s+(asc|desc))?\s*", re.IGNORECASE)


@dataclass(frozen=True, eq=False)
class Query:
    """One question. What describes the clips, then which rows, then what becomes of the ranking.

    Attributes:
        texts: sentences with weights.
        like: ids of clips, and files, to resemble.
        vector: (dim,) float32, for embeddings the caller brings, or None.
        exclude: sentences to move away from.
        up, down: ids of clips found good and bad (relevance feedback).
        rocchio: how much those count.
        then: what happens later in the same source video, in order; the answer is chains of clips.
        mode: rank by "vectors", by "keywords" in the captions, or by both, "hybrid". In the last two, words in "double quotes" must occur.
        hybrid_weight: None fuses ranks; 0 to 1 adds scores, each scaled to 0..1: 1 is vectors alone, 0 keywords alone.
        keyword_column: the column of the keywords.
        k: clips wanted, or videos with `group`, or chains with `then`.
        where: a filter in SQL WHERE syntax.
        within: (m,) int64, row numbers to search among, as this index has them; None is all. They are those of one version: another one,
            and one whose damaged segment is left out, numbers its rows anew.
        cursor: of the page before; every other field must be as it was then.
        min_score: least cosine (of every clip of a chain; with mode "keywords", least BM25).
        per_video: clips of one source video at most; with `group`, clips shown of each.
        dedupe: cosine from which a clip is folded into the better one it resembles.
        diverse: balance of relevance (1) and variety (0) by maximal marginal relevance; None leaves the ranking.
        sort: a column, perhaps with `desc`: the order in which the k best are shown.
        group: "video": k source videos, each with its best clips.
        recall: share of the true nearest clips that an approximate plan must find on average.
        exact: score every clip that passes.
    """

    texts: tuple[Weighted, ...] = ()
    like: tuple[str | Media, ...] = ()
    vector: Vector | None = None
    exclude: tuple[str, ...] = ()
    up: tuple[str, ...] = ()
    down: tuple[str, ...] = ()
    rocchio: Rocchio = field(default_factory=Rocchio)
    then: tuple[str, ...] = ()
    mode: Mode = "vectors"
    hybrid_weight: float | None = None
    keyword_column: str = "caption"
    k: int = 10
    where: str | None = None
    within: npt.NDArray[np.int64] | None = None
    cursor: str | None = None
    min_score: float | None = None
    per_video: int | None = None
    dedupe: float | None = None
    diverse: float | None = None
    sort: str | None = None
    group: str | None = None
    recall: float = 0.95
    exact: bool = False

    def __post_init__(self) -> None:
        _check_whole("k", self.k, 1, MAX_K)
        sentences = [*(text for text, _ in self.texts), *self.exclude, *self.then]
        if len(sentences) > MAX_PARTS or len(self.like) > MAX_PARTS or len(self.up) + len(self.down) > MAX_THUMBS:
            raise QueryError(f"a question has at most {MAX_PARTS} texts, {MAX_PARTS} examples and {MAX_THUMBS:,} thumbs")
        for text in sentences:
            _check_text(text)
        if not (self.texts or self.like or self.vector is not None or self.up):
            raise QueryError("nothing to search for; give a sentence, a clip or a file it should resemble, or a vector")
        for text, weight in self.texts:
            if not math.isfinite(weight):
                raise QueryError(f"the weight of {text!r:.60} is {weight}; it must be a finite number")
        if not all(math.isfinite(weight) and weight >= 0 for weight in self.rocchio):
            raise QueryError(f"{self.rocchio} must be finite numbers of 0 or more")
        if self.within is not None and not (
            isinstance(self.within, np.ndarray) and self.within.ndim == 1 and self.within.dtype == np.int64
        ):
            raise QueryError("within must be a (m,) int64 array of row numbers")
        self._check_refinements()
        self._check_combination()

    def _check_refinements(self) -> None:
        if self.min_score is not None and not math.isfinite(self.min_score):
            raise QueryError(f"min_score is {self.min_score}; it must be a finite number")
        if self.per_video is not None:
            _check_whole("per_video", self.per_video, 1, MAX_K)
        _check_share("dedupe", self.dedupe, above=0)
        _check_share("diverse", self.diverse)
        _check_share("hybrid_weight", self.hybrid_weight)
        _check_share("recall", self.recall, above=0)
        if self.sort is not None:
            read_sort(self.sort)
        if self.group not in (None, "video"):
            raise QueryError(f"group is {self.group!r}; hits can be grouped by video")
        if self.mode not in ("vectors", "hybrid", "keywords"):
            raise QueryError(f"mode is {self.mode!r}; choose from vectors, hybrid, keywords")

    def _check_combination(self) -> None:
        if self.mode != "vectors" and not self.texts:
            raise QueryError("a search for keywords needs a text")
        if self.mode == "keywords" and (self.like or self.vector is not None or self.exclude or self.up or self.down):
            raise QueryError("keywords alone compare no vectors: drop the examples and exclusions, or use hybrid")
        if self.hybrid_weight is not None and self.mode != "hybrid":
            raise QueryError("hybrid_weight has a meaning only with hybrid")
        if self.then and (self.mode != "vectors" or self.per_video or self.dedupe or self.diverse is not None or self.sort or self.group):
            raise QueryError("then cannot be combined with hybrid, keyword, per-video, dedupe, diverse, sort or group")

    @property
    def order(self) -> tuple[str, bool] | None:
        """The column of `sort`, and whether it falls."""
        return None if self.sort is None else read_sort(self.sort)

    def to_json(self, *, without: Sequence[str] = ()) -> dict[str, Any]:
        """Return what differs from the defaults, for `json`; `from_json` reads it."""
        said = {name: value for name, value in vars(self).items() if value is not _DEFAULTS[name] and name not in without}
        return {name: _plain(value) for name, value in said.items() if name in ARRAYS or value != _DEFAULTS[name]}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Query:
        """Read an object with the names above, or "text" for one sentence; `like` takes clip ids and {"file": "video.mp4#t=3,9"}."""
        from vidsearch._query_json import read  # only for questions that come as JSON

        return cls(**read(values, _DEFAULTS))


def read_sort(text: str) -> tuple[str, bool]:
    """Read a column, perhaps with asc or desc after it; return it and whether it falls."""
    match = _SORT.fullmatch(text)
    if match is None:
        raise QueryError(f"sort is {text!r}; give a column, or a column and desc")
    return match[1], (match[2] or "").lower() == "desc"


_DEFAULTS: dict[str, Any] = {
    entry.name: entry.default if entry.default_factory is MISSING else entry.default_factory() for entry in fields(Query)
}


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, Media):
        return {"file": str(value)}
    return [_plain(item) for item in value] if isinstance(value, tuple) else value


def _check_text(text: str) -> None:
    if not text.strip():
        raise QueryError("the query is empty; describe in a sentence what the clip shows")
    if len(text) > MAX_TEXT:
        raise QueryError(f"the query has {len(text):,} characters; at most {MAX_TEXT:,} are allowed")


def _check_whole(name: str, value: int, least: int, most: int) -> None:
    if not isinstance(value, int) or not least <= value <= most:
        raise QueryError(f"{name} is {value}; it must be {least} to {most}")


def _check_share(name: str, value: float | None, *, above: float | None = None) -> None:
    if value is not None and not (0 <= value <= 1 and value != above):
        raise QueryError(f"{name} is {value}; it must be " + ("above 0, at most 1" if above == 0 else "0 to 1"))

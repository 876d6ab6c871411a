"""What the page shows: one frozen value that is the page's URL, and what each action of a person makes of it."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, fields, replace
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, urlencode

from vidsearch.errors import QueryError
from vidsearch.query import MAX_TEXT

PAGE_SIZE = 24
DEPTH = 10_000  # results that can be paged through
MODES = ("vectors", "hybrid", "keywords")
TABS = ("search", "dataset", "map")
MAX_NOTS, MAX_LIKES, MAX_THUMBS, MAX_CORNERS = 8, 16, 200, 64
_UPLOAD = re.compile(r"[0-9a-f]{16}\.[a-z0-9]{1,5}")


class Point(NamedTuple):
    """A corner of a lasso, in the map's coordinates."""

    x: float
    y: float


@dataclass(frozen=True)
class State:
    """All that a link reopens.

    Attributes:
        q: a sentence.
        nots: sentences to move away from.
        like: ids of clips to resemble.
        upload: name of a picture or video that was dropped in, as the server keeps it.
        up, down: ids of clips found good and bad.
        pull: how much those count, 0 to 1.
        where: the filter, as SQL WHERE.
        lasso: corners of a region of the map; () is all of it.
        mode: one of MODES.
        sort: a column, perhaps with " desc"; "" is by score.
        group: one card for each source video.
        page: from 1.
        clip: the one in the player.
        tab: one of TABS.
        color: column that colours the map.
    """

    q: str = ""
    nots: tuple[str, ...] = ()
    like: tuple[str, ...] = ()
    upload: str = ""
    up: tuple[str, ...] = ()
    down: tuple[str, ...] = ()
    pull: float = 0.5
    where: str = ""
    lasso: tuple[Point, ...] = ()
    mode: str = "vectors"
    sort: str = ""
    group: bool = False
    page: int = 1
    clip: str = ""
    tab: str = "search"
    color: str = ""

    def __post_init__(self) -> None:
        for text in (self.q, *self.nots):
            if len(text) > MAX_TEXT:
                raise QueryError(f"a sentence of {len(text):,} characters; {MAX_TEXT:,} are allowed, shorten it")
        for name, most in (("nots", MAX_NOTS), ("like", MAX_LIKES), ("up", MAX_THUMBS), ("down", MAX_THUMBS), ("lasso", MAX_CORNERS)):
            if len(getattr(self, name)) > most:
                raise QueryError(f"{name} holds {len(getattr(self, name))} items; {most} are allowed")
        if self.upload and not _UPLOAD.fullmatch(self.upload):
            raise QueryError(f"upload is {self.upload!r:.60}, which is no name of a file that was dropped in")
        if not 0 <= self.pull <= 1:
            raise QueryError(f"pull is {self.pull}; it must be from 0 to 1")
        if self.mode not in MODES or self.tab not in TABS:
            raise QueryError(
                f"mode is {self.mode!r:.30} and tab {self.tab!r:.30}; choose from {', '.join(MODES)} and from {', '.join(TABS)}"
            )
        if not 1 <= self.page <= -(-DEPTH // PAGE_SIZE):
            raise QueryError(f"page is {self.page}; it must be from 1 to {-(-DEPTH // PAGE_SIZE)}")
        if not all(math.isfinite(value) for corner in self.lasso for value in corner):
            raise QueryError("a corner of the lasso is not a number")

    @property
    def asks(self) -> bool:
        """Whether anything is searched for; without, the rows are browsed."""
        return bool(self.q or self.like or self.upload or self.up)

    def to_params(self) -> str:
        """Return the query string of the URL, without what is as it is at first: `q=a+dog&page=2`."""
        return urlencode([pair for field in fields(self) for pair in _written(field.name, getattr(self, field.name), field.default)])

    @classmethod
    def from_params(cls, params: str) -> State:
        """Read a URL's query string; names that mean nothing here are passed over.

        Raises:
            QueryError: a value is none that the page could have written.
        """
        given: dict[str, list[str]] = {}
        for name, value in parse_qsl(params.removeprefix("?"), keep_blank_values=True, max_num_fields=1000, errors="replace"):
            given.setdefault(name, []).append(value)
        known = {field.name: field.default for field in fields(cls)}
        return cls(**{name: _read(name, values, known[name]) for name, values in given.items() if name in known})

    def with_question(self, **changes: Any) -> State:
        """Return it with changes that make other results: back to the first page, no clip open."""
        return replace(self, **{"page": 1, "clip": "", **changes})


def _written(name: str, value: Any, default: Any) -> list[tuple[str, str]]:
    if value == default:
        return []
    if name == "lasso":
        return [(name, ";".join(f"{corner.x:.4g},{corner.y:.4g}" for corner in value))]
    if isinstance(value, tuple):
        return [(name, item) for item in value]
    return [(name, str(int(value)) if isinstance(value, bool) else f"{value:g}" if isinstance(value, float) else str(value))]


def _read(name: str, values: list[str], default: Any) -> Any:
    try:
        if name == "lasso":
            corners = [corner.split(",") for corner in values[-1].split(";")]
            return tuple(Point(float(x), float(y)) for x, y in corners)
        if isinstance(default, tuple):
            return tuple(values)
        return values[-1] == "1" if isinstance(default, bool) else type(default)(values[-1])
    except ValueError as error:
        raise QueryError(f"{name}={values[-1]!r:.60} in the link cannot be read ({error}); start again from the page without it") from error

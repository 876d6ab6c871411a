"""Columns of a file as those of the index: their names, and values of one type each."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from indexer.rows import KNOWN_TYPES

COLUMN_OF = {
    "youtubeid": "youtube_id",
    "youtube_id": "youtube_id",
    "videoid": "youtube_id",
    "video_id": "youtube_id",
    "start_timestamp": "start",
    "start_sec": "start",
    "start_s": "start",
    "end_timestamp": "end",
    "end_sec": "end",
    "end_s": "end",
    "caption": "caption",
    "original_internvid": "caption",
    "aesthetic_score": "aesthetic",
    "umt_score": "umt_score",
    "clip_score": "clip_score",
    "language": "language",
    "lang": "language",
    "category": "type",
    "type": "type",
    "video_path": "path",
    "file_path": "path",
    "path": "path",
    "file": "path",
    "video": "path",
    "": "row",
    "unnamed: 0": "row",  # the row numbers that pandas writes
}
PLACED = frozenset({"youtube_id", "start", "end", "path", "row"})
NUMBERS = frozenset(name for name, kind in KNOWN_TYPES.items() if pa.types.is_float32(kind))
TEXTS = frozenset({"youtube_id", "caption", "language", "type", "path"})
RESERVED = frozenset({"key", "video", "there", "clip_id", "start_s", "end_s", "duration_s", "source_start_s", "source_end_s"})
NO_NUMBER = frozenset({"", "-", "na", "n/a", "nan", "none", "null"})
WHOLE_NUMBER = r"^-?(0|[1-9]\d{0,17})$"
NUMBER = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$"
LEADING_ZERO = r"^[+-]?0\d"

Wrong = dict[int, str]


def known_columns(names: Iterable[str]) -> dict[str, str]:
    """Return what the index calls each column: of several of one meaning the one first in COLUMN_OF, the others as they are called."""
    names = list(names)
    order = list(COLUMN_OF)
    best: dict[str, str] = {}
    for name in sorted((name for name in names if name.lower() in COLUMN_OF), key=lambda name: order.index(name.lower())):
        best.setdefault(COLUMN_OF[name.lower()], name)
    chosen = {name: known for known, name in best.items()}
    taken = RESERVED | PLACED | best.keys()
    return {name: chosen.get(name, name) for name in names if name in chosen or name not in taken}


def numbers(column: pa.Array) -> tuple[pa.Array, Wrong]:
    """Return a column of scores, float32; NaN, infinity and words for nothing are null."""
    wrong: Wrong = {}
    if pa.types.is_string(column.type):
        try:
            column = pc.cast(column, pa.float64())
        except pa.ArrowInvalid:
            column, wrong = _each_number(column.to_pylist())
    elif pa.types.is_boolean(column.type):
        wrong = {row: f"{value} is not a number" for row, value in enumerate(column.to_pylist()) if value is not None}
        column = pa.nulls(len(column), pa.float64())
    column = pc.cast(column, pa.float32(), safe=False)
    return pc.if_else(pc.is_finite(column), column, pa.scalar(None, pa.float32())), wrong


def texts(column: pa.Array) -> pa.Array:
    return pc.cast(column, pa.string())


def row_numbers(column: pa.Array) -> npt.NDArray[np.int64] | None:
    """Return the numbers that a column gives all its rows; None if it does not."""
    try:
        numbers: npt.NDArray[np.int64] = pc.cast(column, pa.int64()).to_numpy()
    except pa.ArrowInvalid:
        return None
    return numbers


def _each_number(values: list[str | None]) -> tuple[pa.Array, Wrong]:
    numbers: list[float | None] = []
    wrong: Wrong = {}
    for row, value in enumerate(values):
        number = None
        if value is not None and value.strip().lower() not in NO_NUMBER:
            try:
                number = float(value)
            except ValueError:
                wrong[row] = f"{value[:80]!r} is not a number"
        numbers.append(number)
    return pa.array(numbers, pa.float64()), wrong


@dataclass
class CsvTypes:
    """The types of a CSV's other columns, which it does not tell: as narrow as all values so far allow."""

    of: dict[str, int] = field(default_factory=dict)

    def typed(self, name: str, column: pa.Array) -> pa.Array:
        """Return a column of text as int64, float64, bool or text."""
        step = self.of.get(name, 0)
        while not _fits(column, step):
            step += 1
        if column.null_count < len(column):
            self.of[name] = step
        return STEPS[step][1](column)


def _fits(column: pa.Array, step: int) -> bool:
    test = STEPS[step][0]
    return test is None or pc.all(test(column)).as_py() is not False


def _is_float(column: pa.Array) -> pa.Array:
    return pc.and_not(pc.match_substring_regex(column, NUMBER), pc.match_substring_regex(column, LEADING_ZERO))


def _to_bool(column: pa.Array) -> pa.Array:
    return pc.equal(pc.utf8_lower(column), "true")


STEPS: list[tuple[Callable[[pa.Array], pa.Array] | None, Callable[[pa.Array], pa.Array]]] = [
    (lambda column: pc.match_substring_regex(column, WHOLE_NUMBER), lambda column: pc.cast(column, pa.int64())),
    (_is_float, lambda column: pc.cast(column, pa.float64())),
    (lambda column: pc.match_substring_regex(column, "^(?i:true|false)$"), _to_bool),
    (None, lambda column: column),
]

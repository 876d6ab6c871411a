"""The rows beside the vectors of `_search_data.py`: metadata as InternVid has it, and columns to filter by.

    num_none, num_pos, num_neg    float32 in [0, 1), each uniform over all rows: `num_pos < 0.1` passes 10 % of them
    cat_none, cat_pos, cat_neg    one word a row: 's30' stands in 30 % of the rows, 's10' in 10 %, and so on; 'rest' in 56 %

`none` knows nothing of the queries: of the rows that pass, 25 % lie in the areas that test queries ask about, as of all rows. Of rows that
pass `pos` 85 % do (s30: 42 %, there are no more; `num_pos < 0.3`: 68 %). Of rows that pass `neg` 2 % do: what a query would find first
never passes, and what passes lies scattered over many lists.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from _search_data import ASKED_SHARE, BLOCK_ROWS, World

SHARES = {"s30": 0.3, "s10": 0.1, "s3": 0.03, "s1": 0.01, "s01": 0.001, "s001": 0.0001}
CORRELATIONS = ("none", "pos", "neg")
ASKED_PASSING = {"none": ASKED_SHARE, "pos": 0.85, "neg": 0.02}  # of the rows that pass, the part in an area asked about
ASKED_PASSING_30 = {"none": ASKED_SHARE, "pos": 0.42, "neg": 0.02}  # the same for cat = 's30'
ASKED_BELOW_30 = {"none": ASKED_SHARE, "pos": 0.68, "neg": 0.02}  # the same for num < 0.3

LANGUAGES = ("en", "zh", "ko", "ja", "de", "ru", "es", "fr", "pt", "hi", "th")
TYPES = (
    "People & Blogs",
    "Entertainment",
    "Howto & Style",
    "Sports",
    "Education",
    "Gaming",
    "Music",
    "Travel & Events",
    "Film & Animation",
    "News & Politics",
    "Science & Technology",
    "Autos & Vehicles",
    "Pets & Animals",
    "Comedy",
    "Nonprofits & Activism",
)
WHO = tuple("a man,a woman,two children,a chef,a dog,a crowd,an old man,a worker,a cat,a singer,a driver,a horse,a baby".split(","))  # noqa: SIM905
WHAT = tuple("rides,opens,holds,cooks,repairs,paints,throws,looks at,washes,points at,carries,cuts,builds,films".split(","))  # noqa: SIM905
WHERE = tuple("in a kitchen,on the beach,at night,on a stage,in the snow,near a river,in an office,outdoors,by a lake".split(","))  # noqa: SIM905
LENGTHS_S = (0.4, 2.3)  # a log-normal's spread and middle: 10 s


class Cell(NamedTuple):
    """One filter, the same for every query.

    Attributes:
        kind: "cat" or "num"; "all" without a filter.
        correlation: of filter and queries, one of CORRELATIONS.
        share: of the rows that pass.
        column, value: `column = value`, or `column < value`.
    """

    kind: str
    correlation: str
    share: float
    column: str
    value: str | float

    @property
    def name(self) -> str:
        return "all" if self.kind == "all" else f"{self.kind}_{self.correlation}_{self.share:g}"

    @property
    def where(self) -> str | None:
        """The filter in SQL."""
        if self.kind == "all":
            return None
        return f"{self.column} = '{self.value}'" if self.kind == "cat" else f"{self.column} < {self.value!r}"

    def mask(self, table: pa.Table) -> npt.NDArray[np.bool_]:
        """Return which rows pass, (n,) bool."""
        if self.kind == "all":
            return np.ones(table.num_rows, dtype=np.bool_)
        compare = pc.equal if self.kind == "cat" else pc.less
        value = pa.scalar(self.value, pa.string() if self.kind == "cat" else pa.float32())
        passed: npt.NDArray[np.bool_] = compare(table[self.column], value).to_numpy(zero_copy_only=False)
        return passed


CELLS = (
    Cell("all", "none", 1.0, "", ""),
    *(Cell("cat", how, share, f"cat_{how}", word) for how in CORRELATIONS for word, share in SHARES.items()),
    *(Cell("num", how, share, f"num_{how}", share) for how in CORRELATIONS for share in SHARES.values()),
)


def table(world: World, block: int, rows: int = BLOCK_ROWS) -> pa.Table:
    """Return the first rows of a block's metadata."""
    videos, rng = world.videos(block), np.random.default_rng([world.seed, 1 + block, 99])
    video, count = videos.of_row, len(videos.topic)
    asked = world.asked[videos.topic][video]
    length_s = np.round(np.exp(rng.normal(LENGTHS_S[1], LENGTHS_S[0], BLOCK_ROWS)), 3)
    before_s = np.cumsum(length_s) - length_s
    start_s = before_s - before_s[np.searchsorted(video, np.arange(count))][video]
    number = pa.array(np.arange(BLOCK_ROWS) + block * BLOCK_ROWS).cast(pa.string())
    columns = {
        "clip_id": pc.binary_join_element_wise("c", pc.utf8_lpad(number, 9, "0"), ""),
        "video": pc.binary_join_element_wise("v", pa.array(video + block * BLOCK_ROWS).cast(pa.string()), ".mp4", ""),
        "start_s": pa.array(np.round(start_s, 3)),
        "end_s": pa.array(np.round(start_s + length_s, 3)),
        "duration_s": pa.array(length_s),
        "caption": _captions(videos.topic[video], rng),
        "language": _words(LANGUAGES, rng.choice(len(LANGUAGES), size=count, p=_zipf(len(LANGUAGES), first=0.6))[video]),
        "type": _words(TYPES, rng.choice(len(TYPES), size=count, p=_zipf(len(TYPES)))[video]),
        "aesthetic": pa.array(rng.normal(4.5, 0.8, BLOCK_ROWS).astype(np.float32)),
        "umt_score": pa.array(rng.normal(0.42, 0.08, BLOCK_ROWS).astype(np.float32)),
    }
    for how in CORRELATIONS:
        columns[f"cat_{how}"] = _words((*SHARES, "rest"), _categories(how, asked, rng))
        columns[f"num_{how}"] = pa.array(_numbers(how, asked, rng))
    return pa.table(columns).slice(0, rows)


def _categories(how: str, asked: npt.NDArray[np.bool_], rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """Return for each row which word it has."""
    drawn, chosen = rng.random(len(asked)), np.empty(len(asked), np.int64)
    parts = [ASKED_PASSING_30[how] if word == "s30" else ASKED_PASSING[how] for word in SHARES]
    for value in (True, False):
        inside = [
            share * (part if value else 1 - part) / (ASKED_SHARE if value else 1 - ASKED_SHARE)
            for share, part in zip(SHARES.values(), parts, strict=True)
        ]
        chosen[asked == value] = np.searchsorted(np.cumsum(inside), drawn[asked == value], side="right")
    return chosen


def _numbers(how: str, asked: npt.NDArray[np.bool_], rng: np.random.Generator) -> npt.NDArray[np.float32]:
    """Return for each row a number whose distribution over all rows is uniform in [0, 1)."""
    drawn, made = rng.random(len(asked)), np.empty(len(asked), np.float32)
    places = (0.0, 0.1, 0.3, 1.0)
    inside = {True: (0.0, 0.1 * ASKED_PASSING[how], 0.3 * ASKED_BELOW_30[how], ASKED_SHARE)}
    inside[False] = tuple(place - part for place, part in zip(places, inside[True], strict=True))
    for value, reached in inside.items():
        made[asked == value] = np.interp(drawn[asked == value], np.asarray(reached) / reached[-1], places)
    return np.minimum(made, np.nextafter(np.float32(1), np.float32(0)))


def _captions(topic: npt.NDArray[np.int64], rng: np.random.Generator) -> pa.Array:
    """Return sentences whose first words go with the topic."""
    pick = [rng.integers(len(words), size=len(topic)) for words in (WHAT, WHERE)]
    who = _words(WHO, (topic + (rng.random(len(topic)) < 0.2)) % len(WHO))
    what = _words(WHAT, np.where(rng.random(len(topic)) < 0.5, topic // len(WHO) % len(WHAT), pick[0]))
    return pc.binary_join_element_wise(who, what, _words(WHO, pick[0] % len(WHO)), _words(WHERE, pick[1]), " ")


def _words(words: tuple[str, ...], numbers: npt.NDArray[np.int64]) -> pa.Array:
    return pa.array(words).take(pa.array(numbers))


def _zipf(count: int, *, first: float | None = None) -> npt.NDArray[np.float64]:
    """Return shares that fall as 1 / rank; the first one given, or as it comes."""
    shares = 1 / np.arange(1.0, count + 1)
    if first is not None:
        shares[1:] *= (1 - first) / shares[1:].sum()
        shares[0] = first
    return shares / shares.sum()

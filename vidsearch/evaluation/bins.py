"""Histograms with round edges: where the bins of a column end, whatever is shown of it.

    aesthetic  3 3.2 3.4 … 7     seconds  0 0.5 1 … 12 86        days  2019-01-01 2019-04-01 …

Edges ascend and every value lies from the first to before the last. Where few values lie far from the others, an outer bin is as wide as it
takes, so that the others are not squeezed into one.
"""

from __future__ import annotations

import math
from decimal import ROUND_FLOOR, Decimal
from typing import Any

import numpy as np
import numpy.typing as npt

MOST_BINS = 24  # besides the outer ones
TAILS = (0.01, 0.05, 0.1)  # shares of the values at either end that may lie in an outer bin, the smallest that will do
MIDDLE = 12.0  # it will do where all bins together are at most so many times as wide as the middle half of the values
FAR = 2.0  # outer bins are worth it where the whole is so many times as wide as the rest
FINEST = 1e-12  # of the numbers themselves: steps that a float can tell apart
DAY_S = 86_400

_MANTISSAS = (10, 20, 25, 50, 100)  # steps, in tenths of a power of ten
_CALENDAR = [  # steps of time: how many of which unit, and how long that is
    *((count, "s", count) for count in (1, 2, 5, 10, 15, 30)),
    *((count, "m", count * 60) for count in (1, 2, 5, 10, 15, 30)),
    *((count, "h", count * 3600) for count in (1, 2, 3, 6, 12)),
    *((count, "D", count * DAY_S) for count in (1, 2, 5, 10)),
    *((count, "M", count * 30 * DAY_S) for count in (1, 2, 3, 6)),
    *((count * scale, "Y", count * scale * 365 * DAY_S) for scale in (1, 10, 100, 1000) for count in (1, 2, 5)),
]

Span = tuple[float, float]  # the least and the greatest value


def core(least: float, greatest: float, sample: npt.NDArray[Any]) -> Span:
    """Return between which values the bins are drawn: all, or most where a few are far away.

    Args:
        least, greatest: of all values.
        sample: (n,) some of them, without NaN and infinity.
    """
    ordered = np.sort(sample.astype(np.float64))  # for its quantiles; NumPy's own import numpy.ma, 0.1 s
    cuts = [round(tail * (len(ordered) - 1)) for tail in (*TAILS, 0.25)]
    spans = [(float(ordered[cut]), float(ordered[-1 - cut])) for cut in cuts]
    middle = spans.pop()
    low, high = next((span for span in spans if span[1] - span[0] <= MIDDLE * (middle[1] - middle[0])), spans[0])
    return (low, high) if 0 < (high - low) * FAR < greatest - least else (least, greatest)


def number_edges(least: float, greatest: float, inner: Span, *, whole: bool) -> tuple[float, ...]:
    """Return edges for numbers; all whole with `whole`."""
    mantissa, exponent = _round_step(*inner, whole=whole)

    def edge(place: int) -> float:
        return place * mantissa * 10**exponent if whole else float(f"{place * mantissa}e{exponent}")

    def place_of(value: float) -> int:
        place = int(value // edge(1))
        place -= edge(place) > value  # a quotient is rounded, perhaps to the next whole number
        return place + (edge(place + 1) <= value)

    edges = [edge(place) for place in range(place_of(inner[0]), place_of(inner[1]) + 2)]
    first = [_outer(least, 0, whole=whole)] if least < edges[0] else []
    last = [_outer(greatest, 1, whole=whole)] if greatest >= edges[-1] else []
    return (*first, *edges, *last)


def _outer(value: float, after: int, *, whole: bool) -> float:
    """Return the number of two digits that is next to a value: below it, or with `after` above."""
    exact = Decimal(str(value))  # as it is written, not as a float has it: else 1e305 is less than itself
    exponent = max(exact.adjusted() - 1, 0) if whole or not exact else exact.adjusted() - 1
    digits = int(exact.scaleb(-exponent).to_integral_value(ROUND_FLOOR)) + after
    return digits * 10**exponent if whole else float(f"{digits}e{exponent}")


def time_edges(least: float, greatest: float, inner: Span, *, shortest_s: int = 1) -> tuple[float, ...]:
    """Return edges for times, at the starts of minutes, days, months or years.

    Args:
        least, greatest, inner: in seconds since 1970.
        shortest_s: the least length of a bin.
    """
    room = max((inner[1] - inner[0]) / MOST_BINS, shortest_s)
    count, unit, _ = next((step for step in _CALENDAR if step[2] >= room), _CALENDAR[-1])

    def place_of(seconds: float) -> int:
        return int(np.array(math.floor(seconds), "M8[s]").astype(f"M8[{unit}]").astype(np.int64)) // count

    def edge(place: int) -> float:
        return float(np.array(place * count, f"M8[{unit}]").astype("M8[s]").astype(np.int64))

    places = {*range(place_of(inner[0]), place_of(inner[1]) + 2), place_of(least), place_of(greatest) + 1}
    return tuple(edge(place) for place in sorted(places))


def _round_step(low: float, high: float, *, whole: bool) -> tuple[int, int]:
    """Return the shortest round step that makes no more bins than wanted: a whole number and the power of ten it is multiplied by."""
    room = high / MOST_BINS - low / MOST_BINS or abs(low) / 10 or 1.0  # the difference itself may be beyond what a float holds
    room = max(room, FINEST * max(abs(low), abs(high)), float(whole))
    exponent = math.floor(math.log10(room)) - 1
    mantissa = next(
        mantissa for mantissa in _MANTISSAS if mantissa * 10.0**exponent >= room * (1 - 1e-9) and _fits(mantissa, exponent, whole)
    )
    return (mantissa * 10**exponent if exponent >= 0 else mantissa // 10**-exponent, 0) if whole else (mantissa, exponent)


def _fits(mantissa: int, exponent: int, whole: bool) -> bool:
    return not whole or exponent >= 0 or mantissa % 10**-exponent == 0

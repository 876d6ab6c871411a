"""Many numbers in few: their mean, quantiles, and a histogram with round edges."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from vidsearch.evaluation.bins import DAY_S, core, number_edges, time_edges

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
SAMPLE = 50_000  # values that say where most of them lie


@dataclass(frozen=True)
class Distribution:
    """What is known of some numbers.

    Attributes:
        count: how many there are, 1 or more.
        total, mean, least, greatest: of them.
        quantiles: (5,) at 5, 25, 50, 75 and 95 %, linear between neighbours.
        edges: (bins + 1,) ascending; from an edge to before the next is a bin.
        counts: (bins,)
    """

    count: int
    total: float
    mean: float
    least: float
    greatest: float
    quantiles: tuple[float, ...]
    edges: tuple[float, ...]
    counts: tuple[int, ...]

    @property
    def median(self) -> float:
        return self.quantiles[QUANTILES.index(0.5)]

    def to_json(self) -> dict[str, Any]:
        quantiles = {f"p{100 * at:.0f}": value for at, value in zip(QUANTILES, self.quantiles, strict=True)}
        return asdict(self) | {"quantiles": quantiles, "edges": list(self.edges), "counts": list(self.counts)}


def distribution(values: npt.NDArray[Any], *, whole: bool = False, times: bool = False) -> Distribution | None:
    """Return the distribution of finite numbers (n,), None of none.

    Sorts a copy: a tenth of a second and 4 or 8 bytes a value for ten million.

    Args:
        values: of any type; halves are taken as singles.
        whole: edges of bins are whole numbers.
        times: they are seconds since 1970, and edges are the starts of days, months or years.
    """
    if not len(values):
        return None
    ordered = np.sort(values.astype(np.float32) if values.dtype == np.float16 else values)
    least, greatest = _written(ordered[0]), _written(ordered[-1])
    inner = core(least, greatest, ordered[:: -(-len(ordered) // SAMPLE)])
    edges = time_edges(least, greatest, inner, shortest_s=DAY_S) if times else number_edges(least, greatest, inner, whole=whole)
    limits = np.array(edges[1:-1], np.float64 if ordered.dtype.kind == "f" else np.int64).astype(ordered.dtype)
    places = np.searchsorted(ordered, limits)
    total = float(ordered.sum(dtype=np.float64))
    return Distribution(
        count=len(ordered),
        total=total,
        mean=total / len(ordered),
        least=least,
        greatest=greatest,
        quantiles=tuple(_quantile(ordered, at) for at in QUANTILES),
        edges=tuple(edges),
        counts=tuple(np.diff([0, *places, len(ordered)]).tolist()),
    )


def _written(value: np.generic) -> Any:
    """Return a number as it is written: the single 7.6 as 7.6, not as 7.599999904, so that an edge at 7.6 lies not beyond it."""
    return float(str(value)) if value.dtype.kind == "f" else value.item()


def _quantile(ordered: npt.NDArray[Any], at: float) -> float:
    place = at * (len(ordered) - 1)
    below, part = int(place), place % 1
    low, high = float(ordered[below]), float(ordered[min(below + 1, len(ordered) - 1)])
    return low + part * (high - low)

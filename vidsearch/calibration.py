"""What an index's settings give: measured on held-out queries when it is built, looked up when it is asked.

A setting is the share of the passing rows whose codes are compared, nearest lists first, and the number of candidates then scored exactly.
Both depend on how many rows pass, and on whether the filter prefers what the query is near to, avoids it, or neither; a query does not know
which, so a setting must reach the wanted recall in all three cases, and its interval covers them.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

TARGETS = (0.8, 0.9, 0.95, 0.98, 0.99)
SELECTIVITIES = (1.0, 0.5, 0.3, 0.1, 0.03, 0.01)

# Before any measurement: fitted on 200,000 synthetic CLIP-like rows, recall@10 of text queries 0.95.
DEFAULT_SHARE, DEFAULT_POWER, DEFAULT_DEPTH = 0.35, -0.3, 300
MAX_DEFAULT_RECALL = 0.95
DEPTH_PER_RESULT = 4  # candidates more for each result beyond the ten that are calibrated


@dataclass(frozen=True)
class Estimate:
    """One setting and what it gives.

    Attributes:
        share: of the passing rows, compared by their codes, above 0 to 1.
        depth: candidates scored exactly.
        recall: share of the true ten nearest that are found; None where it was never measured.
        low, high: its 95 % interval over queries and kinds of filter.
    """

    share: float
    depth: int
    recall: float | None = None
    low: float = 0.0
    high: float = 1.0


@dataclass(frozen=True)
class Point:
    """What was measured at one selectivity for one wanted recall."""

    target: float
    selectivity: float
    share: float
    depth: int
    recall: float
    low: float
    high: float


@dataclass(frozen=True)
class Calibration:
    """All that was measured.

    Attributes:
        points: empty before the first measurement.
        rows: the index had then.
        queries: held out for the measurement.
        source: where they came from, in words.
    """

    points: tuple[Point, ...] = ()
    rows: int = 0
    queries: int = 0
    source: str = ""

    @cached_property
    def rarest(self) -> float:
        """The lowest selectivity that was measured; 0 where nothing was."""
        return min((point.selectivity for point in self.points), default=0.0)

    def settings(self, selectivity: float, *, rows: int, k: int, recall: float) -> Estimate | None:
        """Return the setting that reaches a recall, or None where none was measured to.

        Args:
            selectivity: share of the rows that pass, above 0 to 1.
            rows: of the index now.
            k: results wanted.
            recall: wanted, 0 to 1.
        """
        if not self.points:
            return _default(selectivity, rows, k) if recall <= MAX_DEFAULT_RECALL else None
        target = next((target for target in TARGETS if target >= recall - 1e-9), None)
        curve = [] if target is None else self._curves[target]
        if not curve or not curve[0].selectivity <= selectivity <= curve[-1].selectivity + 1e-12:
            return None  # rarer than was measured, because all rows can be scored, or commoner, because nothing reached the recall
        upper = next(place for place, point in enumerate(curve) if point.selectivity >= selectivity - 1e-12)
        return _between(curve[max(0, upper - 1)], curve[upper], selectivity, growth=max(1.0, rows / max(1, self.rows)), k=k)

    @cached_property
    def _curves(self) -> dict[float, list[Point]]:
        """The points of each wanted recall, rarest first."""
        rising = sorted(self.points, key=lambda point: point.selectivity)
        return {target: [point for point in rising if point.target == target] for target in TARGETS}

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any] | None) -> Calibration:
        """Read back what `to_json` wrote; None is a calibration without points."""
        if not values:
            return cls()
        return cls(tuple(Point(**point) for point in values["points"]), values["rows"], values["queries"], values["source"])


def _between(lower: Point, upper: Point, selectivity: float, *, growth: float, k: int) -> Estimate:
    """Interpolate over the logarithm of the selectivity; the interval is that of both ends."""
    span = math.log(upper.selectivity / lower.selectivity)
    part = math.log(selectivity / lower.selectivity) / span if span else 1.0
    share = math.exp((1 - part) * math.log(lower.share) + part * math.log(upper.share))
    depth = (lower.depth * (1 - part) + upper.depth * part) * growth
    return Estimate(
        min(1.0, share),
        _depth(depth, k),
        (1 - part) * lower.recall + part * upper.recall,
        min(lower.low, upper.low),
        max(lower.high, upper.high),
    )


def _default(selectivity: float, rows: int, k: int) -> Estimate:
    share = min(1.0, DEFAULT_SHARE * selectivity**DEFAULT_POWER)
    return Estimate(share, _depth(DEFAULT_DEPTH * max(1.0, selectivity * rows / 1e6), k))


def _depth(depth: float, k: int) -> int:
    return math.ceil(depth) + DEPTH_PER_RESULT * max(0, k - 10)

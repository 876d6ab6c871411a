"""What an index's settings give: measured on held-out queries when it is built, looked up when it is asked.

A setting is the share of the passing rows whose codes are compared, nearest lists first, and the number of candidates then scored exactly.
Both depend on how many rows pass, and on whether the filter prefers what the query is near to, avoids it, or neither. Which of these it is
shows in the concentration: how many of the passing rows lie in the lists nearest to the query, against how many of all rows do.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

TARGETS = (0.8, 0.9, 0.95, 0.98, 0.99)
SELECTIVITIES = (1.0, 0.5, 0.3, 0.1, 0.03, 0.01)
NEAR = 0.2  # the nearest lists are those that hold so much of all rows

# Before any measurement: fitted on 200,000 synthetic CLIP-like rows, recall@10 of text queries 0.95.
DEFAULT_SHARE, DEFAULT_POWER, DEFAULT_DEPTH = 0.35, -0.3, 300
MAX_DEFAULT_RECALL = 0.95
GROWTH = 0.5  # power of the rows with which candidates grow: measured at ten times the rows of the calibration
DEPTH_PER_RESULT = 4  # candidates more for each result beyond the ten that are calibrated


@dataclass(frozen=True)
class Estimate:
    """One setting and what it gives.

    Attributes:
        share: of the passing rows, compared by their codes, above 0 to 1.
        depth: candidates scored exactly.
        recall: share of the true ten nearest that are found; None where it was never measured.
        low, high: its 95 % interval over queries.
        concentration: of the passing rows near the query, against all rows; 1 where filter and query have nothing to do with each other.
    """

    share: float
    depth: int
    recall: float | None = None
    low: float = 0.0
    high: float = 1.0
    concentration: float = 1.0


@dataclass(frozen=True)
class Settings:
    """The settings for one selectivity and wanted recall.

    Attributes:
        estimates: by rising concentration; one that is not measured stands alone.
    """

    estimates: tuple[Estimate, ...]

    @property
    def plain(self) -> Estimate:
        """The setting for a filter that has nothing to do with the query."""
        return min(self.estimates, key=lambda estimate: abs(math.log(max(estimate.concentration, 1e-9))))

    def at(self, concentration: float) -> Estimate:
        """Return the setting for a concentration, between those that were measured."""
        if concentration <= self.estimates[0].concentration:
            return self.estimates[0]
        for lower, upper in zip(self.estimates, self.estimates[1:], strict=False):
            if concentration <= upper.concentration:
                span = math.log(upper.concentration / max(lower.concentration, 1e-9))
                part = math.log(concentration / max(lower.concentration, 1e-9)) / span if span else 1.0
                return _mixed(lower, upper, part)
        return self.estimates[-1]


@dataclass(frozen=True)
class Point:
    """What was measured at one selectivity, with one kind of filter, for one wanted recall."""

    target: float
    selectivity: float
    concentration: float
    share: float
    depth: int
    recall: float
    low: float
    high: float

    @property
    def estimate(self) -> Estimate:
        return Estimate(self.share, self.depth, self.recall, self.low, self.high, self.concentration)


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

    def settings(self, selectivity: float, *, rows: int, k: int, recall: float) -> Settings | None:
        """Return the settings that reach a recall, or None where none were measured to.

        Args:
            selectivity: share of the rows that pass, above 0 to 1.
            rows: of the index now.
            k: results wanted.
            recall: wanted, 0 to 1.
        """
        if not self.points:
            return Settings((_default(selectivity, rows, k),)) if recall <= MAX_DEFAULT_RECALL else None
        curve = self._curves.get(next((target for target in TARGETS if target >= recall - 1e-9), 0.0), [])
        if not curve or not curve[0][0] <= selectivity <= curve[-1][0] + 1e-12:
            return None  # so rare a filter was not measured, because all its rows can be scored; or no setting reached the recall
        place = next(place for place, (measured, _) in enumerate(curve) if measured >= selectivity - 1e-12)
        (rarer, below), (commoner, above) = curve[max(0, place - 1)], curve[place]
        span = math.log(commoner / rarer)
        part = math.log(selectivity / rarer) / span if span else 1.0
        growth = max(1.0, rows / max(1, self.rows)) ** GROWTH
        mixed = _blend(below, above, part)
        return Settings(tuple(_grown(estimate, growth, k) for estimate in mixed))

    @cached_property
    def _curves(self) -> dict[float, list[tuple[float, list[Estimate]]]]:
        """For each wanted recall, each selectivity from the rarest on with its estimates by concentration."""
        curves: dict[float, list[tuple[float, list[Estimate]]]] = {}
        for target in TARGETS:
            own = [point for point in self.points if point.target == target]
            rising = sorted({point.selectivity for point in own})
            curves[target] = [(s, [p.estimate for p in sorted(own, key=_by_concentration) if p.selectivity == s]) for s in rising]
        return curves

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any] | None) -> Calibration:
        """Read back what `to_json` wrote; None, and what another version measured, is a calibration without points."""
        if not values or any(point.keys() != Point.__dataclass_fields__.keys() for point in values["points"]):
            return cls()
        return cls(tuple(Point(**point) for point in values["points"]), values["rows"], values["queries"], values["source"])


def _by_concentration(point: Point) -> float:
    return point.concentration


def _blend(below: Sequence[Estimate], above: Sequence[Estimate], part: float) -> list[Estimate]:
    """Return what lies between two selectivities; one where only a filter of no preference was measured goes with all of the other's."""
    if len(below) == len(above):
        return [_mixed(lower, upper, part) for lower, upper in zip(below, above, strict=True)]
    few, many, part_of_many = (above, below, 1 - part) if len(above) < len(below) else (below, above, part)
    plain = Settings(tuple(few)).plain
    return [_mixed(plain, estimate, part_of_many) for estimate in many]


def _mixed(lower: Estimate, upper: Estimate, part: float) -> Estimate:
    """Interpolate over logarithms; the interval is that of both ends."""
    recall = None if lower.recall is None or upper.recall is None else (1 - part) * lower.recall + part * upper.recall
    return Estimate(
        min(1.0, lower.share ** (1 - part) * upper.share**part),
        math.ceil((1 - part) * lower.depth + part * upper.depth),
        recall,
        min(lower.low, upper.low),
        max(lower.high, upper.high),
        lower.concentration ** (1 - part) * upper.concentration**part,
    )


def _grown(estimate: Estimate, growth: float, k: int) -> Estimate:
    """Candidates grow with the index, and with the results wanted."""
    depth = _depth(estimate.depth * growth, k)
    return Estimate(estimate.share, depth, estimate.recall, estimate.low, estimate.high, estimate.concentration)


def _default(selectivity: float, rows: int, k: int) -> Estimate:
    share = min(1.0, DEFAULT_SHARE * selectivity**DEFAULT_POWER)
    return Estimate(share, _depth(DEFAULT_DEPTH * max(1.0, selectivity * rows / 1e6), k))


def _depth(depth: float, k: int) -> int:
    return math.ceil(depth) + DEPTH_PER_RESULT * max(0, k - 10)

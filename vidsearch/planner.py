"""Pure: how to compare vectors, from how many rows there are, how many pass the filter, and what each way costs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from vidsearch.calibration import Calibration, Settings
from vidsearch.selection import WORD_ROWS as BLOCK_ROWS

SCORED = 1.3  # a row read from some place costs as much as 1.3 times its bytes read in order
COMPARED = 1.3  # and so does a block of codes, which is some work besides
FIXED_BYTES = 4_000_000  # what choosing lists, making tables and bitmaps costs, in bytes read: a third of a millisecond
MAX_DEPTH_SHARE = 0.3  # of the rows that pass: when so many are scored exactly anyway, score all


@dataclass(frozen=True)
class Costs:
    """What the plans read, in bytes.

    Attributes:
        vector: of one stored vector.
        code: of one row's codes.
    """

    vector: int
    code: int

    def exact(self, matching: int) -> float:
        """Return the cost of scoring every row that passes."""
        return SCORED * self.vector * matching

    def codes(self, blocks: int, share: float, depth: int) -> float:
        """Return the cost of comparing a share of the blocks that hold a row that passes, and re-ranking."""
        return FIXED_BYTES + COMPARED * share * blocks * BLOCK_ROWS * self.code + self.exact(depth)


@dataclass(frozen=True)
class Plan:
    """How one query is answered.

    Attributes:
        kind: "none" (no row passes), "exact" (every passing row is scored), or "ivf" (codes of the nearest lists, candidates re-ranked).
        settings: rows to compare, candidates to score and the recall that this gives; for "ivf".
        reason: the plan in words.
    """

    kind: Literal["none", "exact", "ivf"]
    settings: Settings | None = None
    reason: str = ""


def plan(
    *,
    rows: int,
    matching: int,
    blocks: int,
    k: int,
    costs: Costs | None,
    calibration: Calibration,
    recall: float = 0.95,
) -> Plan:
    """Choose a plan.

    Args:
        rows: clips in the index.
        matching: clips that pass the filter.
        blocks: 32-row blocks that hold one of them.
        k: clips wanted.
        costs: None where there are no codes, or an exact answer is asked.
        calibration: what settings give which recall.
        recall: wanted on average.
    """
    passing = f"{matching:,} of {rows:,} clips pass" if matching < rows else f"{rows:,} clips"
    if matching == 0:
        return Plan("none", reason=f"none of {rows:,} clips passes the filter" if rows else "the index is empty")
    if costs is None:
        return Plan("exact", reason=f"exact: {passing}, all scored")
    settings = calibration.settings(matching / rows, rows=rows, k=k, recall=recall)
    if settings is None:
        return Plan("exact", reason=f"exact: {passing}, all scored (no setting was measured to reach a recall of {recall:g})")
    estimate = settings.plain
    dearer = costs.exact(matching) <= costs.codes(blocks, estimate.share, estimate.depth)
    if dearer or estimate.depth > MAX_DEPTH_SHARE * matching:
        return Plan("exact", reason=f"exact: {passing}, all scored")
    return Plan("ivf", settings, f"IVF-PQ: {passing}, codes of the nearest compared, the best candidates scored exactly")

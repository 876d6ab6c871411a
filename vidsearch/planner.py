"""Pure: how to compare vectors, from how many rows there are and how many pass the filter."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

EXACT_ROWS = 30_000  # scoring that many rows exactly costs what probing costs, and misses nothing (measured, docs/search.md)
PROBED_SHARE = 0.25  # of the lists, for an unfiltered query; text queries lie outside the clips' cloud and need many
RERANK_PER_MILLION = 300


@dataclass(frozen=True)
class Plan:
    """How one query is answered.

    Attributes:
        kind: "none" (no row passes), "exact" (every passing row is scored), or "ivf" (lists probed, candidates re-ranked exactly).
        probed_share: part of the inverted lists to visit, for "ivf".
        rerank: candidates scored exactly in each segment, for "ivf".
        reason: the plan in words.
    """

    kind: Literal["none", "exact", "ivf"]
    probed_share: float = 0.0
    rerank: int = 0
    reason: str = ""


def plan(*, rows: int, matching: int, k: int, trained: bool) -> Plan:
    """Choose a plan.

    Args:
        rows: clips in the index.
        matching: clips that pass the filter.
        k: clips wanted.
        trained: whether the index has inverted lists at all.
    """
    passing = f"{matching:,} of {rows:,} clips pass" if matching < rows else f"{rows:,} clips"
    if matching == 0:
        return Plan("none", reason=f"none of {rows:,} clips passes the filter" if rows else "the index is empty")
    if not trained or matching <= EXACT_ROWS:
        return Plan("exact", reason=f"exact: {passing}, all scored")
    share = min(1.0, PROBED_SHARE * (matching / rows) ** -0.4)  # a filter thins the lists: visit more of them
    rerank = max(10 * k, 100, math.ceil(RERANK_PER_MILLION * rows / 1e6))
    return Plan("ivf", share, rerank, f"IVF-PQ: {passing}, {share:.0%} of the lists probed, {rerank} a segment re-ranked exactly")

"""Pure: how to compare vectors, from how many rows there are and how many pass the filter."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from vidsearch.indexes.base import default_settings, lists_for

EXACT_ROWS = 30_000  # scoring so many rows exactly costs what probing lists for them costs, and misses nothing


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
    settings = default_settings(rows, k, matching / rows)
    share = settings.nprobe / lists_for(rows)
    effort = f"{share:.0%} of the lists probed, {settings.rerank:,} a segment re-ranked exactly"
    return Plan("ivf", share, settings.rerank, f"IVF-PQ: {passing}, {effort}")

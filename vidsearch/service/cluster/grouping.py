"""Pure: which shard has which segments, and which machine has which shard."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from vidsearch.errors import UsageError
from vidsearch.storage.manifest import SegmentRef


def assign(segments: Sequence[SegmentRef], groups: int, known: Mapping[str, int]) -> dict[str, int]:
    """Return the group of each segment: where it was, else, the largest first, where there are fewest rows.

    Args:
        segments: of a version.
        groups: how many there are.
        known: groups of segments that were there before.
    """
    assigned = {segment.uuid: known[segment.uuid] for segment in segments if segment.uuid in known}
    rows = [0] * groups
    for segment in segments:
        if segment.uuid in assigned:
            rows[assigned[segment.uuid]] += segment.rows
    for segment in sorted(segments, key=lambda segment: (-segment.rows, segment.uuid)):
        if segment.uuid not in assigned:
            group = rows.index(min(rows))
            assigned[segment.uuid] = group
            rows[group] += segment.rows
    return assigned


def place(group: int, taken: Collection[str], load: Mapping[str, int]) -> str:
    """Return the machine for one more replica of a group: one that has none of it yet, then one that does least.

    Args:
        group: its number; where all is equal, groups begin with different machines.
        taken: machines that have a replica of it.
        load: replicas of all groups by machine, of those that see the index.

    Raises:
        UsageError: there is no machine.
    """
    if not load:
        raise UsageError("no machine of the cluster sees the index")
    names = sorted(load)
    turned = [*names[group % len(names) :], *names[: group % len(names)]]
    return min(turned, key=lambda name: (name in taken, load[name]))

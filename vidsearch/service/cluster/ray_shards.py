"""Shards as actors of a Ray cluster: replicas of each, kept alive, asked with a timeout.

Plain actors and not Ray Serve: to ask three shards costs 4 ms with actors and 18 with handles of Serve (docs/performance.md), and to search
a million clips costs 4. And actors end with the process that asks them, where Serve's deployments outlive it.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar

from vidsearch.clusters import alive, first_line, pinned
from vidsearch.corpus import Rows, Vectors
from vidsearch.errors import ServiceError, UsageError
from vidsearch.service.cluster.grouping import assign, place
from vidsearch.service.cluster.index import LostError
from vidsearch.service.cluster.joining import that_see
from vidsearch.service.cluster.messages import Answer, Damage, Question, Unopened
from vidsearch.service.cluster.shard import Shard
from vidsearch.storage.manifest import SegmentRef

START_S = 300.0  # until every shard has opened its segments
LOOK_EVERY_S = 0.25
PING_EVERY_S = 1.0
AT_ONCE = 4  # questions in one replica: the quick and the costly lane, and two that count

log = logging.getLogger(__name__)

T = TypeVar("T")


@dataclass(eq=False)
class _Replica:
    """One actor.

    Attributes:
        opening, sent: the call that opens segments and the number of that order; None when it is done.
        opened: number of the last order that is done.
        ping, pinged_s: the call that is under way, and when it began.
        waiting: questions it has not answered.
    """

    group: int
    node: str
    actor: Any
    state: Literal["starting", "ready", "late", "dead"] = "starting"
    opening: Any = None
    sent: int = 0
    opened: int = 0
    ping: Any = None
    pinged_s: float = 0.0
    waiting: int = 0


@dataclass
class _Calls:
    """The calls of one question: who was asked, and who answered."""

    waiting: dict[Any, _Replica] = field(default_factory=dict)
    tried: dict[int, list[_Replica]] = field(default_factory=dict)
    answers: dict[int, Any] = field(default_factory=dict)


class RayShards:
    """All shards of one index.

    Args:
        ray: the module, connected.
        root: the index.
        groups: shards.
        replicas: of each.
        timeout_s: until a shard counts as lost for a question; after half of it a second replica is asked too.
    """

    def __init__(self, ray: Any, root: Path, *, groups: int, replicas: int, timeout_s: float) -> None:
        self._ray, self._root, self.groups, self._wanted, self._timeout_s = ray, root.resolve(), groups, replicas, timeout_s
        self._group_of: dict[str, int] = {}
        self._segments: list[list[SegmentRef]] = [[] for _ in range(groups)]
        self._order = 0
        self._lock = threading.RLock()
        self._looked_at: set[str] = set()
        self._seeing: set[str] = set()
        self._replicas: list[_Replica] = []
        self._make = ray.remote(num_cpus=0, max_restarts=0, max_concurrency=AT_ONCE)(Shard)
        self._ended = threading.Event()
        for group in [group for _ in range(replicas) for group in range(groups)]:
            self._add(group)
        self._thread = threading.Thread(target=self._watch, name="shards", daemon=True)
        self._thread.start()

    def open(self, segments: Sequence[SegmentRef]) -> dict[str, int]:
        with self._lock:
            before = {uuid for own in self._segments for uuid in (segment.uuid for segment in own)}
            found = assign(segments, self.groups, {uuid: group for uuid, group in self._group_of.items() if uuid in before})
            self._group_of |= found
            self._segments = [[segment for segment in segments if found[segment.uuid] == group] for group in range(self.groups)]
            self._order += 1
            order = self._order
        until = time.monotonic() + START_S
        while missing := self._without(lambda replica: replica.state == "ready" and replica.opened >= order):
            if time.monotonic() > until or self._ended.is_set():
                raise ServiceError(
                    f"shard {min(missing) + 1} of {self.groups} has not opened its segments within {START_S:g} s; see Ray's logs"
                )
            time.sleep(0.05)
        return found

    def lost(self) -> frozenset[int]:
        return self._without(lambda replica: replica.state == "ready")

    def nearest(self, questions: dict[int, Question]) -> dict[int, Answer | Damage]:
        return self._call("nearest", questions)

    def vectors(self, wanted: dict[int, list[tuple[str, Rows]]]) -> dict[int, list[Vectors] | Damage]:
        return self._call("vectors", wanted)

    def close(self) -> None:
        self._ended.set()
        self._thread.join()
        for replica in self._replicas:
            self._end(replica)

    def _without(self, fits: Callable[[_Replica], bool]) -> frozenset[int]:
        """Return the groups of which no replica is so."""
        with self._lock:
            return frozenset(range(self.groups)) - {replica.group for replica in self._replicas if fits(replica)}

    # Asking

    def _call(self, method: str, wanted: dict[int, Any]) -> dict[int, Any]:
        """Return what each group answers; raises LostError."""
        calls, begun = _Calls(), time.monotonic()
        try:
            for group, argument in wanted.items():
                self._send(calls, method, group, argument)
            for share in (0.5, 1.0):  # a replica that takes half the time has a second one asked beside it
                self._gather(calls, method, wanted, begun + share * self._timeout_s)
                for group in wanted.keys() - calls.answers.keys():
                    if share < 1.0:
                        self._send(calls, method, group, wanted[group])
            missing = wanted.keys() - calls.answers.keys()
            if missing:
                for replica in calls.waiting.values():
                    if replica.state == "ready" and replica.group in missing:
                        replica.state = "late"  # until it answers its ping
                raise LostError(missing)
            return {group: calls.answers[group] for group in wanted}
        finally:
            with self._lock:
                for replica in calls.waiting.values():
                    replica.waiting -= 1

    def _send(self, calls: _Calls, method: str, group: int, argument: Any) -> None:
        """Ask the replica of a group that has least to do and was not asked; nobody where there is none."""
        tried = calls.tried.setdefault(group, [])
        with self._lock:
            able = [one for one in self._replicas if one.group == group and one.state == "ready" and one not in tried]
            if not able:
                return
            replica = min(able, key=lambda one: one.waiting)
            self._replicas.remove(replica)
            self._replicas.append(replica)  # where all have as much to do, they take turns
            replica.waiting += 1
        tried.append(replica)
        calls.waiting[getattr(replica.actor, method).remote(argument)] = replica

    def _gather(self, calls: _Calls, method: str, wanted: dict[int, Any], until: float) -> None:
        """Take answers until all are there or time is up; ask another replica where one has died."""
        while calls.waiting and len(calls.answers) < len(wanted):
            open_ones = [reference for reference, replica in calls.waiting.items() if replica.group not in calls.answers]
            left = until - time.monotonic()
            if left <= 0 or not open_ones:
                return
            done, _ = self._ray.wait(open_ones, num_returns=len(open_ones), timeout=left)
            for reference in done:
                replica = calls.waiting.pop(reference)
                with self._lock:
                    replica.waiting -= 1
                answer = self._answer(replica, reference)
                if answer is None:
                    self._send(calls, method, replica.group, wanted[replica.group])
                else:
                    calls.answers.setdefault(replica.group, answer)

    def _answer(self, replica: _Replica, reference: Any) -> Any:
        """Return what a replica answers; None where it has died or does not hold the segments."""
        errors = self._ray.exceptions
        try:
            answer = self._ray.get(reference)
        except errors.RayTaskError as error:
            raise ServiceError(f"shard {replica.group + 1} failed: {first_line(error.cause or error)}") from error
        except errors.RayError:
            replica.state = "dead"
            return None
        if isinstance(answer, Unopened):
            replica.state, replica.opened = "starting", 0
            return None
        return answer

    # Keeping them alive

    def _add(self, group: int) -> None:
        """Start one more replica of a group, on a machine that sees the index."""
        there = alive(self._ray)
        unknown = there.keys() - self._looked_at
        if unknown:
            self._seeing |= that_see(self._ray, self._root, unknown)
            self._looked_at |= unknown
        load = dict.fromkeys(sorted(self._seeing & there.keys()), 0)
        for replica in self._replicas:
            if replica.node in load:
                load[replica.node] += 1
        if not load:
            raise UsageError(f"no node of the cluster sees the index at {self._root}; put it on a disk they share, under the same path")
        node = place(group, [replica.node for replica in self._replicas if replica.group == group], load)
        actor = self._make.options(scheduling_strategy=pinned(self._ray, node)).remote(self._root)
        with self._lock:
            self._replicas.append(_Replica(group, node, actor))

    def _watch(self) -> None:
        told = ""
        while not self._ended.wait(LOOK_EVERY_S):
            try:
                for replica in list(self._replicas):
                    self._look_at(replica)
                for group in range(self.groups):
                    while sum(replica.group == group for replica in self._replicas) < self._wanted:
                        self._add(group)
                told = ""
            except (self._ray.exceptions.RayError, UsageError, RuntimeError) as error:
                if str(error) != told and not self._ended.is_set():
                    log.warning("shards cannot be looked after: %s", first_line(error))
                told = str(error)

    def _look_at(self, replica: _Replica) -> None:
        if replica.state == "dead":
            self._end(replica)
            with self._lock:
                self._replicas.remove(replica)
            log.warning("a replica of shard %d has ended; another is started", replica.group + 1)
            return
        if replica.opening is None and replica.opened < self._order:
            with self._lock:
                replica.sent, segments = self._order, self._segments[replica.group]
            replica.opening = replica.actor.open.remote(segments)
        if replica.opening is not None and self._is_done(replica, replica.opening):
            replica.opening, replica.opened, replica.state = None, replica.sent, "ready"
        self._ping(replica)

    def _ping(self, replica: _Replica) -> None:
        now = time.monotonic()
        if replica.state not in ("ready", "late"):
            return
        if replica.ping is None:
            if now - replica.pinged_s >= PING_EVERY_S or replica.state == "late":
                replica.ping, replica.pinged_s = replica.actor.ping.remote(), now
        elif self._is_done(replica, replica.ping):
            replica.ping, replica.state = None, "ready"
        elif now - replica.pinged_s > self._timeout_s:
            replica.state = "late"

    def _is_done(self, replica: _Replica, reference: Any) -> bool:
        done, _ = self._ray.wait([reference], timeout=0)
        if not done:
            return False
        try:
            self._ray.get(reference)
            return True
        except self._ray.exceptions.RayError as error:
            log.warning("a replica of shard %d: %s", replica.group + 1, first_line(error))
            replica.state = "dead"
            return False

    def _end(self, replica: _Replica) -> None:
        with suppress(Exception):  # it is dead already, or Ray is
            self._ray.kill(replica.actor)

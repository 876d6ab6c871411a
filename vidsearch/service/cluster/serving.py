"""Serving an index with shards on a Ray cluster."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from vidsearch.clusters import alive, joined
from vidsearch.engine import find_root
from vidsearch.errors import UsageError
from vidsearch.service.cluster.index import ClusterIndex
from vidsearch.service.cluster.ray_shards import RayShards
from vidsearch.service.sentences import Sentences
from vidsearch.service.versions import Open
from vidsearch.storage import manifest as manifests

TIMEOUT_S = 4.0  # of a shard: below the service's own deadline, so that a partial answer still comes in time


@dataclass(frozen=True)
class Cluster:
    """Where the shards are.

    Attributes:
        address: of a Ray cluster; None starts one of this machine alone.
        groups: shards; None takes one for each machine, and no more than there are segments.
        replicas: of each shard.
        timeout_s: until an answer goes without a shard.
    """

    address: str | None = None
    groups: int | None = None
    replicas: int = 2
    timeout_s: float = TIMEOUT_S

    def __post_init__(self) -> None:
        if self.replicas < 1 or (self.groups is not None and self.groups < 1) or not self.timeout_s > 0:
            raise UsageError(f"groups, replicas and timeout must be above 0, not {self.groups}, {self.replicas} and {self.timeout_s:g}")


@contextmanager
def sharded(path: Path, cluster: Cluster) -> Iterator[Open]:
    """Yield what opens versions of an index whose vectors are asked on a cluster; the shards end with the block.

    Raises:
        UsageError: no cluster there, none of its machines sees the index, or there are fewer segments than groups.
    """
    root = find_root(path)
    segments = len(manifests.read(root).segments)
    if cluster.groups is not None and cluster.groups > segments:
        raise UsageError(f"--groups {cluster.groups}: the index has {segments} segments, and a segment lies whole in one group")
    with joined(cluster.address) as ray:
        groups = cluster.groups or max(1, min(segments, len(alive(ray))))
        shards = RayShards(ray, root, groups=groups, replicas=cluster.replicas, timeout_s=cluster.timeout_s)

        def opened(root: Path, sentences: Sentences, /, *, strict: bool = False) -> ClusterIndex:
            return ClusterIndex(root, sentences, shards, strict=strict)

        try:
            yield opened
        finally:
            shards.close()

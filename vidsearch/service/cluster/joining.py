"""Which machines of a Ray cluster can hold shards."""

from __future__ import annotations

import hashlib
import logging
import os
import socket
from collections.abc import Collection
from pathlib import Path
from typing import Any

from vidsearch.clusters import LOOK_S, alive, first_line, pinned, unlike, versions
from vidsearch.errors import UsageError
from vidsearch.storage import manifest as manifests

log = logging.getLogger(__name__)


def that_see(ray: Any, root: Path, nodes: Collection[str]) -> set[str]:
    """Return those machines that see the index as this one does; of the others one line each is told.

    Raises:
        UsageError: one has other versions.
    """
    version = max(manifests.versions(root))
    wanted = fingerprint(str(root), version)
    looked = ray.remote(num_cpus=0, max_retries=0)(look)
    asked = {node: looked.options(scheduling_strategy=pinned(ray, node)).remote(str(root), version) for node in nodes}
    seeing, names = set(), alive(ray)
    for node, answer in asked.items():
        name = names.get(node, node)
        try:
            seen = ray.get(answer, timeout=LOOK_S)
        except ray.exceptions.RayError as error:
            raise UsageError(f"node {name} cannot run vidsearch: {first_line(error)}; install the same version on all machines") from error
        if problem := unlike(seen["versions"]):
            raise UsageError(f"node {seen['host']}: {problem}")
        if seen["manifest"] == wanted:
            seeing.add(node)
        else:
            log.warning("node %s does not see the index at %s as this machine does; no shard is put there", seen["host"], root)
    return seeing


def look(root: str, version: int) -> dict[str, Any]:
    """Return what a machine is and sees."""
    return {"host": f"{socket.gethostname()} ({os.getpid()})", "versions": versions(), "manifest": fingerprint(root, version)}


def fingerprint(root: str, version: int) -> str:
    """Return a hash of a version's manifest; "" where there is none."""
    try:
        return hashlib.sha256((Path(root) / manifests.MANIFESTS / manifests.file_name(version)).read_bytes()).hexdigest()
    except OSError:
        return ""

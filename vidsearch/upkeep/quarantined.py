"""What could not be indexed, and why: to look through, and to be tried again."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from vidsearch.corpus import Corpus
from vidsearch.errors import UsageError
from vidsearch.storage import manifest as manifests
from vidsearch.storage.manifest import Manifest
from vidsearch.storage.quarantine import DELETED, RETRY
from vidsearch.storage.seal import JSON


def entries(corpus: Corpus, *, reason: str | None = None) -> Iterator[pa.Table]:
    """Yield quarantine entries, a table a segment; those of one reason, or all."""
    for segment in corpus.segments:
        table = segment.quarantine()
        yield table if reason is None else table.filter(pc.equal(table["reason"], pa.scalar(reason)))


def reasons(corpus: Corpus) -> dict[str, int]:
    """Return how many entries there are of each reason, most first."""
    counts: dict[str, int] = {}
    for table in entries(corpus):
        for pair in pc.value_counts(table["reason"]).to_pylist():
            counts[pair["values"]] = counts.get(pair["values"], 0) + pair["counts"]
    return dict(sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])))


def retry(root: Path, *, reason: str | None = None) -> int:
    """Have the next build try again what is quarantined now, of one reason or all but DELETED, and return how many entries that are.

    Raises:
        UsageError: nothing is quarantined for that reason.
    """
    there = reasons(Corpus(root))
    if reason is None:
        there.pop(DELETED, None)  # what a person deleted comes back only when that is said
    if not there:
        return 0
    if reason is not None and reason not in there:
        raise UsageError(f"nothing is quarantined as {reason!r}; the reasons here are {', '.join(there)}")
    mark: JSON = {"reason": reason, "before": datetime.now(UTC).isoformat()}

    def change(manifest: Manifest) -> Manifest:
        marks = manifest.settings.get(RETRY)
        return manifest.with_settings({**manifest.settings, RETRY: [*(marks if isinstance(marks, list) else []), mark]})

    manifests.commit(root, change)
    return sum(there.values()) if reason is None else there[reason]

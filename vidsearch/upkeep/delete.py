"""Delete clips: their rows are buried, and their ids remembered, so that no later build indexes them again."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa

from vidsearch.corpus import Corpus
from vidsearch.errors import ConflictError, UsageError, VidsearchError
from vidsearch.selection import Selection
from vidsearch.storage import manifest as manifests
from vidsearch.storage import segment as segments
from vidsearch.storage.manifest import Manifest
from vidsearch.storage.quarantine import DELETED, quarantine_table
from vidsearch.storage.tombstones import bury

TRIES = 5


def delete(root: Path, *, where: str | None = None, clip_ids: list[str] | None = None) -> int:
    """Delete the clips that pass a filter, or those with some ids, and return how many that were.

        delete(Path("shards/index"), where="type = 'Gaming'")

    They are gone for whoever opens the index from now on. Their data goes when their segments are written anew (`fold`, with `compact`) and
    the old ones collected.

    Raises:
        UsageError, FilterError: neither a filter nor ids, or both; a filter that cannot be asked.
        ConflictError: other processes wrote the same segments anew again and again.
    """
    if (where is None) == (clip_ids is None):
        raise UsageError("name the clips to delete by a filter or by their ids")
    for attempt in range(TRIES):
        corpus = Corpus(root)
        chosen = corpus.select(where) if clip_ids is None else _with_ids(corpus, clip_ids)
        try:
            return _delete(corpus, chosen)
        except ConflictError:
            if attempt + 1 == TRIES:
                raise
    raise AssertionError  # the loop returns or raises


def _with_ids(corpus: Corpus, clip_ids: list[str]) -> list[Selection]:
    """Return the rows that have one of some ids; ids that no row has are passed over."""
    corpus.check()
    found = []
    for segment, alive in zip(corpus.segments, corpus.alive, strict=True):
        rows = [segment.rows_of("clip_id", name) & alive for name in clip_ids]
        found.append(Selection.of_ids(segment.rows, np.unique(np.concatenate([np.zeros(0, np.uint32), *(one.ids for one in rows)]))))
    return found


def _delete(corpus: Corpus, chosen: list[Selection]) -> int:
    rows = {segment.uuid: one.ids for segment, one in zip(corpus.segments, chosen, strict=True) if one.count}
    if not rows:
        manifests.commit(corpus.root, lambda manifest: manifest)  # what an earlier run deleted before it was killed may not be durable yet
        return 0
    ids = [
        name
        for segment, one in zip(corpus.segments, chosen, strict=True)
        for name in segment.read_columns(["clip_id"])["clip_id"].take(pa.array(one.ids)).to_pylist()
    ]
    seen = datetime.now(UTC)
    remembered = segments.write(
        corpus.root,
        vectors=np.zeros((0, corpus.space.dim), dtype=np.float16),
        rows=corpus.schema.empty_table(),
        index_files={},
        quarantine=quarantine_table({"clip_id": name, "video": "", "reason": DELETED, "seen_at": seen} for name in ids),
        info={"index": "flat"},
    )

    def change(manifest: Manifest) -> Manifest:
        return bury(corpus.root, manifest.with_segments([*manifest.segments, remembered]), rows)

    try:
        manifests.commit(corpus.root, change)
    except BaseException:
        with suppress(VidsearchError, OSError):  # what went wrong is told; the commit may have come through before it did
            segments.drop(corpus.root, remembered.uuid)
        raise
    return len(ids)

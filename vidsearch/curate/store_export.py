"""A subset of the clips → a collection of a vector store, a thousand clips at a time."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from itertools import tee

import pyarrow as pa

from vidsearch._version import __version__
from vidsearch.corpus import Rows
from vidsearch.curate.export import Exported, Scores, export_schema, records_of
from vidsearch.curate.recipe import Subset, chosen_rows
from vidsearch.curate.stores.base import BATCH_ROWS, Batch, Target
from vidsearch.engine import Index
from vidsearch.errors import UsageError
from vidsearch.registry import plugin

STORES = "vidsearch.curate.stores"
COLLECTION = "clips"

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,254}")  # what all stores take


def export_to_store(
    index: Index, subset: Subset, store: str, place: str, *, collection: str = COLLECTION, token: str | None = None
) -> Exported:
    """Write a subset to a new collection, with vectors, all columns, and rank and score where there is a query.

    The metric is the inner product, with which a store's scores of a unit query are those of `Index.search`.

    Args:
        index: what is exported from.
        subset: which clips.
        store: a file of `vidsearch.curate.stores`.
        place: a folder, or an address.
        collection: its name; not there yet.
        token: opens the store.

    Raises:
        UsageError: the store is unknown, or has such a collection.
        ServiceError: it cannot be reached.
    """
    writer = plugin(STORES, store)
    if not _NAME.fullmatch(collection):
        raise UsageError(f"{collection!r} is no name of a collection; use letters, digits and _, at most 255")
    about = {"vidsearch": __version__, "vidsearch.metric": "dot", "vidsearch.model": index.space.model, "vidsearch.space": index.space.id}
    scored = subset.query is not None
    schema = export_schema(index, scored=scored)
    target = Target(place, collection, index.space.dim, pa.schema(list(schema)), about, token)
    done = Exported()
    writer.write(_batches(index, subset, done), target)
    return done


def _batches(index: Index, subset: Subset, done: Exported) -> Iterator[Batch]:
    """Yield the clips of a subset, and count them."""
    digest = hashlib.sha256()
    pieces, asked = tee(_pieces(index, subset))
    for (rows, _), records in zip(pieces, records_of(index, asked), strict=True):
        yield Batch(index.vectors_of(rows), records)
        digest.update("".join(f"{record['clip_id']}\n" for record in records).encode())
        done.rows += len(records)
    done.ids_sha256 = digest.hexdigest()


def _pieces(index: Index, subset: Subset) -> Iterator[tuple[Rows, Scores | None]]:
    """Yield the rows of a subset and their scores, a batch at a time."""
    for rows, scores in chosen_rows(index, subset):
        for start in range(0, len(rows), BATCH_ROWS):
            stop = start + BATCH_ROWS
            yield rows[start:stop], None if scores is None else scores[start:stop]

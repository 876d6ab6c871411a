"""LanceDB: a folder, or an address such as s3://bucket/place or db://name. The table is one commit."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pyarrow as pa

from vidsearch.curate.stores.base import Batch, Target
from vidsearch.errors import ServiceError
from vidsearch.extras import require

if TYPE_CHECKING:
    from lancedb import DBConnection

MOST_TABLES = 1_000_000


def write(batches: Iterator[Batch], target: Target) -> None:
    """Write a table with the columns of the rows and one of vectors; its metadata names the metric to ask with."""
    if target.is_folder:
        target.check_folder()
    require("lancedb")
    import lancedb

    try:
        database = lancedb.connect(target.place, api_key=target.token)
        if _has(database, target.collection):
            raise target.taken
        _write(database, batches, target)
    except (RuntimeError, OSError) as error:
        raise ServiceError(f"LanceDB cannot write {target.collection!r} to {target.place}: {' '.join(str(error).split())[:300]}") from error


def table_schema(target: Target) -> pa.Schema:
    """Return the columns of the table."""
    vectors = pa.field(target.vector_name, pa.list_(pa.float32(), target.dim))
    return pa.schema([*target.schema, vectors], metadata=target.about)


def record_batch(batch: Batch, target: Target, schema: pa.Schema) -> pa.RecordBatch:
    """Return rows and vectors together."""
    columns = [pa.array([row[name] for row in batch.rows], type=target.schema.field(name).type) for name in target.schema.names]
    vectors = pa.FixedSizeListArray.from_arrays(pa.array(batch.vectors.reshape(-1)), target.dim)
    return pa.RecordBatch.from_arrays([*columns, vectors], schema=schema)


def _has(database: DBConnection, name: str) -> bool:
    return name in database.list_tables(limit=MOST_TABLES).tables


def _write(database: DBConnection, batches: Iterator[Batch], target: Target) -> None:
    schema = table_schema(target)
    ours: list[Exception] = []  # LanceDB would make a text of them

    def parts() -> Iterator[pa.RecordBatch]:
        try:
            for batch in batches:
                yield record_batch(batch, target, schema)
        except Exception as error:
            ours.append(error)
            raise

    try:
        database.create_table(target.collection, pa.RecordBatchReader.from_batches(schema, parts()), schema=schema)
    except BaseException as error:
        if _has(database, target.collection):  # empty, or with the batches before
            database.drop_table(target.collection)
        if ours:
            raise ours[0] from error
        raise

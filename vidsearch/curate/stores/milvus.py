"""Milvus: a server's address."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pyarrow as pa

from vidsearch.curate.stores.base import Batch, Target, plain
from vidsearch.errors import ServiceError, UsageError
from vidsearch.extras import require

LONGEST_TEXT = 65_535  # bytes of a VARCHAR
METRIC = "IP"
TIMEOUT_S = 10.0


def write(batches: Iterator[Batch], target: Target) -> None:
    """Write a collection whose key is clip_id, with a field for each column and one of vectors, indexed for the inner product."""
    if target.is_folder:
        raise UsageError(f"{target.place!r} is no address of a Milvus server; write http://HOST:19530")
    milvus = require("pymilvus")
    try:
        with closing(milvus.MilvusClient(uri=target.place, token=target.token or "", timeout=TIMEOUT_S)) as client:
            if client.has_collection(target.collection):
                raise target.taken
            _write(client, batches, target)
    except milvus.MilvusException as error:
        raise ServiceError(f"Milvus cannot write {target.collection!r} to {target.place}: {' '.join(str(error).split())[:300]}") from error


def collection_schema(target: Target) -> Any:
    """Return the fields; texts and whatever else Milvus has no type for are VARCHAR."""
    kinds = require("pymilvus").DataType
    schema = require("pymilvus").MilvusClient.create_schema(
        auto_id=False, enable_dynamic_field=False, description=target.about.get("vidsearch.model", "")
    )
    for column in target.schema:
        if column.name == "clip_id":
            schema.add_field("clip_id", kinds.VARCHAR, is_primary=True, max_length=LONGEST_TEXT)
            continue
        kind = _kind(column.type)
        length = {"max_length": LONGEST_TEXT} if kind is kinds.VARCHAR else {}
        schema.add_field(column.name, kind, nullable=True, **length)
    schema.add_field(target.vector_name, kinds.FLOAT_VECTOR, dim=target.dim)
    return schema


def entities(batch: Batch, target: Target) -> list[dict[str, Any]]:
    """Return rows as Milvus takes them.

    Raises:
        UsageError: a text is too long for it.
    """
    text = require("pymilvus").DataType.VARCHAR
    texts = {column.name for column in target.schema if _kind(column.type) is text}
    made = []
    for row, vector in zip(batch.rows, batch.vectors, strict=True):
        values = {name: plain(value) for name, value in row.items()}
        for name in texts:
            if values[name] is not None:
                values[name] = str(values[name])
                if len(values[name].encode()) > LONGEST_TEXT:
                    raise UsageError(f"clip {row['clip_id']}: {name} has more than {LONGEST_TEXT:,} bytes, which Milvus cannot hold")
        made.append({**values, target.vector_name: vector.tolist()})
    return made


def _kind(of: pa.DataType) -> Any:
    kinds = require("pymilvus").DataType
    if pa.types.is_boolean(of):
        return kinds.BOOL
    if pa.types.is_integer(of):
        return kinds.INT64
    if pa.types.is_float16(of) or pa.types.is_float32(of):
        return kinds.FLOAT
    return kinds.DOUBLE if pa.types.is_float64(of) else kinds.VARCHAR


def _write(client: Any, batches: Iterator[Batch], target: Target) -> None:
    indexes = client.prepare_index_params()
    indexes.add_index(field_name=target.vector_name, index_type="AUTOINDEX", metric_type=METRIC)
    client.create_collection(target.collection, schema=collection_schema(target), index_params=indexes)
    try:
        for batch in batches:
            client.insert(target.collection, entities(batch, target))
    except BaseException:
        client.drop_collection(target.collection)
        raise

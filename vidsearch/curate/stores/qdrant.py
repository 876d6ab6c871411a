"""Qdrant: a server's address, or a folder for its local mode (which holds everything in memory and asks it exactly)."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import closing
from typing import TYPE_CHECKING, Any

from vidsearch.curate.stores.base import Batch, Target, plain
from vidsearch.errors import ServiceError
from vidsearch.extras import require

if TYPE_CHECKING:
    from qdrant_client import QdrantClient

CLIPS = uuid.uuid5(uuid.NAMESPACE_URL, "vidsearch:clip")
TIMEOUT_S = 60


def write(batches: Iterator[Batch], target: Target) -> None:
    """Write a collection of points: the id is made of the clip's, the payload holds all columns, the metric is Dot."""
    if target.is_folder:
        target.check_folder()
    require("qdrant_client")
    from httpx import HTTPError
    from qdrant_client.http.exceptions import ApiException

    try:
        with closing(_client(target)) as client:
            if client.collection_exists(target.collection):
                raise target.taken
            _write(client, batches, target)
    except (ApiException, HTTPError, RuntimeError) as error:
        raise ServiceError(f"Qdrant cannot write {target.collection!r} to {target.place}: {' '.join(str(error).split())[:300]}") from error


def point_id(clip_id: str) -> str:
    """Return the id of a clip's point, a UUID made of the clip's id, since Qdrant takes no others."""
    return str(uuid.uuid5(CLIPS, clip_id))


def _client(target: Target) -> QdrantClient:
    from qdrant_client import QdrantClient

    if target.is_folder:
        return QdrantClient(path=target.place)
    return QdrantClient(url=target.place, api_key=target.token, timeout=TIMEOUT_S, check_compatibility=False)


def _write(client: QdrantClient, batches: Iterator[Batch], target: Target) -> None:
    from qdrant_client import models

    parameters = models.VectorParams(size=target.dim, distance=models.Distance.DOT)  # Cosine would scale the vectors anew
    client.create_collection(target.collection, vectors_config=parameters, metadata=target.about)
    try:
        for batch in batches:
            ids: list[Any] = [point_id(row["clip_id"]) for row in batch.rows]
            payloads = [{name: plain(value) for name, value in row.items()} for row in batch.rows]
            points = models.Batch(ids=ids, vectors=batch.vectors.tolist(), payloads=payloads)
            client.upsert(target.collection, points=points, wait=True)
    except BaseException:
        client.delete_collection(target.collection)
        raise

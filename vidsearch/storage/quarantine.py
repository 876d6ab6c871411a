"""What could not be indexed, or must not be: a table beside the rows of each segment, part of the same commit."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import pyarrow as pa

DELETED = "DELETED"  # the reason of clips that a person deleted: they are not indexed again

RETRY = "retry"  # the manifest's setting: [{"reason": code or null, "before": ISO time}], entries to be tried again

SCHEMA = pa.schema(
    [
        pa.field("clip_id", pa.string(), nullable=False),
        pa.field("video", pa.string(), nullable=False),
        pa.field("start_s", pa.float64()),
        pa.field("end_s", pa.float64()),
        pa.field("reason", pa.string(), nullable=False),
        pa.field("detail", pa.string()),
        pa.field("size_bytes", pa.int64()),
        pa.field("mtime_ns", pa.int64()),
        pa.field("attempts", pa.int32()),
        pa.field("decoder", pa.string()),
        pa.field("seen_at", pa.timestamp("s", tz="UTC")),
    ]
)


def quarantine_table(rows: Iterable[Mapping[str, Any]]) -> pa.Table:
    """Return entries as a table; what one lacks is null."""
    return pa.Table.from_pylist([dict(row) for row in rows], schema=SCHEMA)

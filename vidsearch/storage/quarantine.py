"""What could not be indexed, or must not be: a table beside the rows of each segment, part of the same commit."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import pyarrow as pa

DELETED = "DELETED"  # the reason of clips that a person deleted: they are not indexed again

RETRY = "retry"  # the manifest's setting: [{"reason": code or null, "before": ISO time}], entries to be tried again

# Where a reason comes from; what is not here comes from decoding.
STAGES = {
    "read": frozenset(
        {"METADATA_INVALID", "NOT_FOUND", "PATH_ESCAPE", "DUPLICATE_MEMBER", "VECTOR_MISSING", "ZERO_VECTOR", "NONFINITE_VECTOR"}
    ),
    "embed": frozenset({"NONFINITE_EMBEDDING"}),
    "delete": frozenset({DELETED}),
}

SCHEMA = pa.schema(
    [
        pa.field("clip_id", pa.string(), nullable=False),
        pa.field("video", pa.string(), nullable=False),
        pa.field("start_s", pa.float64()),
        pa.field("end_s", pa.float64()),
        pa.field("stage", pa.string(), nullable=False),
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
    """Return entries as a table; the stage is that of the reason, whatever else an entry lacks is null."""
    return pa.Table.from_pylist([{**row, "stage": stage_of(row["reason"])} for row in rows], schema=SCHEMA)


def stage_of(reason: str) -> str:
    """Return where a reason comes from: "read", "decode", "embed" or "delete"."""
    return next((stage for stage, reasons in STAGES.items() if reason in reasons), "decode")

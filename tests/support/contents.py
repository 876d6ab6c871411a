"""What an index holds, so that two can be compared: rows and vectors in the order of the clips' ids."""

from pathlib import Path

import numpy as np

import vidsearch
from vidsearch.storage.ledger import Ledger, recount


def contents(root: Path) -> dict[str, tuple[dict, bytes]]:
    """Return the row and the bytes of the vector of each clip; a clip with two rows is an error."""
    found: dict[str, tuple[dict, bytes]] = {}
    index = vidsearch.open_index(root)
    for segment, alive in zip(index.segments, index.alive, strict=True):
        rows = segment.read_columns(sorted(segment.schema.names)).to_pylist()
        for place in np.flatnonzero(alive.mask).tolist():
            assert rows[place]["clip_id"] not in found
            found[rows[place]["clip_id"]] = rows[place], segment.vectors[place].tobytes()
    return found


def quarantined(root: Path) -> dict[str, tuple[str, str, int]]:
    """Return the reason, the detail and the attempts of each clip in the quarantine."""
    tables = [segment.quarantine() for segment in vidsearch.open_index(root).segments]
    rows = [row for table in tables for row in table.to_pylist()]
    assert len({row["clip_id"] for row in rows}) == len(rows)
    return {row["clip_id"]: (row["reason"], row["detail"], row["attempts"]) for row in rows}


def check_books(root: Path, *, pending: int = 0) -> None:
    """Assert that what was planned is what is there and what is pending."""
    index = vidsearch.open_index(root)
    ledger = Ledger.from_settings(index.manifest.settings)
    assert ledger is not None
    assert ledger.done == recount(index.segments)
    assert ledger.all_pending.clips == pending

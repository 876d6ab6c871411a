"""Rows with their vectors, and quarantine entries, that become one segment."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from indexer.rows import CORE_SCHEMA, concatenate
from vidsearch.storage import segment as segments
from vidsearch.storage.manifest import SegmentRef
from vidsearch.storage.quarantine import quarantine_table

Half = npt.NDArray[np.float16]  # (n, dim)


class Sink(Protocol):
    """What takes over the clips that are done."""

    def add(self, rows: pa.Table, vectors: Half, *, planned: Sequence[str], unplanned: Sequence[str] = (), replacing: bool = False) -> None:
        """Take over some rows and their vectors; call `commit_if_due` now and then.

        Args:
            rows: with the core columns; vectors: (n, dim) float16.
            planned: the clips among them that are pending in the ledger.
            unplanned: those that the ledger knows nothing of, such as shots.
            replacing: whether some may have a row already, made of the caption.
        """

    def skip(self, entry: dict[str, Any], *, planned: bool = False, unplanned: bool = False) -> None:
        """Take over a quarantine entry."""

    def commit_if_due(self) -> None:
        """Commit when enough has come together."""


@dataclass
class Part:
    """What is done and not written yet.

    Attributes:
        planned: clips that are done with this and were pending in the ledger.
        unplanned: those that the ledger knows nothing of, such as shots.
        replacing: whether some may have a row already, made of the caption.
    """

    tables: list[pa.Table] = field(default_factory=list)
    vectors: list[Half] = field(default_factory=list)
    quarantine: list[dict[str, Any]] = field(default_factory=list)
    planned: list[str] = field(default_factory=list)
    unplanned: list[str] = field(default_factory=list)
    replacing: bool = False
    rows: int = 0
    since: float = field(default_factory=time.monotonic)

    def add(self, rows: pa.Table, vectors: Half, *, planned: Sequence[str], unplanned: Sequence[str] = (), replacing: bool = False) -> None:
        """Take over some rows and their vectors, as `Sink.add` says."""
        self.tables.append(rows)
        self.vectors.append(vectors)
        self.rows += len(vectors)
        self.replacing = self.replacing or replacing
        self.planned.extend(planned)
        self.unplanned.extend(unplanned)

    def skip(self, entry: dict[str, Any], *, planned: bool = False, unplanned: bool = False) -> None:
        """Take over a quarantine entry."""
        self.quarantine.append(entry)
        self.planned.extend([entry["clip_id"]] * planned)
        self.unplanned.extend([entry["clip_id"]] * unplanned)

    def commit_if_due(self) -> None:
        """Do nothing: a part is written as one segment, when all of it is there."""

    def write(self, root: Path, *, dim: int) -> tuple[SegmentRef, pa.Table]:
        """Write a segment of it; return what a manifest needs, and its rows."""
        rows, vectors = self._gathered(dim)
        quarantine = quarantine_table(self.quarantine)
        reference = segments.write(root, vectors=vectors, rows=rows, index_files={}, quarantine=quarantine, info={"index": "flat"})
        return reference, rows

    def write_named(self, root: Path, name: str, *, dim: int, info: dict[str, Any]) -> SegmentRef:
        """Write a segment of that name, in the order of the clips' ids, not in that in which they came."""
        rows, vectors = self._gathered(dim)
        order = np.argsort(np.array(rows["clip_id"].to_pylist(), dtype="U"), kind="stable")
        quarantine = quarantine_table(sorted(self.quarantine, key=lambda entry: str(entry["clip_id"])))
        books = {"planned": sorted(self.planned), "unplanned": sorted(self.unplanned), "replacing": self.replacing}
        return segments.write(
            root,
            vectors=vectors[order],
            rows=rows.take(pa.array(order)),
            index_files={},
            quarantine=quarantine,
            info={"index": "flat", "books": books, **info},
            name=name,
        )

    def _gathered(self, dim: int) -> tuple[pa.Table, Half]:
        rows = concatenate([CORE_SCHEMA.empty_table(), *self.tables])
        return rows, np.concatenate([np.zeros((0, dim), dtype=np.float16), *self.vectors])

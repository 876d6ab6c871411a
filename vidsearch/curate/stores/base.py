"""What a vector store is given. A file beside this one is a store; it has one function:

    def write(batches: Iterator[Batch], target: Target) -> None

It makes a collection that must not be there yet, with the inner product as its metric, and fills it batch by batch. Whatever fails on the
way, no half of a collection stays. It raises UsageError for a target that cannot be used, ServiceError for a store that cannot be reached.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from vidsearch.errors import UsageError

BATCH_ROWS = 1024  # 3 MB of vectors at 768 dimensions
VECTOR_NAMES = ("vector", "clip_vector", "vidsearch_vector")  # the first that no column has


@dataclass(frozen=True)
class Batch:
    """Some clips.

    Attributes:
        vectors: (n, dim) float32, as the index scores with them: the inner product with a unit query is a hit's score.
        rows: what is written of each, by column; clip_id names it.
    """

    vectors: npt.NDArray[np.float32]
    rows: Sequence[dict[str, Any]]


@dataclass(frozen=True)
class Target:
    """Where clips go.

    Attributes:
        place: a folder, or an address.
        collection: its name; not there yet.
        dim: length of the vectors.
        schema: columns of the rows.
        about: what should be told of the collection where it has a place for that.
        token: opens the store, or None.
    """

    place: str
    collection: str
    dim: int
    schema: pa.Schema
    about: dict[str, str]
    token: str | None = field(default=None, repr=False)

    @property
    def is_folder(self) -> bool:
        return "://" not in self.place

    @property
    def vector_name(self) -> str:
        """The name of the vectors among the columns."""
        return next(name for name in VECTOR_NAMES if name not in self.schema.names)

    @property
    def taken(self) -> UsageError:
        """What to raise where the collection is there already."""
        return UsageError(f"{self.place} has a collection {self.collection!r} already; choose another with --collection, or drop it first")

    def check_folder(self) -> None:
        """Refuse a folder in no folder."""
        parent = Path(self.place).resolve().parent
        if not parent.is_dir():
            raise UsageError(f"no folder {parent} to write {Path(self.place).name} into")


def plain(value: Any) -> Any:
    """Return a value as JSON has it; NaN, which JSON lacks, is None, dates are ISO texts."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, dict):
        return {str(name): plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value if isinstance(value, str | int | bool | None) else str(value)

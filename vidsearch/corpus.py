"""The clips of one index version as rows and vectors: select rows, rank them by a vector, fetch what is written in them.

Rows are numbered through all segments: row r of segment s is `offsets[s] + r`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from vidsearch.config import Space
from vidsearch.errors import IndexCorruptError, QueryError
from vidsearch.indexes.base import SearchSettings, VectorIndex
from vidsearch.planner import Plan, plan
from vidsearch.registry import plugin
from vidsearch.results import Certificate
from vidsearch.selection import Selection, everything
from vidsearch.storage import manifest as manifests
from vidsearch.storage.segment import Segment, open_segment

if TYPE_CHECKING:
    from vidsearch.filters.tree import Filter

Rows = npt.NDArray[np.int64]  # (m,) row numbers through all segments
Vectors = npt.NDArray[np.float32]  # (m, dim), unit rows


@dataclass(frozen=True)
class Ranked:
    """The nearest rows of one vector.

    Attributes:
        rows: (m,) int64, best first; rows of equal score by number.
        scores: (m,) float32, exact cosines.
        certificate: how they were found, and how sure that is.
    """

    rows: Rows
    scores: npt.NDArray[np.float32]
    certificate: Certificate


class Corpus:
    """One version of an index, as the manifest named it when it was opened.

    Attributes:
        root: its folder.
        manifest: the version.
        segments: those that could be opened.
        skipped: why the others could not, a line each.
        offsets: (segments + 1,) first row of each segment; the last is the number of rows.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.manifest = manifests.read(root)
        self.segments: list[Segment] = []
        skipped = []
        for reference in self.manifest.segments:
            try:
                self.segments.append(open_segment(root, reference))
            except IndexCorruptError as error:
                skipped.append(f"segment {reference.uuid} with {reference.rows:,} clips left out: {error}")
        self.skipped = tuple(skipped)
        self.offsets: Rows = np.cumsum([0, *(segment.rows for segment in self.segments)], dtype=np.int64)
        self._loaded: dict[int, VectorIndex] = {}

    def __len__(self) -> int:
        return int(self.offsets[-1])

    @property
    def space(self) -> Space:
        return self.manifest.space

    @cached_property
    def schema(self) -> pa.Schema:
        """All columns of all segments; a segment that lacks one has nulls there."""
        return pa.unify_schemas([segment.schema for segment in self.segments], promote_options="permissive")

    @property
    def size_bytes(self) -> int:
        """Bytes of everything in the index's folder, older versions included."""
        return sum(path.stat().st_size for path in self.root.rglob("*") if path.is_file())

    def parse(self, where: str) -> Filter:
        """Return a filter as a tree, checked against the columns."""
        from vidsearch.filters.parse import parse  # the parser is loaded only when there is something to parse

        return parse(where, self.schema)

    def select(self, where: str | Filter | None) -> list[Selection]:
        """Return which rows of each segment pass a filter; all without one."""
        if where is None or not self.segments:
            return [everything(segment.rows) for segment in self.segments]
        from vidsearch.filters.evaluate import evaluate

        condition = self.parse(where) if isinstance(where, str) else where
        return [Selection.of_mask(evaluate(condition, table)) for table in self.read_columns(sorted(condition.columns))]

    def nearest(
        self,
        queries: Vectors,
        depth: int,
        *,
        selections: Sequence[Selection] | None = None,
        recall: float = 0.95,
        exact: bool = False,
    ) -> list[Ranked]:
        """Return for each query the `depth` nearest rows that pass; fewer only when fewer pass.

        Args:
            queries: (q, dim) float32, unit rows.
            depth: rows wanted, 1 or more.
            selections: what `select` returned; None for all rows.
            recall: the share of the true nearest rows that an approximate plan must find on average.
            exact: score every row that passes.
        """
        chosen_rows = selections if selections is not None else self.select(None)
        matching = sum(selection.count for selection in chosen_rows)
        trained = any(segment.info["index"] != "flat" for segment in self.segments)
        chosen = plan(rows=len(self), matching=matching, k=depth, trained=trained and not exact)
        del recall
        return [self._rank(query, depth, chosen_rows, chosen, matching) for query in queries]

    def _rank(self, query: Vectors, depth: int, selections: Sequence[Selection], chosen: Plan, matching: int) -> Ranked:
        rows, scores = [np.zeros(0, np.int64)], [np.zeros(0, np.float32)]
        for number, selection in enumerate(selections):
            if selection.count:
                index = self._index(number, exact=chosen.kind == "exact")
                settings = SearchSettings(nprobe=max(1, math.ceil(chosen.probed_share * index.lists)), rerank=max(depth, chosen.rerank))
                allowed = None if selection.everything else selection.mask
                found, ids = index.search(query[None], min(depth, selection.count), allowed=allowed, settings=settings)
                rows.append(ids[0][ids[0] >= 0] + self.offsets[number])
                scores.append(found[0][ids[0] >= 0])
        all_rows, all_scores = np.concatenate(rows), np.concatenate(scores)
        best = np.lexsort((all_rows, -all_scores))[:depth]
        certificate = Certificate(plan=chosen.kind, reason=chosen.reason, rows=len(self), matching=matching)
        return Ranked(all_rows[best], all_scores[best], certificate)

    def take(self, rows: Rows | Sequence[int], columns: Sequence[str] | None = None) -> list[dict[str, Any]]:
        """Return what is written in some rows, in their order; a column that a row's segment lacks is None."""
        rows = np.asarray(rows, dtype=np.int64)
        names = list(columns) if columns is not None else self.schema.names
        taken: list[dict[str, Any]] = [{} for _ in rows]
        owner = np.searchsorted(self.offsets, rows, side="right") - 1
        for number in np.unique(owner):
            places = np.flatnonzero(owner == number)
            segment = self.segments[number]
            present = [name for name in names if name in segment.schema.names]
            table = segment.take(rows[places] - self.offsets[number], present)
            for place, values in zip(places.tolist(), table.to_pylist(), strict=True):
                taken[place] = {name: values.get(name) for name in names}
        return taken

    def vectors_of(self, rows: Rows | Sequence[int]) -> Vectors:
        """Return stored vectors (m, dim) float32 by row number, in that order."""
        rows = np.asarray(rows, dtype=np.int64)
        vectors = np.empty((len(rows), self.space.dim), dtype=np.float32)
        owner = np.searchsorted(self.offsets, rows, side="right") - 1
        for number in np.unique(owner):
            places = np.flatnonzero(owner == number)
            vectors[places] = self.segments[number].vectors[rows[places] - self.offsets[number]]
        return vectors

    def row_of(self, clip_id: str) -> int:
        """Return the row of a clip.

        Raises:
            QueryError: no such clip.
        """
        for number, segment in enumerate(self.segments):
            ids = segment.read_columns(["clip_id"])["clip_id"].to_pylist()
            if clip_id in ids:
                row: int = int(self.offsets[number]) + ids.index(clip_id)
                return row
        raise QueryError(f"no clip {clip_id!r} in {self.root}; clip ids are the first column of `vidsearch query --format ids`")

    def read_columns(self, names: Sequence[str]) -> Iterator[pa.Table]:
        """Yield those columns, a table a segment, with one schema for all."""
        schema = pa.schema([self.schema.field(name) for name in names])
        for segment in self.segments:
            present = [name for name in names if name in segment.schema.names]
            table = segment.read_columns(present)
            for name in names:
                if name not in present:
                    table = table.append_column(schema.field(name), pa.nulls(segment.rows, schema.field(name).type))
            yield table.select(list(names)).cast(schema)

    def _index(self, number: int, *, exact: bool) -> VectorIndex:
        segment = self.segments[number]
        kind = "flat" if exact else segment.info["index"]
        if kind == "flat":
            loaded: VectorIndex = plugin("vidsearch.indexes", "flat").load(b"", segment.vectors)
            return loaded
        if number not in self._loaded:
            self._loaded[number] = plugin("vidsearch.indexes", kind).load(segment.read_file("index.faiss"), segment.vectors)
        return self._loaded[number]

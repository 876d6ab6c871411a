"""The clips of one index version as rows and vectors: select rows, rank them by a vector, fetch what is written in them.

Rows are numbered through all segments: row r of segment s is `offsets[s] + r`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from vidsearch.calibration import Calibration, Settings
from vidsearch.config import Space
from vidsearch.errors import DamagedSegmentError, IndexCorruptError, PartialIndexError, QueryError, UsageError
from vidsearch.indexes.base import VectorIndex
from vidsearch.likelihood import Likelihood
from vidsearch.nearest import Found, Part, by_codes, by_score
from vidsearch.planner import FIXED_BYTES, Costs, Plan, plan
from vidsearch.registry import plugin
from vidsearch.results import Certificate
from vidsearch.selection import WORD_ROWS, Selection
from vidsearch.storage import files
from vidsearch.storage import manifest as manifests
from vidsearch.storage.lookup import find
from vidsearch.storage.manifest import Manifest, SegmentRef
from vidsearch.storage.segment import Segment, open_segment
from vidsearch.storage.template import read_template
from vidsearch.storage.tombstones import read_alive

if TYPE_CHECKING:
    from vidsearch.filters.select import Selector
    from vidsearch.filters.tree import Filter

PARSED_FILTERS = 256  # kept, since the same one is asked again and again

T = TypeVar("T")
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
    """One version of an index, as the manifest named it when it was opened; it stays what it was, whatever is committed or removed since.

    A segment that is damaged is left out. Its files' lengths are compared when it is opened; what queries read of it is hashed at the first
    one, so that opening takes milliseconds, and a vector is compared with its checksum before anything is answered with it.

    Attributes:
        root: its folder.
        manifest: the version.
        segments: those that are whole.
        alive: which rows of each are not deleted.
        skipped: why the others were left out, a line each.
        offsets: (segments + 1,) first row of each segment; the last is the number of rows, deleted ones included.
    """

    def __init__(self, root: Path, *, strict: bool = False) -> None:
        self.root, self._strict = root, strict
        self.skipped: tuple[str, ...] = ()
        self.manifest, opened = self._open()
        self._set_segments(opened)
        self._hashed = False

    def _open(self) -> tuple[Manifest, list[tuple[Segment, Selection]]]:
        """Return the newest version and its segments; a version that is replaced and removed meanwhile is passed over."""
        while True:
            manifest = manifests.read(self.root)
            self.skipped = ()
            opened = []
            for reference in manifest.segments:
                try:
                    opened.append((open_segment(self.root, reference), read_alive(self.root, reference)))
                except IndexCorruptError as error:
                    self._skip(reference, error)
            whole = len(opened) == len(manifest.segments)
            if whole or manifests.read(self.root).version == manifest.version:
                return manifest, opened

    def _set_segments(self, opened: list[tuple[Segment, Selection]]) -> None:
        self.segments = [segment for segment, _ in opened]
        self.alive = [alive for _, alive in opened]
        self.offsets: Rows = np.cumsum([0, *(segment.rows for segment in self.segments)], dtype=np.int64)
        self._loaded: dict[int, VectorIndex] = {}
        self._templates: dict[str, Any] = {}

    def _skip(self, reference: SegmentRef, error: IndexCorruptError) -> None:
        if self._strict:
            raise PartialIndexError(f"{error}; see `vidsearch verify` and `vidsearch repair`") from error
        self.skipped += (f"segment {reference.uuid} with {reference.live_rows:,} clips left out: {error}",)

    def answered(self, ask: Callable[[], T]) -> T:
        """Return what a function makes of this corpus, asked anew without a segment that turns out to be damaged."""
        while True:
            try:
                return ask()
            except DamagedSegmentError as error:
                self.leave_out(error.segment, error)

    def leave_out(self, number: int, error: IndexCorruptError) -> None:
        """Go on without a segment that turned out to be damaged; row numbers change. With `strict`, raises PartialIndexError."""
        damaged = self.segments[number].uuid
        self._skip(next(reference for reference in self.manifest.segments if reference.uuid == damaged), error)
        self.keep_segments([place for place in range(len(self.segments)) if place != number])

    def keep_segments(self, numbers: Sequence[int]) -> None:
        """Go on with these segments alone, in their order; row numbers change."""
        loaded, templates = self._loaded, self._templates
        self._set_segments([(self.segments[number], self.alive[number]) for number in numbers])
        self._loaded |= {place: loaded[number] for place, number in enumerate(numbers) if number in loaded}
        self._templates |= templates
        for name in ("schema", "_parsed", "_trained", "_code_bytes"):
            self.__dict__.pop(name, None)

    def check(self) -> None:
        """Hash what queries read of each segment, once, and leave out what is damaged; `select` calls it."""
        if self._hashed:
            return
        self._hashed = True
        for number in reversed(range(len(self.segments))):
            try:
                self.segments[number].check(self.segments[number].asked_files)
            except IndexCorruptError as error:
                self.leave_out(number, error)

    def __len__(self) -> int:
        return sum(alive.count for alive in self.alive)

    @property
    def slots(self) -> int:
        """Rows there is a number for, deleted ones included."""
        return int(self.offsets[-1])

    @property
    def alive_mask(self) -> npt.NDArray[np.bool_]:
        """(slots,) bool: which rows are not deleted."""
        return np.concatenate([np.zeros(0, np.bool_), *(alive.mask for alive in self.alive)])

    @property
    def space(self) -> Space:
        return self.manifest.space

    @cached_property
    def schema(self) -> pa.Schema:
        """All columns of all segments; a segment that lacks one has nulls there."""
        schemas = [segment.schema for segment in self.segments]
        return pa.unify_schemas(schemas, promote_options="permissive") if schemas else pa.schema([])

    @property
    def size_bytes(self) -> int:
        """Bytes of everything in the index's folder, older versions included."""
        return files.total_bytes(self.root)

    def parse(self, where: str) -> Filter:
        """Return a filter as a tree, checked against the columns; one that was asked before is remembered."""
        return self._parsed(where)[0]

    @cached_property
    def _parsed(self) -> Callable[[str], tuple[Filter, Selector]]:
        from vidsearch.filters.parse import parse  # the parser is loaded only when there is something to parse
        from vidsearch.filters.select import Selector

        def parsed(where: str) -> tuple[Filter, Selector]:
            condition = parse(where, schema)
            return condition, Selector(condition)

        schema = self.schema
        return lru_cache(maxsize=PARSED_FILTERS)(parsed)

    def select(self, where: str | Filter | None) -> list[Selection]:
        """Return which rows of each segment pass a filter; all that are not deleted without one."""
        self.check()
        if where is None or not self.segments:
            return list(self.alive)
        from vidsearch.filters.select import Selector

        selector = self._parsed(where)[1] if isinstance(where, str) else Selector(where)
        return [selector.rows(segment.columns, segment.rows) & alive for segment, alive in zip(self.segments, self.alive, strict=True)]

    def explain_filter(self, where: str | Filter) -> list[tuple[str, int]]:
        """Return each part of a filter that must be met, and how many rows meet it alone: why none meets all."""
        if not self.segments:
            return []
        from vidsearch.filters.tree import And

        condition = self.parse(where) if isinstance(where, str) else where
        parts = condition.terms if isinstance(condition, And) else (condition,)
        return [(str(part), sum(selection.count for selection in self.select(part))) for part in parts]

    def value_counts(self, column: str, selections: Sequence[Selection]) -> dict[Any, int]:
        """Return how many selected rows have each value of a column, most first; None counts the rows without one.

        Fast for columns of few values, which each segment keeps bitmaps of; of any other column every selected value is looked at.

        Raises:
            UsageError: no such column.
        """
        if column not in self.schema.names:
            raise UsageError(f"unknown column {column!r}; choose from {', '.join(self.schema.names)}")
        counts: Counter[Any] = Counter()
        for segment, selection in zip(self.segments, selections, strict=True):
            counts.update(segment.tally(column, selection))
        return dict(counts.most_common())

    def narrow(self, selections: Sequence[Selection], rows: Rows) -> list[Selection]:
        """Return those of the selected rows that are among some row numbers, which may come in any order and more than once.

        Raises:
            QueryError: a number that no row has.
        """
        wanted = np.zeros(self.slots, dtype=np.bool_)
        if len(rows) and not (rows.min() >= 0 and rows.max() < self.slots):
            raise QueryError(f"within names rows {rows.min()} to {rows.max()}; this index has rows 0 to {self.slots - 1}")
        wanted[rows] = True
        parts = [wanted[first:last] for first, last in pairwise(self.offsets.tolist())]
        return [selection & Selection.of_mask(part) for selection, part in zip(selections, parts, strict=True)]

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
        queries = np.ascontiguousarray(queries, dtype=np.float32)
        chosen = selections if selections is not None else self.select(None)
        matching = sum(selection.count for selection in chosen)
        planned = self._plan(chosen, matching, depth, recall=recall, exact=exact)
        if planned.kind == "none":
            return [self._ranked(Found(np.zeros(0, np.int64), np.zeros(0, np.float32)), planned, matching) for _ in queries]
        found = self._find(queries, depth, chosen, planned.settings)
        return [self._ranked(one, planned, matching) for one in found]

    def _find(self, queries: Vectors, depth: int, selections: Sequence[Selection], settings: Settings | None) -> list[Found]:
        """Compare codes, or score every row where there are no settings for that; what is found is checked."""
        parts = [
            Part(segment.vectors, selection, int(first), None if settings is None else self.index_of(number))
            for number, (segment, selection, first) in enumerate(zip(self.segments, selections, self.offsets, strict=False))
        ]
        found = by_score(parts, queries, depth, kernels=self._trained) if settings is None else by_codes(parts, queries, depth, settings)
        self._check_rows(np.concatenate([one.rows for one in found]))
        return found

    def _check_rows(self, rows: Rows) -> None:
        """Compare the checksums of some rows' vectors, before anything is answered with them."""
        owner = np.searchsorted(self.offsets, rows, side="right") - 1
        for number in sorted(set(owner.tolist())):
            try:
                self.segments[number].check_rows(set((rows[owner == number] - self.offsets[number]).tolist()))
            except IndexCorruptError as error:
                raise DamagedSegmentError(str(error), number) from error

    def _ranked(self, found: Found, planned: Plan, matching: int) -> Ranked:
        estimate = found.estimate
        certificate = Certificate(
            plan=planned.kind,
            reason=planned.reason,
            rows=len(self),
            matching=matching,
            lists=found.lists,
            all_lists=0 if estimate is None else self._lists,
            codes=found.codes,
            scored=found.scored,
            recall=1.0 if estimate is None else estimate.recall,
            recall_low=1.0 if estimate is None else estimate.low,
            recall_high=1.0 if estimate is None else estimate.high,
        )
        return Ranked(found.rows, found.scores, certificate)

    def _plan(self, selections: Sequence[Selection], matching: int, depth: int, *, recall: float, exact: bool) -> Plan:
        costs = None
        blocks = 0
        if self._trained and not exact and matching:
            vector_bytes = 2 * self.space.dim
            costs = Costs(vector_bytes, self._code_bytes)
            if costs.exact(matching) <= FIXED_BYTES or matching < self.calibration.rarest * len(self):
                costs = None  # the codes cannot be cheaper, or were not measured: do not find out where the rows lie
            else:
                blocks = sum(_blocks(selection) for selection in selections)
        return plan(rows=len(self), matching=matching, blocks=blocks, k=depth, costs=costs, calibration=self.calibration, recall=recall)

    @cached_property
    def calibration(self) -> Calibration:
        """What search settings give which recall, as measured when the index was built."""
        return Calibration.from_json(self.manifest.settings.get("search"))  # type: ignore[arg-type]

    @cached_property
    def likelihood(self) -> Likelihood | None:
        """What scores mean, as learnt when the index was built; None where it was not."""
        return Likelihood.from_json(self.manifest.settings.get("likelihood"), dim=self.space.dim)

    @cached_property
    def _trained(self) -> bool:
        return any(segment.info["index"] != "flat" for segment in self.segments)

    @cached_property
    def _code_bytes(self) -> int:
        return next(int(segment.info["code_bytes"]) for segment in self.segments if segment.info["index"] != "flat")

    @property
    def _lists(self) -> int:
        return max(index.lists for index in self._loaded.values())

    def index_of(self, number: int) -> VectorIndex:
        """Return one segment's index, loaded once."""
        if number not in self._loaded:
            segment = self.segments[number]
            kind = plugin("vidsearch.indexes", segment.info["index"])
            template = self._template(segment.info.get("template"), segment.info["index"])
            try:
                self._loaded[number] = kind.load(segment, segment.vectors, template)
            except IndexCorruptError as error:
                raise DamagedSegmentError(str(error), number) from error
        return self._loaded[number]

    def _template(self, name: str | None, kind: str) -> Any:
        if name is None:
            return None
        if name not in self._templates:
            self._templates[name] = plugin("vidsearch.indexes", kind).load_template(read_template(self.root, name))
        return self._templates[name]

    def take(self, rows: Rows | Sequence[int], columns: Sequence[str] | None = None) -> list[dict[str, Any]]:
        """Return what is written in some rows, in their order; a column that a row's segment lacks is None."""
        rows = np.asarray(rows, dtype=np.int64)
        if len(rows) and not (rows.min() >= 0 and rows.max() < self.slots):
            raise UsageError(f"row numbers {rows.min()} to {rows.max()} must lie within 0 to {self.slots - 1}")
        names = list(columns) if columns is not None else self.schema.names
        taken: list[dict[str, Any]] = [{} for _ in rows]
        owner = np.searchsorted(self.offsets, rows, side="right") - 1
        for number in sorted(set(owner.tolist())):  # np.unique imports numpy.ma: a tenth of a second of a cold query
            places = np.flatnonzero(owner == number)
            for place, values in zip(places.tolist(), self.segments[number].take(rows[places] - self.offsets[number], names), strict=True):
                taken[place] = values
        return taken

    def vectors_of(self, rows: Rows | Sequence[int]) -> Vectors:
        """Return stored vectors (m, dim) float32 by row number, in that order."""
        rows = np.asarray(rows, dtype=np.int64)
        self._check_rows(rows)
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
        self.check()
        for number, segment in enumerate(self.segments):
            found = segment.rows_of("clip_id", clip_id) & self.alive[number]
            if found.count:
                return int(self.offsets[number]) + int(found.ids[0])
        raise QueryError(f"no clip {clip_id!r} in {self.root}; clip ids are the first column of `vidsearch query --format ids`")

    def rows_of(self, clip_ids: Sequence[str]) -> Rows:
        """Return the rows of clips (m,), in their order, each once; ids that no clip has are passed over."""
        self.check()
        names = list(dict.fromkeys(clip_ids))
        rows = np.full(len(names), -1, dtype=np.int64)
        for number, found in enumerate(find(self.segments, "clip_id", names)):
            places = np.flatnonzero(found >= 0)
            places = places[self.alive[number].mask[found[places]]]
            rows[places] = found[places] + self.offsets[number]
        return rows[rows >= 0]

    def read_columns(self, names: Sequence[str]) -> Iterator[pa.Table]:
        """Yield those columns, a table a segment, with one schema for all; deleted rows included."""
        self.check()
        schema = pa.schema([self.schema.field(name) for name in names])
        for segment in self.segments:
            present = [name for name in names if name in segment.schema.names]
            table = segment.read_columns(present)
            for name in names:
                if name not in present:
                    table = table.append_column(schema.field(name), pa.nulls(segment.rows, schema.field(name).type))
            yield table.select(list(names)).cast(schema)


def _blocks(selection: Selection) -> int:
    """Return how many blocks of codes hold a row that passes."""
    if selection.everything:
        return -(-selection.rows // WORD_ROWS)
    if selection.listed:
        return int(np.count_nonzero(np.diff(selection.ids // np.uint32(WORD_ROWS)))) + (selection.count > 0)
    return int(np.count_nonzero(selection.words))

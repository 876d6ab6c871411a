"""The index as its users see it: open it, ask it, describe it."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from vidsearch.config import Space
from vidsearch.encoders import load_text_encoder
from vidsearch.errors import IndexCorruptError, QueryError
from vidsearch.indexes.base import SearchSettings, VectorIndex
from vidsearch.planner import Plan, plan
from vidsearch.query import Query, Vector, compose
from vidsearch.registry import plugin
from vidsearch.results import CORE_COLUMNS, Hit, Hits
from vidsearch.storage import manifest as manifests
from vidsearch.storage.segment import Segment, open_segment

if TYPE_CHECKING:
    from vidsearch.encoders.base import TextEncoder
    from vidsearch.filters.parse import Filter

log = logging.getLogger(__name__)

Mask = npt.NDArray[np.bool_]  # (rows of one segment,)


def open_index(path: str | Path, *, model: str | Path | None = None) -> Index:
    """Open an index folder, or the folder whose `index` folder it is.

    Cheap: vectors are memory-mapped, and the model is loaded with the first text.

    Args:
        path: the index.
        model: where the query side finds its weights, if not where the index remembers them.

    Raises:
        NotAnIndexError: no index there.
        IndexCorruptError: its newest manifest cannot be trusted.
        FormatVersionError: a newer vidsearch wrote it.
    """
    root = Path(path)
    if not manifests.exists(root) and manifests.exists(root / "index"):
        root = root / "index"
    return Index(root, model=model)


class Index:
    """One version of an index, as the manifest named it when it was opened."""

    def __init__(self, root: Path, *, model: str | Path | None = None) -> None:
        self.root = root
        self.manifest = manifests.read(root)
        self.model = model
        self.segments: list[Segment] = []
        skipped = []
        for reference in self.manifest.segments:
            try:
                self.segments.append(open_segment(root, reference))
            except IndexCorruptError as error:
                skipped.append(f"segment {reference.uuid} with {reference.rows:,} clips left out: {error}")
        self.skipped = tuple(skipped)
        self._loaded: dict[int, VectorIndex] = {}

    def __len__(self) -> int:
        return sum(segment.rows for segment in self.segments)

    def __repr__(self) -> str:
        return f"Index({str(self.root)!r}, {len(self):,} clips, {self.space.model})"

    @property
    def space(self) -> Space:
        return self.manifest.space

    @property
    def size_bytes(self) -> int:
        """Bytes of everything in the index's folder, older versions included."""
        return sum(path.stat().st_size for path in self.root.rglob("*") if path.is_file())

    @cached_property
    def schema(self) -> pa.Schema:
        """All columns of all segments; a segment that lacks one has nulls there."""
        return pa.unify_schemas([segment.schema for segment in self.segments], promote_options="permissive")

    @cached_property
    def encoder(self) -> TextEncoder:
        """The text side of the model that made this index, without torch where the model allows."""
        return load_text_encoder(self.space, self.model)

    def search(
        self,
        text: str | None = None,
        *,
        k: int = 10,
        where: str | None = None,
        like: str | None = None,
        exclude: Sequence[str] = (),
        vector: Vector | None = None,
    ) -> Hits:
        """Return the k clips nearest to what is described, among those that pass the filter.

            index.search("a dog surfing", k=5, where="language = 'en' and aesthetic > 5")

        Args:
            text: a sentence.
            k: 1 to 1000.
            where: SQL WHERE syntax over the columns of `schema`, applied before the vectors are compared.
            like: the id of a clip to resemble.
            exclude: sentences to move away from.
            vector: (dim,) float32, in place of or beside the text.

        Raises:
            QueryError, FilterError: the question cannot be asked.
            SpaceMismatchError: the model at hand is not the one that made the index.
        """
        query = Query(text, like, vector, tuple(exclude), k, where)
        timings: dict[str, float] = {}
        with _stage(timings, "filter"):
            masks = self._masks(where)
            matching = len(self) if masks is None else int(sum(mask.sum() for mask in masks))
        chosen = plan(rows=len(self), matching=matching, k=k, trained=any(s.info["index"] != "flat" for s in self.segments))
        if chosen.kind == "none":
            return Hits((), len(self), matching, chosen.reason, timings, self.skipped)
        with _stage(timings, "encode"):
            wanted = compose(query, dim=self.space.dim, encode=self._encode, vector_of=self.vector_of)
        with _stage(timings, "search"):
            found = self._nearest(wanted, k, masks, chosen)
        with _stage(timings, "fetch"):
            hits = self._fetch(found)
        return Hits(hits, len(self), matching, chosen.reason, timings, self.skipped)

    def vector_of(self, clip_id: str) -> Vector:
        """Return the unit vector (dim,) float32 of one clip."""
        for segment in self.segments:
            ids = segment.read_columns(["clip_id"])["clip_id"].to_pylist()
            if clip_id in ids:
                return np.asarray(segment.vectors[ids.index(clip_id)], dtype=np.float32)
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

    def _encode(self, texts: Sequence[str]) -> Vector:
        return self.encoder.encode_texts(texts)

    def _masks(self, where: str | None) -> list[Mask] | None:
        if where is None:
            return None
        from vidsearch.filters.evaluate import evaluate  # the parser is loaded only when there is something to parse
        from vidsearch.filters.parse import parse

        if not self.segments:
            return []
        condition: Filter = parse(where, self.schema)
        return [evaluate(condition, table) for table in self.read_columns(sorted(condition.columns))]

    def _nearest(self, wanted: Vector, k: int, masks: list[Mask] | None, chosen: Plan) -> list[tuple[float, int, int]]:
        """Return the k best as (score, segment, row), best first."""
        found = []
        for number, segment in enumerate(self.segments):
            mask = None if masks is None else masks[number]
            if mask is not None and not mask.any():
                continue
            index = self._index(number, exact=chosen.kind == "exact")
            settings = SearchSettings(nprobe=max(1, math.ceil(chosen.probed_share * index.lists)), rerank=max(k, chosen.rerank))
            scores, rows = index.search(wanted[None], min(k, segment.rows), allowed=mask, settings=settings)
            found += [(float(score), number, int(row)) for score, row in zip(scores[0], rows[0], strict=True) if row >= 0]
        return sorted(found, key=lambda hit: (-hit[0], hit[1], hit[2]))[:k]

    def _index(self, number: int, *, exact: bool) -> VectorIndex:
        segment = self.segments[number]
        kind = "flat" if exact else segment.info["index"]
        if kind == "flat":
            loaded: VectorIndex = plugin("vidsearch.indexes", "flat").load(b"", segment.vectors)
            return loaded
        if number not in self._loaded:
            self._loaded[number] = plugin("vidsearch.indexes", kind).load(segment.index_bytes(), segment.vectors)
        return self._loaded[number]

    def _fetch(self, found: list[tuple[float, int, int]]) -> tuple[Hit, ...]:
        rows: dict[tuple[int, int], dict[str, Any]] = {}
        for number in {segment for _, segment, _ in found}:
            wanted = [row for _, segment, row in found if segment == number]
            table = self.segments[number].take(np.array(wanted))
            rows.update(zip(((number, row) for row in wanted), table.to_pylist(), strict=True))
        return tuple(_hit(rank, score, rows[number, row]) for rank, (score, number, row) in enumerate(found, 1))


def _hit(rank: int, score: float, row: dict[str, Any]) -> Hit:
    core = {name: row.pop(name, None) for name in CORE_COLUMNS}
    return Hit(rank=rank, score=score, **core, metadata=row)


@contextmanager
def _stage(timings: dict[str, float], name: str) -> Iterator[None]:
    started = time.perf_counter()
    yield
    timings[name] = round((time.perf_counter() - started) * 1000, 3)

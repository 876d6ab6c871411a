"""What an export was made of, so that it can be made again: FILE.recipe.json beside FILE, and in the metadata of a Parquet file."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from vidsearch._version import __version__
from vidsearch.curate.export import Exported, Scores, Sink, Stamp, export_rows, export_schema, new_file, open_sink, refuse_existing
from vidsearch.curate.scan import draw_rows, row_blocks
from vidsearch.engine import Index
from vidsearch.errors import InputNotFoundError, UsageError
from vidsearch.query import Query
from vidsearch.storage import files, seal
from vidsearch.storage.manifest import MANIFESTS

RECIPE_VERSION = 1
MAX_BYTES = 1 << 28  # of a recipe in an archive
SUFFIX = ".recipe.json"
METADATA = "vidsearch.recipe"  # its key in a Parquet file
FORMATS = ("parquet", "csv", "jsonl", "webdataset", "ids", "internvid")
UNFIT = ("then", "group", "sort", "cursor", "diverse")  # fields of a query that shape a page, not a subset


@dataclass(frozen=True)
class Subset:
    """Which clips to export.

    Attributes:
        query: ranks them; its `k` has no meaning here. None takes all that pass the filter, in the order of their rows.
        where: the filter, when there is no query.
        ids: only these clips, in this order when there is no query; those that the index does not have are passed over.
        top: so many of the best; None takes all that reach the query's `min_score`.
        sample: so many, drawn at random from what would be exported; they keep its order.
        seed: of the sample.
    """

    query: Query | None = None
    where: str | None = None
    top: int | None = None
    sample: int | None = None
    seed: int = 0
    ids: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        for name, value in (("top", self.top), ("sample", self.sample)):
            if value is not None and value < 1:
                raise UsageError(f"{name} is {value}; it must be 1 or more")
        if self.query is None:
            if self.top is not None:
                raise UsageError("top needs a query to rank by; draw from a filter's rows with sample")
            return
        for name in UNFIT:
            if getattr(self.query, name) not in ((), None):
                raise UsageError(f"{name} shapes a page of hits; it has no meaning for an export")
        if self.query.within is not None:
            raise UsageError("within names rows of one version of the index; name the clips with ids, which every version has")
        if self.top is None and self.query.min_score is None:
            raise UsageError("a query ranks every clip that passes; say how many with top, or from which score on with min-score")

    def to_json(self) -> dict[str, Any]:
        """Return what differs from the defaults."""
        query = None if self.query is None else {name: value for name, value in self.query.to_json().items() if name != "k"}
        ids = None if self.ids is None else list(self.ids)
        values = {"query": query, "where": self.where, "top": self.top, "sample": self.sample, "ids": ids}
        return {name: value for name, value in values.items() if value is not None} | {"seed": self.seed}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Subset:
        query = None if values.get("query") is None else Query.from_json(values["query"])
        where, top, sample, seed = (values.get(name) for name in ("where", "top", "sample", "seed"))
        if not (isinstance(where, str | None) and isinstance(top, int | None) and isinstance(sample, int | None) and isinstance(seed, int)):
            raise UsageError("a subset holds a query, where (text), top, sample and seed (whole numbers)")
        ids = values.get("ids")
        if not (ids is None or (isinstance(ids, list) and all(isinstance(name, str) for name in ids))):
            raise UsageError("the ids of a subset are a list of texts")
        return cls(query, where, top, sample, seed, None if ids is None else tuple(ids))


@dataclass(frozen=True)
class Recipe:
    """An export, and what it was made of.

    Attributes:
        subset: what was asked for.
        format: of the file.
        index: {"path", "uuid", "version", "manifest_sha256"}: which version of which index.
        space: {"id", "model"}: the fingerprint of the model that made the vectors, and its name.
        rows, ids_sha256: what was written: number of clips, and SHA-256 of their ids in order, a line each.
        vidsearch: the version that wrote it.
    """

    subset: Subset
    format: str
    index: dict[str, Any]
    space: dict[str, str]
    rows: int
    ids_sha256: str
    vidsearch: str

    def to_json(self) -> dict[str, Any]:
        """Return the object that stands in the file."""
        described = {"subset": self.subset.to_json(), "format": self.format, "index": self.index, "space": self.space}
        return {"recipe": RECIPE_VERSION, "vidsearch": self.vidsearch, **described, "rows": self.rows, "ids_sha256": self.ids_sha256}


def export(index: Index, subset: Subset, path: Path, form: str, *, media_root: Path | None = None) -> tuple[Exported, Recipe]:
    """Write a subset of the clips to a file, and its recipe beside it.

    Args:
        index: what is exported from; a model is loaded only when the query has texts.
        subset: which clips.
        path: the file; for "webdataset" its shards are NAME-000000.tar and so on.
        form: one of FORMATS.
        media_root: folder of the video files, for "webdataset".
    """
    refuse_existing(recipe_path(path))
    media: dict[str, int] = {}
    written: list[Recipe] = []
    schema = export_schema(index, scored=subset.query is not None)
    with _open(path, form, schema, media_root, media, lambda: {METADATA: text_of(written[0])}) as sink:
        done = export_rows(index, chosen_rows(index, subset), sink)
        space = {"id": index.space.id, "model": index.space.model}
        written.append(Recipe(subset, form, _identity(index), space, done.rows, done.ids_sha256, __version__))
    done.media = media
    with new_file(recipe_path(path)) as file:
        file.write(text_of(written[0]).encode())
    return done, written[0]


def text_of(recipe: Recipe) -> str:
    """Return what stands in a recipe's file."""
    return json.dumps(recipe.to_json(), indent=2, ensure_ascii=False) + "\n"


def _open(path: Path, form: str, schema: Any, media_root: Path | None, media: dict[str, int], stamp: Stamp) -> AbstractContextManager[Sink]:
    if form == "webdataset":
        from vidsearch.curate.webdataset import open_shards

        return open_shards(path, media_root=media_root, media=media)
    if form == "internvid":
        from vidsearch.curate.internvid import open_lines

        return open_lines(path, media=media)
    return open_sink(path, form, schema, stamp=stamp)


def chosen_rows(index: Index, subset: Subset) -> Iterator[tuple[Any, Scores | None]]:
    """Yield the rows of a subset in order, with scores where there is a query."""
    named = None if subset.ids is None else index.rows_of(subset.ids)
    if subset.query is not None:
        rows, scores = index.rank(replace(subset.query, exact=True, within=named), subset.top)
        kept = _drawn(len(rows), subset)
        yield rows[kept], scores[kept]
    elif named is not None:
        rows = named[np.concatenate([selection.mask for selection in index.select(subset.where)])[named]] if len(named) else named
        yield rows[_drawn(len(rows), subset)], None
    elif subset.sample is not None:
        yield draw_rows(index, index.select(subset.where), subset.sample, seed=subset.seed), None
    else:
        for rows in row_blocks(index, index.select(subset.where)):
            yield rows, None


def _drawn(count: int, subset: Subset) -> Any:
    """Return the places of the rows that are drawn, in order; all where there is no sample."""
    if subset.sample is None:
        return slice(None)
    return np.sort(np.random.default_rng(subset.seed).choice(count, size=min(subset.sample, count), replace=False))


def recipe_path(path: Path) -> Path:
    """Return where the recipe of an export lies."""
    return path.with_name(path.name + SUFFIX)


def read_recipe(path: Path) -> Recipe:
    """Read a recipe, from its own file, or from a Parquet file or a ZIP archive that holds it.

    One that is damaged, or of a newer vidsearch, raises UsageError.
    """
    if not path.is_file():
        raise InputNotFoundError(f"no recipe {path}")
    try:
        values = json.loads(_recipe_text(path))
        if values["recipe"] != RECIPE_VERSION:
            raise UsageError(f"{path}: recipe version {values['recipe']!r}, this vidsearch reads {RECIPE_VERSION}; upgrade vidsearch")
        subset = Subset.from_json(values["subset"])
        rest = {name: values[name] for name in ("format", "index", "space", "rows", "ids_sha256", "vidsearch")}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, zipfile.BadZipFile) as error:
        if isinstance(error, UsageError):
            raise
        raise UsageError(f"{path} is not a recipe of `vidsearch export`, nor holds one ({error!r:.100})") from error
    return Recipe(subset, **rest)


def _recipe_text(path: Path) -> bytes:
    with path.open("rb") as file:
        start = file.read(4)
    if start == b"PAR1":
        import pyarrow.parquet as pq

        found: bytes = (pq.read_metadata(path).metadata or {})[METADATA.encode()]
        return found
    if start[:2] == b"PK":
        with zipfile.ZipFile(path) as archive:
            (name,) = (name for name in archive.namelist() if name.endswith(SUFFIX))
            if archive.getinfo(name).file_size > MAX_BYTES:
                raise UsageError(f"{path}: its recipe has more than {MAX_BYTES:,} bytes")
            return archive.read(name)
    return path.read_bytes()


def differences(recipe: Recipe, index: Index) -> list[str]:
    """Return in what an index is not the one that the recipe was written for, a line each."""
    found = _identity(index)
    told = []
    if recipe.index.get("uuid") != found["uuid"]:
        told.append(f"the recipe was written for another index, {recipe.index.get('path')}")
    elif recipe.index.get("manifest_sha256") != found["manifest_sha256"]:
        told.append(f"the index is at version {found['version']}, the recipe was written at {recipe.index.get('version')}")
    if recipe.space.get("id") != index.space.id:
        told.append(f"the vectors are of {index.space.model}, the recipe was written with those of {recipe.space.get('model')}")
    return told


def _identity(index: Index) -> dict[str, Any]:
    version = index.manifest.version
    return {
        "path": str(index.root.resolve()),
        "uuid": seal.read_sealed(index.root / "FORMAT").get("index_uuid"),
        "version": version,
        "manifest_sha256": files.digest(index.root / MANIFESTS / f"{version:012d}.json").sha256,
    }

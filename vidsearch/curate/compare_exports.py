"""Which clips two exports have in common, and which only one of them has."""

from __future__ import annotations

import csv
import json
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from vidsearch.curate.recipe import SUFFIX, read_recipe
from vidsearch.curate.webdataset import shard_name
from vidsearch.errors import InputNotFoundError, UsageError

Ids = dict[str, None]  # in order, each once


@dataclass(frozen=True)
class Difference:
    """Clip ids by where they are, each list in the order of its file."""

    only_a: list[str]
    only_b: list[str]
    both: list[str]
    reordered: bool  # those in both come in another order


def compare_exports(a: Path, b: Path) -> Difference:
    """Compare two exports by clip id; each may be any file that `vidsearch export` writes, its recipe, or a text file with an id a line."""
    first, second = dict.fromkeys(read_ids(a)), dict.fromkeys(read_ids(b))
    both = [name for name in first if name in second]
    return Difference(
        [name for name in first if name not in second],
        [name for name in second if name not in first],
        both,
        both != [name for name in second if name in first],
    )


def read_ids(path: Path) -> Iterator[str]:
    """Yield the clip ids of an export in order."""
    if path.name.endswith(SUFFIX):
        read_recipe(path)
        yield from read_ids(path.with_name(path.name.removesuffix(SUFFIX)))
        return
    shards = [path] if path.is_file() else _shards(path)
    if not shards:
        raise InputNotFoundError(f"no file {path}")
    readers = {".parquet": _parquet, ".csv": _csv, ".jsonl": _jsonl, ".tar": _tar}
    read = _tar if shards != [path] else readers.get(path.suffix, _lines)
    for shard in shards:
        try:
            yield from read(shard)
        except (KeyError, ValueError, TypeError, csv.Error, pa.ArrowException, tarfile.TarError, OSError) as error:
            raise UsageError(f"{shard} has no clip ids to compare ({error!r:.100})") from error


def _shards(path: Path) -> list[Path]:
    shards: list[Path] = []
    while (shard := shard_name(path, len(shards))).is_file():
        shards.append(shard)
    return shards


def _parquet(path: Path) -> Iterator[str]:
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(columns=["clip_id"], use_threads=False):
            yield from batch["clip_id"].to_pylist()


def _csv(path: Path) -> Iterator[str]:
    with path.open(newline="", encoding="utf-8") as file:
        yield from (row["clip_id"] for row in csv.DictReader(file))


def _jsonl(path: Path) -> Iterator[str]:
    with path.open(encoding="utf-8") as lines:
        yield from (json.loads(line)["clip_id"] for line in lines if line.strip())


def _tar(path: Path) -> Iterator[str]:
    with tarfile.open(path, "r:") as tar:
        for entry in tar:
            if entry.name.endswith(".json") and (file := tar.extractfile(entry)) is not None:
                yield json.loads(file.read())["clip_id"]


def _lines(path: Path) -> Iterator[str]:
    with path.open(encoding="utf-8") as lines:
        yield from (line.rstrip("\n") for line in lines if line.strip())

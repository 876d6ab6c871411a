"""Rows of a corpus → a file for other programs, written a few thousand rows at a time and whole or not at all."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import math
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from vidsearch.corpus import Corpus, Rows
from vidsearch.errors import UsageError
from vidsearch.storage import files

ROWS_AT_ONCE = 8192

Scores = npt.NDArray[np.float32]
Records = Sequence[dict[str, Any]]
Sink = Callable[[Records], None]  # takes the next rows


class Output(Protocol):
    """Where bytes are written to, one after the other."""

    def write(self, data: bytes) -> Any: ...


Stamp = Callable[[], dict[str, str]]  # what a file says of itself, asked for when all rows are written


@dataclass
class Exported:
    """What an export has written.

    Attributes:
        rows: number of clips.
        ids_sha256: of their ids in order, a line each.
        media: what became of the video files, counted; only where these were asked for.
    """

    rows: int = 0
    ids_sha256: str = ""
    media: dict[str, int] = field(default_factory=dict)


def export_rows(corpus: Corpus, rows: Iterable[tuple[Rows, Scores | None]], sink: Sink) -> Exported:
    """Give rows to a sink in their order, with rank and score before their columns where they have a score.

    Args:
        corpus: what they are rows of.
        rows: row numbers and scores, in parts of any size.
        sink: what `open_sink` yields.
    """
    done = Exported()
    digest = hashlib.sha256()
    for records in records_of(corpus, rows):
        sink(records)
        digest.update("".join(f"{record['clip_id']}\n" for record in records).encode())
        done.rows += len(records)
    done.ids_sha256 = digest.hexdigest()
    return done


def records_of(corpus: Corpus, rows: Iterable[tuple[Rows, Scores | None]]) -> Iterator[Records]:
    """Yield what is written in rows, a few thousand at a time; as `export_rows` gives it to a sink."""
    done = 0
    for part, scores in rows:
        for start in range(0, len(part), ROWS_AT_ONCE):
            records = corpus.take(part[start : start + ROWS_AT_ONCE])
            if scores is not None:
                rank_name, score_name = score_columns(corpus)
                records = [
                    {rank_name: done + place, score_name: float(score), **record}
                    for place, (score, record) in enumerate(zip(scores[start : start + ROWS_AT_ONCE], records, strict=True), 1)
                ]
            yield records
            done += len(records)


def score_columns(corpus: Corpus) -> tuple[str, str]:
    """Return the names under which rank and score are written: others where the clips have columns of these names."""
    taken = corpus.schema.names if len(corpus) else []
    return ("query_rank", "query_score") if {"rank", "score"} & set(taken) else ("rank", "score")


def export_schema(corpus: Corpus, *, scored: bool) -> pa.Schema:
    """Return the columns of an export and their types."""
    own = list(corpus.schema) if len(corpus) else [pa.field("clip_id", pa.string())]
    scores = list(zip(score_columns(corpus), (pa.int64(), pa.float32()), strict=True))
    return pa.schema([*(scores if scored else []), *own])


def open_sink(path: Path, form: str, schema: pa.Schema, *, stamp: Stamp = dict) -> AbstractContextManager[Sink]:
    """Open a file that must not be there yet, and give what writes rows to it; it has its name only when the block has ended well.

    Args:
        path: the file.
        form: "parquet", "csv", "jsonl" or "ids".
        schema: columns of the rows.
        stamp: gives the file's metadata, for "parquet", which alone has a place for it.
    """
    _check_form(form)
    return _in_new_file(path, form, schema, stamp)


@contextmanager
def _in_new_file(path: Path, form: str, schema: pa.Schema, stamp: Stamp) -> Iterator[Sink]:
    with new_file(path) as file, sink_into(file, form, schema, stamp=stamp) as sink:
        yield sink


def sink_into(file: Output, form: str, schema: pa.Schema, *, stamp: Stamp = dict) -> AbstractContextManager[Sink]:
    """Give what writes rows to an open file, as `open_sink` does; the file is whole when the block has ended."""
    _check_form(form)
    return _parquet(file, schema, stamp) if form == "parquet" else _LINES[form](file, schema)


def _check_form(form: str) -> None:
    if form != "parquet" and form not in _LINES:
        raise UsageError(f"unknown format {form!r}; choose from parquet, {', '.join(_LINES)}")


def write_table(table: pa.Table, path: Path, form: str) -> None:
    """Write a table as "parquet", "csv" or "jsonl"."""
    with open_sink(path, form, table.schema) as sink:
        for batch in table.to_batches(ROWS_AT_ONCE):
            sink(batch.to_pylist())


@contextmanager
def new_file(path: Path) -> Iterator[files.Writer]:
    """Yield what writes a file that is there, whole and durable, only when the block has ended well."""
    refuse_existing(path)
    temporary = path.with_name(f".{path.name[:80]}.{uuid.uuid4().hex}.tmp")
    try:
        with files.create(temporary) as writer:
            yield writer
        temporary.replace(path)
        files.sync_folder(path.parent)
    finally:
        files.remove(temporary)


def refuse_existing(path: Path) -> None:
    if path.exists() or path.is_symlink():
        raise UsageError(f"{path} is there already; choose another name or delete it first")
    if not path.parent.is_dir():
        raise UsageError(f"no folder {path.parent} to write {path.name} into")


@contextmanager
def _parquet(file: Output, schema: pa.Schema, stamp: Stamp) -> Iterator[Sink]:
    import pyarrow.parquet as pq

    with pq.ParquetWriter(file, schema, compression="zstd") as writer:
        yield lambda records: writer.write_table(pa.Table.from_pylist(list(records), schema=schema))
        writer.add_key_value_metadata(stamp())


@contextmanager
def _csv(file: Output, schema: pa.Schema) -> Iterator[Sink]:
    def write(records: Records) -> None:
        text = io.StringIO(newline="")
        csv.DictWriter(text, fieldnames=schema.names, lineterminator="\n").writerows(records)
        file.write(text.getvalue().encode())

    write([dict(zip(schema.names, schema.names, strict=True))])
    yield write


@contextmanager
def _jsonl(file: Output, schema: pa.Schema) -> Iterator[Sink]:
    del schema
    yield lambda records: _write_lines(file, (json_of(record) for record in records))


@contextmanager
def _ids(file: Output, schema: pa.Schema) -> Iterator[Sink]:
    del schema
    yield lambda records: _write_lines(file, (str(record["clip_id"]) for record in records))


_LINES: dict[str, Callable[[Output, pa.Schema], AbstractContextManager[Sink]]] = {"csv": _csv, "jsonl": _jsonl, "ids": _ids}


def _write_lines(file: Output, lines: Iterable[str]) -> None:
    file.write("".join(f"{line}\n" for line in lines).encode())


def json_of(record: dict[str, Any]) -> str:
    """Return one line of JSON; NaN and infinity, which JSON lacks, are null."""
    plain = {name: None if isinstance(value, float) and not math.isfinite(value) else value for name, value in record.items()}
    return json.dumps(plain, ensure_ascii=False, default=str)

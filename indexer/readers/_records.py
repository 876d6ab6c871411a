"""Files of rows in any format that is understood, compressed or not: which reader reads them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import chain
from pathlib import Path

from indexer.readers._csv import header_of, read_csv
from indexer.readers._json_array import as_lines, is_array
from indexer.readers._json_lines import read_json_lines
from indexer.readers._parquet import open_parquet, read_parquet
from indexer.readers._raw import Raw, no_rows
from indexer.readers._streams import COMPRESSIONS, CutShort, format_of, read_chunks
from vidsearch.errors import UsageError

HEAD_BYTES = 1 << 16
HEAD_LINES = 8
Formats = dict[str, Callable[[Path], Iterator[Raw]]]


def _read_json(path: Path) -> Iterator[Raw]:
    chunks = read_chunks(path)
    head = next(chunks, b"")
    whole = chain([head], chunks)
    yield from read_json_lines(as_lines(whole) if is_array(head[:HEAD_BYTES]) else whole)


def _read_csv(path: Path) -> Iterator[Raw]:
    return read_csv(read_chunks(path), path.name)


TEXTS: Formats = {".jsonl": _read_json, ".ndjson": _read_json, ".json": _read_json, ".csv": _read_csv, ".tsv": _read_csv}
FORMATS: Formats = {**TEXTS, ".parquet": read_parquet}
ENDINGS = (*FORMATS, *(suffix + compression for suffix in TEXTS for compression in COMPRESSIONS))
UNDERSTOOD = f"{', '.join(FORMATS)} (all but the last also {' or '.join(COMPRESSIONS)})"


def is_format(path: Path) -> bool:
    """Whether the name of a file ends as those of rows do."""
    suffix, compression = format_of(path)
    return suffix in (FORMATS if compression is None else TEXTS)


def read_raw(path: Path) -> Iterator[Raw]:
    """Yield the rows of a file, block by block; where it is damaged, its last fault says that the rest is missing."""
    if not is_format(path):
        raise UsageError(f"{path.name} is not understood; choose from {UNDERSTOOD}")
    number = 0
    blocks = FORMATS[format_of(path)[0]](path)
    while True:
        try:
            raw = next(blocks, None)
        except CutShort as error:
            yield no_rows((number + 1, f"the rest of the file is missing: {error}"))
            return
        if raw is None:
            return
        number = max([number, *raw.numbers[-1:].tolist(), *(at for at, _ in raw.faults)])
        yield raw


def column_names(path: Path) -> list[str]:
    """Return the columns of a file's first rows, looking at its first bytes only.

    Raises:
        UsageError: it is damaged from the start.
    """
    suffix, _ = format_of(path)
    if suffix == ".parquet":
        with open_parquet(path) as file:
            return list(file.schema_arrow.names)
    try:
        head = next(read_chunks(path, HEAD_BYTES), b"")
    except CutShort as error:
        raise UsageError(f"{path}: {error}") from error
    if FORMATS[suffix] is _read_csv:
        return header_of(head.partition(b"\n")[0], path.name)[0] if head else []
    return _json_names(b"".join(_whole(as_lines([head]))) if is_array(head) else head)


def _json_names(lines: bytes) -> list[str]:
    """Return the keys of the first records; a line that is none, such as one that the end of the head cuts in two, has none."""
    found: dict[str, None] = {}
    for line in lines.split(b"\n", HEAD_LINES)[:HEAD_LINES]:
        try:
            record = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(record, dict):
            found |= dict.fromkeys(record)
    return list(found)


def _whole(blocks: Iterator[bytes]) -> Iterator[bytes]:
    """Yield what there is of a stream that is cut short."""
    with suppress(CutShort):
        yield from blocks

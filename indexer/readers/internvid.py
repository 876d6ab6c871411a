"""Rows of InternVid, and of any other data set that names videos by an id or a path: JSON lines, a JSON array, CSV or Parquet.

Names of fields, of files and their odd cases: OpenGVLab/InternVideo, Data/InternVid, and the parsers people published for it. Everything
is done for whole columns; `_places.py` says where clips lie, `_values.py` what columns are called.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from indexer.readers._paths import Paths
from indexer.readers._places import Found, Places, Rows, Wanted
from indexer.readers._raw import Raw
from indexer.readers._records import UNDERSTOOD, column_names, is_format, read_raw
from indexer.readers._streams import format_of
from indexer.readers._times import Seconds, key_parts, parse_times
from indexer.readers._values import (
    COLUMN_OF,
    NUMBERS,
    PLACED,
    RESERVED,
    TEXTS,
    CsvTypes,
    Wrong,
    known_columns,
    numbers,
    row_numbers,
    texts,
)
from indexer.readers._video_files import VideoFiles
from indexer.readers.base import PLACE_SCHEMA, BadRow, Block
from vidsearch.errors import InputNotFoundError

__all__ = ["COLUMN_OF", "NUMBERS", "RESERVED", "UNDERSTOOD", "read", "read_all", "recognises"]

BLOCK_ROWS = 16_384


def recognises(path: Path) -> bool:
    """Whether the rows of a file name videos, by an id or a path, with captions or times.

    Raises:
        UsageError: the file is one of rows by its name, and is damaged from the start.
    """
    if not path.is_file() or not is_format(path):
        return False
    known = set(known_columns(column_names(path)).values())
    return bool(known & {"youtube_id", "path"}) and bool(known & {"caption", "start"})


def read(path: Path, videos: Path) -> Iterator[Block]:
    return read_all([path], videos)


def read_all(paths: Sequence[Path], videos: Path) -> Iterator[Block]:
    """Yield the rows of several files whose videos lie in one folder, which is listed once at most."""
    files, resolver = VideoFiles(videos), Paths(videos)
    for path in paths:
        if not path.is_file():
            raise InputNotFoundError(f"no metadata file {path}; give one with the suffix {UNDERSTOOD}")
        reader = _Reader(path, Places(files, resolver, path, alone=len(paths) == 1))
        for raw in read_raw(path):
            yield from reader.blocks(raw)


class _Reader:
    """One file of rows on its way to blocks."""

    def __init__(self, path: Path, places: Places) -> None:
        self.path, self.places = path, places
        self.guessed = CsvTypes() if format_of(path)[0] in (".csv", ".tsv") else None

    def blocks(self, raw: Raw) -> Iterator[Block]:
        bad = [_bad(f"{self.path.name}:{number}", text) for number, text in raw.faults]
        if bad:
            yield Block(PLACE_SCHEMA.empty_table(), bad)
        for first in range(0, raw.table.num_rows, BLOCK_ROWS):
            part = slice(first, first + BLOCK_ROWS)
            yield self._block(raw.table.slice(first, BLOCK_ROWS).combine_chunks(), raw.numbers[part], raw.rows[part])

    def _block(self, table: pa.Table, lines: Rows, rows: Rows) -> Block:
        wanted, metadata, wrong = self._said(table, rows)
        found = self.places.find(wanted)
        reasons = dict.fromkeys(found.escaped, "PATH_ESCAPE")
        for row in found.escaped:
            wrong[row] = f"{_at(wanted.paths, row)} lies outside the videos' folder; name it with --videos"
        videos = pc.coalesce(pa.array(found.videos, pa.string()), wanted.ids)
        for row in np.flatnonzero(videos.is_null().to_numpy(zero_copy_only=False)).tolist():
            wrong.setdefault(row, "names no video, neither by an id nor by a path")
        bad = []
        for row in sorted(wrong):
            path, place = _at(wanted.paths, row), f"{self.path.name}:{lines[row]}"
            source = f"{_at(wanted.ids, row) or path or place}@{place}"
            bad.append(_bad(place, wrong[row], source=source, video=path, reason=reasons.get(row, "METADATA_INVALID")))
        clips = _clips(wanted, found, videos, metadata)
        if wrong:
            good = np.ones(len(lines), np.bool_)
            good[list(wrong)] = False
            clips = clips.filter(pa.array(good))
        return Block(clips, bad)

    def _said(self, table: pa.Table, rows: Rows) -> tuple[Wanted, dict[str, pa.Array], Wrong]:
        """Return what rows say of their clips' places, their other columns, and what is wrong with which row."""
        called = {known: name for name, known in known_columns(table.column_names).items()}
        columns = {known: table[name].chunk(0) for known, name in called.items()}
        wrong: Wrong = {}

        def note(known: str, faults: Wrong) -> None:
            for row, text in faults.items():
                wrong.setdefault(row, f"column {called[known]!r}: {text}")

        times = []
        for name in ("start", "end"):
            seconds, faults = parse_times(columns.get(name, pa.nulls(len(table))))
            note(name, faults)
            times.append(seconds)
        metadata: dict[str, pa.Array] = {}
        for name, column in columns.items():
            if name in NUMBERS:
                metadata[name], faults = numbers(column)
                note(name, faults)
            elif name in TEXTS - PLACED:
                metadata[name] = texts(column)
            elif name not in PLACED and not pa.types.is_null(column.type):
                metadata[name] = self.guessed.typed(name, column) if self.guessed else column
        for row in np.flatnonzero(times[1] <= times[0]).tolist():
            wrong.setdefault(row, f"the clip ends at {times[1][row]:.3f} s, not after its start at {times[0][row]:.3f} s")
        ids, paths = (texts(columns.get(name, pa.nulls(len(table)))) for name in ("youtube_id", "path"))
        numbered = row_numbers(columns["row"]) if "row" in columns else None
        wanted = Wanted(
            ids=pc.if_else(pc.equal(ids, ""), None, ids),
            paths=paths if "path" in columns else None,
            captions=metadata.get("caption"),
            start_s=times[0],
            end_s=times[1],
            rows=rows if numbered is None else numbered,
            numbered=numbered is not None,
        )
        return wanted, metadata, wrong


def _clips(wanted: Wanted, found: Found, videos: pa.Array, metadata: dict[str, pa.Array]) -> pa.Table:
    """Return the columns of a block, rows that are wrong among them."""
    start_s, end_s = (_nullable(times) for times in wanted.times)
    start = pc.fill_null(start_s, 0.0)
    whole = pa.array(found.cut & found.there)
    columns = {
        "key": pc.binary_join_element_wise(
            pc.coalesce(wanted.ids, videos),
            pc.fill_null(key_parts(wanted.start_s), "0.000"),
            pc.fill_null(key_parts(wanted.end_s), "end"),
            "|",
        ),
        "video": videos,
        "there": pa.array(found.there),
        "start_s": pc.if_else(whole, 0.0, start),
        "end_s": pc.if_else(whole, None, end_s),
    }
    if wanted.ids.null_count < len(wanted.ids):
        metadata = {"youtube_id": wanted.ids, **metadata}
    if start_s.null_count < len(start_s) or end_s.null_count < len(end_s):
        metadata = {**metadata, "source_start_s": start_s, "source_end_s": end_s}
    fields = [*PLACE_SCHEMA, *(pa.field(name, column.type) for name, column in metadata.items())]
    return pa.Table.from_arrays([*columns.values(), *metadata.values()], schema=pa.schema(fields))


def _nullable(seconds: Seconds) -> pa.Array:
    return pa.array(seconds, mask=np.isnan(seconds))


def _at(texts: pa.Array | None, row: int) -> str:
    return "" if texts is None else texts[row].as_py() or ""


def _bad(place: str, text: str, *, source: str | None = None, video: str = "", reason: str = "METADATA_INVALID") -> BadRow:
    return BadRow(source or place, video, reason, f"{place}: {text}")

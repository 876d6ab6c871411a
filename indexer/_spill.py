"""Rows set aside until they are wanted: in memory while they are few, else in files, all rows of one source in the same."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from indexer.rows import concatenate

PARTS = 512  # half a million rows each of the largest data set there is
KEY = "key"  # the column that says which part a row belongs to, as `part_of` reads it; gone afterwards


class Spill:
    """Tables come in one after another; they go out part by part, whole and again and again.

    The first table alone stays in memory. When there are more, all are written to a folder that `close` removes.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._first: pa.Table | None = None
        self._spilled: set[int] = set()

    def add(self, table: pa.Table) -> None:
        """Take over some rows, at least tens of thousands if more are to come."""
        if not table.num_rows:
            return
        if self._first is None and not self._spilled:
            self._first = table
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        for part in (self._first, table):
            if part is not None:
                self._write(part)
        self._first = None

    def _write(self, table: pa.Table) -> None:
        parts = np.fromiter((part_of(key) for key in table[KEY].to_pylist()), np.uint16, count=table.num_rows)
        order = np.argsort(parts, kind="stable")
        table = table.drop_columns([KEY]).take(pa.array(order)).combine_chunks()
        starts: npt.NDArray[Any] = np.searchsorted(parts[order], np.arange(PARTS + 1))
        options = pa.ipc.IpcWriteOptions(compression="zstd")
        for number, (start, stop) in enumerate(zip(starts[:-1].tolist(), starts[1:].tolist(), strict=True)):
            if start < stop:
                with self._path(number).open("ab") as file, pa.ipc.new_stream(file, table.schema, options=options) as stream:
                    stream.write_table(table.slice(start, stop - start))
                self._spilled.add(number)

    def parts(self, columns: list[str] | None = None) -> Iterator[pa.Table]:
        """Yield all rows, those of one source together, in the order they came; only some columns, if they are named."""
        if self._first is not None:
            yield self._first if columns is None else self._first.select(columns)
        for number in sorted(self._spilled):
            yield concatenate(self._read(number, columns))

    def _read(self, number: int, columns: list[str] | None) -> Iterator[pa.Table]:
        with pa.memory_map(str(self._path(number))) as file:
            while file.tell() < file.size():
                options = None if columns is None else _only(file, columns)
                with pa.ipc.open_stream(file, options=options) as stream:
                    yield stream.read_all()

    def _path(self, number: int) -> Path:
        return self._folder / f"{number:03d}.arrows"

    def close(self) -> None:
        """Forget the rows, and remove what was written."""
        self._first = None
        for number in self._spilled:
            self._path(number).unlink(missing_ok=True)
        if self._spilled:
            self._folder.rmdir()
        self._spilled.clear()


def part_of(key: str) -> int:
    """Return the part of a clip's key: the same for all clips of a source, see `clip_key`."""
    return zlib.crc32(key.rsplit("|", 2)[0].encode(errors="surrogatepass")) % PARTS


def _only(file: Any, columns: list[str]) -> pa.ipc.IpcReadOptions:
    """Return how to read some columns of the stream that begins here, so that the others are not decompressed."""
    start = file.tell()
    schema = pa.ipc.read_schema(file)
    file.seek(start)
    return pa.ipc.IpcReadOptions(included_fields=[schema.get_field_index(name) for name in columns])

"""JSON lines: whole blocks parsed into columns, and a block that does not fit line by line, so that a broken line costs that line.

Which columns there are, and of what type, is learned from the lines parsed one by one: the fast parser is told, and refuses anything else.
So it never guesses (a caption that looks like a date stays a caption), never recurses into brackets and never makes a column per row.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.json as pj

from indexer.readers._lines import MAX_LINE_BYTES, Lines, cut_lines
from indexer.readers._raw import MAX_COLUMNS, Raw, as_text, column_of
from indexer.readers.base import is_text

LEARNED_LINES = 64  # from which the first block's columns are learned
NUMERIC = {pa.int64(), pa.float64()}

Record = dict[str, Any]


def read_json_lines(chunks: Iterable[bytes]) -> Iterator[Raw]:
    """Yield the objects of a stream of JSON lines; empty lines are none."""
    parser = _Parser()
    for lines in cut_lines(chunks):
        yield parser.parse(lines)


class _Parser:
    """What is known of the columns so far."""

    def __init__(self) -> None:
        self.columns: dict[str, pa.DataType | None] = {}  # None: nested or of unlike values, which the fast parser cannot read

    def parse(self, lines: Lines) -> Raw:
        faults = [(number, f"{size:,} bytes long; a line may have {MAX_LINE_BYTES:,}") for number, size in lines.too_long]
        if not self.columns and lines.data:
            self._line_by_line(lines.data.split(b"\n", LEARNED_LINES)[:LEARNED_LINES], lines.first)
        raw = self._at_once(lines) or self._line_by_line(lines.data.split(b"\n"), lines.first)
        raw.faults.extend(faults)
        return raw

    def _at_once(self, lines: Lines) -> Raw | None:
        """Return the rows of a block in which every line is an object of the known columns, else None."""
        if not self.columns or None in self.columns.values() or not _is_utf8(lines.data):
            return None
        try:
            table = pj.read_json(
                pa.BufferReader(lines.data),
                read_options=pj.ReadOptions(use_threads=False, block_size=len(lines.data) + 1),
                parse_options=pj.ParseOptions(explicit_schema=pa.schema(list(self.columns.items())), unexpected_field_behavior="error"),
            )
        except pa.ArrowInvalid:
            return None
        numbers = np.arange(lines.first, lines.first + lines.count)
        if len(numbers) != table.num_rows:
            filled = [bool(line.strip()) for line in lines.data.split(b"\n")]
            numbers = numbers[np.array(filled[: len(numbers)])]
        return Raw(table, numbers, numbers - 1) if len(numbers) == table.num_rows else None

    def _line_by_line(self, lines: list[bytes], first: int) -> Raw:
        records: list[Record] = []
        numbers: list[int] = []
        faults: list[tuple[int, str]] = []
        for number, line in enumerate(lines, first):
            if line.strip():
                try:
                    records.append(self._record(line))
                    numbers.append(number)
                except (ValueError, RecursionError) as error:
                    faults.append((number, f"not a JSON object ({error})"))
        table = self._table(records)
        at = np.array(numbers, np.int64)
        return Raw(table, at, at - 1, faults)

    def _record(self, line: bytes) -> Record:
        record = json.loads(line.decode())
        if not isinstance(record, dict):
            raise ValueError(f"but a {type(record).__name__}")
        unknown = record.keys() - self.columns.keys()
        if unknown:
            if not all(map(is_text, unknown)):
                return self._record(json.dumps({as_text(name): value for name, value in record.items()}).encode())
            if len(self.columns) + len(unknown) > MAX_COLUMNS:
                raise ValueError(f"the {MAX_COLUMNS + 1}th column of the file, {min(unknown)[:80]!r}; at most {MAX_COLUMNS}")
            self.columns |= dict.fromkeys((name for name in record if name in unknown), pa.null())
        return record

    def _table(self, records: list[Record]) -> pa.Table:
        columns: dict[str, pa.Array] = {}
        for name, known in self.columns.items():
            values = [record.get(name) for record in records]
            column = column_of(values)
            self.columns[name] = _wider(known, column.type, plain=_is_plain(values, column))
            columns[name] = column
        return pa.table(columns)


def _is_plain(values: list[Any], column: pa.Array) -> bool:
    """Whether the fast parser would have read these values as this column."""
    return not pa.types.is_string(column.type) or all(value is None or isinstance(value, str) for value in values)


def _wider(known: pa.DataType | None, new: pa.DataType, *, plain: bool) -> pa.DataType | None:
    """Return the type to read the next block with, after one of type `new`."""
    if not plain:  # a few odd values do not make the rest of the file slow
        return None if known == pa.null() else known
    if new == pa.null() or known == new:
        return known
    return pa.float64() if {known, new} == NUMERIC else new


def _is_utf8(data: bytes) -> bool:
    if data.isascii():
        return True
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True

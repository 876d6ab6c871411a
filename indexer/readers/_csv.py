"""CSV and TSV: blocks of whole records parsed into columns of text, and a block that does not fit record by record.

A record ends at a line feed outside quotes, so a caption may hold line feeds.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from itertools import islice

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.csv as pcsv

from indexer.readers._lines import MAX_LINE_BYTES
from indexer.readers._raw import MAX_COLUMNS, Raw
from indexer.readers.base import is_text
from vidsearch.errors import UsageError

QUOTE, LINE_FEED = b'"\n'
DELIMITERS = ",\t;|"


def read_csv(chunks: Iterable[bytes], name: str) -> Iterator[Raw]:
    """Yield the records below the header; a record that does not fit it is told with its line and column.

    Raises:
        UsageError: the header names a column twice, or is none.
    """
    header: list[str] | None = None
    delimiter, line, row = ",", 1, 0
    for block in cut_records(chunks):
        data = block
        if header is None:
            end = int(_ends(block)[0]) if len(_ends(block)) else len(block)
            header, delimiter = header_of(block[:end], name)
            line += block.count(b"\n", 0, end)
            data = block[end:]
        if data:
            raw = _at_once(data, header, delimiter, line, row) or _one_by_one(data, header, delimiter, line, row)
            yield raw
            row += len(raw.numbers) + len(raw.faults)
            line += data.count(b"\n")


def header_of(record: bytes, name: str) -> tuple[list[str], str]:
    """Return the names of the columns, and the character between them."""
    try:
        text = record.decode().rstrip("\r\n")
    except UnicodeDecodeError as error:
        raise UsageError(f"{name}:1: byte {error.start + 1} of the header is not UTF-8; save the file as UTF-8") from None
    delimiter = max(DELIMITERS, key=text.count)
    header = [column.strip() for column in next(csv.reader([text], delimiter=delimiter), [])]
    if len(header) > MAX_COLUMNS:
        raise UsageError(f"{name}:1: {len(header)} columns; at most {MAX_COLUMNS}")
    for place, column in enumerate(header):
        if column in header[:place]:
            raise UsageError(f"{name}:1: columns {header.index(column) + 1} and {place + 1} are both called {column!r}; rename one")
    return header, delimiter


def cut_records(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Yield blocks of whole records, about a chunk each; a quote that is never closed costs the lines up to the size of a record."""
    rest = b""
    for chunk in chunks:
        data = rest + chunk
        ends = _ends(data)
        end = int(ends[-1]) if len(ends) else 0
        if len(data) - end > MAX_LINE_BYTES:  # no record is as long: a stray quote is open since then
            end = data.rfind(b"\n") + 1 or len(data)
        if end:
            yield data[:end]
        rest = data[end:]
    if rest:
        yield rest


def _ends(data: bytes) -> npt.NDArray[np.int64]:
    """Return where records end: after each line feed outside quotes."""
    values = np.frombuffer(data, np.uint8)
    feeds = np.flatnonzero(values == LINE_FEED)
    quotes = np.flatnonzero(values == QUOTE)
    ends: npt.NDArray[np.int64] = feeds[np.searchsorted(quotes, feeds) % 2 == 0] + 1
    return ends


def _at_once(data: bytes, header: list[str], delimiter: str, line: int, row: int) -> Raw | None:
    """Return the records of a block in which every one fits the header, no line is empty and every quote is closed, else None."""
    ends = _ends(data)
    starts = np.concatenate([np.zeros(1, np.int64), ends])
    starts = starts[starts < len(data)]
    if (len(starts) and np.diff(starts, append=len(data)).max() > MAX_LINE_BYTES) or data.count(b'"') % 2:
        return None
    try:
        table = pcsv.read_csv(
            pa.BufferReader(data),
            read_options=pcsv.ReadOptions(use_threads=False, block_size=len(data) + 1, column_names=header),
            parse_options=pcsv.ParseOptions(delimiter=delimiter, newlines_in_values=True, ignore_empty_lines=False),
            convert_options=pcsv.ConvertOptions(
                column_types=dict.fromkeys(header, pa.string()), strings_can_be_null=True, null_values=[""], quoted_strings_can_be_null=True
            ),
        )
    except pa.ArrowInvalid:
        return None
    if table.num_rows != len(starts):
        return None
    feeds = np.flatnonzero(np.frombuffer(data, np.uint8) == LINE_FEED)
    return Raw(table, line + np.searchsorted(feeds, starts), np.arange(row, row + len(starts)))


def _one_by_one(data: bytes, header: list[str], delimiter: str, line: int, row: int) -> Raw:
    rows: list[list[str]] = []
    numbers: list[int] = []
    places: list[int] = []
    faults: list[tuple[int, str]] = []
    for place, (number, record, fault) in enumerate(_records(data, header, delimiter, line), row):
        if fault:
            faults.append((number, fault))
        else:
            rows.append(record)
            numbers.append(number)
            places.append(place)
    columns = [[record[column] or None for record in rows] for column in range(len(header))]
    table = pa.table([pa.array(values, pa.string()) for values in columns], names=header)
    return Raw(table, np.array(numbers, np.int64), np.array(places, np.int64), faults)


def _records(data: bytes, header: list[str], delimiter: str, line: int) -> Iterator[tuple[int, list[str], str | None]]:
    """Yield each record with its line and what is wrong with it; of a wrong one that spans lines only the first is given up."""
    lines = [text + "\n" for text in data.decode("utf-8", "surrogateescape").removesuffix("\n").split("\n")]
    begin = 0  # the line the next record begins with
    while begin < len(lines):
        reader, first = csv.reader(islice(lines, begin, None), delimiter=delimiter, strict=True), begin
        while True:
            try:
                record = next(reader, None)
                fault = None if record is None else _fault(record, header)
            except csv.Error as error:
                record, fault = [], str(error)
            number, begin = line + begin, first + reader.line_num
            if record is None:
                return
            if fault and begin > number - line + 1:
                begin = number - line + 1
                yield number, record, f"{fault}; is a quote not closed?"
                break
            if record or fault:
                yield number, record, fault


def _fault(record: list[str], header: list[str]) -> str | None:
    """Return what is wrong with a record, and in which column; an empty line is no record."""
    if record and len(record) != len(header):
        return f"{len(record)} columns in place of {len(header)}"
    for column, value in zip(header, record, strict=False):
        if not is_text(value):
            return f"column {column!r} is not UTF-8; save the file as UTF-8"
    return None

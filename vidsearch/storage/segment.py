"""One segment: vectors, the index over them, and the rows of metadata beside them; written once, checked whenever it is opened.

Row i of rows.parquet belongs to row i of vectors.f16 and to id i of the index.
"""

from __future__ import annotations

import hashlib
import zlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyarrow import types

from vidsearch.errors import FormatVersionError, IndexCorruptError, UsageError
from vidsearch.selection import Selection, nothing
from vidsearch.storage import files, seal
from vidsearch.storage._categories import Category
from vidsearch.storage._rows_file import RowsFile, read_table
from vidsearch.storage._segment_writer import FILES, INDEX_FILE, Vectors, drop, find_written, write
from vidsearch.storage._texts import Text
from vidsearch.storage.columns import Columns
from vidsearch.storage.files import Digest
from vidsearch.storage.manifest import FORMAT_VERSION, SEGMENTS, SegmentRef, checked_uuid

__all__ = ["Segment", "Vectors", "drop", "find_written", "open_segment", "write"]


def open_segment(root: Path, ref: SegmentRef, *, verify: Literal["size", "full", "none"] = "size") -> Segment:
    """Open a segment.

    Args:
        root: the index.
        ref: as the manifest names it.
        verify: "size" checks SEGMENT.json and the length of each file now; `Segment.check` the hashes, later or never. "full" hashes every
            file now, vectors included (about a second a gigabyte). "none" opens what is left of a damaged segment: a file of another length
            raises IndexCorruptError only when it is asked for.

    Raises:
        IndexCorruptError: a file is missing or not what its hash says; names the file.
        FormatVersionError: a newer vidsearch wrote it.
    """
    folder = root / SEGMENTS / checked_uuid(ref.uuid)
    if not files.is_folder(folder):
        raise IndexCorruptError(f"{folder}: missing, or not a folder")
    segment = Segment(folder, ref, lenient=verify == "none")
    if verify == "full":
        segment.check(segment.file_names)
    return segment


class Segment:
    """The files of one segment, mapped when it is opened, so that nothing that happens to their names later takes them away.

    Attributes:
        uuid, rows, dim: its name, number of rows and length of a vector.
        info: what was given to `write`.
    """

    def __init__(self, folder: Path, ref: SegmentRef, *, lenient: bool = False) -> None:
        path = folder / "SEGMENT.json"
        data = files.read(path, limit_bytes=seal.LIMIT_BYTES)
        if hashlib.sha256(data).hexdigest() != ref.sha256:
            raise IndexCorruptError(f"{path}: not the file that the manifest names, its SHA-256 differs")
        values = seal.loads(data, path)
        if values.get("format") != FORMAT_VERSION:
            raise FormatVersionError(f"{path}: format {values.get('format')!r}, this vidsearch reads {FORMAT_VERSION}; upgrade vidsearch")
        try:
            self.dim = int(values["dim"])
            self.info: dict[str, Any] = dict(values["info"])
            self._directory: dict[str, Any] = {"schema": str(values["columns"]["schema"]), "entries": dict(values["columns"]["entries"])}
            self._digests = {name: Digest(int(d["size"]), str(d["sha256"])) for name, d in values["files"].items()}
            fits = values["uuid"] == ref.uuid and values["rows"] == ref.rows and _are_files(self._digests)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise IndexCorruptError(f"{path}: sealed, but does not describe a segment ({error!r})") from error
        if not fits or (self._digests["vectors.f16"].size, self._digests["vectors.crc32"].size) != (2 * ref.rows * self.dim, 4 * ref.rows):
            raise IndexCorruptError(f"{path}: describes another segment than the manifest")
        self._folder = folder
        self.uuid = ref.uuid
        self.rows = ref.rows
        self._maps: dict[str, memoryview] = {}
        self._checked: set[str] = set()
        for name in self._digests:
            with suppress(*((IndexCorruptError,) if lenient else ())):
                self._maps[name] = self._map(name)

    def _map(self, name: str) -> memoryview:
        promised = self._promised(name)
        data = files.map_bytes(self._folder / name)
        files.compare(self._folder / name, Digest(len(data), promised.sha256), promised)
        return data

    def __repr__(self) -> str:
        return f"Segment({self.uuid}, {self.rows} x {self.dim})"

    def check(self, names: Iterable[str]) -> None:
        """Compare files' hashes with what SEGMENT.json promises, each once; damage raises IndexCorruptError naming the file."""
        for name in names:
            if name not in self._checked:
                promised = self._promised(name)
                files.compare(self._folder / name, Digest(promised.size, hashlib.sha256(self.map_file(name)).hexdigest()), promised)
                self._checked.add(name)

    @property
    def digests(self) -> dict[str, Digest]:
        """What each of its files must hold, by name."""
        return dict(self._digests)

    @property
    def file_names(self) -> tuple[str, ...]:
        """The names of all its files."""
        return tuple(sorted(self._digests))

    @property
    def asked_files(self) -> tuple[str, ...]:
        """The files that queries read in place.

        Of the vectors rows are checked one by one, and what is parsed (`read_file`) is hashed at that moment.
        """
        exotic = any(entry.get("kind") == "other" for entry in self._directory["entries"].values())
        mapped = (name for name in self.index_files if not name.endswith(".faiss"))
        return ("columns.bin", *mapped, *(("rows.parquet",) if exotic else ()))

    @property
    def size_bytes(self) -> int:
        """All its files together, but for SEGMENT.json."""
        return sum(digest.size for digest in self._digests.values())

    @cached_property
    def vectors(self) -> Vectors:
        """(rows, dim) float16, read from the disk as they are touched; read-only."""
        return np.frombuffer(self.map_file("vectors.f16"), dtype="<f2").reshape(self.rows, self.dim)

    def check_rows(self, rows: Iterable[int]) -> None:
        """Compare the checksums of some rows' vectors; damage raises IndexCorruptError."""
        data, width = self.map_file("vectors.f16"), 2 * self.dim
        sums = np.frombuffer(self.map_file("vectors.crc32"), dtype="<u4")
        for row in rows:
            if zlib.crc32(data[row * width : (row + 1) * width]) != sums[row]:
                raise IndexCorruptError(f"{self._folder / 'vectors.f16'}: row {row} changed since it was written, its CRC-32 differs")

    def _checked_map(self, name: str) -> memoryview:
        self.check([name])
        return self.map_file(name)

    @property
    def index_files(self) -> tuple[str, ...]:
        """The names of what the kind of its index keeps."""
        return tuple(sorted(set(self._digests) - set(FILES)))

    @cached_property
    def columns(self) -> Columns:
        """The rows' columns by name, read from the disk as they are touched."""
        rows_file = RowsFile(self._folder / "rows.parquet", lambda: self._checked_map("rows.parquet"), self.rows)
        return Columns(self._folder / "columns.bin", self._directory, self.map_file("columns.bin"), self.rows, rows_file)

    @property
    def schema(self) -> pa.Schema:
        """Columns of the rows and their types."""
        return self.columns.schema

    def read_columns(self, names: Sequence[str]) -> pa.Table:
        """Return those columns whole, in that order; an unknown one raises UsageError."""
        known = self._known(names)
        if not known:  # a table of no columns has a number of rows all the same
            return pa.Table.from_batches([pa.RecordBatch.from_arrays([pa.nulls(self.rows)], names=["rows"])]).select([])
        schema = pa.schema([self.schema.field(name) for name in known])
        return pa.Table.from_arrays([_as_type(self.columns[name].arrow(), self.schema.field(name).type) for name in known], schema=schema)

    def take(self, row_numbers: npt.NDArray[np.integer] | Sequence[int], columns: Sequence[str] | None = None) -> list[dict[str, Any]]:
        """Return rows by number, in the order given, as plain values by column.

        Args:
            row_numbers: (m,) each 0 to rows - 1; may repeat.
            columns: which, all if None; one that is not there is None throughout.
        """
        wanted = np.asarray(row_numbers, dtype=np.int64).reshape(-1)
        if len(wanted) and not (wanted.min() >= 0 and wanted.max() < self.rows):
            raise UsageError(f"row numbers {wanted.min()} to {wanted.max()} must lie within 0 to {self.rows - 1}")
        names = self.schema.names if columns is None else list(columns)
        cells = [self.columns[name].cells(wanted) if name in self.columns else [None] * len(wanted) for name in names]
        return [dict(zip(names, values, strict=True)) for values in zip(*cells, strict=True)] if names else [{} for _ in wanted]

    def tally(self, column: str, selection: Selection) -> Mapping[Any, int]:
        """Return how many selected rows have each value of a column, None among them; values that none has are left out."""
        found = self.columns.get(column)
        if found is None:
            return {None: selection.count} if selection.count else {}
        if isinstance(found, Category):
            return found.tally(selection)
        try:
            return Counter(found.cells(selection.ids))
        except TypeError as error:
            raise UsageError(f"column {column} is {found.type}: its values cannot be counted") from error

    def rows_of(self, column: str, text: str) -> Selection:
        """Return the rows that hold a text; takes microseconds however many rows there are."""
        found = self.columns.get(column)
        return found.rows_of(text) if isinstance(found, Category | Text) else nothing(self.rows)

    def map_file(self, name: str) -> memoryview:
        """Return a file's bytes, read from the disk as they are touched; read-only, its length checked and its hash only by `check`."""
        return self._maps[name] if name in self._maps else self._map(name)

    def read_file(self, name: str) -> bytes:
        """Return a file's bytes, their hash checked: parse these, not the file."""
        data = bytes(self.map_file(name))  # parsed is what was hashed, whatever happens to the file meanwhile
        files.compare(self._folder / name, Digest(len(data), hashlib.sha256(data).hexdigest()), self._promised(name))
        return data

    def _promised(self, name: str) -> Digest:
        if name not in self._digests:
            raise IndexCorruptError(f"{self._folder}: has no {name}; its files are {', '.join(sorted(self._digests))}")
        return self._digests[name]

    def record(self) -> pa.Table:
        """Return rows.parquet, from which all else that is known of the rows was made."""
        return read_table(self._folder / "rows.parquet", self.read_file("rows.parquet"))

    def quarantine(self) -> pa.Table:
        """Return what could not be indexed."""
        return read_table(self._folder / "quarantine.parquet", self.read_file("quarantine.parquet"))

    def _known(self, names: Sequence[str]) -> list[str]:
        unknown = [name for name in names if name not in self.columns]
        if unknown:
            raise UsageError(f"unknown column {unknown[0]!r}; choose from {', '.join(self.schema.names)}")
        return list(names)


def _are_files(names: Iterable[str]) -> bool:
    """Whether those are the files of a segment; no name leads out of its folder."""
    given = set(names)
    return given >= set(FILES) and all(INDEX_FILE.fullmatch(name) for name in given - set(FILES))


def _as_type(column: pa.Array | pa.ChunkedArray, wanted: pa.DataType) -> pa.Array | pa.ChunkedArray:
    if types.is_dictionary(column.type) and types.is_string_view(wanted):
        column = column.cast(column.type.value_type)
    return column if column.type == wanted else column.cast(wanted)

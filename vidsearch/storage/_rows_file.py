"""rows.parquet of one segment: the record of its rows for people, other tools, and types that columns.bin does not know.

PyArrow's Parquet library is loaded when a file is touched, which most queries never do.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from vidsearch.errors import IndexCorruptError
from vidsearch.storage import files
from vidsearch.storage.files import Digest

if TYPE_CHECKING:
    import pyarrow.parquet as pq

# Ten rows from ten places take 12 ms with groups of 2,048, 25 of 8,192 and 31 of 16,384 (100,000 rows, nine columns, one busy core); the
# file's size stays within 2 %. With 1,024, reading a whole column costs three times as much.
ROW_GROUP_ROWS = 2048


def write_table(path: Path, table: pa.Table) -> Digest:
    """Write a new Parquet file durably."""
    import pyarrow.parquet as pq

    with files.create(path) as writer:
        pq.write_table(table, writer, compression="zstd", row_group_size=ROW_GROUP_ROWS, write_page_checksum=True)
    return writer.digest


def read_table(path: Path, data: bytes) -> pa.Table:
    """Return what a small Parquet file's checked bytes hold."""
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(pa.BufferReader(data), page_checksum_verification=True) as file:
            return file.read(use_threads=False)
    except (pa.ArrowException, OSError) as error:
        raise IndexCorruptError(f"{path}: {error}") from error


class RowsFile:
    """A Parquet file; `checked` gives its bytes, and is called when something of it is first needed."""

    def __init__(self, path: Path, checked: Callable[[], memoryview], rows: int) -> None:
        self._path, self._checked, self._rows = path, checked, rows

    def read(self, column: str) -> pa.ChunkedArray:
        """Return a column whole."""
        return self._read(range(self._metadata.num_row_groups), column)

    def take(self, column: str, rows: npt.NDArray[np.integer]) -> pa.ChunkedArray:
        """Return a column's values in some rows, in their order; reads only the row groups that hold them."""
        sizes = np.array([self._metadata.row_group(g).num_rows for g in range(self._metadata.num_row_groups)], dtype=np.int64)
        ends = np.cumsum(sizes)
        groups, position = np.unique(np.searchsorted(ends, rows, side="right"), return_inverse=True)
        starts_read = np.concatenate([[0], np.cumsum(sizes[groups])])[:-1]
        within = rows - (ends - sizes)[groups][position] + starts_read[position]
        numbers = pa.Array.from_buffers(pa.int64(), len(within), [None, pa.py_buffer(within)])  # pa.array would import pandas
        return self._read(groups.tolist(), column).take(numbers)

    def _read(self, groups: Sequence[int], column: str) -> pa.ChunkedArray:
        import pyarrow.parquet as pq

        # A reader of its own each time: they cost microseconds with the metadata at hand, and are not made for several threads.
        try:
            with pq.ParquetFile(pa.BufferReader(self._data), metadata=self._metadata, page_checksum_verification=True) as file:
                return file.read_row_groups(list(groups), columns=[column], use_threads=False).column(column)
        except (pa.ArrowException, OSError) as error:
            raise IndexCorruptError(f"{self._path}: {error}") from error

    @cached_property
    def _data(self) -> pa.Buffer:
        return pa.py_buffer(self._checked())

    @cached_property
    def _metadata(self) -> pq.FileMetaData:
        import pyarrow.parquet as pq

        try:
            metadata = pq.read_metadata(pa.BufferReader(self._data))
        except (pa.ArrowException, OSError) as error:
            raise IndexCorruptError(f"{self._path}: {error}") from error
        if metadata.num_rows != self._rows:
            raise IndexCorruptError(f"{self._path}: holds {metadata.num_rows} rows instead of {self._rows}")
        return metadata

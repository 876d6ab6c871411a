"""Writing one segment, and removing it."""

from __future__ import annotations

import errno
import hashlib
import re
import uuid
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from vidsearch.errors import UsageError
from vidsearch.storage import columns as columns_file
from vidsearch.storage import files, seal
from vidsearch.storage import manifest as manifests
from vidsearch.storage._rows_file import write_table
from vidsearch.storage.files import STAGING, Digest
from vidsearch.storage.manifest import FORMAT_VERSION, SEGMENTS, SegmentRef, checked_uuid
from vidsearch.storage.seal import JSON

BLOCK_BYTES = 4 << 20
FILES = (
    "columns.bin",
    "quarantine.parquet",
    "rows.parquet",
    "vectors.crc32",
    "vectors.f16",
)  # that every segment has; the kind of its index may bring more

INDEX_FILE = re.compile(r"[a-z0-9][a-z0-9_]{0,31}\.[a-z0-9]{1,16}")

Vectors = npt.NDArray[np.float16]  # (n, dim)
Contents: TypeAlias = "files.Bytes | Iterable[files.Bytes]"


def write(
    root: Path,
    *,
    vectors: Vectors,
    rows: pa.Table,
    index_files: Mapping[str, Contents],
    quarantine: pa.Table,
    info: dict[str, Any],
    name: str | None = None,
) -> SegmentRef:
    """Write one segment durably and return what a manifest needs to name it; until one does, nobody sees it.

    A segment of a given name that is there already stays as it is, and is the one returned: whoever was first has done the work.

    Args:
        root: the index.
        vectors: (n, dim) float16, finite, one a row of `rows`; may be a memory map.
        rows: (n rows) metadata; strings are stored through a dictionary.
        index_files: what the kind of its index keeps, by name (`codes.bin`); bytes, or parts of them to be written one after another.
        quarantine: what of the same input could not be indexed.
        info: JSON values kept with the segment, such as the kind of its index.
        name: a uuid that says what work it is the result of; a random one without.

    Raises:
        UsageError: arrays that do not fit together, or a name that no index file may have.
        OSError: the disk is full or fails; nothing is left behind.
    """
    if vectors.ndim != 2 or vectors.dtype != np.float16 or len(vectors) != rows.num_rows:
        raise UsageError(f"vectors {vectors.dtype}{vectors.shape} must be float16 (n, dim), n the number of rows, {rows.num_rows}")
    bad = [name for name in index_files if name in FILES or not INDEX_FILE.fullmatch(name)]
    if bad:
        raise UsageError(f"{bad[0]!r} cannot be the name of an index file; those are like 'codes.bin', and not {', '.join(FILES)}")
    chosen, name = name, str(uuid.uuid4()) if name is None else checked_uuid(name)
    staged = root / STAGING / (name if chosen is None else f"{name}.{uuid.uuid4()}")
    files.make_folder(staged)
    try:
        columns, directory = columns_file.write(staged / "columns.bin", rows)
        digests = {
            "columns.bin": columns,
            **_write_vectors(staged, vectors),
            "rows.parquet": write_table(staged / "rows.parquet", rows),
            "quarantine.parquet": write_table(staged / "quarantine.parquet", quarantine),
            **{file: _write_parts(staged / file, contents) for file, contents in index_files.items()},
        }
        sealed = seal.dumps(_description(name, vectors, digests, directory, info))
        files.write(staged / "SEGMENT.json", sealed)
        files.sync_folder(staged)
        files.make_folder(root / SEGMENTS)
        if not _give_name(staged, root / SEGMENTS / name):
            files.remove(staged)
            return find_written(root, name) or SegmentRef(name, hashlib.sha256(sealed).hexdigest(), len(vectors))
    except BaseException:
        files.remove(staged)
        raise
    return SegmentRef(name, hashlib.sha256(sealed).hexdigest(), len(vectors))


def find_written(root: Path, name: str) -> SegmentRef | None:
    """Return the segment of a name that is on the disk, whether a manifest names it or not; None where there is none."""
    path = root / SEGMENTS / checked_uuid(name) / "SEGMENT.json"
    if not files.is_there(path):
        return None
    data = files.read(path, limit_bytes=seal.LIMIT_BYTES)
    files.sync_folder(root / SEGMENTS)  # who renamed it may have died before it did that
    return SegmentRef(name, hashlib.sha256(data).hexdigest(), int(seal.loads(data, path)["rows"]))


def _give_name(staged: Path, target: Path) -> bool:
    """Rename a folder; return False where another of that name was first."""
    try:
        files.rename_folder(staged, target)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
        return False
    return True


def _description(
    name: str, vectors: Vectors, digests: dict[str, Digest], directory: dict[str, JSON], info: dict[str, Any]
) -> dict[str, JSON]:
    return {
        "format": FORMAT_VERSION,
        "uuid": name,
        "rows": len(vectors),
        "dim": vectors.shape[1],
        "files": {file: {"size": digest.size, "sha256": digest.sha256} for file, digest in digests.items()},
        "columns": directory,
        "info": info,
    }


def _write_vectors(folder: Path, vectors: Vectors) -> dict[str, Digest]:
    """Write the vectors, and a checksum of each row: a query looks at a few rows of a file that would take seconds to hash."""
    block = max(1, BLOCK_BYTES // max(1, 2 * vectors.shape[1]))
    sums = np.empty(len(vectors), dtype="<u4")
    with files.create(folder / "vectors.f16") as writer:
        for start in range(0, len(vectors), block):
            part = np.ascontiguousarray(vectors[start : start + block], dtype="<f2")
            if not np.isfinite(part).all():
                raise UsageError(f"vectors hold NaN or infinity between rows {start} and {start + len(part)}; no search finds those")
            writer.write(part.data)
            sums[start : start + len(part)] = [zlib.crc32(row) for row in part]
    return {"vectors.f16": writer.digest, "vectors.crc32": files.write(folder / "vectors.crc32", sums.data)}


def _write_parts(path: Path, contents: Contents) -> Digest:
    with files.create(path) as writer:
        for part in (contents,) if isinstance(contents, bytes | bytearray | memoryview) else contents:
            writer.write(part)
    return writer.digest


def drop(root: Path, uuid: str) -> None:
    """Remove a segment that the newest manifest does not list; one that is gone already is fine. What is opened stays readable."""
    checked_uuid(uuid)
    if any(reference.uuid == uuid for reference in manifests.read(root).segments):
        raise UsageError(f"segment {uuid} is part of {root}; commit a manifest without it first")
    folder, doomed = root / SEGMENTS / uuid, root / STAGING / f"{uuid}.dropped"
    if files.is_there(folder):
        files.make_folder(doomed.parent)
        files.rename_folder(folder, doomed)  # gone in one step: no reader meets half a segment
    files.remove(doomed)

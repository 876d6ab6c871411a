"""Read and write safetensors files with NumPy alone: no torch on the query's path, nothing copied, nothing run from a file.

The format (github.com/huggingface/safetensors): 8 bytes little-endian length of the header, a JSON header
{"name": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}, "__metadata__": {"key": "text"}}, then the tensors' bytes.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from vidsearch.errors import CheckpointError, InputNotFoundError

Array = npt.NDArray[Any]

DTYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2", "I64": "<i8", "I32": "<i4", "U8": "|u1", "BOOL": "|b1"}
MAX_HEADER_BYTES = 100_000_000  # the format's own limit


@dataclass(frozen=True)
class TensorInfo:
    """Where one tensor lies: `start` in bytes from the file's first."""

    dtype: str
    shape: tuple[int, ...]
    start: int
    size_bytes: int


@dataclass(frozen=True, repr=False)
class SafeTensors:
    """A file whose header was checked."""

    path: Path
    tensors: Mapping[str, TensorInfo]
    metadata: Mapping[str, str]

    def __repr__(self) -> str:
        return f"SafeTensors({self.path.name}, {len(self.tensors)} tensors)"

    def array(self, name: str) -> Array:
        """Return one tensor as a view of the file, read when touched; bfloat16, which NumPy lacks, as a float32 copy.

        Writes to a view stay in memory (copy on write), so that torch takes it without a copy.
        """
        info = self.tensors[name]
        array = self._bytes[info.start : info.start + info.size_bytes].view(DTYPES[info.dtype]).reshape(info.shape)
        if info.dtype == "BF16":
            return (array.astype("<u4") << 16).view("<f4")
        return np.require(array, requirements="A")

    @cached_property
    def _bytes(self) -> npt.NDArray[np.uint8]:
        return np.asarray(np.memmap(self.path, dtype=np.uint8, mode="c"))


def open_safetensors(path: Path) -> SafeTensors:
    """Read and check the header; CheckpointError says what is wrong with it, before any tensor is looked at."""
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            start = file.read(8)
            length = int.from_bytes(start, "little")
            if start.startswith((b"PK\x03\x04", b"\x80\x02")):
                raise CheckpointError(f"{path} is a pickle under another name; if you trust it, name it .pth and convert it")
            if size < 8 or length > min(MAX_HEADER_BYTES, size - 8):
                raise CheckpointError(f"{path} is not a safetensors file: its header would be {length:,} bytes of {size:,}")
            header = _parse_json(path, file.read(length))
    except FileNotFoundError as error:
        raise InputNotFoundError(f"no such checkpoint: {path}") from error
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error}") from error
    return _checked(path, header, first=8 + length, size=size)


def _parse_json(path: Path, text: bytes) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{path} is not a safetensors file: its header is not JSON") from error


def _checked(path: Path, header: Any, *, first: int, size: int) -> SafeTensors:
    """Accept only a header whose tensors fill the rest of the file, one after the other."""
    try:
        metadata = header.pop("__metadata__", {})
        if not all(isinstance(value, str) for value in metadata.values()):
            raise TypeError("metadata must be text")
        tensors = {name: _tensor_info(entry, first) for name, entry in header.items()}
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{path} has a broken safetensors header: {error!r:.120}") from error
    end = first
    for name, info in sorted(tensors.items(), key=lambda item: (item[1].start, item[1].size_bytes)):
        if info.start != end:
            raise CheckpointError(f"{path} has a broken safetensors header: {name:.80} overlaps its neighbour or leaves a gap")
        end += info.size_bytes
    if end != size:
        raise CheckpointError(f"{path} holds {size:,} bytes, its header promises {end:,}: the file is cut or not whole")
    return SafeTensors(path, tensors, metadata)


def _tensor_info(entry: Mapping[str, Any], first: int) -> TensorInfo:
    dtype, shape, (start, end) = entry["dtype"], tuple(entry["shape"]), entry["data_offsets"]
    if not all(type(number) is int and 0 <= number < 2**63 for number in (*shape, start, end)):
        raise ValueError("shapes and offsets must be whole numbers from 0")
    size = prod(shape) * np.dtype(DTYPES[dtype]).itemsize
    if end - start != size:
        raise ValueError(f"{end - start} bytes for a tensor of {size}")
    return TensorInfo(dtype, shape, first + start, size)


def write_safetensors(path: Path, arrays: Mapping[str, Array], metadata: Mapping[str, str]) -> None:
    """Write float32 and float16 arrays: to a temporary name, fsync, rename. The same input gives the same bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(_header(arrays, metadata))
            for name in _file_order(arrays):
                file.write(np.ascontiguousarray(arrays[name]).data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        _sync_folder(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def _header(arrays: Mapping[str, Array], metadata: Mapping[str, str]) -> bytes:
    kinds = {np.dtype(DTYPES[name]): name for name in ("F32", "F16")}
    header: dict[str, Any] = {"__metadata__": dict(sorted(metadata.items()))}
    start = 0
    for name in _file_order(arrays):
        array = arrays[name]
        if array.dtype not in kinds:
            raise CheckpointError(f"{name} is {array.dtype}; checkpoints are written as float32 or float16")
        header[name] = {"dtype": kinds[array.dtype], "shape": list(array.shape), "data_offsets": [start, start + array.nbytes]}
        start += array.nbytes
    packed = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    packed += b" " * (-(8 + len(packed)) % 64)  # tensors begin where a vector register likes to read
    return len(packed).to_bytes(8, "little") + packed


def _file_order(arrays: Mapping[str, Array]) -> list[str]:
    """Wide items first, so that every tensor begins at a multiple of its item's size."""
    return sorted(arrays, key=lambda name: (-arrays[name].dtype.itemsize, name))


def _sync_folder(folder: Path) -> None:
    """Make a rename last through a power cut; not every system lets a folder be opened."""
    if hasattr(os, "O_DIRECTORY"):
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

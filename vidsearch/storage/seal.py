"""Sealed files: one line of canonical JSON and, on the next, the SHA-256 of that line. `head -n1 FILE | sha256sum` checks one."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, NoReturn, TypeAlias

from vidsearch.errors import IndexCorruptError
from vidsearch.storage import files

JSON: TypeAlias = "bool | int | float | str | list[JSON] | dict[str, JSON] | None"

LIMIT_BYTES = 16 << 20  # about 100,000 segments; a longer one is not read at all


class TornError(IndexCorruptError):
    """A seal does not match: the file was cut short by a crash, or changed since."""


def dumps(value: dict[str, JSON]) -> bytes:
    """Return the bytes of a sealed file; the same value gives the same bytes."""
    line = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False).encode() + b"\n"
    return line + hashlib.sha256(line).hexdigest().encode() + b"\n"


def is_whole(data: bytes) -> bool:
    """Whether a sealed file's bytes are what was sealed."""
    line, newline, seal = data.partition(b"\n")
    return seal == hashlib.sha256(line + newline).hexdigest().encode() + b"\n"


def loads(data: bytes, name: Path | str) -> dict[str, Any]:
    """Return the value of a sealed file's bytes; any change of them raises TornError naming the file."""
    if not is_whole(data):
        raise TornError(f"{name}: torn or changed, its seal does not match")
    try:
        value = json.loads(data.partition(b"\n")[0], parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise IndexCorruptError(f"{name}: sealed, but not JSON ({error})") from error
    if not isinstance(value, dict):
        raise IndexCorruptError(f"{name}: sealed, but not a JSON object")
    return value


def read_sealed(path: Path) -> dict[str, Any]:
    """Read a sealed file; a missing, torn, changed or over-long one raises IndexCorruptError naming it."""
    return loads(files.read(path, limit_bytes=LIMIT_BYTES), path)


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")

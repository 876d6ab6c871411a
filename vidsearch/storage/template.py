"""The trained index without rows that all segments share, so that their scores can be merged.

Its name is made of its contents' SHA-256: the manifest that names it vouches for every byte.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

from vidsearch.errors import IndexCorruptError
from vidsearch.storage import files, seal
from vidsearch.storage.files import STAGING
from vidsearch.storage.manifest import FORMAT_VERSION, checked_uuid
from vidsearch.storage.seal import JSON

TEMPLATES = "template"


def write_template(root: Path, data: bytes, info: dict[str, Any]) -> str:
    """Write a template durably and return its id; the same bytes have the same id.

    Args:
        root: the index.
        data: what the plug-in of the index trained.
        info: JSON values about the training.
    """
    name = _fingerprint(data)
    folder, staging = root / TEMPLATES, root / STAGING
    files.make_folder(folder)
    about: dict[str, JSON] = {
        "format": FORMAT_VERSION,
        "id": name,
        "size": len(data),
        "sha256": hashlib.sha256(data).hexdigest(),
        "info": info,
    }
    _keep(folder / f"{name}.template", data, lambda found: _fingerprint(found) == name, staging)
    _keep(folder / f"{name}.json", seal.dumps(about), seal.is_whole, staging)
    return name


def _keep(path: Path, data: bytes, is_whole: Callable[[bytes], bool], staging: Path) -> None:
    """Write a file unless it is there and whole; a crash, where there are no hard links, may have left a part of it."""
    try:
        whole = is_whole(files.read(path))
    except IndexCorruptError:
        whole = False
    if whole:
        files.sync_file(path)
    else:
        files.put(path, data, staging=staging)


def read_template(root: Path, name: str) -> bytes:
    """Return a template's bytes; missing or changed ones raise IndexCorruptError naming the file."""
    path = root / TEMPLATES / f"{checked_uuid(name)}.template"
    data = files.read(path)
    if _fingerprint(data) != name:
        raise IndexCorruptError(f"{path}: changed since it was written, its SHA-256 does not begin with its name")
    return data


def read_about(root: Path, name: str) -> dict[str, Any]:
    """Return what was written about a template's training; missing or changed, it raises IndexCorruptError naming the file."""
    path = root / TEMPLATES / f"{checked_uuid(name)}.json"
    values = seal.read_sealed(path)
    if values.get("id") != name:
        raise IndexCorruptError(f"{path}: describes another template")
    info = values.get("info")
    return info if isinstance(info, dict) else {}


def _fingerprint(data: bytes) -> str:
    return str(uuid.UUID(bytes=hashlib.sha256(data).digest()[:16]))

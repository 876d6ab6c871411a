"""Archives written for tests."""

from __future__ import annotations

import io
import tarfile
import zipfile
from pathlib import Path
from typing import Any

Files = list[tuple[str, bytes]]


def write_tar(path: Path, files: Files, **settings: Any) -> Path:
    with tarfile.open(path, "w", **settings) as archive:
        for name, data in files:
            add_entry(archive, name, data)
    return path


def add_entry(archive: tarfile.TarFile, name: str, data: bytes = b"", **fields: Any) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(data)
    for field, value in fields.items():
        setattr(entry, field, value)
    archive.addfile(entry, io.BytesIO(data))


def write_zip(path: Path, files: Files, method: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in files:
            archive.writestr(name, data)
    return path

"""Addresses in object storage, as light as a query against a local index needs them to be."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

_REMOTE = re.compile(r"(s3|gs):/{1,2}(?=[^/])")  # a Path takes one of two slashes away


def is_remote(place: str | Path) -> bool:
    """Whether a path or text names a place in object storage."""
    return _REMOTE.match(str(place)) is not None


def address_of(place: str | Path) -> str:
    """Return an address as a person writes it, `s3://BUCKET/PATH`."""
    return _REMOTE.sub(r"\1://", str(place)).rstrip("/")


def folder_of(place: str | Path, cache: Path) -> Path:
    """Return the folder of this machine in which what lies at an address is kept."""
    return cache / "remote" / hashlib.sha256(address_of(place).encode()).hexdigest()[:20]


def fetch(place: str | Path, cache: Path) -> Path:
    """Return a folder with the newest version of the index at an address, as `bucket.fetch` does."""
    from vidsearch.storage import bucket  # what it needs takes a tenth of a second to load

    return bucket.fetch(place, cache)

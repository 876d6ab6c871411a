"""Where the next page starts: an opaque text that is good for one question and one version of the index."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import re
from functools import lru_cache

import numpy as np

from vidsearch.errors import QueryError
from vidsearch.query import ARRAYS, Query

_CURSOR = re.compile(r"([0-9a-f]{16})\.([0-9a-f]{16})\.([0-9]{1,12})")


def write(version: str, query: Query, position: int) -> str:
    """Return the cursor of the hits from `position` on, the first being 0."""
    text = f"{version}.{_fingerprint(query)}.{position}"
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def read(version: str, query: Query) -> int:
    """Return the position that the question's cursor stands for, 0 without one."""
    if query.cursor is None:
        return 0
    found, asked, position = _parts(query.cursor)
    if asked != _fingerprint(query):
        raise QueryError("the cursor belongs to another query; ask exactly what gave it, or leave it out")
    if found != version:
        raise QueryError("the index has changed since this cursor was given; leave it out to start again at the first page")
    return position


def position(cursor: str) -> int:
    """Return the position of a cursor, whatever it belongs to."""
    return _parts(cursor)[2]


@lru_cache(maxsize=8)
def version_of(version: int, segments: tuple[str, ...]) -> str:
    """Return what names a version of an index and the segments of it that could be opened."""
    return hashlib.sha256(json.dumps([version, *segments]).encode()).hexdigest()[:16]


def _fingerprint(query: Query) -> str:
    values = query.to_json(without=(*ARRAYS, "cursor"))
    hashed = hashlib.sha256(json.dumps(values, sort_keys=True).encode())
    hashed.update(b"" if query.vector is None else np.asarray(query.vector, dtype=np.float32).tobytes())
    hashed.update(b"" if query.within is None else b"within" + query.within.tobytes())
    return hashed.hexdigest()[:16]


def _parts(cursor: str) -> tuple[str, str, int]:
    try:
        text = base64.b64decode(cursor.encode("ascii") + b"=" * (-len(cursor) % 4), altchars=b"-_", validate=True).decode("ascii")
    except (binascii.Error, UnicodeError):
        text = ""
    match = _CURSOR.fullmatch(text)
    if match is None:
        raise QueryError(f"{cursor!r:.40} is no cursor; take the one an answer ends with, or leave it out")
    return match[1], match[2], int(match[3])

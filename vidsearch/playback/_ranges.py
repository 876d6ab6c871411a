"""The Range header of a request for a file: RFC 9110, section 14."""

from __future__ import annotations

import re
from typing import NamedTuple

LONGEST = 256  # characters of a header that are looked at
_ONE = re.compile(r"bytes=[ \t]*(\d{0,19})-(\d{0,19})[ \t]*", re.ASCII | re.IGNORECASE)


class Stretch(NamedTuple):
    """Bytes of a file, half-open; never empty."""

    start: int
    end: int


class Unsatisfiable(NamedTuple):
    """The range asked for lies outside the file, or is none: 416."""


def read_range(header: str | None, size_bytes: int) -> Stretch | Unsatisfiable | None:
    """Return the stretch of a file that a request wants; None for all of it.

    Other units and several ranges are passed over, as a server may: the whole file is sent. One that names no bytes of the file is
    refused, and so is one that is malformed.

    Args:
        header: the value of "Range", None where there is none.
        size_bytes: of the file.
    """
    if header is None or header[:6].lower() != "bytes=":
        return None
    if len(header) > LONGEST:
        return Unsatisfiable()
    if "," in header:
        return None
    found = _ONE.fullmatch(header)
    if found is None or not any(found.groups()):
        return Unsatisfiable()
    first, last = found.groups()
    if not first:  # the last so many bytes
        start, end = max(0, size_bytes - int(last)), size_bytes
    else:
        start, end = int(first), min(size_bytes, int(last) + 1 if last else size_bytes)
    return Stretch(start, end) if start < end else Unsatisfiable()

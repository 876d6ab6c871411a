"""One JSON array of records as a stream of lines, a record each; it is never held whole, so ten million records take no more memory.

Brackets and commas count outside strings only, which a parity of the quotes tells for a whole chunk at once.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

import numpy as np
import numpy.typing as npt

from indexer.readers._streams import CutShort

ARRAY = re.compile(rb"\s*\[\s*(?:[{\]]|$)")
SPACES = b" \t\r\n"
QUOTE, BACKSLASH, COMMA, LINE_FEED, SPACE = b'"\\,\n '
STEPS = np.zeros(256, np.int8)  # how a byte changes the depth of brackets
STEPS[np.frombuffer(b"[{", np.uint8)] = 1
STEPS[np.frombuffer(b"]}", np.uint8)] = -1


def is_array(head: bytes) -> bool:
    """Whether a file that begins so is one array of objects, rather than lines."""
    return ARRAY.match(head) is not None


def as_lines(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the records of an array with a line feed in place of each comma between them; their own line feeds become spaces.

    Raises:
        CutShort: the array does not end, or something follows it.
    """
    depth, inside, odd, begun = 0, False, False, False  # inside: of a string; odd: the chunk before ended in an unpaired backslash
    for chunk in chunks:
        data = np.frombuffer(chunk, np.uint8).copy()
        if begun and depth == 0:
            if chunk.strip(SPACES):
                raise CutShort("something follows the end of the array")
            continue
        escaped, odd = _escaped(data, odd)
        quotes = (data == QUOTE) & ~escaped
        strings = (np.cumsum(quotes, dtype=np.int32) + inside) & 1 == 1  # from the opening quote to before the closing one
        steps = np.where(strings, 0, STEPS[data]).astype(np.int32)
        depths = np.cumsum(steps, dtype=np.int32) + depth
        data[data == LINE_FEED] = SPACE
        data[(data == COMMA) & (depths == 1) & ~strings] = LINE_FEED
        if not begun:
            opening = int(np.argmax(depths > 0))
            data[: opening + 1] = SPACE
            begun = bool(depths.max() > 0)
        ends = np.flatnonzero((depths == 0) & (steps < 0))
        if begun and len(ends):
            end = int(ends[0])
            yield data[:end].tobytes() + b"\n"
            if chunk[end + 1 :].strip(SPACES):
                raise CutShort("something follows the end of the array")
            depth, inside, odd = 0, False, False
            continue
        depth, inside = int(depths[-1]), bool(strings[-1])
        yield data.tobytes()
    if depth > 0 or not begun:
        raise CutShort("the array does not end; a bracket or a quote is missing")


def _escaped(data: npt.NDArray[np.uint8], odd: bool) -> tuple[npt.NDArray[np.bool_], bool]:
    """Return which bytes follow an odd number of backslashes, and whether the byte after the last does."""
    escaped = np.zeros(len(data), np.bool_)
    slashes = np.flatnonzero(data == BACKSLASH)
    if odd:
        escaped[0] = True
    if not len(slashes):
        return escaped, False
    starts = np.flatnonzero(np.diff(slashes, prepend=-2) != 1)  # of runs of backslashes
    first, lengths = slashes[starts], np.diff(starts, append=len(slashes))
    lengths = lengths - (odd & (first == 0))  # one that is escaped itself escapes nothing
    full = np.diff(starts, append=len(slashes))
    after = first + full
    unpaired = after[lengths % 2 == 1]
    escaped[unpaired[unpaired < len(data)]] = True
    return escaped, bool(len(unpaired) and unpaired[-1] == len(data))

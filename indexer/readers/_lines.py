"""A stream of bytes as blocks of whole lines, each line with its number; a line that is too long is told apart and never held whole."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np

MAX_LINE_BYTES = 1 << 20
NEWLINE = 10


@dataclass(frozen=True)
class Lines:
    """Consecutive lines of a file.

    Attributes:
        data: whole lines, each but perhaps the last of the file with its line feed.
        first: the number of the first of them, from 1.
        count: of the lines in `data`.
        too_long: lines left out, as (number, bytes); their numbers come after those of `data`.
    """

    data: bytes
    first: int
    count: int
    too_long: list[tuple[int, int]] = field(default_factory=list)


def cut_lines(chunks: Iterable[bytes]) -> Iterator[Lines]:
    """Yield blocks of whole lines, about a chunk each."""
    rest, number, skipped = b"", 1, 0  # skipped: bytes of a line too long to keep whose end has not come
    for chunk in chunks:
        if skipped:
            end = chunk.find(b"\n")
            if end < 0:
                skipped += len(chunk)
                continue
            yield Lines(b"", number, 0, [(number, skipped + end)])
            number, skipped, rest = number + 1, 0, chunk[end + 1 :]
        else:
            rest += chunk
        end = rest.rfind(b"\n") + 1
        if end:
            count = rest.count(b"\n", 0, end)
            yield from _without_long(rest[:end], number, count)
            number += count
            rest = rest[end:]
        if len(rest) > MAX_LINE_BYTES:
            skipped, rest = len(rest), b""
    if skipped:
        yield Lines(b"", number, 0, [(number, skipped)])
    elif rest:
        yield Lines(rest, number, 1)


def _without_long(data: bytes, first: int, count: int) -> Iterator[Lines]:
    """Yield the lines of a block; one that is too long parts it in two."""
    half = MAX_LINE_BYTES // 2
    if all(data.find(b"\n", begin, begin + half) >= 0 for begin in range(0, len(data) - half, half)):
        yield Lines(data, first, count)  # none can be long: there is a line feed in every half of that length
        return
    starts = np.append(0, np.flatnonzero(np.frombuffer(data, np.uint8) == NEWLINE) + 1)
    lengths = np.diff(starts)
    line = 0
    for long in np.flatnonzero(lengths > MAX_LINE_BYTES).tolist():
        yield Lines(data[starts[line] : starts[long]], first + line, long - line, [(first + long, int(lengths[long]) - 1)])
        line = long + 1
    if line < count:
        yield Lines(data[starts[line] :], first + line, count - line)

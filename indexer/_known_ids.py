"""Which clips have been seen, in little memory."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
import pyarrow as pa


class KnownIds:
    """Which clip ids have been seen, as 64-bit digests: 8 bytes a clip, and a chance of 3e-6 that any two of ten million clash."""

    def __init__(self, columns: Iterable[pa.ChunkedArray]) -> None:
        self._before = np.sort(np.concatenate([np.zeros(0, np.uint64), *(_digests(column.to_pylist()) for column in columns)]))
        self._runs: list[npt.NDArray[np.uint64]] = []  # sorted; each more than twice as long as the next

    def add(self, ids: list[str], *, without: Iterable[int]) -> tuple[npt.NDArray[np.int64], int]:
        """Return the places of ids never seen, and how many others were first seen since this began; but for some places."""
        places = np.setdiff1d(np.arange(len(ids)), np.fromiter(without, np.int64))
        digests = _digests([ids[place] for place in places])
        _, first = np.unique(digests, return_index=True)
        new = np.zeros(len(digests), dtype=np.bool_)
        new[first] = True
        known = _among(digests, self._before)
        since = ~new | np.any([_among(digests, run) for run in self._runs], axis=0) if self._runs else ~new
        self._remember(np.sort(digests[~known & ~since]))
        return places[~known & ~since], int(np.count_nonzero(since & ~known))

    def _remember(self, run: npt.NDArray[np.uint64]) -> None:
        while self._runs and len(self._runs[-1]) <= 2 * len(run):
            run = np.sort(np.concatenate([self._runs.pop(), run]))
        self._runs.append(run)


def _digests(ids: list[str]) -> npt.NDArray[np.uint64]:
    digests = b"".join(hashlib.blake2b(name.encode(errors="surrogatepass"), digest_size=8).digest() for name in ids)
    return np.frombuffer(digests, dtype=np.uint64)


def _among(digests: npt.NDArray[np.uint64], known: npt.NDArray[np.uint64]) -> npt.NDArray[np.bool_]:
    if not len(known):
        return np.zeros(len(digests), dtype=np.bool_)
    places = np.minimum(np.searchsorted(known, digests), len(known) - 1)
    found: npt.NDArray[np.bool_] = known[places] == digests
    return found

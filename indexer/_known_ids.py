"""Which clips have been seen while a file is read, in little memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from vidsearch.storage.ledger import Digests, digests

Mask = npt.NDArray[np.bool_]


class KnownIds:
    """Which clip ids have been seen, as 64-bit digests: 8 bytes a clip, and a chance of 3e-6 that any two of ten million clash.

    Args:
        indexed: says which of some ids, (m,) bool, were there before; those are not remembered.
    """

    def __init__(self, indexed: Callable[[Sequence[str]], Mask]) -> None:
        self._indexed = indexed
        self._runs: list[Digests] = []  # sorted; each more than twice as long as the next

    def add(self, ids: list[str], *, without: Iterable[int]) -> tuple[npt.NDArray[np.int64], int]:
        """Return the places of ids never seen, and how many others were first seen since this began; but for some places."""
        places = np.setdiff1d(np.arange(len(ids)), np.fromiter(without, np.int64))
        names = [ids[place] for place in places]
        wanted = digests(pa.array(names, pa.string()))
        _, first = np.unique(wanted, return_index=True)
        new = np.zeros(len(wanted), dtype=np.bool_)
        new[first] = True
        known = self._indexed(names)
        since = ~new | self._seen(wanted)
        self._remember(np.sort(wanted[~known & ~since]))
        return places[~known & ~since], int(np.count_nonzero(since & ~known))

    def has(self, name: str) -> bool:
        """Whether an id was there before, or has been seen."""
        return bool(self._indexed([name])[0] or self._seen(digests(pa.array([name])))[0])

    def _seen(self, wanted: Digests) -> Mask:
        found = np.zeros(len(wanted), dtype=np.bool_)
        for run in self._runs:
            found |= _among(wanted, run)
        return found

    def _remember(self, run: Digests) -> None:
        while self._runs and len(self._runs[-1]) <= 2 * len(run):
            run = np.sort(np.concatenate([self._runs.pop(), run]))
        self._runs.append(run)


def _among(wanted: Digests, known: Digests) -> Mask:
    if not len(known):
        return np.zeros(len(wanted), dtype=np.bool_)
    places = np.minimum(np.searchsorted(known, wanted), len(known) - 1)
    found: Mask = known[places] == wanted
    return found

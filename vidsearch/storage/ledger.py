"""The books of an index: how many clips were planned, which of them are still to come, and a recount of what is really there.

A clip is done when a row or a quarantine entry has its id; deleted rows count, replaced ones count once. Each commit of a build moves clips
from pending to done in the manifest that names their segment, so at any time, after any crash,

    planned = done + pending        both as numbers and as sums of digests

where `planned` and `pending` stand in the manifest's settings and `done` is counted in the segments. What is lost, or there under another
id, shows in the sums even where the numbers agree.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from vidsearch.storage.seal import JSON

SETTING = "ledger"  # of the manifest
ID_DIGITS = 20  # of an id that is a hash itself
MODULUS = 1 << 64

Digests = npt.NDArray[np.uint64]  # (n,)


@dataclass(frozen=True)
class Tally:
    """A set of clips: their number, and the sum of their ids' digests modulo 2^64."""

    clips: int = 0
    sum: int = 0

    def __add__(self, other: Tally) -> Tally:
        return Tally(self.clips + other.clips, (self.sum + other.sum) % MODULUS)

    def __sub__(self, other: Tally) -> Tally:
        return Tally(self.clips - other.clips, (self.sum - other.sum) % MODULUS)

    @classmethod
    def of(cls, ids: pa.Array | pa.ChunkedArray) -> Tally:
        """Count ids that are all different."""
        return cls(len(ids), int(np.add.reduce(digests(ids), dtype=np.uint64)))

    @classmethod
    def from_json(cls, value: Any) -> Tally:
        return cls(int(value["clips"]), int(value["sum"], 16))

    def to_json(self) -> dict[str, JSON]:
        return {"clips": self.clips, "sum": f"{self.sum:016x}"}


@dataclass(frozen=True)
class Ledger:
    """What the manifest says.

    Attributes:
        planned: all clips that any build has set out to index.
        pending: those that are not done yet, by the input that names them and the build, "INPUT.BUILD".
    """

    planned: Tally = Tally()
    pending: Mapping[str, Tally] = field(default_factory=dict)

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any]) -> Ledger | None:
        """Return the ledger of a manifest; None where no build has kept one."""
        value = settings.get(SETTING)
        if value is None:
            return None
        return cls(Tally.from_json(value["planned"]), {name: Tally.from_json(tally) for name, tally in value["pending"].items()})

    @classmethod
    def opened(cls, settings: Mapping[str, Any], segments: Callable[[], Iterable[Counted]]) -> Ledger:
        """Return the ledger of a manifest; where no build has kept one, one of what its segments hold."""
        return cls.from_settings(settings) or cls(recount(segments()))

    def to_json(self) -> dict[str, JSON]:
        return {
            "planned": self.planned.to_json(),
            "pending": {name: tally.to_json() for name, tally in self.pending.items() if tally.clips},
        }

    def into(self, settings: Mapping[str, JSON]) -> dict[str, JSON]:
        """Return a manifest's settings with this ledger."""
        return {**settings, SETTING: self.to_json()}

    @property
    def all_pending(self) -> Tally:
        return sum(self.pending.values(), Tally())

    @property
    def done(self) -> Tally:
        """What the segments must hold: rows and quarantine entries, each clip once."""
        return self.planned - self.all_pending

    def plan(self, source: str, run: str, work: Tally) -> Ledger:
        """Return the ledger of a build that sets out to index clips of an input that are not done.

        What was pending of the input goes: those clips are in `work`, or somebody did them. Should another build of it be under way all
        the same, `settle` knows.

        Args:
            source: names the input.
            run: names the build.
            work: distinct clips.
        """
        stale = sum((tally for name, tally in self.pending.items() if name.startswith(f"{source}.")), Tally())
        kept = {name: tally for name, tally in self.pending.items() if not name.startswith(f"{source}.")}
        return Ledger(self.planned - stale + work, {**kept, f"{source}.{run}": work})

    def settle(self, source: str, run: str, *, done: Tally, twice: Tally = Tally(), added: Tally = Tally()) -> Ledger:
        """Return the ledger of a commit of that build.

        Args:
            source, run: as in `plan`.
            done: planned clips that it indexed or quarantined.
            twice: those among them that another process had done meanwhile, and planned too.
            added: clips that are done and were never planned, such as the shots of a video.
        """
        name = f"{source}.{run}"
        if name not in self.pending:  # a later build of the same input has taken over, and will find these done
            return replace(self, planned=self.planned + done - twice + added)
        return Ledger(self.planned - twice + added, {**self.pending, name: self.pending[name] - done})


class Counted(Protocol):
    """What is needed of a segment."""

    def read_columns(self, names: list[str]) -> pa.Table: ...

    def quarantine(self) -> pa.Table: ...


def recount(segments: Iterable[Counted]) -> Tally:
    """Count the clips that rows or quarantine entries of some segments name, deleted rows included; 8 bytes of memory an entry."""
    parts = [digests(table["clip_id"]) for segment in segments for table in (segment.read_columns(["clip_id"]), segment.quarantine())]
    distinct = np.unique(np.concatenate([np.zeros(0, np.uint64), *parts]))
    return Tally(len(distinct), int(np.add.reduce(distinct, dtype=np.uint64)))


def digests(ids: pa.Array | pa.ChunkedArray) -> Digests:
    """Return 64 bits of each id, (n,): the first of those that are 20 hex digits, else BLAKE2b, little-endian."""
    column = (ids.combine_chunks() if isinstance(ids, pa.ChunkedArray) else ids).cast(pa.large_string())
    ends = np.frombuffer(column.buffers()[1] or b"", "<i8", offset=8 * column.offset, count=len(column) + 1 if len(column) else 0)
    if np.all(np.diff(ends) == ID_DIGITS):
        letters = np.frombuffer(column.buffers()[2] or b"", np.uint8)[ends[0] : ends[-1]] if len(ends) else np.zeros(0, np.uint8)
        values = _HEX[letters.reshape(-1, ID_DIGITS)]
        if values.max(initial=0) < 16:
            pairs = values[:, 0:16:2] << 4 | values[:, 1:16:2]
            return np.ascontiguousarray(pairs).view(">u8").reshape(-1).astype(np.uint64)
    return np.fromiter((_digest(name) for name in column.to_pylist()), np.uint64, count=len(column))


def _digest(name: str) -> int:
    if len(name) == ID_DIGITS and set(name) <= set("0123456789abcdef"):
        return int(name[:16], 16)
    return int.from_bytes(hashlib.blake2b(name.encode(errors="surrogatepass"), digest_size=8).digest(), "little")


_HEX = np.full(256, 255, dtype=np.uint8)
_HEX[np.frombuffer(b"0123456789abcdef", np.uint8)] = np.arange(16)

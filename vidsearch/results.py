"""What a search gives back: frozen values, in order of score."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, overload

if TYPE_CHECKING:
    import pyarrow as pa

CORE_COLUMNS = ("clip_id", "video", "start_s", "end_s", "caption")


@dataclass(frozen=True)
class Hit:
    """One clip found.

    Attributes:
        rank: 1 for the best.
        score: exact cosine of the query and the clip (of float16 vectors), -1 to 1.
        clip_id: names the clip for ever, whichever index it is in.
        video: path of the file, relative to the folder that was indexed.
        start_s, end_s: where the clip lies in that file, seconds.
        caption: None when the clip came without one.
        metadata: every further column of its row.
    """

    rank: int
    score: float
    clip_id: str
    video: str
    start_s: float
    end_s: float
    caption: str | None
    metadata: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return one flat object: rank, score, the five columns of every clip, then its metadata."""
        core = {name: getattr(self, name) for name in ("rank", "score", *CORE_COLUMNS)}
        return {**core, **self.metadata}


@dataclass(frozen=True)
class Certificate:
    """How an answer was found, and how sure it is that nothing nearer was missed.

    Attributes:
        plan: "none" (no row passes), "exact" (every row that passes was scored) or "ivf" (the nearest lists, candidates re-ranked exactly).
        reason: the plan in words.
        rows: clips in the index.
        matching: clips that pass the filter.
        lists: inverted lists visited, of `all_lists`.
        codes: rows compared by their codes.
        scored: rows scored exactly.
        recall: share of the true nearest rows that such an answer holds, as calibrated when the index was built; 1 for exact plans.
        recall_low, recall_high: its 95 % interval.
    """

    plan: str
    reason: str
    rows: int = 0
    matching: int = 0
    lists: int = 0
    all_lists: int = 0
    codes: int = 0
    scored: int = 0
    recall: float = 1.0
    recall_low: float = 1.0
    recall_high: float = 1.0


@dataclass(frozen=True)
class Hits(Sequence[Hit]):
    """The answer to one query, and how it was found.

    Attributes:
        hits: at most k, best first.
        rows: clips in the index.
        matching: clips that pass the filter; all of them without one.
        plan: how the vectors were compared, in words.
        timings_ms: milliseconds by stage.
        skipped: damaged segments that could not be asked, each with its reason; empty is the rule.
        certificate: how sure the answer is.
    """

    hits: tuple[Hit, ...]
    rows: int = 0
    matching: int = 0
    plan: str = ""
    timings_ms: dict[str, float] = field(default_factory=dict)
    skipped: tuple[str, ...] = ()
    certificate: Certificate | None = None

    def __len__(self) -> int:
        return len(self.hits)

    def __iter__(self) -> Iterator[Hit]:
        return iter(self.hits)

    @overload
    def __getitem__(self, position: int) -> Hit: ...
    @overload
    def __getitem__(self, position: slice) -> Sequence[Hit]: ...
    def __getitem__(self, position: int | slice) -> Hit | Sequence[Hit]:
        return self.hits[position]

    def to_json(self) -> list[dict[str, Any]]:
        """Return one flat object a hit, see `Hit.to_json`."""
        return [hit.to_json() for hit in self.hits]

    def to_table(self) -> pa.Table:
        """Return the hits as a pyarrow.Table, one row a hit."""
        import pyarrow as pa

        return pa.Table.from_pylist(self.to_json())

"""What a search gives back: frozen values, in order of score."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Literal, overload

if TYPE_CHECKING:
    import pyarrow as pa

CORE_COLUMNS = ("clip_id", "video", "start_s", "end_s", "caption")

Basis = Literal["captions", "background"]


@dataclass(frozen=True)
class Hit:
    """One clip found.

    Attributes:
        rank: 1 for the best.
        score: what it is ranked by: the exact cosine of the query and the clip (of float16 vectors), -1 to 1; the fused score in a
            hybrid search, BM25 in one for keywords, the sum of the cosines of a chain.
        clip_id: names the clip for ever, whichever index it is in.
        video: path of the file, relative to the folder that was indexed.
        start_s, end_s: where the clip lies in that file, seconds.
        caption: None when the clip came without one.
        metadata: every further column of its row.
        cosine: in a hybrid search.
        duplicates: where near-duplicates are folded: how many of the rows read for this page went into this one.
        group: the further clips of its source video, best first, where hits are grouped.
        chain: the clips in order, this one first, where something had to happen then.
        percentile: about which share of the index's clips it beats, 0 to 1; None where that is not known: with keywords, in a chain,
            and with a filter where nothing was learnt about scores.
        probability: how likely it is what the sentence describes, 0 to 1; None where that is not known, see `Hits.confidence`.
    """

    rank: int
    score: float
    clip_id: str
    video: str
    start_s: float
    end_s: float
    caption: str | None
    metadata: dict[str, Any] = field(default_factory=dict)
    cosine: float | None = None
    duplicates: int | None = None
    group: tuple[Hit, ...] | None = None
    chain: tuple[Hit, ...] | None = None
    percentile: float | None = None
    probability: float | None = None

    def to_json(self) -> dict[str, Any]:
        """Return one object: rank, score, what the search says of it, the five columns of every clip, then its metadata."""
        said = {name: getattr(self, name) for name in ("cosine", "duplicates") if getattr(self, name) is not None}
        said |= {"percentile": self.percentile, "probability": self.probability}  # always there, so that all rows have the same columns
        core = {name: getattr(self, name) for name in CORE_COLUMNS}
        clips = {name: [hit.to_json() for hit in hits] for name in ("group", "chain") if (hits := getattr(self, name)) is not None}
        return {"rank": self.rank, "score": self.score, **said, **core, **self.metadata, **clips}


@dataclass(frozen=True)
class Count:
    """How many rows there are; at least so many when `exact` is False."""

    rows: int
    exact: bool = True

    def __str__(self) -> str:
        return f"{self.rows:,}" if self.exact else f"at least {self.rows:,}"


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
        recall: share of the true nearest rows that such an answer holds, as measured when the index was built; 1 for
            exact plans, None where it was never measured.
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
    recall: float | None = 1.0
    recall_low: float = 1.0
    recall_high: float = 1.0


@dataclass(frozen=True)
class Confidence:
    """Whether the best clip of an answer is more than the nearest of clips that show something else.

    Attributes:
        best: its cosine.
        floor: the cosine from which it counts as a match.
        confident: whether it does.
        probability: how likely it is what the sentence describes.
        basis: what that was learnt from: the index's own "captions", or a "background" of words thrown together, where it is the share
            of those whose best clip scores less.
    """

    best: float
    floor: float
    confident: bool
    probability: float
    basis: Basis

    @property
    def words(self) -> str:
        """The verdict and why, in a line."""
        verdict = "confident match" if self.confident else "no confident match"
        if self.basis == "background":
            return f"{verdict} (best {self.best:.2f}; words thrown together score less in {in_hundred(self.probability)})"
        return f"{verdict} (best {self.best:.2f}, right in about {in_hundred(self.probability)} such cases)"

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "words": self.words}


def in_hundred(probability: float) -> str:
    """Return "3 of 100" for 0.03, "fewer than 1 of 100" below half of one."""
    return "fewer than 1 of 100" if probability < 0.005 else f"{min(99, round(100 * probability))} of 100"


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
        total: the rows that can be paged through, before any are folded or left out: those that pass the filter, and the threshold, and
            hold a keyword where these are asked for.
        cursor: gives the next page; None on the last one. (A page after it may turn out empty where rows are folded or left out.)
        parts: where nothing passes, how many rows each part of the filter passes alone.
        confidence: what the scores mean; None where more than sentences is asked with, where no vectors are compared, and in an index that
            was built before this was measured, or of vectors without a model.
    """

    hits: tuple[Hit, ...]
    rows: int = 0
    matching: int = 0
    plan: str = ""
    timings_ms: dict[str, float] = field(default_factory=dict)
    skipped: tuple[str, ...] = ()
    certificate: Certificate | None = None
    total: Count = Count(0)
    cursor: str | None = None
    parts: tuple[tuple[str, int], ...] = ()
    confidence: Confidence | None = None

    @property
    def confident(self) -> bool | None:
        """Whether the best clip is more than chance; None where that is not known."""
        return None if self.confidence is None else self.confidence.confident

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
        """Return one flat object a hit, see `Hit.to_json`; where damaged segments were left out, each says `"partial": true`."""
        partial = {"partial": True} if self.skipped else {}
        return [hit.to_json() | partial for hit in self.hits]

    def explain(self) -> dict[str, Any]:
        """Return how the answer was found, ready for JSON."""
        found = asdict(self.certificate) if self.certificate else {"plan": "none", "reason": self.plan, "rows": self.rows, "matching": 0}
        total = {"total": self.total.rows, "total_is_exact": self.total.exact}
        return {
            **found,
            **total,
            "timings_ms": self.timings_ms,
            "parts": dict(self.parts),
            "cursor": self.cursor,
            "confidence": None if self.confidence is None else self.confidence.to_json(),
            "skipped": list(self.skipped),
        }

    def to_table(self) -> pa.Table:
        """Return the hits as a pyarrow.Table, one row a hit."""
        import pyarrow as pa

        return pa.Table.from_pylist(self.to_json())

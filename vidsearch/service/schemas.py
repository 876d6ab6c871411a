"""What the API takes and gives, as OpenAPI describes it. `vidsearch.query.Query` checks what is asked; these only name it."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

EXAMPLE: Any = {"text": "a dog surfing", "k": 5, "where": "language = 'en' and aesthetic > 5"}


class Body(BaseModel):
    """What a client sends: nothing that is not named here."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    def values(self) -> dict[str, Any]:
        """Return what was sent, without what was left out."""
        return self.model_dump(mode="json", exclude_unset=True)  # lists, not tuples: as a file of questions has them


class Question(Body):
    """A question; see docs/queries.md."""

    model_config = ConfigDict(json_schema_extra={"examples": [EXAMPLE]})

    text: str | None = Field(None, description="A sentence.")
    texts: list[str | tuple[str, float]] = Field([], description="Further sentences, or [sentence, weight].")
    like: list[str] = Field([], description="Ids of clips to resemble.")
    vector: list[float] | None = Field(None, description="A vector to search by.")
    exclude: list[str] = Field([], description="Sentences to move away from.")
    up: list[str] = Field([], description="Ids of clips that are right.")
    down: list[str] = Field([], description="Ids of clips that are wrong.")
    rocchio: tuple[float, float, float] = Field((1.0, 0.75, 0.15), description="What the question, right and wrong clips weigh.")
    then: list[str] = Field([], description="What happens later in the same video.")
    mode: Literal["vectors", "hybrid", "keywords"] = "vectors"
    hybrid_weight: float | None = None
    keyword_column: str = "caption"
    k: int = Field(10, description="Clips wanted.")
    where: str | None = Field(None, description="A filter in SQL WHERE syntax.")
    cursor: str | None = Field(None, description="Of the page before.")
    min_score: float | None = None
    per_video: int | None = None
    dedupe: float | None = None
    diverse: float | None = None
    sort: str | None = None
    group: Literal["video"] | None = None
    recall: float = 0.95
    exact: bool = False


class Batch(Body):
    """Several questions, answered together."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"questions": [EXAMPLE, {"text": "a cat"}]}]})

    questions: list[Question]


class Similar(Body):
    """A clip to find others like it."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"clip_id": "0e5c0a4ff2a1c2b9d1a7", "k": 5}]})

    clip_id: str
    k: int = 10
    where: str | None = None
    per_video: int | None = None
    dedupe: float | None = None


class Clip(BaseModel):
    """One clip found."""

    rank: int
    score: float | None
    clip_id: str
    video: str
    start_s: float
    end_s: float | None
    caption: str | None
    metadata: dict[str, Any]
    cosine: float | None = None
    percentile: float | None = None
    probability: float | None = None
    duplicates: int | None = None
    group: list[Clip] | None = None
    chain: list[Clip] | None = None


class Total(BaseModel):
    """Clips that can be paged through; at least so many where it is not exact."""

    rows: int
    exact: bool


class Answered(BaseModel):
    """The answer to a question, and how sure it is."""

    hits: list[Clip]
    cursor: str | None = Field(description="Gives the next page; null on the last one.")
    total: Total
    rows: int = Field(description="Clips in the index.")
    matching: int = Field(description="Clips that pass the filter.")
    plan: str
    certificate: dict[str, Any] | None
    parts: list[tuple[str, int]] = Field(description="Where nothing passes: what each part of the filter passes alone.")
    confidence: dict[str, Any] | None = Field(None, description="Whether the best clip is likely right, where that can be said.")
    timings_ms: dict[str, float]
    partial: bool = Field(description="Whether a damaged segment was left out.")
    skipped: list[str]
    index_version: int


class Answers(BaseModel):
    answers: list[Answered]


class Problem(BaseModel):
    code: str
    message: str


class Failure(BaseModel):
    """What every refusal looks like."""

    error: Problem

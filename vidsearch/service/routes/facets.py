"""What clips can be narrowed by, counted: /v1/facets."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field

from vidsearch.errors import QueryError
from vidsearch.query import Query
from vidsearch.service.bodies import StrictRoute
from vidsearch.service.failures import RESPONSES
from vidsearch.service.leaving import unless_gone
from vidsearch.service.questions import read_choice
from vidsearch.service.routes.search import PARTIAL
from vidsearch.service.schemas import EXAMPLE, Body, Question
from vidsearch.service.service import Service
from vidsearch.service.versions import ServedIndex

MOST_COLUMNS = 32


class Facets(Body):
    """Which clips to count, and by which columns."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"where": "aesthetic > 5", "columns": ["language", "duration_s"]}, {"question": EXAMPLE}]}
    )

    question: Question | None = Field(None, description="Its best clips are counted, those that can be paged through; k has no meaning.")
    where: str | None = Field(None, description="Without a question: all clips that pass this filter are counted.")
    columns: list[str] | None = Field(None, description=f"At most {MOST_COLUMNS}; without it the first that say what a clip is.")


class Value(BaseModel):
    value: str | bool
    count: int


class Histogram(BaseModel):
    """Numbers, or times in seconds since 1970: counts[i] lie from edges[i] to before edges[i + 1]."""

    edges: list[float]
    counts: list[int]
    least: float
    greatest: float
    mean: float
    quantiles: dict[str, float]


class Facet(BaseModel):
    """One column of the clips that were counted."""

    column: str
    kind: str = Field(description="values, numbers, times; of texts and other only whether they are there is counted.")
    clips: int = Field(description="Clips with a value.")
    missing: int
    distinct: int | None = Field(None, description="Values there are, of which the most frequent are listed.")
    values: list[Value] = []
    histogram: Histogram | None = None


class Counted(BaseModel):
    """The columns of the clips that were counted."""

    clips: int
    facets: list[Facet]
    partial: bool
    skipped: list[str]
    index_version: int


def facet_routes(service: Service) -> APIRouter:
    """Return the route."""
    router = APIRouter(prefix="/v1", tags=["search"], responses=RESPONSES, route_class=StrictRoute)

    @router.post("/facets", response_model=Counted)
    async def facets(request: Request, wanted: Facets) -> JSONResponse:
        """Count clips by value, numbers in a histogram: of a filter all, of a question the best 10,000."""
        query = read_choice(None if wanted.question is None else wanted.question.values(), wanted.where, service.limits)
        if wanted.columns is not None and len(wanted.columns) > MOST_COLUMNS:
            raise QueryError(f"{len(wanted.columns)} columns; at most {MOST_COLUMNS} are counted at once")

        def count(index: ServedIndex) -> Counted:
            return index.answered(lambda: _counted(index, query, wanted, service.limits.depth))

        counted = await unless_gone(request, service.counted(count))
        counted.skipped = [service.said(line) for line in counted.skipped]
        return JSONResponse(counted.model_dump(), headers=PARTIAL if counted.partial else None)

    return router


def _counted(index: ServedIndex, query: Query | None, wanted: Facets, depth: int) -> Counted:
    if query is None:
        selections = index.select(wanted.where)
    else:
        rows = index.answer(query, depth).rows
        selections = index.narrow(index.select(None), rows)
    facets = [_facet(index, selections, name) for name in _columns(index, wanted.columns)]
    return Counted(
        clips=sum(selection.count for selection in selections),
        facets=facets,
        partial=bool(index.skipped),
        skipped=list(index.skipped),
        index_version=index.manifest.version,
    )


def _columns(index: ServedIndex, named: list[str] | None) -> list[str]:
    known = index.schema.names if index.segments else []
    if named is None:
        from vidsearch.evaluation.statistics import FIRST, UNCOUNTED  # with libraries that a service starts without

        rest = [name for name in known if name not in (*FIRST, *UNCOUNTED)]
        return [*(name for name in FIRST if name in known), *rest][:MOST_COLUMNS]
    unknown = [name for name in named if name not in known]
    if unknown:
        raise QueryError(f"unknown column {unknown[0]!r:.60}; choose from {', '.join(known)}")
    return list(dict.fromkeys(named))


def _facet(index: ServedIndex, selections: Any, name: str) -> Facet:
    from vidsearch.evaluation.counting import missing
    from vidsearch.evaluation.statistics import column_figures

    found = column_figures(index, selections, name)
    spread = found.distribution
    return Facet(
        column=name,
        kind=found.kind,
        clips=found.clips,
        missing=missing(index, selections, name),
        distinct=found.distinct,
        values=[Value(value=value, count=count) for value, count in found.values],
        histogram=None if spread is None else Histogram(**{field: spread.to_json()[field] for field in Histogram.model_fields}),
    )

"""How many clips there are: /v1/count."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field

from vidsearch.service.bodies import StrictRoute
from vidsearch.service.failures import RESPONSES
from vidsearch.service.leaving import unless_gone
from vidsearch.service.questions import read_choice
from vidsearch.service.routes.search import PARTIAL
from vidsearch.service.schemas import Body, Question
from vidsearch.service.service import Service
from vidsearch.service.versions import ServedIndex


class Count(Body):
    """Which clips to count."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"where": "aesthetic > 5"}, {"question": {"text": "a dog surfing", "min_score": 0.25}}]}
    )

    question: Question | None = Field(None, description="Clips that it could page through.")
    where: str | None = Field(None, description="Without a question: clips that pass this filter.")


class Total(BaseModel):
    """So many clips; at least, where it is not exact."""

    rows: int
    exact: bool
    partial: bool
    index_version: int


def count_routes(service: Service) -> APIRouter:
    """Return the route."""
    router = APIRouter(prefix="/v1", tags=["search"], responses=RESPONSES, route_class=StrictRoute)

    @router.post("/count", response_model=Total)
    async def count(request: Request, wanted: Count) -> JSONResponse:
        """Count the clips that pass a filter, or that a question could page through."""
        query = read_choice(None if wanted.question is None else wanted.question.values(), wanted.where, service.limits)

        def counted(index: ServedIndex) -> Total:
            found = index.count(where=wanted.where) if query is None else index.count_of(query)
            return Total(rows=found.rows, exact=found.exact, partial=bool(index.skipped), index_version=index.manifest.version)

        total = await unless_gone(request, service.counted(counted))
        return JSONResponse(total.model_dump(), headers=PARTIAL if total.partial else None)

    return router

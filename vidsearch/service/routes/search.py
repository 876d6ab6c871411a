"""Questions: /v1/search, /v1/batch and /v1/similar."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from vidsearch.errors import QueryError
from vidsearch.service.bodies import StrictRoute
from vidsearch.service.failures import RESPONSES
from vidsearch.service.leaving import unless_gone
from vidsearch.service.questions import read_question
from vidsearch.service.schemas import Answered, Answers, Batch, Question, Similar
from vidsearch.service.service import Service

PARTIAL = {"X-Vidsearch-Partial": "1"}


def search_routes(service: Service) -> APIRouter:
    """Return the routes."""
    router = APIRouter(prefix="/v1", tags=["search"], responses=RESPONSES, route_class=StrictRoute)

    @router.post("/search", response_model=Answered)
    async def search(request: Request, question: Question) -> JSONResponse:
        """Find the clips that a sentence, or anything else a question can hold, describes."""
        (answer,) = await unless_gone(request, service.answer([read_question(question.values(), service.limits)]))
        return _answered(answer, partial=answer["partial"])

    @router.post("/batch", response_model=Answers)
    async def batch(request: Request, questions: Batch) -> JSONResponse:
        """Answer several questions; all answers are of one version of the index."""
        if len(questions.questions) > service.limits.batch:
            raise QueryError(f"{len(questions.questions)} questions; at most {service.limits.batch} are answered at once")
        asked = [read_question(one.values(), service.limits) for one in questions.questions]
        answers = await unless_gone(request, service.answer(asked))
        return _answered({"answers": answers}, partial=any(answer["partial"] for answer in answers))

    @router.post("/similar", response_model=Answered)
    async def similar(request: Request, wanted: Similar) -> JSONResponse:
        """Find the clips that resemble a clip."""
        values = wanted.values()
        query = read_question({"like": [values.pop("clip_id")], **values}, service.limits)
        (answer,) = await unless_gone(request, service.answer([query]))
        return _answered(answer, partial=answer["partial"])

    return router


def _answered(content: dict[str, Any], *, partial: bool) -> JSONResponse:
    return JSONResponse(content, headers=PARTIAL if partial else None)

"""One clip: what is written of it, and its video; by id alone, inside the folder of the videos."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel

from vidsearch.errors import QueryError
from vidsearch.service.failures import RESPONSES, NotFoundError
from vidsearch.service.known import unless_known
from vidsearch.service.schemas import Failure
from vidsearch.service.service import Service
from vidsearch.service.versions import ServedIndex
from vidsearch.wire import plain

NOT_FOUND: dict[int | str, dict[str, Any]] = {404: {"model": Failure, "description": "There is no such clip."}}


class ClipRow(BaseModel):
    """What is written of a clip, by column."""

    clip_id: str
    index_version: int
    columns: dict[str, Any]


def clip_routes(service: Service) -> APIRouter:
    """Return /v1/clips/ID; /v1/clips/ID/media is in `media`, and comes before it."""
    router = APIRouter(prefix="/v1/clips", tags=["clips"], responses=RESPONSES | NOT_FOUND)

    @router.get("/{clip_id:path}", response_model=ClipRow)
    async def clip(request: Request, clip_id: str) -> Response:
        """Return what is written of a clip."""
        row, etag = await service.looked_up(lambda index: (_row(index, clip_id), index.etag))
        return unless_known(request, row.model_dump(), etag)

    return router


def _row(index: ServedIndex, clip_id: str) -> ClipRow:
    def read() -> dict[str, Any]:
        try:
            row = index.row_of(clip_id)
        except QueryError:
            raise NotFoundError("no such clip") from None
        return index.take([row])[0]

    return ClipRow(clip_id=clip_id, index_version=index.manifest.version, columns=plain(index.answered(read)))

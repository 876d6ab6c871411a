"""What the service says of itself and of its index."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse, PlainTextResponse
from pydantic import BaseModel

from vidsearch.service.failures import RESPONSES
from vidsearch.service.known import unless_known
from vidsearch.service.service import Service
from vidsearch.service.versions import ServedIndex
from vidsearch.wire import plain

HIDDEN = ("index",)  # where it lies is nobody's business


class Limited(BaseModel):
    """The limits, by name."""

    k: int
    depth: int
    text_chars: int
    filter_chars: int
    batch: int
    export_rows: int
    body_bytes: int
    body_s: float
    deadline_s: float
    queue: int
    together: int
    counting: int


class Readiness(BaseModel):
    """Whether questions are answered, and whether by all of the newest version."""

    status: str
    index_version: int
    clips: int
    skipped: list[str]
    regressed: str


def about_routes(service: Service) -> APIRouter:
    """Return /v1/info, /v1/limits, /healthz, /readyz and /metrics."""
    router = APIRouter(tags=["about"], responses=RESPONSES)
    described: dict[str, dict[str, Any]] = {}  # of one version: it takes seconds to describe a million clips

    @router.get("/v1/info")
    async def info(request: Request) -> Response:
        """Describe the index: rows, model, size, columns with their ranges and common values, as `vidsearch info --json` does."""
        etag = service.index.etag
        if etag not in described:
            found = await service.counted(lambda index: _info(index, service))
            described.clear()
            described[etag] = found
        return unless_known(request, described[etag], etag)

    @router.get("/v1/limits", response_model=Limited)
    async def limits() -> dict[str, Any]:
        """Say how much may be asked at once."""
        return asdict(service.limits)

    @router.get("/healthz", response_class=PlainTextResponse)
    async def healthz() -> str:
        """Say that the process lives; needs no token."""
        return "ok\n"

    @router.get("/readyz", response_model=Readiness)
    async def readyz() -> JSONResponse:
        """Say whether questions are answered: "ready"; "degraded" (something is left out); "draining" (status 503)."""
        index, regressed = service.index, service.versions.regressed
        status = "draining" if service.draining else "degraded" if index.skipped or regressed else "ready"
        values: dict[str, Any] = {"status": status, "index_version": index.manifest.version, "clips": len(index)}
        values |= {"skipped": [service.said(line) for line in index.skipped], "regressed": service.said(regressed)}
        return JSONResponse(values, 503 if service.draining else 200)

    @router.get("/metrics", response_class=PlainTextResponse)
    async def metrics() -> Response:
        """Return counters and times for Prometheus."""
        return Response(service.metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")

    return router


def _info(index: ServedIndex, service: Service) -> dict[str, Any]:
    from vidsearch.describe import describe

    described: dict[str, Any] = plain(index.answered(lambda: describe(index)))
    described["skipped"] = [service.said(line) for line in described["skipped"]]
    return {name: value for name, value in described.items() if name not in HIDDEN}

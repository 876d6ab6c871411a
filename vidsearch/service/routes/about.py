"""What the service says of itself and of its index."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from fastapi import APIRouter, Response
from fastapi.responses import JSONResponse, PlainTextResponse
from pydantic import BaseModel
from starlette.concurrency import run_in_threadpool

from vidsearch.service.failures import RESPONSES
from vidsearch.service.service import Service
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

    @router.get("/v1/info")
    async def info() -> dict[str, Any]:
        """Describe the index: rows, model, size, columns with their ranges and common values, as `vidsearch info --json` does."""
        return await run_in_threadpool(_info, service)

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
        values = {"status": status, "index_version": index.manifest.version, "clips": len(index)}
        return JSONResponse({**values, "skipped": list(index.skipped), "regressed": regressed}, 503 if service.draining else 200)

    @router.get("/metrics", response_class=PlainTextResponse)
    async def metrics() -> Response:
        """Return counters and times for Prometheus."""
        return Response(service.metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")

    return router


def _info(service: Service) -> dict[str, Any]:
    from vidsearch.describe import describe

    described: dict[str, Any] = plain(describe(service.index))
    return {name: value for name, value in described.items() if name not in HIDDEN}

"""What is under /v1 and is no route is told so as the API tells it, whatever else is served beside it."""

from __future__ import annotations

from collections.abc import Sequence

from fastapi import APIRouter, FastAPI, HTTPException, Request
from starlette.routing import Match

METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]


def refuse_unknown(application: FastAPI, routers: Sequence[APIRouter]) -> None:
    """Add the last route of the API: 405 where another method would do for a route of these, else 404."""
    known = [route for router in routers for route in router.routes]

    @application.api_route("/v1", methods=METHODS, include_in_schema=False)
    @application.api_route("/v1/{rest:path}", methods=METHODS, include_in_schema=False)
    async def unknown(request: Request) -> None:
        allowed: set[str] = set()
        for route in known:
            if route.matches(request.scope)[0] is Match.PARTIAL:
                allowed |= getattr(route, "methods", set())
        if allowed:
            raise HTTPException(405, "it is asked for otherwise; see the header Allow", headers={"Allow": ", ".join(sorted(allowed))})
        raise HTTPException(404, "no such route; see /v1/openapi.json")

"""All routes in one application, and the gate before it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager

from fastapi import FastAPI

from vidsearch import __version__
from vidsearch.service.description import describe_itself
from vidsearch.service.failures import add_failures
from vidsearch.service.gate import Gate
from vidsearch.service.metrics import Measured
from vidsearch.service.routes.about import about_routes
from vidsearch.service.routes.clips import clip_routes
from vidsearch.service.routes.count import count_routes
from vidsearch.service.routes.export import export_routes
from vidsearch.service.routes.facets import facet_routes
from vidsearch.service.routes.media import clip_media_routes
from vidsearch.service.routes.search import search_routes
from vidsearch.service.routes.unknown import refuse_unknown
from vidsearch.service.service import Service

Furnish = Callable[[FastAPI], None]


def build_application(service: Service, *, furnish: Furnish | None = None) -> FastAPI:
    """Return the application without its gate.

    Args:
        service: what is served.
        furnish: adds further routes, such as the page's; they come after those of the API.
    """

    @asynccontextmanager
    async def lifespan(application: FastAPI) -> AsyncIterator[None]:
        service.versions.watch()
        yield
        await service.close()

    application = FastAPI(
        title="vidsearch",
        version=__version__,
        summary="Filtered natural-language search over a video data set.",
        docs_url=None,  # it loads its script from elsewhere
        redoc_url=None,
        openapi_url="/v1/openapi.json",
        lifespan=lifespan,
    )
    media = clip_media_routes(lambda: service.media)  # before the clips, whose ids may hold slashes
    asked = [routes(service) for routes in (search_routes, facet_routes, count_routes, export_routes)]
    routers = [*asked, media, clip_routes(service), about_routes(service)]
    for router in routers:
        application.include_router(router)
    refuse_unknown(application, routers)
    describe_itself(application)
    application.add_middleware(Measured, metrics=service.metrics)
    add_failures(application, said=service.said)
    if furnish is not None:
        furnish(application)
    return application


def gated(
    application: FastAPI, service: Service, *, token: str | None, hosts: Collection[str], larger: dict[str, int] | None = None
) -> Gate:
    """Return the application behind its gate, which is what a server runs."""
    limits = service.limits
    return Gate(application, token=token, hosts=hosts, body_bytes=limits.body_bytes, body_s=limits.body_s, larger=larger)

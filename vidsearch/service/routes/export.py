"""Clips as a file, sent while it is written: /v1/export. Nothing of it is kept here, and no file of this machine can be named."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import Any, Literal

from fastapi import APIRouter, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import ConfigDict, Field
from starlette.types import Message, Receive, Scope, Send

from vidsearch.curate.export import export_schema, records_of, sink_into
from vidsearch.curate.recipe import Subset, chosen_rows
from vidsearch.errors import BusyError, QueryError
from vidsearch.service.bodies import StrictRoute
from vidsearch.service.failures import RESPONSES
from vidsearch.service.leaving import unless_gone
from vidsearch.service.limits import Limits
from vidsearch.service.questions import check_filter, read_question
from vidsearch.service.schemas import EXAMPLE, Body, Question
from vidsearch.service.service import Service
from vidsearch.service.versions import ServedIndex

TYPES = {
    "ids": "text/plain; charset=utf-8",
    "jsonl": "application/x-ndjson",
    "csv": "text/csv; charset=utf-8",
    "parquet": "application/vnd.apache.parquet",
}
AT_ONCE = 8  # exports that are being sent
STALLED_S = 60.0  # a client that takes nothing for so long is given up
SENT: dict[int | str, dict[str, Any]] = {
    200: {"description": "The file.", "content": {kind.partition(";")[0]: {"schema": {"type": "string"}} for kind in TYPES.values()}}
}


class Export(Body):
    """Which clips, as `vidsearch export` takes them, and in which format."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"where": "aesthetic > 5", "sample": 100, "format": "csv"}, {"query": EXAMPLE, "top": 50, "format": "jsonl"}]
        }
    )

    query: Question | None = Field(None, description="Ranks the clips; needs top or min_score. k has no meaning.")
    where: str | None = Field(None, description="A filter, where there is no query.")
    ids: list[str] | None = Field(None, description="Only these clips.")
    top: int | None = Field(None, description="So many of the best.")
    sample: int | None = Field(None, description="So many, drawn at random.")
    seed: int = Field(0, ge=0, le=2**32 - 1, description="Of the sample.")
    format: Literal["ids", "jsonl", "csv", "parquet"] = "jsonl"


def export_routes(service: Service) -> APIRouter:
    """Return the route."""
    router = APIRouter(prefix="/v1", tags=["clips"], responses=RESPONSES | SENT, route_class=StrictRoute)
    threads = ThreadPoolExecutor(service.limits.counting, thread_name_prefix="export")
    under_way: set[object] = set()

    @router.post("/export", response_class=StreamingResponse)
    async def export(request: Request, wanted: Export) -> Response:
        """Send clips as a file; the header X-Vidsearch-Rows says how many there are. A connection that breaks off has not sent all."""
        subset = _subset(wanted, service.limits)
        if len(under_way) >= AT_ONCE:
            raise BusyError(f"{AT_ONCE} exports are being sent already; ask again later")
        place = object()
        under_way.add(place)
        try:
            begun = service.counted(lambda index: _begun(index, subset, wanted.format, service.limits))
            rows, parts, version = await unless_gone(request, begun)
        except BaseException:
            under_way.discard(place)
            raise
        name = f'attachment; filename="clips.{"txt" if wanted.format == "ids" else wanted.format}"'
        headers = {"Content-Disposition": name, "X-Vidsearch-Rows": str(rows), "X-Vidsearch-Version": str(version)}
        return _Sent(parts, threads, lambda: under_way.discard(place), TYPES[wanted.format], headers)

    return router


def _subset(wanted: Export, limits: Limits) -> Subset:
    """Return which clips are wanted.

    Raises:
        UsageError: they cannot be exported, or are too many.
    """
    values = wanted.values()
    check_filter(wanted.where, limits)
    if wanted.query is not None:
        if wanted.where is not None:
            raise QueryError("a query has its filter in itself: give one of query and where")
        values["query"] = read_question(wanted.query.values(), limits).to_json()
    for name in ("top", "sample"):
        if (values.get(name) or 0) > limits.export_rows:
            raise QueryError(f"{name} is {values[name]:,}; at most {limits.export_rows:,} clips are exported at once")
    return Subset.from_json({"seed": 0} | {name: value for name, value in values.items() if name != "format"})


def _begun(index: ServedIndex, subset: Subset, form: str, limits: Limits) -> tuple[int, Iterator[bytes], int]:
    """Return how many clips there are, what gives the file, and the version they are of; all that can be refused is refused now."""
    parts = chosen_rows(index, subset)
    if subset.query is None and subset.ids is None and subset.sample is None:
        rows = sum(selection.count for selection in index.select(subset.where))
        held = parts
    else:
        found = list(parts)
        rows, held = sum(len(part) for part, _ in found), iter(found)
    if rows > limits.export_rows:
        raise QueryError(
            f"{rows:,} clips would be exported; at most {limits.export_rows:,} are at once: narrow the filter, or draw a sample"
        )
    return rows, _written(index, held, form, scored=subset.query is not None), index.manifest.version


def _written(index: ServedIndex, rows: Iterator[tuple[Any, Any]], form: str, *, scored: bool) -> Iterator[bytes]:
    outlet = _Outlet()
    with sink_into(outlet, form, export_schema(index, scored=scored)) as sink:
        yield outlet.take()
        for records in records_of(index, rows):
            sink(records)
            yield outlet.take()
    yield outlet.take()


class _Outlet:
    """What is written comes out again; also what PyArrow needs of a sink."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._size = 0
        self.closed = False

    def write(self, data: bytes) -> int:
        self._parts.append(bytes(data))
        self._size += len(data)
        return len(data)

    def tell(self) -> int:
        return self._size

    def flush(self) -> None:
        """Do nothing: there is no buffer."""

    def close(self) -> None:
        self.closed = True

    def take(self) -> bytes:
        taken, self._parts = b"".join(self._parts), []
        return taken


class _Sent(StreamingResponse):
    """A file that is made as fast as the client takes it."""

    def __init__(self, parts: Iterator[bytes], threads: Executor, ended: Callable[[], None], mime: str, headers: dict[str, str]) -> None:
        self._parts, self._threads, self._ended = parts, threads, ended
        super().__init__(self._chunks(), headers=headers, media_type=mime)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def patiently(message: Message) -> None:
            async with asyncio.timeout(STALLED_S):
                await send(message)

        try:
            await super().__call__(scope, receive, patiently)
        finally:
            self._ended()

    async def _chunks(self) -> AsyncIterator[bytes]:
        loop = asyncio.get_running_loop()
        while (chunk := await loop.run_in_executor(self._threads, next, self._parts, None)) is not None:
            if chunk:
                yield chunk

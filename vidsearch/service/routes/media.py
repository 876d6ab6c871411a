"""Posters, videos and cuts over HTTP, by clip id; ranges as in RFC 9110. Nothing of a request comes back in an answer.

The page has them under /media; a program finds the clip itself under /v1/clips/ID/media.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import asdict
from typing import Any, TypeVar

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse, PlainTextResponse, StreamingResponse
from starlette.types import Receive, Scope, Send

from vidsearch.errors import QueryError, VidsearchError
from vidsearch.playback._ranges import Stretch, Unsatisfiable, read_range
from vidsearch.playback.media import POSTER_WIDTHS, Media, NoMediaError, Opened
from vidsearch.service.failures import RESPONSES, failure
from vidsearch.service.known import matches
from vidsearch.service.schemas import Failure

CHUNK_BYTES = 256 << 10
LONGEST_ID = 512  # characters; no index has longer ones
SAFE = {"X-Content-Type-Options": "nosniff", "Cross-Origin-Resource-Policy": "same-origin"}
KEEP = {"Cache-Control": "private, max-age=300", **SAFE}
ASK_AGAIN = {"Cache-Control": "no-store", **SAFE}
WAITERS, CUTTERS, READERS = 16, 4, 8  # threads that wait for posters, wait for cuts, and read files: a slow cut holds up nothing else
_CODES = {404: "not_found", 416: "no_such_bytes", 503: "unavailable"}

MEDIA: dict[int | str, dict[str, Any]] = {
    200: {"description": "The file.", "content": {"video/*": {}}},
    206: {"description": "The bytes that were asked for.", "content": {"video/*": {}}},
    304: {"description": "The client has it already."},
    404: {"model": Failure, "description": "No such clip, or no video of it."},
    416: {"model": Failure, "description": "No such bytes."},
    401: RESPONSES[401],
    503: RESPONSES[503],
}
WIDTHS = {str(width): width for width in POSTER_WIDTHS}

T = TypeVar("T")
Refuse = Callable[..., Response]  # of a status, a sentence and headers


def media_routes(current: Callable[[], Media]) -> APIRouter:
    """Return the routes /media/poster/ID, /media/video/ID, /media/cut/ID and /media/playback/ID.

    Args:
        current: gives the media of the index in use.
    """
    router = APIRouter(prefix="/media")
    waiters = ThreadPoolExecutor(WAITERS, thread_name_prefix="media-wait")
    cutters = ThreadPoolExecutor(CUTTERS, thread_name_prefix="media-cut")
    readers = ThreadPoolExecutor(READERS, thread_name_prefix="media-read")

    async def send(request: Request, clip_id: str, open_it: Callable[[str], Opened], threads: Executor = waiters) -> Response:
        found = await _found(threads, clip_id, open_it)
        return found if isinstance(found, Response) else _answer(found, request, readers)

    @router.api_route("/poster/{clip_id:path}", methods=["GET", "HEAD"])
    async def poster(request: Request, clip_id: str) -> Response:
        width = WIDTHS.get(request.query_params.get("w", "320"))
        if width is None:
            return _refusal(400, f"w is one of {', '.join(WIDTHS)}")
        return await send(request, clip_id, lambda name: current().poster(name, width))

    @router.api_route("/video/{clip_id:path}", methods=["GET", "HEAD"])
    async def video(request: Request, clip_id: str) -> Response:
        return await send(request, clip_id, lambda name: current().video(name))

    @router.api_route("/cut/{clip_id:path}", methods=["GET", "HEAD"])
    async def cut(request: Request, clip_id: str) -> Response:
        return await send(request, clip_id, lambda name: current().cut(name), cutters)

    @router.get("/playback/{clip_id:path}")
    async def playback(clip_id: str) -> Response:
        found = await _found(waiters, clip_id, lambda name: current().playback(name))
        return found if isinstance(found, Response) else JSONResponse(asdict(found), headers=ASK_AGAIN)

    return router


def clip_media_routes(current: Callable[[], Media]) -> APIRouter:
    """Return /v1/clips/ID/media: the video that the clip is, or the part of its video that it is, cut out of it on demand."""
    router = APIRouter(prefix="/v1/clips", tags=["clips"])
    cutters = ThreadPoolExecutor(CUTTERS, thread_name_prefix="clip-cut")
    readers = ThreadPoolExecutor(READERS, thread_name_prefix="clip-read")

    @router.head("/{clip_id:path}/media", include_in_schema=False)
    @router.get("/{clip_id:path}/media", responses=MEDIA, response_class=StreamingResponse)
    async def media(request: Request, clip_id: str) -> Response:
        """Send the clip as a file that players play; ranges are answered."""
        found = await _found(cutters, clip_id, lambda name: current().clip(name), _failure)
        return found if isinstance(found, Response) else _answer(found, request, readers, _failure)

    return router


def _refusal(status: int, sentence: str, **headers: str) -> Response:
    """Refuse as the page likes it."""
    return PlainTextResponse(f"{sentence}\n", status, headers={**ASK_AGAIN, **headers})


def _failure(status: int, sentence: str, **headers: str) -> Response:
    """Refuse as the API does."""
    return failure(status, _CODES[status], sentence, {**ASK_AGAIN, **headers})


async def _found(threads: Executor, clip_id: str, find: Callable[[str], T], refuse: Refuse = _refusal) -> T | Response:
    """Return what belongs to a clip, or the answer that says that there is none."""
    if len(clip_id) > LONGEST_ID:
        return refuse(404, "no such clip")
    try:
        return await asyncio.get_running_loop().run_in_executor(threads, find, clip_id)
    except QueryError:
        return refuse(404, "no such clip")
    except NoMediaError as error:
        return refuse(404, str(error))
    except (VidsearchError, OSError):
        return refuse(503, "it cannot be read just now; try again")


def _answer(opened: Opened, request: Request, readers: Executor, refuse: Refuse = _refusal) -> Response:
    """Return the whole file or a stretch of it, as the request's headers want."""
    etag = f'"{opened.etag}"'
    headers = {**KEEP, "ETag": etag, "Accept-Ranges": "bytes", "Content-Disposition": f'inline; filename="{opened.name}"'}
    if matches(request.headers.get("if-none-match"), etag):
        opened.file.close()
        return Response(status_code=304, headers=headers)
    same = request.headers.get("if-range", etag) == etag  # else the file is another one by now, and is wanted whole
    wanted = read_range(request.headers.get("range"), opened.size_bytes) if same and request.method == "GET" else None
    if isinstance(wanted, Unsatisfiable):
        opened.file.close()
        return refuse(416, "no such bytes", **{"Content-Range": f"bytes */{opened.size_bytes}", "Accept-Ranges": "bytes"})
    stretch = wanted or Stretch(0, opened.size_bytes)
    if wanted is not None:
        headers["Content-Range"] = f"bytes {stretch.start}-{stretch.end - 1}/{opened.size_bytes}"
    headers["Content-Length"] = str(stretch.end - stretch.start)
    return _FileResponse(opened, stretch, readers, 206 if wanted else 200, headers, head=request.method == "HEAD")


class _FileResponse(StreamingResponse):
    """A stretch of an open file, which it closes."""

    def __init__(self, opened: Opened, stretch: Stretch, readers: Executor, status: int, headers: dict[str, str], *, head: bool) -> None:
        self._opened, self._stretch, self._readers, self._head = opened, stretch, readers, head
        super().__init__(self._chunks(), status, headers=headers, media_type=opened.mime)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._opened.file.close()

    async def stream_response(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        left = 0 if self._head else self._stretch.end - self._stretch.start
        async for chunk in self.body_iterator:
            left -= len(chunk)
            await send({"type": "http.response.body", "body": chunk, "more_body": left > 0})
            if not left:
                return
        if not left:
            await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _chunks(self) -> AsyncIterator[bytes]:
        """Yield the bytes; fewer where the file has become shorter since, and the connection then ends before it should."""
        position, end = self._stretch.start, self._stretch.end
        loop = asyncio.get_running_loop()
        while position < end and not self._head:
            chunk = await loop.run_in_executor(self._readers, self._read, position, min(CHUNK_BYTES, end - position))
            if not chunk:
                return
            position += len(chunk)
            yield chunk

    def _read(self, position: int, size_bytes: int) -> bytes:
        try:
            self._opened.file.seek(position)
            return self._opened.file.read(size_bytes)
        except (OSError, ValueError):  # the disk; a connection that is gone
            return b""

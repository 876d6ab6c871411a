"""An index behind a service, asked as one on this machine is.

with vidsearch.connect("http://127.0.0.1:8000") as index:
    hits = index.search("a dog surfing", k=5, where="aesthetic > 5")

async with vidsearch.connect_async("http://127.0.0.1:8000") as index:
    hits = await index.search("a dog surfing", k=5)
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar, Unpack

from vidsearch._client_calls import Call, Calls, Steps, advance, check_address, check_token, clip_path, export_call
from vidsearch._query_parts import sentences
from vidsearch.asking import Searchable, SearchOptions, question
from vidsearch.errors import QueryError, UsageError
from vidsearch.extras import require
from vidsearch.query import Mode, Query
from vidsearch.results import Count, Hits
from vidsearch.settings import read_settings

if TYPE_CHECKING:
    from vidsearch.curate.recipe import Subset
    from vidsearch.storage.files import Writer

T = TypeVar("T")
Json = dict[str, Any]

TIMEOUT_S = 30.0
FORMATS = ("parquet", "csv", "jsonl", "ids")


def connect(url: str, *, token: str | None = None, timeout_s: float = TIMEOUT_S) -> RemoteIndex:
    """Return the index behind a service; nothing is sent yet.

    Args:
        url: where `vidsearch serve` listens, such as "http://127.0.0.1:8000".
        token: what the service wants to be told; without it, VIDSEARCH_TOKEN.
        timeout_s: seconds to wait for an answer, or the next piece of a long one.

    Raises:
        UsageError: that is no address.
    """
    return RemoteIndex(url, token=token, timeout_s=timeout_s)


def connect_async(url: str, *, token: str | None = None, timeout_s: float = TIMEOUT_S) -> AsyncIndex:
    """Return the same with coroutines in place of methods."""
    return AsyncIndex(url, token=token, timeout_s=timeout_s)


class RemoteIndex(Searchable):
    """An index behind a service. It may be asked from several threads.

    Questions and answers are those of `vidsearch.engine.Index`, but that dates in the metadata come as text and NaN as None. Every method
    raises ServiceError where the service cannot be reached or does not know the token; BusyError where it still has too much to do after
    four tries, DeadlineError where an answer takes too long; and what an index on this machine raises.

    Attributes:
        url: where it is.
    """

    def __init__(self, url: str, *, token: str | None = None, timeout_s: float = TIMEOUT_S) -> None:
        self.url, token = _checked(url, token, timeout_s)
        from vidsearch._client_http import Line

        self._line, self._calls = Line(self.url, token=token, timeout_s=timeout_s), Calls()

    def __repr__(self) -> str:
        return f"RemoteIndex({self.url!r})"

    def __len__(self) -> int:
        """Return the number of clips, which the service is asked for."""
        return int(self.ready()["clips"])

    def __bool__(self) -> bool:
        return True  # without asking

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._line.close()

    def ask(self, queries: Sequence[Query]) -> list[Hits]:
        """Return the hits of many questions, in their order; sent together, as many at once as the service takes."""
        return self._finish(self._calls.ask(queries))

    def similar(
        self, clip_id: str, *, k: int = 10, where: str | None = None, per_video: int | None = None, dedupe: float | None = None
    ) -> Hits:
        """Return the clips that resemble a clip."""
        return self._finish(self._calls.similar(clip_id, {"k": k, "where": where, "per_video": per_video, "dedupe": dedupe}))

    def count(
        self,
        text: str | None = None,
        *,
        where: str | None = None,
        min_score: float | None = None,
        mode: Mode = "vectors",
        exact: bool = True,
    ) -> Count:
        """Return how many clips pass the filter, and score that much for the text; with mode "keywords", hold a word of it."""
        return self._finish(self._calls.count(_counted(text, where, min_score, mode, exact), where))

    def facets(self, query: Query | None = None, *, where: str | None = None, columns: Sequence[str] | None = None) -> list[Json]:
        """Return how values are spread over a filter's clips, or the best of a question; without columns, of those that say most.

        index.facets(where="aesthetic > 5", columns=["language"])[0]["values"][0]    # {"value": "en", "count": 812}
        """
        return self._finish(self._calls.facets(query, where, columns))

    def clip(self, clip_id: str) -> Json:
        """Return what is written of a clip, by column.

        Raises:
            QueryError: no such clip.
        """
        return self._finish(self._calls.clip(clip_id))

    def info(self) -> Json:
        """Describe the index, as `vidsearch info --json` does."""
        return self._finish(self._calls.info())

    def ready(self) -> Json:
        """Return "status", "clips", "index_version", and what is "skipped" as damaged."""
        return self._finish(self._calls.ready())

    def limits(self) -> Json:
        """Return how much the service lets one client ask, by name."""
        return self._finish(self._calls.limits())

    def media(self, clip_id: str, path: str | Path) -> Path:
        """Write a clip's video to a file that is not there yet, and return its path.

        Raises:
            QueryError: no such clip, or no video of it.
        """
        return self._save(Call(f"{clip_path(clip_id)}/media"), Path(path))

    def rows(self, subset: Subset) -> Iterator[Json]:
        """Yield the clips of a subset with all their columns, streamed.

        for row in index.rows(Subset(where="aesthetic > 6")):
        """
        rest = b""
        for chunk in self._line.stream(export_call(subset, "jsonl")):
            *lines, rest = (rest + chunk).split(b"\n")
            yield from map(json.loads, lines)

    def export(self, subset: Subset, path: str | Path, form: str = "parquet") -> Path:
        """Write a subset to a file that is not there yet, whole or not at all: "parquet", "csv", "jsonl" or "ids"."""
        return self._save(export_call(subset, _known(form)), Path(path))

    def _save(self, call: Call, path: Path) -> Path:
        with _new_file(path) as file:
            for chunk in self._line.stream(call):
                file.write(chunk)
        return path

    def _finish(self, steps: Steps[T]) -> T:
        step = advance(steps, None, self.url)
        while isinstance(step, Call):
            step = advance(steps, self._line.send(step), self.url)
        return step.value


class AsyncIndex:
    """An index behind a service, for programs that do other things while they wait: `RemoteIndex` with coroutines."""

    def __init__(self, url: str, *, token: str | None = None, timeout_s: float = TIMEOUT_S) -> None:
        self.url, token = _checked(url, token, timeout_s)
        from vidsearch._client_http import AsyncLine

        self._line, self._calls = AsyncLine(self.url, token=token, timeout_s=timeout_s), Calls()

    def __repr__(self) -> str:
        return f"AsyncIndex({self.url!r})"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._line.close()

    async def ask(self, queries: Sequence[Query]) -> list[Hits]:
        """As `RemoteIndex.ask`."""
        return await self._finish(self._calls.ask(queries))

    async def search(self, text: str | None = None, **options: Unpack[SearchOptions]) -> Hits:
        """As `Searchable.search`, with the same arguments."""
        (hits,) = await self.ask([question(text, options)])
        return hits

    async def pages(self, query: Query) -> AsyncIterator[Hits]:
        """Yield the pages of an answer: `async for hits in index.pages(query)`."""
        cursor = query.cursor
        while True:
            (hits,) = await self.ask([replace(query, cursor=cursor)])
            yield hits
            cursor = hits.cursor
            if cursor is None:
                return

    async def similar(
        self, clip_id: str, *, k: int = 10, where: str | None = None, per_video: int | None = None, dedupe: float | None = None
    ) -> Hits:
        """As `RemoteIndex.similar`."""
        return await self._finish(self._calls.similar(clip_id, {"k": k, "where": where, "per_video": per_video, "dedupe": dedupe}))

    async def count(
        self,
        text: str | None = None,
        *,
        where: str | None = None,
        min_score: float | None = None,
        mode: Mode = "vectors",
        exact: bool = True,
    ) -> Count:
        """As `RemoteIndex.count`."""
        return await self._finish(self._calls.count(_counted(text, where, min_score, mode, exact), where))

    async def facets(self, query: Query | None = None, *, where: str | None = None, columns: Sequence[str] | None = None) -> list[Json]:
        """As `RemoteIndex.facets`."""
        return await self._finish(self._calls.facets(query, where, columns))

    async def clip(self, clip_id: str) -> Json:
        """As `RemoteIndex.clip`."""
        return await self._finish(self._calls.clip(clip_id))

    async def info(self) -> Json:
        """As `RemoteIndex.info`."""
        return await self._finish(self._calls.info())

    async def ready(self) -> Json:
        """As `RemoteIndex.ready`."""
        return await self._finish(self._calls.ready())

    async def limits(self) -> Json:
        """As `RemoteIndex.limits`."""
        return await self._finish(self._calls.limits())

    async def media(self, clip_id: str, path: str | Path) -> Path:
        """As `RemoteIndex.media`."""
        return await self._save(Call(f"{clip_path(clip_id)}/media"), Path(path))

    async def rows(self, subset: Subset) -> AsyncIterator[Json]:
        """As `RemoteIndex.rows`: `async for row in index.rows(subset)`."""
        rest = b""
        async for chunk in self._line.stream(export_call(subset, "jsonl")):
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                yield json.loads(line)

    async def export(self, subset: Subset, path: str | Path, form: str = "parquet") -> Path:
        """As `RemoteIndex.export`."""
        return await self._save(export_call(subset, _known(form)), Path(path))

    async def _save(self, call: Call, path: Path) -> Path:
        with _new_file(path) as file:
            async for chunk in self._line.stream(call):
                file.write(chunk)
        return path

    async def _finish(self, steps: Steps[T]) -> T:
        step = advance(steps, None, self.url)
        while isinstance(step, Call):
            step = advance(steps, await self._line.send(step), self.url)
        return step.value


def _checked(url: str, token: str | None, timeout_s: float) -> tuple[str, str | None]:
    if not 0 < timeout_s < float("inf"):
        raise UsageError(f"timeout_s is {timeout_s}; it must be above 0")
    require("httpx")
    return check_address(url), check_token(read_settings().token if token is None else token)


def _counted(text: str | None, where: str | None, min_score: float | None, mode: Mode, exact: bool) -> Query | None:
    if text is not None:
        return Query(sentences([text]), where=where, min_score=min_score, mode=mode, exact=exact)
    if min_score is not None:
        raise QueryError("a score needs a text to be counted for")
    return None


def _known(form: str) -> str:
    if form not in FORMATS:
        raise UsageError(f"unknown format {form!r}; choose from {', '.join(FORMATS)}")
    return form


def _new_file(path: Path) -> AbstractContextManager[Writer]:
    from vidsearch.curate.export import new_file  # with all that reads an index, which most clients do without

    return new_file(path)

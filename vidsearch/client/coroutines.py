"""An index behind a service, for programs that do other things while they wait."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar, Unpack

from vidsearch.asking import SearchOptions, question
from vidsearch.client.arguments import TIMEOUT_S, checked, counted, known_form, new_file_at
from vidsearch.client.calls import Call, Calls, Steps, advance, clip_path, export_call
from vidsearch.query import Mode, Query
from vidsearch.results import Count, Hits

if TYPE_CHECKING:
    from vidsearch.curate.recipe import Subset

T = TypeVar("T")
Json = dict[str, Any]


class AsyncIndex:
    """`RemoteIndex` with coroutines."""

    def __init__(self, url: str, *, token: str | None = None, timeout_s: float = TIMEOUT_S) -> None:
        self.url, token = checked(url, token, timeout_s)
        from vidsearch.client.http import AsyncLine

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
        return await self._finish(self._calls.count(counted(text, where, min_score, mode, exact), where))

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
        return await self._save(export_call(subset, known_form(form)), Path(path))

    async def _save(self, call: Call, path: Path) -> Path:
        with new_file_at(path) as file:
            async for chunk in self._line.stream(call):
                file.write(chunk)
        return path

    async def _finish(self, steps: Steps[T]) -> T:
        step = advance(steps, None, self.url)
        while isinstance(step, Call):
            step = advance(steps, await self._line.send(step), self.url)
        return step.value

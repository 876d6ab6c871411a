"""An index behind a service, asked as one on this machine is.

with vidsearch.connect("http://127.0.0.1:8000") as index:
    hits = index.search("a dog surfing", k=5, where="aesthetic > 5")

async with vidsearch.connect_async("http://127.0.0.1:8000") as index:
    hits = await index.search("a dog surfing", k=5)
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar

from vidsearch.asking import Searchable
from vidsearch.client.arguments import TIMEOUT_S, checked, counted, known_form, new_file_at
from vidsearch.client.calls import Call, Calls, Steps, advance, clip_path, export_call
from vidsearch.client.coroutines import AsyncIndex
from vidsearch.query import Mode, Query
from vidsearch.results import Count, Hits

if TYPE_CHECKING:
    from vidsearch.curate.recipe import Subset

__all__ = ["AsyncIndex", "RemoteIndex", "connect", "connect_async"]

T = TypeVar("T")
Json = dict[str, Any]


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
        self.url, token = checked(url, token, timeout_s)
        from vidsearch.client.http import Line

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
        return self._finish(self._calls.count(counted(text, where, min_score, mode, exact), where))

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
        return self._save(export_call(subset, known_form(form)), Path(path))

    def _save(self, call: Call, path: Path) -> Path:
        with new_file_at(path) as file:
            for chunk in self._line.stream(call):
                file.write(chunk)
        return path

    def _finish(self, steps: Steps[T]) -> T:
        step = advance(steps, None, self.url)
        while isinstance(step, Call):
            step = advance(steps, self._line.send(step), self.url)
        return step.value

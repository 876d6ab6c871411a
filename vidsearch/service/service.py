"""What the routes share: the index in use, what answers questions, media, limits and counters."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vidsearch.engine import Index
from vidsearch.playback.media import Media
from vidsearch.query import Query
from vidsearch.service.batching import Batcher
from vidsearch.service.limits import Limits
from vidsearch.service.metrics import Metrics
from vidsearch.service.versions import Versions
from vidsearch.settings import read_settings
from vidsearch.wire import hits_to_json

Json = dict[str, Any]


class Service:
    """One index, served.

    Args:
        path: the index.
        model: where the query side finds its weights, if not where the index remembers them.
        strict: answer with an error where a damaged segment would be left out.
        media_root: folder of the videos; beside the index without it.
        limits: what one client may ask.
    """

    def __init__(
        self, path: Path, *, model: str | None = None, strict: bool = False, media_root: Path | None = None, limits: Limits | None = None
    ) -> None:
        self.limits = limits or Limits()
        self.versions = Versions(path, model=model, strict=strict)
        self.metrics = Metrics()
        self.media_root = (media_root or self.versions.root.parent).resolve()
        self._media = Media(self.index, self.media_root, read_settings().cache / "media")
        self.batcher: Batcher[Json] = Batcher(
            self._ask, together=self.limits.together, queue=self.limits.queue, observe=self.metrics.together.observe
        )
        self.draining = False
        self.metrics.watch("vidsearch_questions_waiting", "Questions that wait.", lambda: self.batcher.waiting)
        self.metrics.watch("vidsearch_index_version", "Version that is served.", lambda: self.index.manifest.version)
        self.metrics.watch("vidsearch_clips", "Clips that are served.", lambda: len(self.index))
        self.metrics.watch("vidsearch_segments_skipped", "Damaged segments that are left out.", lambda: len(self.index.skipped))
        self.metrics.watch("vidsearch_text_cache_hits", "Sentences whose vector was remembered.", lambda: self.versions.texts.hits)
        self.metrics.watch("vidsearch_text_cache_misses", "Sentences that were encoded.", lambda: self.versions.texts.misses)

    @property
    def index(self) -> Index:
        return self.versions.index

    @property
    def media(self) -> Media:
        """The media of the version in use."""
        if self._media.index is not self.index:
            self._media = self._media.of(self.index)
        return self._media

    async def answer(self, queries: Sequence[Query]) -> list[Json]:
        """Return the answers to some questions, all of one version of the index."""
        answers = await self.batcher.answer(queries, deadline_s=self.limits.deadline_s)
        self.metrics.partial.inc(sum(answer["partial"] for answer in answers))
        return answers

    def _ask(self, queries: Sequence[Query]) -> list[Json]:
        index = self.index
        return [hits_to_json(hits, index_version=index.manifest.version) for hits in index.ask(queries)]

    async def close(self) -> None:
        """Answer what waits, and end what runs beside."""
        await self.batcher.close()
        self.versions.close()
        self._media.close()

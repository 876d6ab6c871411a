"""What the routes share: the index in use, what answers questions, media, limits and counters."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from starlette.concurrency import run_in_threadpool

from vidsearch.errors import BusyError, DeadlineError, VidsearchError
from vidsearch.playback.media import Media
from vidsearch.query import Query
from vidsearch.service.batching import Batcher
from vidsearch.service.limits import Limits
from vidsearch.service.metrics import Metrics
from vidsearch.service.querylog import QueryLog
from vidsearch.service.questions import is_costly
from vidsearch.service.versions import Open, ServedIndex, Versions
from vidsearch.settings import read_settings
from vidsearch.wire import hits_to_json

Json = dict[str, Any]
T = TypeVar("T")


class Service:
    """One index, served.

    Args:
        path: the index.
        model: where the query side finds its weights, if not where the index remembers them.
        strict: answer with an error where a damaged segment would be left out.
        media_root: folder of the videos; beside the index without it.
        limits: what one client may ask.
        log: where questions are written down; nowhere without it.
        opened: opens a version of the index; in this process alone without it.
    """

    def __init__(
        self,
        path: Path,
        *,
        model: str | None = None,
        strict: bool = False,
        media_root: Path | None = None,
        limits: Limits | None = None,
        log: QueryLog | None = None,
        opened: Open = ServedIndex,
    ) -> None:
        self.limits = limits or Limits()
        self.metrics = Metrics()
        self.versions = Versions(path, model=model, strict=strict, taken_up=self._taken_up, opened=opened)
        self.media_root = (media_root or self.versions.root.parent).resolve()
        self._media = Media(self.index, self.media_root, read_settings().cache / "media")
        self._lanes = {costly: _Lane(self) for costly in (False, True)}
        self._counting = ThreadPoolExecutor(self.limits.counting, thread_name_prefix="count")
        self._counted = 0
        self._log = log
        self.draining = False
        self._watch_numbers()

    def _watch_numbers(self) -> None:
        watch, sentences = self.metrics.watch, self.versions.sentences
        watch("vidsearch_questions_waiting", "Questions that wait.", lambda: sum(lane.batcher.waiting for lane in self._lanes.values()))
        watch("vidsearch_index_version", "Version that is served.", lambda: self.index.manifest.version)
        watch("vidsearch_clips", "Clips that are served.", lambda: len(self.index))
        watch("vidsearch_segments_skipped", "Damaged segments that are left out.", lambda: len(self.index.skipped))
        watch("vidsearch_text_cache_hits", "Sentences whose vector was remembered.", lambda: sentences.hits)
        watch("vidsearch_text_cache_misses", "Sentences that were encoded.", lambda: sentences.misses)

    @property
    def index(self) -> ServedIndex:
        """The version in use, to look at; ask copies of it (`counted`)."""
        return self.versions.index

    @property
    def media(self) -> Media:
        """The media of the version in use."""
        return self._media.of(self.index.own())

    def said(self, text: str) -> str:
        """Return a sentence without where things lie on this machine."""
        for root, name in ((self.versions.root, "index"), (self.media_root, "media")):
            text = text.replace(str(root.resolve()), name).replace(str(root), name)
        return text

    async def answer(self, queries: Sequence[Query]) -> list[Json]:
        """Return the answers to some questions, all of one version of the index."""
        costly = any(is_costly(query) for query in queries)
        started, outcome = time.perf_counter(), "answered"
        try:
            answers = await self._lanes[costly].batcher.answer(self.index, queries, deadline_s=self.limits.deadline_s)
            self.metrics.partial.inc(sum(answer["partial"] for answer in answers))
            return answers
        except (VidsearchError, OSError) as error:
            outcome = type(error).__name__
            raise
        finally:
            if self._log is not None:
                for query in queries:
                    self._log.write(query.to_json(), outcome, 1000 * (time.perf_counter() - started))

    async def looked_up(self, find: Callable[[ServedIndex], T]) -> T:
        """Return what a function that takes no time finds in the index."""
        return await run_in_threadpool(self._own, find)

    async def counted(self, count: Callable[[ServedIndex], T]) -> T:
        """Return what a function makes of the index, in a thread beside those that search.

        Raises:
            BusyError: too much is counted already.
            DeadlineError: it takes too long; it is not broken off, but nobody waits for it.
        """
        if self._counted >= 4 * self.limits.counting:
            raise BusyError("too much is being counted and exported; ask again in a second")
        self._counted += 1
        task = asyncio.get_running_loop().run_in_executor(self._counting, self._own, count)
        task.add_done_callback(self._one_less)
        try:
            async with asyncio.timeout(self.limits.deadline_s):
                return await asyncio.shield(task)
        except TimeoutError:
            raise DeadlineError(f"no answer within {self.limits.deadline_s:g} s; ask for less") from None

    def _own(self, find: Callable[[ServedIndex], T]) -> T:
        index = self.index.own()
        try:
            return find(index)
        finally:
            self.versions.learn(index)

    def _one_less(self, task: asyncio.Future[Any]) -> None:
        self._counted -= 1
        if not task.cancelled():
            task.exception()  # whoever asked may be gone, and has not looked at it

    def asked(self, index: ServedIndex, queries: Sequence[Query]) -> list[Json]:
        """Ask a copy of the index, and serve what is left of it if it finds damage."""
        try:
            hits = index.ask(queries)
        finally:
            self.versions.learn(index)
        answers = [hits_to_json(found, index_version=index.manifest.version) for found in hits]
        return [{**answer, "skipped": [self.said(line) for line in answer["skipped"]]} for answer in answers]

    def _taken_up(self, index: ServedIndex) -> None:
        """Let go of the version before, so that its files can be removed."""
        self._media = self._media.of(index)
        for lane in self._lanes.values():
            lane.forget()

    async def close(self) -> None:
        """Answer what waits, and end what runs beside."""
        for lane in self._lanes.values():
            await lane.batcher.close()
        self._counting.shutdown(wait=False, cancel_futures=True)
        self.versions.close()
        self._media.close()


class _Lane:
    """Questions of one kind, answered by one thread: what takes long holds up nobody who asks something plain."""

    def __init__(self, service: Service) -> None:
        limits = service.limits
        self._service = service
        self._copy: tuple[ServedIndex, ServedIndex] | None = None
        self.batcher: Batcher[ServedIndex, Json] = Batcher(
            self._ask, together=limits.together, queue=limits.queue, observe=service.metrics.together.observe
        )

    def forget(self) -> None:
        self._copy = None

    def _ask(self, source: ServedIndex, queries: Sequence[Query]) -> list[Json]:
        copy = self._copy
        if copy is None or copy[0] is not source:
            copy = source, source.own()  # kept for the next, since it has opened keywords
            self._copy = copy if source is self._service.index else None
        try:
            return self._service.asked(copy[1], queries)
        finally:
            if not copy[1].lasting:
                self._copy = None

"""Questions that come while others are being answered are answered together: encoded in one pass, compared in one scan.

No question waits for company: the first to come goes at once, and whoever comes meanwhile goes together with the next.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Generic, TypeVar

from vidsearch.errors import BusyError, DeadlineError
from vidsearch.query import Query

T = TypeVar("T")


@dataclass(frozen=True)
class _Waiting(Generic[T]):
    query: Query
    answer: asyncio.Future[T]
    until: float  # of time.monotonic


class Batcher(Generic[T]):
    """Answers questions on one thread of its own, several at once.

    Args:
        ask: answers questions, in their order.
        together: at most so many at once.
        queue: at most so many wait.
        observe: told how many were answered at once.
    """

    def __init__(
        self, ask: Callable[[Sequence[Query]], list[T]], *, together: int, queue: int, observe: Callable[[int], None] = lambda size: None
    ) -> None:
        self._ask, self._together, self._queue, self._observe = ask, together, queue, observe
        self._waiting: deque[_Waiting[T]] = deque()
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="search")
        self._running: asyncio.Task[None] | None = None

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    async def answer(self, queries: Sequence[Query], *, deadline_s: float) -> list[T]:
        """Return the answers to some questions.

        Raises:
            BusyError: the queue is full.
            DeadlineError: they did not come in time; questions under way are not broken off.
            VidsearchError: one of them cannot be asked.
        """
        if len(self._waiting) + len(queries) > self._queue:
            raise BusyError(f"{len(self._waiting)} questions wait already; ask again in a second")
        loop = asyncio.get_running_loop()
        own = [_Waiting(query, loop.create_future(), time.monotonic() + deadline_s) for query in queries]
        self._waiting.extend(own)
        if self._running is None or self._running.done():
            self._running = asyncio.create_task(self._drain())
        try:
            async with asyncio.timeout(deadline_s):
                return list(await asyncio.gather(*(one.answer for one in own)))
        except TimeoutError:
            raise DeadlineError(f"no answer within {deadline_s:g} s; ask for less, or again later") from None
        finally:
            for one in own:
                one.answer.cancel()

    async def close(self) -> None:
        """Answer what waits, then end."""
        if self._running is not None:
            await asyncio.gather(self._running, return_exceptions=True)
        self._thread.shutdown()

    async def _drain(self) -> None:
        loop = asyncio.get_running_loop()
        while self._waiting:
            batch: list[_Waiting[T]] = []
            while self._waiting and len(batch) < self._together:
                one = self._waiting.popleft()
                if not one.answer.done() and time.monotonic() < one.until:  # else nobody waits for it any more
                    batch.append(one)
            if not batch:
                continue
            self._observe(len(batch))
            answers = await loop.run_in_executor(self._thread, self._answers, [one.query for one in batch])
            for one, answer in zip(batch, answers, strict=True):
                if one.answer.done():
                    continue
                if isinstance(answer, Exception):
                    one.answer.set_exception(answer)
                else:
                    one.answer.set_result(answer)

    def _answers(self, queries: list[Query]) -> list[T | Exception]:
        """Return an answer or an error for each: one question that cannot be asked costs the others nothing but the time."""
        try:
            return [*self._ask(queries)]
        except Exception as error:
            if len(queries) == 1:
                return [error]
        return [answer for query in queries for answer in self._answers([query])]

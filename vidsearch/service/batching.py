"""Questions that come while others are being answered are answered together: encoded in one pass, compared in one scan.

No question waits for company: the first to come goes at once, and whoever comes meanwhile goes together with the next. Requests take turns,
so that a client who sends fifty questions at once does not make one who sends one wait for all of them:

    waiting   A A A A A A A A | B | C C     together=4   →   A B C A   A C A A   A A A
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Generic, TypeVar

from vidsearch.errors import BusyError, DeadlineError
from vidsearch.query import Query

S = TypeVar("S")
T = TypeVar("T")


@dataclass(frozen=True)
class _Waiting(Generic[S, T]):
    query: Query
    source: S
    answer: asyncio.Future[T]


class Batcher(Generic[S, T]):
    """Answers questions on one thread of its own, several at once. To be used in one event loop.

    Args:
        ask: answers questions to a source, in their order.
        together: at most so many at once.
        queue: at most so many wait.
        observe: told how many were answered at once.
    """

    def __init__(
        self,
        ask: Callable[[S, Sequence[Query]], list[T]],
        *,
        together: int,
        queue: int,
        observe: Callable[[int], None] = lambda size: None,
    ) -> None:
        self._ask, self._together, self._queue, self._observe = ask, together, queue, observe
        self._requests: deque[deque[_Waiting[S, T]]] = deque()  # whose turn it is comes first
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="search")
        self._running: asyncio.Task[None] | None = None
        self._ended = False

    @property
    def waiting(self) -> int:
        """Questions that wait and are still wanted."""
        return sum(not one.answer.done() for request in self._requests for one in request)

    async def answer(self, source: S, queries: Sequence[Query], *, deadline_s: float) -> list[T]:
        """Return the answers of a source to some questions. Whoever breaks this off frees their places.

        Raises:
            BusyError: the queue is full.
            DeadlineError: they did not come in time; what is under way is not broken off, what waits is given up.
            VidsearchError: one of them cannot be asked.
        """
        if not queries:
            return []
        waiting = self.waiting
        if waiting + len(queries) > self._queue or self._ended:
            raise BusyError(f"{waiting} questions wait already; ask again in a second")
        loop = asyncio.get_running_loop()
        own = [_Waiting(query, source, loop.create_future()) for query in queries]
        self._requests.append(deque(own))
        if self._running is None or self._running.done():
            self._running = asyncio.create_task(self._drain())
        answers = [one.answer for one in own]
        try:
            late = (await asyncio.wait(answers, timeout=deadline_s))[1]
            if late:
                raise DeadlineError(f"no answer within {deadline_s:g} s; ask for less, or again later")
            failed = [error for answer in answers if (error := answer.exception()) is not None]  # each is looked at: else asyncio complains
            if failed:
                raise failed[0]
            return [answer.result() for answer in answers]
        finally:
            for answer in answers:
                answer.cancel()

    async def close(self) -> None:
        """Answer what waits, then end."""
        self._ended = True
        if self._running is not None:
            await asyncio.gather(self._running, return_exceptions=True)
        self._thread.shutdown()

    async def _drain(self) -> None:
        loop = asyncio.get_running_loop()
        while batch := self._next():
            self._observe(len(batch))
            answers = await loop.run_in_executor(self._thread, self._answers, batch[0].source, [one.query for one in batch])
            for one, answer in zip(batch, answers, strict=True):
                if one.answer.done():  # nobody waits for it any more
                    continue
                if isinstance(answer, Exception):
                    one.answer.set_exception(answer)
                else:
                    one.answer.set_result(answer)

    def _next(self) -> list[_Waiting[S, T]]:
        """Take the questions that are answered next: of one source, of each request one in turn."""
        batch: list[_Waiting[S, T]] = []
        passed: deque[deque[_Waiting[S, T]]] = deque()  # requests to another source
        while self._requests and len(batch) < self._together:
            request = self._requests.popleft()
            while request and request[0].answer.done():
                request.popleft()
            if request and batch and request[0].source is not batch[0].source:
                passed.append(request)
            elif request:
                batch.append(request.popleft())
                self._requests.append(request)
        self._requests.extendleft(reversed(passed))
        return batch

    def _answers(self, source: S, queries: list[Query]) -> list[T | Exception]:
        """Return an answer or an error for each: one question that cannot be asked costs the others nothing but the time."""
        try:
            return [*self._ask(source, queries)]
        except Exception as error:
            if len(queries) == 1:
                return [error]
        half = len(queries) // 2  # the others stay together: one of 32 that fails is found in five steps
        return [*self._answers(source, queries[:half]), *self._answers(source, queries[half:])]

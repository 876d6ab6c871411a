"""Questions asked at the same time: answered together, apart where one is wrong, in turn, in time, and given up when nobody waits."""

import asyncio
import threading

import numpy as np
import pytest
from support.asked import asked

from vidsearch import open_index
from vidsearch.errors import BusyError, DeadlineError, QueryError
from vidsearch.query import Query
from vidsearch.service.batching import Batcher
from vidsearch.service.limits import Limits
from vidsearch.service.service import Service

VECTOR = np.eye(8, dtype=np.float32)[0].tolist()
DEADLINE_S = 20.0


class Desk:
    """Answers with the sentence that was asked, once it may; writes down who was answered together."""

    def __init__(self):
        self.open, self.begun = threading.Event(), threading.Event()
        self.batches = []

    def __call__(self, source, queries):
        texts = [query.texts[0].text for query in queries]
        self.batches.append((source, texts))
        self.begun.set()
        assert self.open.wait(DEADLINE_S)
        if "bad" in texts:
            raise QueryError("bad")
        return texts


def questions(*texts):
    return [Query.from_json({"text": text}) for text in texts]


def batcher(desk, **limits):
    return Batcher(desk, **({"together": 4, "queue": 100} | limits))


def run(scenario, desk, **limits):
    async def ran():
        made = batcher(desk, **limits)
        try:
            return await scenario(made)
        finally:
            desk.open.set()
            await made.close()

    return asyncio.run(ran())


async def begun(desk):
    """Wait until the first batch is under way."""
    while not desk.begun.is_set():
        await asyncio.sleep(0.001)


async def first(made, desk, source="s"):
    """Have one question under way, so that the others wait."""
    task = asyncio.create_task(made.answer(source, questions("first"), deadline_s=DEADLINE_S))
    await begun(desk)
    return task


def test_who_comes_meanwhile_is_answered_together():
    desk = Desk()

    async def scenario(made):
        tasks = [await first(made, desk)]
        tasks += [asyncio.create_task(made.answer("s", questions(str(n)), deadline_s=DEADLINE_S)) for n in range(6)]
        await asyncio.sleep(0)
        desk.open.set()
        return await asyncio.gather(*tasks)

    assert run(scenario, desk) == [["first"], *([str(n)] for n in range(6))]
    assert [texts for _, texts in desk.batches] == [["first"], ["0", "1", "2", "3"], ["4", "5"]]


def test_requests_take_turns():
    desk = Desk()

    async def scenario(made):
        tasks = [await first(made, desk)]
        for texts in (["a1", "a2", "a3", "a4", "a5"], ["b"], ["c1", "c2"]):
            tasks.append(asyncio.create_task(made.answer("s", questions(*texts), deadline_s=DEADLINE_S)))
        await asyncio.sleep(0)
        desk.open.set()
        return await asyncio.gather(*tasks)

    assert run(scenario, desk)[1] == ["a1", "a2", "a3", "a4", "a5"]
    assert [texts for _, texts in desk.batches[1:]] == [["a1", "b", "c1", "a2"], ["c2", "a3", "a4", "a5"]]


def test_questions_to_two_versions_are_not_mixed():
    desk = Desk()

    async def scenario(made):
        tasks = [await first(made, desk)]
        tasks += [
            asyncio.create_task(made.answer(v, questions(v + str(n)), deadline_s=DEADLINE_S)) for n in range(2) for v in ("old", "new")
        ]
        await asyncio.sleep(0)
        desk.open.set()
        return await asyncio.gather(*tasks)

    run(scenario, desk)
    assert desk.batches[1:] == [("old", ["old0", "old1"]), ("new", ["new0", "new1"])]


def test_one_that_cannot_be_asked_costs_the_others_nothing():
    desk = Desk()

    async def scenario(made):
        tasks = [await first(made, desk)]
        tasks += [asyncio.create_task(made.answer("s", questions(text), deadline_s=DEADLINE_S)) for text in ("a", "b", "bad", "c")]
        await asyncio.sleep(0)
        desk.open.set()
        return await asyncio.gather(*tasks, return_exceptions=True)

    answers = run(scenario, desk)
    assert [answers[place] for place in (0, 1, 2, 4)] == [["first"], ["a"], ["b"], ["c"]]
    assert isinstance(answers[3], QueryError)


def test_a_full_queue_refuses_and_says_so():
    desk = Desk()

    async def scenario(made):
        tasks = [await first(made, desk)]
        tasks.append(asyncio.create_task(made.answer("s", questions("a", "b"), deadline_s=DEADLINE_S)))
        await asyncio.sleep(0)
        with pytest.raises(BusyError, match="2 questions wait"):
            await made.answer("s", questions("c"), deadline_s=DEADLINE_S)
        desk.open.set()
        return await asyncio.gather(*tasks)

    assert run(scenario, desk, queue=2) == [["first"], ["a", "b"]]


def test_who_goes_away_frees_its_place_and_is_not_answered():
    desk = Desk()

    async def scenario(made):
        tasks = [await first(made, desk)]
        leaving = asyncio.create_task(made.answer("s", questions("gone", "gone too"), deadline_s=DEADLINE_S))
        await asyncio.sleep(0)
        leaving.cancel()
        await asyncio.gather(leaving, return_exceptions=True)
        assert made.waiting == 0
        tasks.append(asyncio.create_task(made.answer("s", questions("a", "b"), deadline_s=DEADLINE_S)))
        await asyncio.sleep(0)
        desk.open.set()
        return await asyncio.gather(*tasks)

    assert run(scenario, desk, queue=2) == [["first"], ["a", "b"]]
    assert [texts for _, texts in desk.batches] == [["first"], ["a", "b"]]


def test_who_waits_too_long_is_told_and_not_asked_for():
    desk = Desk()

    async def scenario(made):
        task = await first(made, desk)
        with pytest.raises(DeadlineError, match=r"within 0\.02 s"):
            await made.answer("s", questions("late"), deadline_s=0.02)
        desk.open.set()
        return await task

    assert run(scenario, desk) == ["first"]
    assert [texts for _, texts in desk.batches] == [["first"]]


def test_closing_answers_what_waits_and_takes_nothing_new():
    desk = Desk()

    async def scenario(made):
        tasks = [await first(made, desk), asyncio.create_task(made.answer("s", questions("a"), deadline_s=DEADLINE_S))]
        await asyncio.sleep(0)
        closing = asyncio.create_task(made.close())
        await asyncio.sleep(0)
        with pytest.raises(BusyError):
            await made.answer("s", questions("b"), deadline_s=DEADLINE_S)
        desk.open.set()
        await closing
        return await asyncio.gather(*tasks)

    assert run(scenario, desk) == [["first"], ["a"]]


# the same through the routes


def hold(service, monkeypatch):
    """Return what lets the service's answers go, which wait for it."""
    gate = threading.Event()
    ask = service.asked
    monkeypatch.setattr(service, "asked", lambda index, queries: (gate.wait(DEADLINE_S), ask(index, queries))[1])
    return gate


def test_concurrent_questions_share_a_scan(root, service_of):
    async def scenario():
        async with asked(service_of()) as site:
            answers = await asyncio.gather(*(site.post("/v1/search", {"like": [f"c{row}"], "k": 1}) for row in range(40)))
            return answers, (await site.client.get("/metrics")).text

    answers, metrics = asyncio.run(scenario())
    expected = [open_index(root).search(like=f"c{row}", k=1)[0].clip_id for row in range(40)]
    assert [answer.json()["hits"][0]["clip_id"] for answer in answers] == expected
    numbers = dict(line.rsplit(" ", 1) for line in metrics.splitlines() if line.startswith("vidsearch_batch_size"))
    assert float(numbers["vidsearch_batch_size_sum"]) == 40
    assert float(numbers["vidsearch_batch_size_count"]) <= 4


def test_statuses_of_too_many_and_too_late(root, monkeypatch):
    service = Service(root, limits=Limits(queue=1, batch=1, deadline_s=0.3))
    gate = hold(service, monkeypatch)

    async def scenario():
        async with asked(service) as site:
            body = {"vector": VECTOR}
            under_way = asyncio.create_task(site.post("/v1/search", body))
            await asyncio.sleep(0.1)
            waits = asyncio.create_task(site.post("/v1/search", body))
            await asyncio.sleep(0.02)
            refused = await site.post("/v1/search", body)
            late = await asyncio.gather(under_way, waits)
            gate.set()
            return refused, late, await site.post("/v1/search", body)

    refused, late, after = asyncio.run(scenario())
    assert (refused.status_code, refused.json()["error"]["code"], refused.headers["retry-after"]) == (429, "busy", "1")
    assert [(answer.status_code, answer.json()["error"]["code"]) for answer in late] == [(504, "deadline")] * 2
    assert after.status_code == 200


def test_what_takes_long_does_not_hold_up_what_is_plain(root, monkeypatch):
    service = Service(root)
    gate = hold(service, monkeypatch)
    plain = service.asked
    ask = type(service).asked

    monkeypatch.setattr(
        service, "asked", lambda index, queries: plain(index, queries) if queries[0].exact else ask(service, index, queries)
    )

    async def scenario():
        async with asked(service) as site:
            slow = asyncio.create_task(site.post("/v1/search", {"vector": VECTOR, "exact": True}))
            await asyncio.sleep(0.05)
            quick = await site.post("/v1/search", {"vector": VECTOR})
            held = not slow.done()
            gate.set()
            return quick, held, await slow

    quick, held, slow = asyncio.run(scenario())
    assert (quick.status_code, held, slow.status_code) == (200, True, 200)


def test_a_client_that_hangs_up_is_given_up(root, monkeypatch):
    service = Service(root)
    gate = hold(service, monkeypatch)
    body = b'{"vector": [1,0,0,0,0,0,0,0]}'
    headers = [(b"host", b"localhost"), (b"content-type", b"application/json")]
    scope = {"type": "http", "method": "POST", "path": "/v1/search", "headers": headers, "query_string": b"", "http_version": "1.1"}
    scope |= {"raw_path": b"/v1/search", "root_path": "", "scheme": "http", "server": ("localhost", 80), "client": ("127.0.0.1", 1)}

    async def scenario():
        async with asked(service) as site:
            messages = iter([{"type": "http.request", "body": body}])
            hung_up = asyncio.Event()

            async def receive():
                message = next(messages, None)
                if message is None:
                    await hung_up.wait()
                    return {"type": "http.disconnect"}
                return message

            sent = []

            async def send(message):
                sent.append(message)

            busy = asyncio.create_task(site.post("/v1/search", {"vector": VECTOR}))
            await asyncio.sleep(0.05)
            leaving = asyncio.create_task(site.application({**scope, "app": site.application}, receive, send))
            await asyncio.sleep(0.05)
            waited = service._lanes[False].batcher.waiting
            hung_up.set()
            await leaving
            left = service._lanes[False].batcher.waiting
            gate.set()
            await busy
            return waited, left, sent[0]["status"]

    assert asyncio.run(scenario()) == (1, 0, 499)

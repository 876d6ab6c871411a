"""New versions and damage while clients ask: every answer is right for the version it names, and what is no more served is let go."""

import asyncio
import gc
import os
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from support.asked import asked
from support.builder import add

from vidsearch import open_index
from vidsearch.query import Query
from vidsearch.service.service import Service
from vidsearch.service.versions import Versions
from vidsearch.upkeep.delete import delete

VECTOR = np.eye(8, dtype=np.float32)[0]
EVERYTHING = {"vector": VECTOR.tolist(), "k": 60}


def damage(root, number, name="vectors.f16"):
    """Change a byte of every row of a segment's file in place, as a failing disk does; return the clips it held."""
    index = open_index(root)
    clips = [row["clip_id"] for row in index.segments[number].take(range(index.segments[number].rows), ["clip_id"])]
    path = root / "segments" / index.segments[number].uuid / name
    path.chmod(0o600)
    with path.open("r+b") as file:
        data = bytearray(file.read())
        step = max(1, len(data) // len(clips))
        for place in range(0, len(data), step):
            data[place] ^= 0x41
        file.seek(0)
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    return clips


def ids(answer):
    return {hit["clip_id"] for hit in answer.json()["hits"]}


def test_damage_in_the_middle_is_left_out_and_said(own_root):
    service = Service(own_root)

    async def scenario():
        async with asked(service) as site:
            whole = await site.post("/v1/search", EVERYTHING)
            lost = damage(own_root, 1)
            partial = await site.post("/v1/search", EVERYTHING)
            return whole, set(lost), partial, await site.client.get("/readyz"), await site.client.get("/v1/info")

    whole, lost, partial, ready, info = asyncio.run(scenario())
    assert len(ids(whole)) == 60
    assert "x-vidsearch-partial" not in whole.headers
    assert ids(partial) == ids(whole) - lost
    assert (partial.headers["x-vidsearch-partial"], partial.json()["partial"], len(partial.json()["skipped"])) == ("1", True, 1)
    assert (ready.status_code, ready.json()["status"], ready.json()["clips"]) == (200, "degraded", 40)
    assert info.json()["rows"] == 40
    assert str(own_root) not in partial.text + ready.text + info.text


@pytest.mark.parametrize("name", ["vectors.f16", "columns.bin"])
def test_a_new_segment_that_is_damaged_is_left_out_of_its_version(own_root, name):
    service = Service(own_root)
    add(own_root, np.random.default_rng(9).normal(size=(5, 8)).astype(np.float32), 100)
    damage(own_root, 3, name)

    async def scenario():
        async with asked(service) as site:
            service.versions.renew()
            return await site.post("/v1/search", EVERYTHING)

    answer = asyncio.run(scenario())
    assert answer.json()["index_version"] == open_index(own_root).manifest.version
    assert (ids(answer), answer.headers["x-vidsearch-partial"]) == ({f"c{row}" for row in range(60)}, "1")


def test_nothing_partial_is_answered_where_that_is_not_wanted(own_root):
    service = Service(own_root, strict=True)

    async def scenario():
        async with asked(service) as site:
            damage(own_root, 0)
            return await site.post("/v1/search", EVERYTHING)

    answer = asyncio.run(scenario())
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "index_partial")


def test_a_new_version_is_taken_up_while_clients_ask(own_root):
    """Each answer names its version and holds what that has."""
    service = Service(own_root)
    expected = {open_index(own_root).manifest.version: {f"c{row}" for row in range(60)}}
    found = []

    async def scenario():
        async with asked(service) as site:
            ended = asyncio.Event()

            async def ask():
                while not ended.is_set():
                    found.append(await site.post("/v1/search", EVERYTHING))

            clients = [asyncio.create_task(ask()) for _ in range(6)]
            for step in range(4):
                delete(own_root, clip_ids=[f"c{step}"])
                version = open_index(own_root).manifest.version
                expected[version] = {f"c{row}" for row in range(step + 1, 60)}
                await asyncio.to_thread(service.versions.renew)
                await asyncio.sleep(0.05)
            ended.set()
            await asyncio.gather(*clients)

    asyncio.run(scenario())
    assert {answer.status_code for answer in found} == {200}
    assert {answer.json()["index_version"] for answer in found} >= set(list(expected)[1:])
    assert all(ids(answer) == expected[answer.json()["index_version"]] for answer in found)


def test_a_batch_is_of_one_version(own_root):
    service = Service(own_root)

    async def scenario():
        async with asked(service) as site:
            questions = [{"like": [f"c{row}"], "k": 60} for row in range(50)]
            batch = asyncio.create_task(site.post("/v1/batch", {"questions": questions}))
            while not batch.done():
                delete(own_root, clip_ids=[f"c{59 - service.index.manifest.version}"])
                await asyncio.to_thread(service.versions.renew)
                await asyncio.sleep(0)
            return await batch

    answers = asyncio.run(scenario()).json()["answers"]
    assert len({answer["index_version"] for answer in answers}) == 1


def test_versions_that_are_no_more_served_are_let_go(own_root):
    service = Service(own_root)
    first = weakref.ref(service.index)

    async def scenario():
        async with asked(service) as site:
            await site.post("/v1/search", EVERYTHING)
            await site.client.get("/v1/clips/c1")
            await site.client.get("/v1/clips/c1/media")
            await site.post("/v1/facets", {})
            delete(own_root, clip_ids=["c0"])
            service.versions.renew()
            gc.collect()
            return first()

    assert asyncio.run(scenario()) is None


def test_segments_that_stay_are_not_opened_anew(own_root):
    versions = Versions(own_root)
    before = {segment.uuid: segment for segment in versions.index.segments}
    add(own_root, np.random.default_rng(9).normal(size=(5, 8)).astype(np.float32), 100)
    versions.renew()
    after = versions.index.segments
    assert len(after) == 4
    assert sum(segment is before.get(segment.uuid) for segment in after) == 3


def test_a_version_that_cannot_be_opened_is_not_taken_up(own_root):
    service = Service(own_root)
    version = service.index.manifest.version
    newest = max((own_root / "manifests").glob("*.json"))
    (own_root / "manifests" / f"{version + 1:012d}.json").write_bytes(newest.read_bytes()[:-5])
    service.versions.renew()
    assert service.index.manifest.version == version


def test_copies_that_find_damage_at_the_same_time_are_each_right(own_root):
    """Threads that ask, look up and count, while a segment is damaged: no row of another clip, no error."""
    service = Service(own_root)
    index = open_index(own_root)
    expected = {hit.clip_id: hit.score for hit in index.search(vector=VECTOR, k=60)}
    languages = {row["clip_id"]: row["language"] for row in index.take(range(60), ["clip_id", "language"])}
    stop, wrong = threading.Event(), []

    def ask(seed):
        draw = np.random.default_rng(seed)
        while not stop.is_set():
            own = service.index.own()
            (hits,) = own.ask([Query(vector=VECTOR, k=60)])
            service.versions.learn(own)
            wrong.extend(
                hit for hit in hits if abs(hit.score - expected[hit.clip_id]) > 1e-6 or hit.metadata["language"] != languages[hit.clip_id]
            )
            clip = hits[int(draw.integers(len(hits)))].clip_id
            (row,) = own.answered(lambda own=own, clip=clip: own.take([own.row_of(clip)]))
            wrong.extend([row] if row["clip_id"] != clip else [])

    with ThreadPoolExecutor(4) as pool:
        asking = [pool.submit(ask, seed) for seed in range(4)]
        lost = damage(own_root, 2)
        while len(service.index.segments) == 3:
            assert not any(task.done() for task in asking), [task.exception() for task in asking if task.done()]
        lost += damage(own_root, 0)
        while len(service.index.segments) == 2:
            assert not any(task.done() for task in asking), [task.exception() for task in asking if task.done()]
        stop.set()
        for task in asking:
            task.result()
    assert wrong == []
    assert len(service.index) == 60 - len(lost)

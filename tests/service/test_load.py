"""Many clients for a while, as an index grows and is damaged: each answer is what brute force finds in the version that it names."""

import asyncio
import json
import os
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from support.serving import Serving

BUILDER = Path(__file__).parents[1] / "support" / "builder.py"
DIM, K, QUERIES = 64, 10, 32
CLOSE = 2e-5  # scores of float16 vectors, summed in another order


@dataclass(frozen=True)
class Told:
    """One answer: which question, when it was asked (s of the run), how long it took, and what came."""

    query: int
    begun_s: float
    took_s: float
    status: int
    body: dict


class Building:
    """The process that grows the index, and what each version holds: {version: {uuid: [clip ids]}}."""

    def __init__(self, root, vectors):
        self.root = root
        command = [sys.executable, str(BUILDER), str(root), str(vectors)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.versions = {}

    def take(self, what, rows):
        """Have it take a step, and wait until it has."""
        self.process.stdin.write(f"{what} {rows}\n")
        self.process.stdin.flush()
        told = json.loads(self.process.stdout.readline())
        self.versions |= {int(version): held for version, held in told.items()}

    def damage(self):
        """Change each vector of the newest segment in place, as a failing disk does."""
        path = self.root / "segments" / list(self.versions[max(self.versions)])[-1] / "vectors.f16"
        path.chmod(0o600)
        with path.open("r+b") as file:
            data = np.frombuffer(file.read(), np.uint8).copy()
            data[:: 2 * DIM] ^= 0x55
            file.seek(0)
            file.write(data.tobytes())
            os.fsync(file.fileno())

    def end(self):
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()


@contextmanager
def grown(tmp_path, rows):
    """Yield what grows an index up to so many clips, and their vectors as they are stored."""
    vectors = np.random.default_rng(5).normal(size=(rows, DIM)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    np.save(tmp_path / "all.npy", vectors)
    building = Building(tmp_path / "index", tmp_path / "all.npy")
    try:
        building.take("build", rows // 2)
        yield building, vectors.astype(np.float16).astype(np.float32)
    finally:
        building.end()


async def ask(port, queries, *, clients, seconds, every_s, told, begun):
    """Have clients ask for some seconds, each on a connection of its own, a question every so often at random."""
    bodies = [json.dumps({"vector": query.tolist(), "k": K}).encode() for query in queries]
    raw = [
        b"POST /v1/search HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body) + body
        for body in bodies
    ]

    async def client(seed):
        draw = np.random.default_rng(seed)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.sleep(draw.random() * every_s)
        while time.monotonic() < begun + seconds:
            query, sent = int(draw.integers(len(queries))), time.monotonic()
            writer.write(raw[query])
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
            body = await reader.readexactly(length)
            took = time.monotonic() - sent
            told.append(Told(query, sent - begun, took, int(head[9:12]), json.loads(body)))
            await asyncio.sleep(max(0.0, every_s * (0.5 + draw.random()) - took))
        writer.close()

    await asyncio.gather(*(client(seed) for seed in range(clients)))


def check(told, queries, vectors, versions):
    """Compare every answer with brute force."""
    expected = {}
    for answer in told:
        body = answer.body
        lost = tuple(sorted(uuid for uuid in versions[body["index_version"]] if uuid in " ".join(body["skipped"])))
        assert (len(lost), body["partial"]) == (len(body["skipped"]), bool(lost))
        key = body["index_version"], lost, answer.query
        if key not in expected:
            segments = versions[body["index_version"]]
            rows = np.array([int(clip[1:]) for uuid, clips in segments.items() if uuid not in lost for clip in clips])
            scores = vectors[rows] @ queries[answer.query]
            expected[key] = dict(zip(rows.tolist(), scores.tolist(), strict=True)), np.sort(scores)[::-1][:K], len(rows)
        known, best, count = expected[key]
        found = [(int(hit["clip_id"][1:]), hit["score"]) for hit in body["hits"]]
        assert body["rows"] == count
        assert len(found) == K
        assert all(abs(known[row] - score) < CLOSE for row, score in found)
        assert np.abs(best - [score for _, score in found]).max() < CLOSE


def p99(told):
    return float(np.quantile([answer.took_s for answer in told], 0.99))


def load(tmp_path, *, clients, quiet_s, busy_s, every_s, rows, steps):
    """Run it, and return the answers of the quiet and of the busy time, and the service's memory through the latter."""
    queries = np.random.default_rng(6).normal(size=(QUERIES, DIM)).astype(np.float32)
    queries /= np.linalg.norm(queries, axis=1, keepdims=True)
    quiet, busy, memory = [], [], []
    with grown(tmp_path, rows) as (building, vectors), Serving(tmp_path / "index", tmp_path) as serving:

        async def ask_for(seconds, told):
            await ask(serving.port, queries, clients=clients, seconds=seconds, every_s=every_s, told=told, begun=time.monotonic())

        async def disturb():
            for step in range(steps):
                what = "build" if step < steps // 2 else "add"
                await asyncio.to_thread(building.take, what, rows // 2 + (step + 1) * (rows // 2 // steps))
                memory.append(serving.rss_bytes())
                await asyncio.sleep(0.3 * busy_s / steps)
                if step == steps // 2:  # of several segments
                    building.damage()
                await asyncio.sleep(0.3 * busy_s / steps)

        async def both():
            await asyncio.gather(ask_for(busy_s, busy), disturb())

        asyncio.run(ask_for(quiet_s, quiet))
        asyncio.run(both())
        assert serving.stop() == 0
        said = serving.said()
    assert {answer.status for answer in quiet + busy} == {200}
    check(quiet + busy, queries, vectors, building.versions)
    assert len({answer.body["index_version"] for answer in busy}) > 2
    assert any(answer.body["partial"] for answer in busy)
    assert "Traceback" not in said
    return quiet, busy, memory


def test_clients_are_answered_rightly_while_the_index_grows_and_is_damaged(tmp_path):
    _, busy, memory = load(tmp_path, clients=40, quiet_s=0.5, busy_s=9.0, every_s=1.0, rows=3000, steps=4)
    assert len(busy) > 100
    assert memory[-1] - memory[0] < 60 << 20


@pytest.mark.reliability
def test_200_clients_for_a_minute(tmp_path, capsys):
    quiet, busy, memory = load(tmp_path, clients=200, quiet_s=20.0, busy_s=60.0, every_s=2.0, rows=20_000, steps=12)
    slow, slower, median = 1000 * p99(quiet), 1000 * p99(busy), 1000 * np.median([answer.took_s for answer in busy])
    with capsys.disabled():
        sys.stdout.write(
            f"\n{len(quiet):,} and {len(busy):,} answers; p50 {median:.1f} ms; p99 quiet {slow:.1f} ms, busy {slower:.1f} ms, "
            f"{slower / slow:.2f}x; memory {memory[0] >> 20} to {memory[-1] >> 20} MiB\n"
        )
    assert memory[-1] - memory[0] < 60 << 20
    if len(os.sched_getaffinity(0)) > 2:  # a core for the service, one for the build, one for the clients
        assert slower < 1.5 * slow

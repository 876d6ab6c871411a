"""`vidsearch serve --executor ray`, three shards of two replicas: the answers of one process, whatever dies meanwhile."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.ray_nodes import COMMAND, Nodes
from support.sharded import add, make_sharded, questions, told

from vidsearch.encoders._blas import hold_one_thread
from vidsearch.query import Query
from vidsearch.service.sentences import Sentences
from vidsearch.service.versions import ServedIndex

pytestmark = [pytest.mark.ray, pytest.mark.timeout(600)]

PORT = 8641
GROUPS, REPLICAS = 3, 2
START_S, BACK_S = 200.0, 60.0
QUERY = Query((("a red circle", 1.0),), k=20)
# The service is asked from within the nodes' network: a line of JSON for each request and each answer.
ASKER = """
import json, sys, time, urllib.error, urllib.request
for line in sys.stdin:
    url, body = json.loads(line)
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
    begun = time.monotonic()
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            told = [answer.status, answer.headers.get("X-Vidsearch-Partial"), answer.read().decode()]
    except urllib.error.HTTPError as error:
        told = [error.code, None, error.read().decode()]
    except OSError as error:
        told = [0, None, str(error)]
    print(json.dumps([*told, time.monotonic() - begun]), flush=True)
"""


class Sharded:
    """A service on the nodes, and who asks it."""

    def __init__(self, nodes: Nodes, root: Path, *options: object) -> None:
        self._nodes, self.root = nodes, root
        cluster = ("--executor", "ray", "--address", nodes.address, "--groups", GROUPS, "--replicas", REPLICAS)
        self.process = nodes.start(*COMMAND, "serve", root, "--port", PORT, *cluster, *options)
        self._asker = subprocess.Popen(
            nodes._inside((sys.executable, "-c", ASKER)), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
        )
        until = time.monotonic() + START_S
        while self.get("/readyz")[0] != 200:
            assert self.process.poll() is None, "the service has ended"
            assert time.monotonic() < until, "the service does not answer"
            time.sleep(0.2)

    def get(self, path: str, body: Any = None) -> tuple[int, str | None, str, float]:
        assert self._asker.stdin is not None
        assert self._asker.stdout is not None
        self._asker.stdin.write(json.dumps([f"http://127.0.0.1:{PORT}{path}", body]) + "\n")
        self._asker.stdin.flush()
        status, partial, text, taken_s = json.loads(self._asker.stdout.readline())
        return status, partial, text, taken_s

    def ask(self, query: Query) -> dict[str, Any]:
        status, partial, text, _ = self.get("/v1/search", query.to_json())
        assert status == 200, text
        answer: dict[str, Any] = json.loads(text)
        assert (partial == "1") == answer["partial"]
        return answer

    def replicas(self) -> dict[int, frozenset[str]]:
        """Return the processes of the shards that have opened segments, and the segments that they have mapped."""
        inside = Path(f"/proc/{self._nodes.nodes[0].pid}/ns/net").readlink()
        found = {}
        for entry in Path("/proc").iterdir():
            with contextlib.suppress(OSError):
                if entry.name.isdigit() and b"ray::" in (entry / "cmdline").read_bytes() and (entry / "ns/net").readlink() == inside:
                    mapped = (line.split("/segments/", 1) for line in (entry / "maps").read_text().splitlines() if str(self.root) in line)
                    uuids = frozenset(parts[1].split("/")[0] for parts in mapped if len(parts) == 2)
                    if uuids:
                        found[int(entry.name)] = uuids
        return found

    def of_one_shard(self) -> list[int]:
        """Return the processes of one shard, once all are there."""
        self.until_all_are_there()
        replicas = self.replicas()
        segments = min(set(replicas.values()), key=sorted)
        return [process for process, held in replicas.items() if held == segments]

    def until_whole(self) -> float:
        """Ask until an answer is whole again; return the seconds that took."""
        begun = time.monotonic()
        while self.ask(QUERY)["partial"]:
            assert time.monotonic() - begun < BACK_S
        return time.monotonic() - begun

    def until_all_are_there(self) -> None:
        until = time.monotonic() + BACK_S
        while len(held := self.replicas()) < GROUPS * REPLICAS or len(set(held.values())) > GROUPS:  # one is opening its segments still
            assert time.monotonic() < until
            time.sleep(0.1)

    def close(self) -> int:
        if self._asker.poll() is None:
            self._asker.kill()
            self._asker.communicate()
        self.process.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(30)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        return self.process.wait()


@pytest.fixture(scope="module")
def nodes(tmp_path_factory) -> Iterator[Nodes]:
    made = Nodes(Path(tmp_path_factory.mktemp("r")))
    try:
        made.add(cpus=2)  # one node: what dies here is replicas, and each more takes a minute to start on a busy machine
        made.wait(1)
        yield made
    finally:
        made.close()


@pytest.fixture(scope="module")
def sharded(nodes, tmp_path_factory) -> Iterator[Sharded]:
    service = Sharded(nodes, make_sharded(tmp_path_factory.mktemp("s") / "index", "ivfpq"), "--shard-timeout", 3)
    try:
        yield service
    finally:
        service.close()


def compare(service: Sharded) -> set[str]:
    """Compare all answers with those of one process; return the plans."""
    hold_one_thread()
    alone, plans = ServedIndex(service.root, Sentences()), set()
    for query in questions():
        found = service.ask(query)
        assert not found["partial"], found["skipped"]
        (hits,) = alone.ask([query])
        expected = json.loads(json.dumps(told(hits)))
        assert {name: value for name, value in found.items() if name in expected} == expected | codes_of(found), query
        plans.add(hits.certificate.plan if hits.certificate else "")
    return plans


def codes_of(found: dict[str, Any]) -> dict[str, Any]:
    """Return what `told` leaves out, as it was found."""
    del found["timings_ms"]
    if found["certificate"]:
        del found["certificate"]["codes"]
    return {"index_version": found["index_version"]}


def test_hundred_questions_to_three_shards_are_answered_as_by_one_process(sharded):
    assert compare(sharded) >= {"ivf", "exact", "keywords"}
    replicas = sharded.replicas()
    assert len(replicas) == GROUPS * REPLICAS
    assert len(set(replicas.values())) == GROUPS


def test_one_replica_that_is_killed_costs_no_answer(sharded):
    os.kill(sharded.of_one_shard()[0], signal.SIGKILL)
    until = time.monotonic() + 3
    while time.monotonic() < until:
        assert not sharded.ask(QUERY)["partial"]


def test_a_shard_without_replicas_is_said_to_be_missing_and_comes_back(sharded):
    whole = sharded.ask(QUERY)
    for process in sharded.of_one_shard():
        os.kill(process, signal.SIGKILL)
    partial = sharded.ask(QUERY)
    assert partial["partial"]
    assert partial["skipped"][0].startswith("shards 2/3: ")
    assert partial["rows"] < whole["rows"]
    print(f"back after {sharded.until_whole():.1f} s")  # noqa: T201
    assert sharded.ask(QUERY)["hits"] == whole["hits"]


def test_a_shard_that_hangs_is_waited_for_once_and_taken_back(sharded):
    stopped = sharded.of_one_shard()
    for process in stopped:
        os.kill(process, signal.SIGSTOP)
    try:
        assert sharded.ask(QUERY)["partial"]
        status, partial, _, taken_s = sharded.get("/v1/search", QUERY.to_json())
        assert (status, partial) == (200, "1")
        assert taken_s < 2.0  # it is known by now
    finally:
        for process in stopped:
            os.kill(process, signal.SIGCONT)
    sharded.until_whole()


def test_a_commit_is_opened_by_the_shards_before_it_is_asked(sharded):
    before = sharded.ask(QUERY)
    vector = Sentences().encode(ServedIndex(sharded.root, Sentences()).space, ["a red circle"])
    add(sharded.root, np.repeat(vector, 5, axis=0).astype(np.float32), 900_000, ["a red circle, newly come"] * 5)
    until = time.monotonic() + BACK_S
    while (found := sharded.ask(QUERY))["index_version"] == before["index_version"]:
        assert not found["partial"]
        assert found["hits"] == before["hits"]
        assert time.monotonic() < until
    assert not found["partial"]
    assert [hit["clip_id"] for hit in found["hits"][:5]] == [f"c{900_000 + n}" for n in range(5)]


def test_what_cannot_be_served_is_one_line(nodes, sharded, tmp_path):
    hidden = tmp_path / "hidden"
    hidden.mkdir()
    for words, line in (
        (("--executor", "ray", "--address", "127.0.0.1:1"), "--address 127.0.0.1:1: nothing answers there"),
        (("--executor", "ray", "--address", nodes.address, "--groups", 99), "--groups 99: the index has"),
        (("--executor", "rya"), "unknown executor 'rya'"),
        (("--groups", 2), "go with --executor ray"),
    ):
        done = nodes.vidsearch("serve", sharded.root, "--port", 0, *words)
        assert (done.returncode, done.stdout) == (2, ""), done.stderr
        assert line in done.stderr.strip().splitlines()[-1]
        assert "Traceback" not in done.stderr


def test_a_flat_index_is_answered_as_by_one_process_and_the_service_ends_when_told(nodes, sharded, tmp_path):
    sharded.close()
    service = Sharded(nodes, make_sharded(tmp_path / "index", "flat"))
    try:
        assert compare(service) >= {"exact", "keywords"}
    finally:
        assert service.close() == 0
    assert not service.replicas()

"""A build on three Ray nodes: the same index as one process makes, whatever dies on the way."""

import contextlib
import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.contents import check_books, contents, quarantined
from support.ray_nodes import COMMAND, Nodes

import vidsearch
from indexer.plans import Plan
from indexer.ready import open_work
from indexer.toyvideos import write_demo_videos
from vidsearch.storage.handed_in import job_name

pytestmark = [pytest.mark.ray, pytest.mark.timeout(600)]

CLIPS, JOB = 36, 4


@pytest.fixture(scope="module")
def nodes(tmp_path_factory) -> Iterator[Nodes]:
    made = Nodes(Path(tmp_path_factory.mktemp("r")))
    try:
        for count in (1, 2, 3):  # two that start at once take the same names
            made.add()
            made.wait(count)
        yield made
    finally:
        made.close()


@pytest.fixture(scope="module")
def clips(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("clips")
    rows = list(write_demo_videos(folder, count=CLIPS, seed=5))
    broken = {**rows[0], "YoutubeID": "toybroken00", "video_path": "broken.mp4"}
    (folder / "broken.mp4").write_bytes(b"this is no video")
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in [*rows, broken]))
    return folder


@pytest.fixture(scope="module")
def alone(clips, nodes, tmp_path_factory) -> Path:
    """The index that one process makes, with as many threads as an actor has."""
    root = tmp_path_factory.mktemp("alone") / "index"
    done = nodes.vidsearch("index", clips, "--out", root, "--model", "demo-viclip", "--workers", 1)
    assert done.returncode == 0, done.stderr
    return root


def words(nodes: Nodes, clips: Path, root: Path) -> tuple[object, ...]:
    ray = ("--executor", "ray", "--address", nodes.address, "--job-clips", JOB)
    return ("index", clips, "--out", root, "--model", "demo-viclip", "--workers", 1, *ray)


@contextlib.contextmanager
def watching(root: Path, look: Callable[[Plan], None]) -> Iterator[None]:
    """Look at the open plan of an index again and again meanwhile."""
    ended = threading.Event()

    def watch() -> None:
        while not ended.is_set():
            with contextlib.suppress(vidsearch.errors.VidsearchError, OSError):
                for plan, _ in open_work(root):
                    while not ended.is_set():
                        look(plan)
                        time.sleep(0.001)
            time.sleep(0.02)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def attempts(root: Path, plan: Plan, number: int) -> list[int]:
    """Return the processes that began a job."""
    with contextlib.suppress(OSError):
        lines = (root / "attempts" / job_name(plan.name, number)).read_text().splitlines()
        return [int(line.rpartition(":")[2]) for line in lines if line.startswith("begun")]
    return []


def end(process: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(process, signal.SIGKILL)


def test_three_nodes_make_the_index_of_one_process(nodes, clips, alone, tmp_path):
    root = tmp_path / "index"
    done = nodes.vidsearch(*words(nodes, clips, root))
    assert done.returncode == 0, done.stderr
    assert f"{CLIPS} clips indexed" in done.stdout
    assert "Traceback" not in done.stderr
    check_books(root)
    assert contents(root) == contents(alone)
    assert quarantined(root).keys() == quarantined(alone).keys()
    again = nodes.vidsearch(*words(nodes, clips, root))
    assert (again.returncode, f"{CLIPS} were there already" in again.stdout) == (0, True), again.stderr


def test_a_node_with_another_version_and_one_that_does_not_see_the_index_are_one_line_each(nodes, clips, tmp_path):
    other = tmp_path / "site" / "vidsearch-99.0.dist-info"
    other.mkdir(parents=True)
    (other / "METADATA").write_text("Metadata-Version: 2.1\nName: vidsearch\nVersion: 99.0\n")
    hidden = tmp_path / "hidden"
    hidden.mkdir()
    for root, before, env, line in (
        (tmp_path / "index", (), {"PYTHONPATH": str(other.parent)}, "vidsearch 99.0 there and "),
        (
            hidden / "index",
            ("unshare", "-m", "sh", "-c", f'mount -t tmpfs none {hidden} && exec "$@"', "sh"),
            {},
            "does not see the index at",
        ),
    ):
        count = len(nodes.nodes)
        node = nodes.add(*before, cpus=1, **env)
        nodes.wait(count + 1)
        done = nodes.vidsearch(*words(nodes, clips, root))
        assert (done.returncode, done.stdout) == (2, ""), done.stderr
        last = done.stderr.strip().splitlines()[-1]
        assert line in last
        assert last.startswith("error: node ")
        nodes.kill(node)
        nodes.wait(count)


def test_actors_killed_in_a_job_and_after_its_write_and_a_job_that_kills_all_cost_nobody_else(nodes, clips, alone, tmp_path):
    root = tmp_path / "index"
    killed: dict[str, list[int]] = {"in a job": [], "after the write": [], "poison": []}

    def kill(plan: Plan) -> None:
        poison, first, second = 2, 4, 6
        for process in attempts(root, plan, poison):  # whoever begins this job dies of it
            if process not in killed["poison"]:
                end(process)
                killed["poison"].append(process)
        begun = attempts(root, plan, first)
        if begun and not killed["in a job"]:
            end(begun[0])
            killed["in a job"].append(begun[0])
        name = job_name(plan.name, second)
        if not killed["after the write"] and (root / "segments" / name).exists():
            end(attempts(root, plan, second)[0])
            killed["after the write"].append(second)

    with watching(root, kill):
        done = nodes.vidsearch(*words(nodes, clips, root))
    assert done.returncode == 0, done.stderr
    assert len(killed["poison"]) == 3
    assert killed["in a job"]
    assert killed["after the write"]
    check_books(root)
    bad = {clip for clip, (reason, detail, _) in quarantined(root).items() if reason == "DECODER_CRASH" and "its worker 3 times" in detail}
    assert len(bad) >= JOB - 1
    expected = {clip: row for clip, row in contents(alone).items() if clip not in bad}
    assert contents(root) == expected
    assert f"skipped {len(bad):,}: DECODER_CRASH" in done.stdout


def test_a_driver_killed_and_started_again_after_a_node_died_loses_nothing(nodes, clips, alone, tmp_path):
    root = tmp_path / "index"
    driver = nodes.start(*COMMAND, *words(nodes, clips, root))
    while not list(root.glob("ready/*")):
        assert driver.poll() is None
        time.sleep(0.01)
    os.killpg(driver.pid, signal.SIGKILL)
    driver.wait()
    assert len(vidsearch.open_index(root)) < CLIPS
    ready = len(list(root.glob("ready/*")))
    assert ready >= 1
    again = nodes.start(*COMMAND, *words(nodes, clips, root))
    while len(list(root.glob("attempts/*"))) < 2:
        assert again.poll() is None
        time.sleep(0.01)
    nodes.kill(nodes.nodes[-1])
    assert again.wait(timeout=280) == 0
    check_books(root)
    assert contents(root) == contents(alone)


@pytest.mark.parametrize("address", ["127.0.0.1:1", "nonsense", "ray://127.0.0.1:1"])
def test_an_address_where_no_ray_is_is_one_line(clips, tmp_path, address):
    ray = ("--executor", "ray", "--address", address)
    done = subprocess.run(
        [*COMMAND, "index", str(clips), "--out", str(tmp_path / "i"), "--model", "demo-viclip", *ray],
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
    )
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert address in done.stderr

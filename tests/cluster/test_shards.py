"""Parts of a plan done by processes that know nothing of each other, and joined: the same index as one process makes."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from support.contents import check_books, contents, quarantined

import vidsearch
from indexer import build
from indexer.executors.base import Order
from indexer.jobrun import CRASHES, JobRunner
from indexer.opening import open_or_create
from indexer.plans import Asked, open_plan
from indexer.ready import commit_ready, give_up, open_work
from indexer.shards import Shard, build_shard
from indexer.sources import find_sources
from indexer.summary import Summary
from indexer.toyvideos import write_demo_videos
from vidsearch.errors import UsageError
from vidsearch.storage import garbage
from vidsearch.storage import manifest as manifests
from vidsearch.storage.handed_in import begin_attempt, job_name, read_marks

CLIPS, JOB = 20, 4
COMMAND = (sys.executable, "-c", "from vidsearch.cli import main; main()")
MODEL = ("--model", "demo-viclip", "--device", "cpu")


@pytest.fixture(scope="module")
def encoder():
    return vidsearch.load_encoder("demo-viclip", device="cpu")


@pytest.fixture(scope="module")
def clips(tmp_path_factory) -> Path:
    """20 clips, a video that is none, a video that is missing, and a column that few rows have."""
    folder = tmp_path_factory.mktemp("clips")
    rows = list(write_demo_videos(folder, count=CLIPS, seed=5))
    rows[3]["views"] = 17
    broken = {**rows[0], "YoutubeID": "toybroken00", "video_path": "broken.mp4"}
    (folder / "broken.mp4").write_bytes(b"this is no video")
    missing = {**rows[0], "YoutubeID": "toymissing0", "video_path": "missing.mp4"}
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in [*rows, broken, missing]))
    return folder


@pytest.fixture(scope="module")
def alone(clips, encoder, tmp_path_factory) -> Path:
    """The index that one process makes."""
    root = tmp_path_factory.mktemp("alone") / "index"
    assert build(clips, root, encoder=encoder).indexed == CLIPS
    return root


def order(clips: Path, root: Path, **others) -> Order:
    return Order(clips, root, model="demo-viclip", workers=1, job_clips=JOB, **others)


def quiet(summary: Summary) -> None:
    pass


def runner(clips: Path, root: Path, encoder, run: str = "run") -> JobRunner:
    open_or_create(root, encoder)
    plan = open_plan(root, find_sources(clips, metadata=None, videos=None), Asked(job_clips=JOB), summary=Summary(), progress=quiet)
    assert plan is not None
    return JobRunner(root, plan, encoder, run=run)


@pytest.mark.parametrize("arrival", [(0, 1, 2), (2, 0, 1)])
def test_parts_joined_are_the_index_of_one_process_whatever_comes_first(clips, alone, encoder, tmp_path, arrival):
    root = tmp_path / "index"
    for number in arrival:
        done = build_shard(order(clips, root), Shard(number, 3), encoder, quiet)
        assert done.indexed + done.failed == done.planned
        check_books(root, pending=CLIPS + 2)  # nothing is committed by a part
    assert len(vidsearch.open_index(root)) == 0
    assert commit_ready(root) == 6
    assert not read_marks(root)
    check_books(root)
    assert not open_work(root)
    assert contents(root) == contents(alone)
    assert quarantined(root) == quarantined(alone)


def test_rows_lie_in_the_same_order_whatever_part_came_first(clips, encoder, tmp_path):
    orders = []
    for arrival in ((0, 1), (1, 0)):
        root = tmp_path / str(arrival[0])
        for number in arrival:
            build_shard(order(clips, root), Shard(number, 2), encoder, quiet)
            commit_ready(root)
        index = vidsearch.open_index(root)
        orders.append([segment.read_columns(["clip_id"])["clip_id"].to_pylist() for segment in index.segments])
    assert orders[0] == orders[1]


def test_vectors_do_not_depend_on_what_is_encoded_beside_them(clips, alone, encoder, tmp_path):
    root = tmp_path / "index"
    build_shard(Order(clips, root, model="demo-viclip", workers=2, job_clips=1), Shard(0, 1), encoder, quiet)
    commit_ready(root)
    assert contents(root) == contents(alone)


def test_two_parts_that_plan_at_once_share_the_first_plan(clips, encoder, tmp_path):
    root = tmp_path / "index"
    first, second = (runner(clips, root, encoder)._plan for _ in range(2))
    assert first == second
    assert len(manifests.versions(root)) == 2


def test_an_unfinished_plan_is_not_gone_on_with_by_other_options(clips, encoder, tmp_path):
    root = tmp_path / "index"
    runner(clips, root, encoder)
    with pytest.raises(UsageError, match=r"unfinished plan of this input, made for --split scenes.*--give-up"):
        build_shard(order(clips, root, split="none"), Shard(0, 1), encoder, quiet)


def test_a_part_begun_again_does_what_is_left(clips, encoder, tmp_path):
    root = tmp_path / "index"
    assert build_shard(order(clips, root), Shard(0, 2), encoder, quiet).indexed > 0
    assert build_shard(order(clips, root), Shard(0, 2), encoder, quiet).planned == 0
    commit_ready(root)
    assert build_shard(order(clips, root), Shard(0, 2), encoder, quiet).planned == 0
    rest = build_shard(order(clips, root), Shard(0, 1), encoder, quiet)
    assert rest.indexed > 0
    commit_ready(root)
    assert build_shard(order(clips, root), Shard(0, 1), encoder, quiet).planned == 0  # and no plan is left open
    assert not open_work(root)
    assert len(vidsearch.open_index(root)) == CLIPS


def test_a_job_done_twice_counts_once(clips, alone, encoder, tmp_path):
    root = tmp_path / "index"
    with runner(clips, root, encoder) as one:
        for number in range(len(one._plan.jobs)):
            given = one.do(number)
            name = job_name(one._plan.name, number)
            (root / "ready" / f"{name}.json").unlink()  # as if the process had been killed after its write, before its mark
            assert one.do(number) == given  # the segment is found, and handed in
            assert len((root / "attempts" / name).read_text().splitlines()) == 1
        marks = {path.name: path.read_bytes() for path in (root / "ready").iterdir()}
        commit_ready(root)
        for name, data in marks.items():  # as if the process had been killed after the commit, before it removed the marks
            (root / "ready" / name).write_bytes(data)
        assert commit_ready(root) == 0
        assert not list((root / "ready").iterdir()) or not open_work(root)
    check_books(root)
    assert contents(root) == contents(alone)


def test_one_process_takes_over_an_open_plan_and_what_is_ready(clips, alone, encoder, tmp_path):
    root = tmp_path / "index"
    ready = build_shard(order(clips, root), Shard(1, 3), encoder, quiet)
    summary = build(clips, root, encoder=encoder)
    assert summary.indexed == CLIPS - ready.indexed
    check_books(root)
    assert not open_work(root)
    assert contents(root) == contents(alone)


def test_a_late_part_of_a_plan_that_was_taken_over_brings_nothing_twice(clips, alone, encoder, tmp_path):
    root = tmp_path / "index"
    with runner(clips, root, encoder) as late:
        late.do(0)
        give_up(root)
        build(clips, root, encoder=encoder)
        late.do(1)
        assert commit_ready(root) == 0
    check_books(root)
    assert contents(root) == contents(alone)


def test_a_clip_that_another_build_brought_meanwhile_has_one_row(clips, alone, encoder, tmp_path):
    root, elsewhere = tmp_path / "index", tmp_path / "elsewhere"
    shutil.copytree(clips, elsewhere)  # another input, as the ledger names it, of the same clips
    with runner(clips, root, encoder) as one:
        build(elsewhere, root, encoder=encoder)
        for number in range(len(one._plan.jobs)):
            one.do(number)
        commit_ready(root)
    check_books(root)
    assert contents(root) == contents(alone)


def test_garbage_collection_spares_what_is_ready_and_the_open_plan(clips, alone, encoder, tmp_path):
    root = tmp_path / "index"
    build_shard(order(clips, root), Shard(0, 2), encoder, quiet)
    garbage.collect(root, grace_s=0, versions=1)
    build_shard(order(clips, root), Shard(1, 2), encoder, quiet)
    commit_ready(root)
    assert contents(root) == contents(alone)
    garbage.collect(root, grace_s=0, versions=1)
    assert not [path for folder in ("ready", "attempts", "plans") for path in (root / folder).iterdir()]
    assert contents(root) == contents(alone)


def test_a_job_that_crashes_its_process_three_times_is_quarantined_and_the_rest_goes_on(clips, encoder, tmp_path):
    root = tmp_path / "index"
    with runner(clips, root, encoder) as one:
        for _ in range(CRASHES):
            begin_attempt(root, job_name(one._plan.name, 1), "run", by="test")
        done = [one.do(number) for number in range(len(one._plan.jobs))]
    assert done[1].failed == one._plan.jobs[1][0] > 0
    assert done[1].indexed == 0
    commit_ready(root)
    check_books(root)
    bad = [entry for entry in quarantined(root).values() if entry[0] == "DECODER_CRASH"]
    assert len(bad) == done[1].failed
    assert all("crashed its worker 3 times" in detail and attempts == CRASHES for _, detail, attempts in bad)
    assert build_shard(order(clips, root), Shard(0, 1), encoder, quiet).planned == 0  # they are not tried again


def test_a_job_given_up_in_good_order_is_not_to_blame(clips, encoder, tmp_path):
    root = tmp_path / "index"

    def interrupt(summary: Summary) -> None:
        if summary.indexed:
            raise KeyboardInterrupt

    for _ in range(CRASHES + 1):
        assert build_shard(order(clips, root), Shard(0, 1), encoder, interrupt).interrupted
    build_shard(order(clips, root), Shard(0, 1), encoder, quiet)
    commit_ready(root)
    assert len(vidsearch.open_index(root)) == CLIPS


def test_videos_that_are_cut_are_parted_too(clips, encoder, tmp_path):
    bare = tmp_path / "bare"
    bare.mkdir()
    for path in sorted(clips.glob("*.mp4"))[:4]:
        shutil.copy(path, bare)
    build(bare, tmp_path / "one", encoder=encoder, split="window:1s")
    root = tmp_path / "index"
    for number in range(2):
        done = build_shard(order(bare, root, split="window:1s"), Shard(number, 2), encoder, quiet)
        assert done.planned == done.indexed + done.failed > 0
    commit_ready(root)
    check_books(root)
    assert contents(root) == contents(tmp_path / "one")


def test_a_segment_that_is_damaged_before_the_commit_is_not_committed_and_its_job_done_again(clips, alone, encoder, tmp_path, caplog):
    root = tmp_path / "index"
    build_shard(order(clips, root), Shard(0, 1), encoder, quiet)
    vectors = sorted((root / "segments").glob("*/vectors.f16"), key=lambda path: path.stat().st_size)[-1]
    vectors.write_bytes(vectors.read_bytes()[:-2] + b"\0\0")
    commit_ready(root)
    assert "vectors.f16: changed since it was written, its SHA-256 differs; its job is done again" in caplog.text
    assert build_shard(order(clips, root), Shard(0, 1), encoder, quiet).indexed > 0
    commit_ready(root)
    check_books(root)
    assert contents(root) == contents(alone)


@pytest.mark.parametrize("text", ["8/8", "-1/8", "1", "a/b", "0/0", "1/2/3", "", "٣/٨"])
def test_a_part_that_is_none_is_one_clear_line(text):
    with pytest.raises(UsageError, match=r"is not a part; give I/N with I from 0 to N-1: 0/8 to 7/8"):
        Shard.parse(text)


def vidsearch_command(*words: object) -> subprocess.CompletedProcess:
    command = [*COMMAND, *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120, env={**os.environ, "COLUMNS": "80"})


def test_the_commands_part_the_work_join_it_and_say_what_is_missing(clips, alone, tmp_path):
    root = tmp_path / "index"
    words = ("index", clips, "--out", root, *MODEL, "--workers", 1, "--job-clips", JOB)
    part = vidsearch_command(*words, "--shard", "0/2")
    assert part.returncode == 0, part.stderr
    assert "part 0/2 is ready" in part.stdout
    early = vidsearch_command("commit", root)
    assert early.returncode == 3
    assert "jobs of" in early.stderr
    assert "are missing" in early.stderr
    assert vidsearch_command(*words, "--shard", "1/2").returncode == 0
    whole = vidsearch_command("commit", root)
    assert whole.returncode == 0, whole.stderr
    assert contents(root) == contents(alone)
    wrong = vidsearch_command(*words, "--shard", "2/2")
    assert (wrong.returncode, wrong.stderr.count("\n")) == (2, 1)


def test_a_part_killed_at_any_moment_leaves_work_that_is_done_once(clips, alone, encoder, tmp_path):
    root = tmp_path / "index"
    words = [*COMMAND, "index", clips, "--out", root, *MODEL, "--workers", 1, "--job-clips", JOB, "--shard", "0/1"]
    process = subprocess.Popen(list(map(str, words)), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while not list(root.glob("ready/*")):
        assert process.poll() is None
    process.send_signal(signal.SIGKILL)
    process.wait()
    build_shard(order(clips, root), Shard(0, 1), encoder, quiet)
    commit_ready(root)
    check_books(root)
    assert contents(root) == contents(alone)

"""What `eval index` says of an index, against brute force over its vectors."""

import json
import re

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import typer
from support.made import made
from typer.testing import CliRunner

from indexer import build_from_vectors
from indexer.evaluation.index_cli import index as command
from indexer.evaluation.index_queries import queries_for
from vidsearch import open_index
from vidsearch.corpus import Ranked
from vidsearch.errors import VidsearchError
from vidsearch.evaluation.index_filters import NEAR, row_filters
from vidsearch.evaluation.recall import Measured, Times, interval, measure, recall_of, suggest
from vidsearch.results import Certificate
from vidsearch.storage import manifest as manifests

ROWS, DIM, K = 4_000, 32, 10
MS = Times(1.0, 2.0)


@pytest.fixture(autouse=True, scope="module")
def small_indexes_are_worth_their_codes():
    """Let the planner use codes where scoring every row would cost less: so small an index is built and asked in seconds."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("vidsearch.planner.FIXED_BYTES", 0)
        patch.setattr("vidsearch.corpus.FIXED_BYTES", 0)
        yield


def clustered(rows, seed):
    """Return vectors that lie as real ones do, in clusters: the same ones whatever the seed."""
    rng = np.random.default_rng(seed)
    made = np.random.default_rng(0).normal(size=(100, DIM))[rng.integers(100, size=rows)] + 0.5 * rng.normal(size=(rows, DIM))
    return (made / np.linalg.norm(made, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """An IVF-PQ index of vectors, with a column that has values of many shares."""
    folder = tmp_path_factory.mktemp("recall")
    rng = np.random.default_rng(0)
    np.save(folder / "v.npy", clustered(ROWS, 1))
    kinds = rng.choice(["most", "some", "few", "rare"], size=ROWS, p=[0.57, 0.3, 0.1, 0.03])
    pq.write_table(pa.table({"kind": kinds, "aesthetic": rng.normal(5, 1, ROWS).astype(np.float32)}), folder / "rows.parquet")
    build_from_vectors(
        folder / "v.npy", folder / "index", metadata=folder / "rows.parquet", queries=clustered(120, 2), index_factory="ivfpq"
    )
    return folder / "index"


@pytest.fixture(scope="module")
def index(root):
    found = open_index(root)
    assert {segment.info["index"] for segment in found.segments} == {"ivfpq"}
    return found


@pytest.fixture(scope="module")
def queries():
    return clustered(80, 3)


@pytest.fixture(scope="module")
def measured(index, queries):
    return measure(index, queries[:40], row_filters(index, (1.0, 0.3, 0.1)), ks=(K, 30), targets=(0.8, 0.95, 0.99))


def brute(index, query, chosen, k):
    """The true nearest rows, by a product over all stored vectors."""
    scores = np.concatenate([segment.vectors.astype(np.float32) @ query for segment in index.segments])
    passing = np.flatnonzero(np.concatenate([selection.mask for selection in chosen.selections]))
    return set(passing[np.argsort(-scores[passing], kind="stable")[:k]].tolist())


def test_recall_is_that_of_brute_force(index, queries, measured):
    approximate = 0
    for one in measured:
        if one.wanted is None:
            assert (one.recall, one.low, one.high) == (1.0, 1.0, 1.0)
            continue
        found = []
        for query in queries[:40]:
            answer = index.nearest(query[None], one.k, selections=one.filter.selections, recall=one.wanted)[0]
            found.append(len(brute(index, query, one.filter, one.k) & set(answer.rows.tolist())) / one.k)
        assert one.recall == pytest.approx(np.mean(found), abs=1e-9)
        assert one.low <= one.recall <= one.high
        approximate += one.exact_share < 1
    assert approximate >= 3  # else nothing was put to the test


def test_a_higher_recall_asked_for_finds_no_less(measured):
    for k in (K, 30):
        own = [one.recall for one in measured if one.k == k and one.filter.wanted == 1.0 and one.wanted is not None]
        assert own == sorted(own)


def test_the_suggested_setting_reaches_its_recall_on_other_queries(index, queries, measured):
    for wanted in (0.7, 0.8, 0.9):
        told = suggest(measured, wanted, K)
        assert told.setting is not None
        again = measure(index, queries[40:], row_filters(index, (1.0, 0.3, 0.1)), ks=(K,), targets=(told.setting,))
        assert min(one.recall for one in again) >= wanted


def test_where_no_setting_is_sure_the_exact_search_is_suggested(measured):
    chosen = measured[0].filter
    poor = [Measured(chosen, K, None, 1.0, 1.0, 1.0, Times(7.0, 9.0), 1.0), Measured(chosen, K, 0.9, 0.96, 0.94, 0.97, MS, 0.0)]
    assert suggest(poor, 0.95, K).setting is None
    assert "only --exact is sure of it: 7.0 ms" in str(suggest(poor, 0.95, K))
    assert suggest(poor, 0.93, K).setting == 0.9


def test_the_cheapest_setting_must_do_under_every_filter(measured):
    chosen = measured[0].filter
    group = [Measured(chosen, K, None, 1.0, 1.0, 1.0, MS, 1.0)]
    group += [
        Measured(chosen, K, target, low, low, 1.0, Times(low, 3.0), 0.0)
        for target, low in ((0.8, 0.99), (0.8, 0.7), (0.9, 0.9), (0.9, 0.95))
    ]
    told = suggest(group, 0.9, K)
    assert (told.setting, told.worst.recall, told.worst.times.median_ms) == (0.9, 0.9, 0.95)


def test_filters_are_of_the_columns_and_near_their_share(index):
    filters = row_filters(index, (1.0, 0.3, 0.1, 0.03, 0.01, 0.0001))
    assert [chosen.name.split(" ")[0] for chosen in filters] == ["no", '"kind"', '"kind"', '"kind"', "aesthetic"]
    for chosen in filters:
        where = None if chosen.wanted == 1 else chosen.name
        assert chosen.rows == index.count(where=where).rows == round(chosen.share * ROWS)
        assert 1 / NEAR <= chosen.share / chosen.wanted <= NEAR


def test_without_columns_rows_are_drawn(tmp_path):
    found = made(tmp_path / "index", np.random.default_rng(0).normal(size=(150, 4)), np.random.default_rng(1).normal(size=(50, 4)))
    filters = row_filters(found, (1.0, 0.1, 0.01))
    assert [(chosen.rows, "drawn" in chosen.name) for chosen in filters] == [(200, False), (20, True)]


@pytest.mark.parametrize(
    ("rows", "scores", "recall"),
    [
        ([1, 2, 3], [0.9, 0.8, 0.7], 1.0),
        ([1, 2, 9], [0.9, 0.8, 0.6], 2 / 3),
        ([1, 2, 9], [0.9, 0.8, 0.7], 1.0),  # as near as the third
        ([1], [0.9], 1 / 3),
        ([], [], 0.0),
    ],
)
def test_recall_counts_rows_as_near_as_the_kth(rows, scores, recall):
    truth = Ranked(np.array([1, 2, 3, 4]), np.array([0.9, 0.8, 0.7, 0.5], np.float32), Certificate("exact", ""))
    assert recall_of(np.array(rows, np.int64), np.array(scores, np.float32), truth, 3) == pytest.approx(recall)


def test_where_fewer_pass_than_are_asked_for_all_of_them_are_the_truth():
    truth = Ranked(np.array([1, 2]), np.array([0.9, 0.8], np.float32), Certificate("exact", ""))
    assert recall_of(truth.rows, truth.scores, truth, 10) == 1.0
    assert recall_of(truth.rows[:1], truth.scores[:1], truth, 10) == 0.5


def test_the_interval_holds_the_mean_in_nineteen_of_twenty_trials():
    rng = np.random.default_rng(3)
    trials = [interval(rng.binomial(10, 0.93, 100) / 10, 10, seed) for seed in range(200)]
    assert 180 <= sum(low <= 0.93 <= high for low, high in trials) < 200
    low, high = interval(np.ones(50), 10, 0)
    assert 0.98 < low < 1.0 == high


def run(*arguments):
    application = typer.Typer()
    application.command()(command)
    return CliRunner().invoke(application, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def vectors_file(tmp_path_factory, queries):
    file = tmp_path_factory.mktemp("queries") / "q.npy"
    np.save(file, 3 * queries[:20])
    return file


def test_the_command_says_recall_time_and_what_to_ask_with(root, vectors_file, tmp_path):
    done = run(
        root, "--queries", vectors_file, "--k", "10", "--recall", "0.8", "--report", tmp_path / "r.json", "--plot", tmp_path / "p.svg"
    )
    assert done.exit_code == 0, done.exception
    assert max(map(len, done.stdout.splitlines())) <= 80
    report = json.loads((tmp_path / "r.json").read_text())
    rows = report["tables"][1]["rows"]
    assert {"passing", "--recall", "recall@10", "95 %", "median ms", "p95 ms"} == set(rows[0])
    assert rows[0]["--recall"] == "exact"
    assert all(row["median ms"] <= row["p95 ms"] for row in rows)
    assert re.match(r"recall@10 of 0.8: (ask with --recall 0\.\d+; measured|only --exact)", report["notes"][0])
    assert "<svg" in (tmp_path / "p.svg").read_text()


def test_queries_unlike_those_of_the_tuning_are_told(root, tmp_path):
    np.save(tmp_path / "q.npy", np.random.default_rng(9).normal(size=(30, DIM)).astype(np.float32))
    assert "find less than they ask for" in " ".join(run(root, "--queries", tmp_path / "q.npy", "--k", "10").stdout.split())


def test_a_flat_index_is_exact_and_only_timed(tmp_path):
    made(tmp_path / "index", np.random.default_rng(0).normal(size=(120, 4)))
    done = run(tmp_path / "index", "--k", "5")
    assert "recall is 1 by construction" in done.stdout
    assert "easier to find than sentences" in " ".join(done.stdout.split())
    assert "ask with" not in done.stdout


def test_queries_come_from_a_file_once_each_and_of_length_one(index, vectors_file):
    asked = queries_for(index, vectors_file, 15, seed=0)
    assert asked.vectors.shape == (15, DIM)
    np.testing.assert_allclose(np.linalg.norm(asked.vectors, axis=1), 1, atol=1e-5)
    assert len({row.tobytes() for row in asked.vectors}) == 15


def test_an_index_that_is_damaged_is_measured_without_its_segment(tmp_path):
    rng = np.random.default_rng(0)
    made(tmp_path / "index", rng.normal(size=(60, 4)), rng.normal(size=(60, 4)))
    damaged = sorted((tmp_path / "index" / "segments").glob("*/columns.bin"))[0]
    damaged.write_bytes(bytes(len(damaged.read_bytes())))
    done = run(tmp_path / "index", "--k", "5")
    assert done.exit_code == 3
    assert "left out" in done.stderr
    assert re.search(r"clips +60\b", done.stdout)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--k", "0"], "give whole numbers from 1 to 1000"),
        (["--k", "ten"], "give whole numbers"),
        (["--report", "x.html"], "give a name ending in .md or .json"),
        (["--plot", "x.txt"], "give a name ending in .png, .svg or .pdf"),
        (["--plot", "nowhere/x.png"], "no folder"),
        (["--queries", "nothing.npy"], "no file nothing.npy"),
    ],
)
def test_what_cannot_be_measured_is_one_line(root, options, said):
    error = run(root, *options).exception
    assert isinstance(error, VidsearchError)
    assert said in str(error)
    assert "\n" not in str(error)


@pytest.mark.parametrize(
    ("vectors", "said"),
    [
        (np.ones((3, 5), np.float32), "vectors of 32"),
        (np.zeros((3, DIM), np.float32), "without a direction"),
        (np.ones((0, DIM)), "0 vectors"),
    ],
)
def test_vectors_that_do_not_fit_are_said(index, tmp_path, vectors, said):
    np.save(tmp_path / "q.npy", vectors)
    with pytest.raises(VidsearchError, match=said):
        queries_for(index, tmp_path / "q.npy", 10, seed=0)


def test_a_model_that_was_named_is_not_passed_over(tmp_path):
    made(tmp_path / "index", np.random.default_rng(0).normal(size=(60, 4)), caption=[f"dog {row}" for row in range(60)])
    assert queries_for(open_index(tmp_path / "index"), None, 10, seed=0).source.startswith("stored vectors")
    with pytest.raises(VidsearchError):
        queries_for(open_index(tmp_path / "index", model="nothing.pth"), None, 10, seed=0)


def test_an_empty_index_is_said(index, tmp_path):
    manifests.create(tmp_path / "empty", index.space)
    assert "holds no clip" in str(run(tmp_path / "empty").exception)

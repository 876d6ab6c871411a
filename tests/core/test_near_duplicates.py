"""Near-duplicates of a whole corpus against naive loops; and the column that is written of them."""

import numpy as np
import pyarrow as pa
import pytest
from support.made import made

from vidsearch import open_index
from vidsearch.config import external_space
from vidsearch.corpus import Corpus
from vidsearch.curate import near_duplicates
from vidsearch.curate.near_duplicates import find_near_duplicates
from vidsearch.curate.near_lists import make_lists
from vidsearch.errors import IndexCorruptError, UsageError
from vidsearch.storage import manifest as manifests
from vidsearch.storage.garbage import collect
from vidsearch.storage.rewrite import with_column

DIM = 32


def clustered(rows: int, *, seed: int, spread: float = 0.12, dim: int = DIM) -> np.ndarray:
    """Draw rows in clips of three that resemble each other, around a few topics."""
    rng = np.random.default_rng(seed)
    topics = rng.standard_normal((max(1, rows // 200), dim))
    videos = topics[rng.integers(0, len(topics), -(-rows // 3))] + 0.7 * rng.standard_normal((-(-rows // 3), dim))
    clips = np.repeat(videos, 3, axis=0)[:rows] + spread * rng.standard_normal((rows, dim))
    return rng.permutation(clips).astype(np.float32)


def cosines(corpus: Corpus) -> np.ndarray:
    vectors = corpus.vectors_of(range(len(corpus))).astype(np.float64)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors @ vectors.T


def naive_labels(corpus: Corpus, threshold: float) -> list[int]:
    """Walk from each row through all it is linked with."""
    alike = cosines(corpus) >= threshold - 1e-6
    labels = [-1] * len(corpus)
    for start in range(len(corpus)):
        waiting = [start] if labels[start] < 0 else []
        while waiting:
            row = waiting.pop()
            if labels[row] < 0:
                labels[row] = start
                waiting += np.flatnonzero(alike[row]).tolist()
    return labels


@pytest.mark.parametrize("threshold", [0.5, 0.9, 0.97, 1.0])
def test_groups_are_those_of_a_naive_walk(tmp_path, monkeypatch, threshold):
    monkeypatch.setattr(near_duplicates, "BLOCK_ROWS", 37)
    monkeypatch.setattr(near_duplicates, "EDGES_AT_ONCE", 50)
    vectors = clustered(200, seed=1)
    vectors[190:] = vectors[3]
    corpus = made(tmp_path / "index", vectors[:90], vectors[90:])
    found = find_near_duplicates(corpus, threshold)
    expected = naive_labels(corpus, threshold)
    assert found.labels.tolist() == expected
    sizes = {label: expected.count(label) for label in set(expected)}
    assert found.groups == sum(size > 1 for size in sizes.values())
    assert found.members.tolist() == [row for row, label in enumerate(expected) if sizes[label] > 1]
    assert found.spare.tolist() == [row for row, label in enumerate(expected) if row != label]


def test_a_long_chain_is_one_group_named_by_its_lowest_row(tmp_path):
    angles = np.arange(3000) * 0.001
    chain = np.random.default_rng(2).permutation(np.stack([np.cos(angles), np.sin(angles)], axis=1))
    found = find_near_duplicates(made(tmp_path / "index", chain), 0.9999)
    assert found.labels.tolist() == [0] * 3000


def test_the_best_aesthetic_score_stands_for_a_group(tmp_path):
    vectors = np.eye(4)[[0, 1, 0, 2, 1, 1, 0, 3]]
    corpus = made(tmp_path / "index", vectors, aesthetic=[None, 2.0, 3.0, 9.0, float("nan"), 2.0, 3.0, None])
    found = find_near_duplicates(corpus)
    assert found.representatives.tolist() == [2, 1, 2, 3, 1, 1, 2, 7]
    assert found.spare.tolist() == [0, 4, 5, 6]


def test_lists_find_nearly_all_pairs_of_20_000_clustered_vectors(tmp_path):
    corpus = made(tmp_path / "index", clustered(20_000, seed=4, dim=48, spread=0.25))  # cosines of such pairs lie around 0.955
    vectors = corpus.vectors_of(range(len(corpus)))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    pairs = np.concatenate([pairs_from(vectors, start, 0.95) for start in range(0, len(vectors), 1000)])
    assert len(pairs) > 5000
    found = find_near_duplicates(corpus, 0.95, all_pairs_rows=0)
    recall = (found.labels[pairs[:, 0]] == found.labels[pairs[:, 1]]).mean()
    assert recall >= 0.95
    linked = np.unique(pairs)
    assert set(found.members.tolist()) <= set(linked.tolist())  # nothing is found that is not there
    assert find_near_duplicates(corpus, 0.95, all_pairs_rows=0).labels.tolist() == found.labels.tolist()


def pairs_from(vectors: np.ndarray, start: int, threshold: float) -> np.ndarray:
    """Return (m, 2) the pairs of a thousand rows with all that follow."""
    one, other = np.divmod(np.flatnonzero(vectors[start : start + 1000] @ vectors[start:].T >= threshold), len(vectors) - start)
    return start + np.stack([one, other], axis=1)[one < other]


def test_lists_hold_each_row_once_and_show_it_to_its_nearest(tmp_path):
    corpus = made(tmp_path / "index", clustered(500, seed=5))
    lists = list(make_lists(corpus, nearest=3))
    assert sorted(row for members, _ in lists for row in members.tolist()) == list(range(500))
    assert all(set(members.tolist()) <= set(visitors.tolist()) for members, visitors in lists)
    assert sum(len(visitors) for _, visitors in lists) <= 1500


@pytest.mark.parametrize("threshold", [0, -1, 1.01, float("nan")])
def test_an_impossible_threshold_is_refused(tmp_path, threshold):
    with pytest.raises(UsageError, match="above 0, at most 1"):
        find_near_duplicates(made(tmp_path / "index", np.eye(2)), threshold)


def test_an_empty_index_has_no_duplicates(tmp_path):
    manifests.create(tmp_path / "index", external_space(4))
    found = find_near_duplicates(open_index(tmp_path / "index"))
    assert (found.groups, len(found.spare)) == (0, 0)


def test_a_column_is_added_in_one_version_and_all_else_stays(tmp_path):
    root = tmp_path / "index"
    before = made(root, np.eye(4), np.eye(4)[:2])
    vectors = before.vectors_of(range(6))
    version = before.manifest.version
    with_column(root, "number", lambda segment: pa.array(range(segment.rows)))
    after = open_index(root)
    assert after.manifest.version == version + 1
    np.testing.assert_array_equal(after.vectors_of(range(6)), vectors)
    assert [row for table in after.read_columns(["clip_id", "number"]) for row in table.to_pylist()] == [
        {"clip_id": f"c{n}", "number": n % 4} for n in range(6)
    ]
    assert [segment.info for segment in after.segments] == [{"index": "flat", "note": 0}, {"index": "flat", "note": 4}]
    assert [bytes(segment.map_file("codes.bin")) for segment in after.segments] == [b"0", b"4"]
    assert [segment.quarantine()["clip_id"].to_pylist() for segment in after.segments] == [["q0"], ["q4"]]
    assert len(list((root / "segments").iterdir())) == 4
    collect(root, grace_s=0, versions=1)
    assert len(list((root / "segments").iterdir())) == 2
    np.testing.assert_array_equal(before.vectors_of(range(6)), vectors)  # what is opened stays readable
    with_column(root, "number", lambda segment: pa.array([None] * segment.rows, pa.string()))  # computed before, so computed anew
    assert open_index(root).schema.field("number").type == pa.string()


def test_what_was_indexed_is_not_overwritten(tmp_path):
    root = tmp_path / "index"
    version = made(root, np.eye(4)).manifest.version
    for name, message in (("caption", "part of what was indexed"), ("", "cannot be the name"), ("a b", "cannot be the name")):
        with pytest.raises(UsageError, match=message):
            with_column(root, name, lambda segment: pa.array(range(segment.rows)))
    assert open_index(root).manifest.version == version


def test_a_change_meanwhile_or_damage_leaves_the_index_as_it_was(tmp_path):
    root = tmp_path / "index"
    names = {segment.uuid for segment in made(root, np.eye(4)).segments}

    def fail(segment):
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        with_column(root, "number", fail)
    file = next((root / "segments").iterdir()) / "vectors.f16"
    whole = file.read_bytes()
    file.write_bytes(bytes([whole[0] ^ 1]) + whole[1:])
    with pytest.raises(IndexCorruptError, match=r"vectors\.f16"):
        with_column(root, "number", lambda segment: pa.array(range(segment.rows)))
    file.write_bytes(whole)
    assert {path.name for path in (root / "segments").iterdir()} == names
    assert len(open_index(root)) == 4

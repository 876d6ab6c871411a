"""Folding segments: same rows, same answers, better shape."""

from pathlib import Path

import numpy as np
import pytest

from indexer.fold import fold, index_kind
from indexer.rows import clips_table, quarantine_table
from vidsearch import Index, open_index
from vidsearch.config import Space, viclip_preset
from vidsearch.errors import UsageError
from vidsearch.storage import manifest as manifests
from vidsearch.storage import segment as segments

DIM = 16


def clustered(rng: np.random.Generator, rows: int) -> np.ndarray:
    centres = rng.standard_normal((10, DIM))
    vectors = centres[rng.integers(0, 10, rows)] + 0.3 * rng.standard_normal((rows, DIM))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float16)


def add_segment(root: Path, vectors: np.ndarray, *, first: int, quarantine: tuple[str, ...] = (), **columns: list) -> None:
    rows = [
        {"clip_id": f"c{first + n}", "video": "v.mp4", "start_s": 0.0, "end_s": 1.0, "duration_s": 1.0}
        | {name: values[n] for name, values in columns.items()}
        for n in range(len(vectors))
    ]
    reference = segments.write(
        root,
        vectors=vectors,
        rows=clips_table(rows),
        index_files={},
        quarantine=quarantine_table([{"clip_id": name, "video": "x", "reason": "DECODE_ERROR"} for name in quarantine]),
        info={"index": "flat"},
    )
    manifests.commit(root, lambda manifest: manifest.with_segments([*manifest.segments, reference]))


@pytest.fixture
def root(tmp_path) -> Path:
    manifests.create(tmp_path / "index", Space("viclip", "no model", "0" * 64, 1, viclip_preset("eval"), DIM))
    return tmp_path / "index"


def ids(index: Index) -> list[str]:
    return [name for table in index.read_columns(["clip_id"]) for name in table["clip_id"].to_pylist()]


def answers(index: Index, queries: np.ndarray, **arguments: object) -> list[list[tuple[str, float]]]:
    return [[(hit.clip_id, hit.score) for hit in index.search(vector=query, **arguments)] for query in queries]


def test_small_segments_become_one_with_the_same_answers(root):
    rng = np.random.default_rng(0)
    add_segment(root, clustered(rng, 30), first=0, language=["en"] * 30)
    add_segment(root, clustered(rng, 20), first=30, quarantine=("c3", "bad"), views=list(range(20)))
    queries = rng.standard_normal((5, DIM)).astype(np.float32)
    before = answers(open_index(root), queries)
    fold(root)
    index = open_index(root)
    assert len(index.segments) == 1
    assert ids(index) == [f"c{n}" for n in range(50)]
    assert answers(index, queries) == before
    assert index.segments[0].quarantine()["clip_id"].to_pylist() == ["bad"]  # c3 has been indexed since
    assert len(list((root / "segments").iterdir())) == 1


def test_a_factory_turns_exact_segments_into_ivfpq_with_exact_scores(root):
    rng = np.random.default_rng(1)
    add_segment(root, clustered(rng, 600), first=0, language=["en", "zh"] * 300)
    add_segment(root, clustered(rng, 400), first=600, language=["ko"] * 400)
    queries = rng.standard_normal((5, DIM)).astype(np.float32)
    before, filtered = answers(open_index(root), queries), answers(open_index(root), queries, where="language = 'zh'")
    fold(root, index_factory="IVF4,PQ8")
    index = open_index(root)
    assert index_kind(index) == "ivfpq"
    assert index.manifest.template is not None
    assert answers(index, queries) == before
    assert answers(index, queries, where="language = 'zh'") == filtered
    template = index.manifest.template
    add_segment(root, clustered(rng, 100), first=1000)
    fold(root)
    grown = open_index(root)
    assert (len(grown), grown.manifest.template) == (1100, template)  # trained once
    assert {segment.info["index"] for segment in grown.segments} == {"ivfpq"}


def test_too_few_clips_for_a_factory_say_so_and_keep_the_exact_index(root):
    add_segment(root, clustered(np.random.default_rng(2), 30), first=0)
    with pytest.raises(UsageError, match="at least 256"):
        fold(root, index_factory="IVF4,PQ8")
    assert len(open_index(root)) == 30


def test_folding_nothing_changes_nothing(root):
    fold(root)
    assert open_index(root).manifest.version == 1

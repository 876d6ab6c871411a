"""How captions fit their clips, against plain products; and the audit, which finds captions that were swapped."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from support.made import made

from indexer.rows import clips_table
from indexer.scoring.audit import audit_captions, percentile
from indexer.scoring.cli import app
from indexer.scoring.match import score_match
from vidsearch import Index, load_encoder, open_index
from vidsearch.encoders.base import Encoder
from vidsearch.errors import QueryError, UsageError
from vidsearch.storage import manifest as manifests
from vidsearch.storage import segment as segments
from vidsearch.storage.quarantine import quarantine_table
from vidsearch.storage.rewrite import made_by_column

COLOURS, SHAPES = ("red", "orange", "green", "blue", "purple", "pink"), ("circle", "square", "triangle", "star", "cross")
MOTIONS = ("moves up", "moves to the left", "grows", "is blinking")
CAPTIONS = [f"A {colour} {shape} {motion}" for colour in COLOURS for shape in SHAPES for motion in MOTIONS]


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return load_encoder("demo-viclip", device="cpu", precision="float32")


def write(root: Path, encoder: Encoder, vectors: np.ndarray, parts: int = 2, **columns: list) -> Index:
    """Write an index of the encoder's space, a segment for each part."""
    manifests.create(root, encoder.space)
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    for part in np.array_split(np.arange(len(vectors)), parts):
        place = {"video": "v.mp4", "start_s": 0.0, "end_s": 1.0, "duration_s": 1.0}
        rows = [{"clip_id": f"c{n}", **place, **{name: values[n] for name, values in columns.items()}} for n in part.tolist()]
        reference = segments.write(
            root,
            vectors=unit[part].astype(np.float16),
            rows=clips_table(rows),
            index_files={},
            quarantine=quarantine_table([]),
            info={"index": "flat"},
        )
        manifests.commit(root, lambda manifest, new=reference: manifest.with_segments([*manifest.segments, new]))
    return open_index(root, model="demo-viclip")


@pytest.fixture
def swapped(tmp_path: Path, encoder: Encoder) -> tuple[Index, list[int]]:
    """Clips that look nearly as their captions say, and a tenth of these given to others; also which."""
    rng = np.random.default_rng(4)
    vectors = encoder.encode_texts(CAPTIONS)
    vectors = vectors + 0.5 * rng.standard_normal(vectors.shape) / np.sqrt(vectors.shape[1])
    captions, picked = list(CAPTIONS), rng.permutation(len(CAPTIONS))[: len(CAPTIONS) // 10]
    for place, other in zip(picked, np.roll(picked, 1), strict=True):
        captions[place] = CAPTIONS[other]
    scores = rng.uniform(0.3, 0.5, len(captions)).round(4).tolist()  # which know nothing of it
    return write(tmp_path / "index", encoder, vectors, caption=captions, umt_score=scores), picked.tolist()


def test_a_match_is_the_product_of_both_vectors(tmp_path: Path, encoder: Encoder, capsys: pytest.CaptureFixture[str]) -> None:
    vectors = np.random.default_rng(1).standard_normal((7, encoder.dim))
    captions = ["A red circle", None, "A blue star grows", "A red circle", "", "A pink cross", "A green square"]
    source = ["video", "video", "video", "video", "video", "caption", "video"]
    index = write(tmp_path / "index", encoder, vectors, caption=captions, embedded_from=source)
    app(["match", str(index.root), "--model", "demo-viclip"], standalone_mode=False)
    stored = index.vectors_of(range(7)).astype(np.float64)
    stored /= np.linalg.norm(stored, axis=1, keepdims=True)
    texts = encoder.encode_texts([caption or "" for caption in captions])
    after = open_index(index.root)
    found = [row["match"] for table in after.read_columns(["match"]) for row in table.to_pylist()]
    expected = [float(text @ vector) for text, vector in zip(texts, stored, strict=True)]
    assert found == [None if n in (1, 4, 5) else pytest.approx(expected[n], abs=1e-6) for n in range(7)]
    told = capsys.readouterr()
    assert "4 clips scored" in told.err
    assert "3 without a caption or a video have none" in told.err
    assert made_by_column(after.manifest)["match"]["space"] == encoder.space.id
    np.testing.assert_array_equal(after.vectors_of(range(7)), index.vectors_of(range(7)))


def test_only_rows_asked_for_are_matched(tmp_path: Path, encoder: Encoder) -> None:
    index = write(tmp_path / "index", encoder, np.eye(3, encoder.dim), caption=["A red circle"] * 3)
    told: list[int] = []
    found = score_match(index, np.array([0, 2]), encoder.encode_texts, progress=told.append)
    assert np.isnan(found).tolist() == [False, True, False]
    assert score_match(index, np.zeros(0, np.int64), encoder.encode_texts).shape == (3,)


def test_percentiles_are_shares_of_the_own_group_with_ties_in_the_middle() -> None:
    values = np.array([1, 2, 2, 3, 10, np.nan, 20], dtype=np.float32)
    found = percentile(values, np.array([7, 7, 7, 7, 2, 2, 2], dtype=np.int32))
    assert found[[0, 1, 2, 3, 4, 6]].tolist() == [1 / 8, 1 / 2, 1 / 2, 7 / 8, 1 / 4, 3 / 4]
    assert np.isnan(found[5])


def test_the_audit_is_what_its_definition_says(swapped: tuple[Index, list[int]], encoder: Encoder) -> None:
    index, _ = swapped
    audit = audit_captions(index, np.arange(len(index)), encoder.encode_texts, neighbours=3)
    captions = [row["caption"] for row in index.take(range(len(index)), ["caption"])]
    texts, clips = encoder.encode_texts(captions), index.vectors_of(range(len(index))).astype(np.float64)
    clips /= np.linalg.norm(clips, axis=1, keepdims=True)
    for place in (0, 40, 119):
        nearest = sorted((n for n in range(len(clips)) if n != place), key=lambda n: -clips[n] @ clips[place])[:3]
        assert audit.match[place] == pytest.approx(texts[place] @ clips[place], abs=1e-5)
        assert audit.agreement[place] == pytest.approx(np.mean([texts[n] @ texts[place] for n in nearest]), abs=2e-3)
        assert audit.nearest[place] == nearest[0]
        match, umt, agreement = audit.percentiles[place].tolist()
        assert audit.suspicion[place] == pytest.approx(1 - (match**2 * umt**0.5 * agreement) ** (1 / 3.5), abs=1e-5)


def test_the_audit_finds_captions_that_were_swapped(swapped: tuple[Index, list[int]], encoder: Encoder) -> None:
    index, picked = swapped
    audit = audit_captions(index, np.arange(len(index)), encoder.encode_texts)
    worst = audit.worst(len(picked)).tolist()
    assert len(set(worst) & set(picked)) >= 0.8 * len(picked)
    wrong = np.isin(np.arange(len(index)), picked)
    above = (audit.suspicion[wrong][:, None] > audit.suspicion[~wrong]).mean()  # the area under the ROC curve
    assert above > 0.97


def test_clips_without_a_caption_are_neither_audited_nor_asked(tmp_path: Path, encoder: Encoder) -> None:
    vectors = np.stack([np.eye(encoder.dim)[0] + 0.1 * n * np.eye(encoder.dim)[1] for n in range(4)])
    index = write(tmp_path / "index", encoder, vectors, caption=["A red circle", None, "A blue star", " "])
    audit = audit_captions(index, np.arange(4), encoder.encode_texts)
    assert (audit.rows.tolist(), audit.nearest.tolist()) == ([0, 2], [2, 0])
    assert np.isnan(audit.umt).all()
    assert np.isfinite(audit.suspicion).all()
    one = audit_captions(index, np.array([0]), encoder.encode_texts)
    assert (one.nearest.tolist(), one.suspicion.tolist()) == ([-1], [0.5])
    with pytest.raises(UsageError, match="has a caption, so there is nothing to audit"):
        audit_captions(index, np.array([1, 3]), encoder.encode_texts)


def test_the_audit_is_printed_and_written(swapped: tuple[Index, list[int]], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    index, _ = swapped
    root = str(index.root)
    app(["audit", root, "--model", "demo-viclip", "-k", "5", "--format", "jsonl"], standalone_mode=False)
    records = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert len(records) == 5
    assert [record["suspicion"] for record in records] == sorted((record["suspicion"] for record in records), reverse=True)
    assert all(record["nearest_caption"] in CAPTIONS for record in records)
    app(["audit", root, "--model", "demo-viclip", "-k", "5", "--format", "csv", "-o", str(tmp_path / "a.csv")], standalone_mode=False)
    with (tmp_path / "a.csv").open(newline="") as file:
        assert [row["clip_id"] for row in csv.DictReader(file)] == [record["clip_id"] for record in records]
    app(["audit", root, "--model", "demo-viclip", "-k", "2", "--where", "umt_score < 0.4"], standalone_mode=False)
    lines = [line for line in capsys.readouterr().out.splitlines() if line.strip()]
    assert lines[0].split()[:5] == ["doubt", "match", "umt", "near", "clip"]
    assert len(lines) == 5  # two for each
    assert max(map(len, lines)) <= 80


def test_bad_questions_are_one_line(swapped: tuple[Index, list[int]], tmp_path: Path, encoder: Encoder) -> None:
    root = str(swapped[0].root)
    with pytest.raises(UsageError, match="a table is for the terminal"):
        app(["audit", root, "-o", str(tmp_path / "a.txt")], standalone_mode=False)
    (tmp_path / "there.csv").touch()
    with pytest.raises(UsageError, match="is there already"):
        app(["audit", root, "--format", "csv", "-o", str(tmp_path / "there.csv")], standalone_mode=False)
    external = made(tmp_path / "external", np.eye(4), caption=["a", "b", "c", "d"])
    for command in ("match", "audit"):
        with pytest.raises(QueryError, match="came without a model, so there is no text side"):
            app([command, str(external.root)], standalone_mode=False)
    bare = write(tmp_path / "bare", encoder, np.eye(3, encoder.dim))
    with pytest.raises(UsageError, match=r"none of the 3 clips of .* has a caption"):
        app(["match", str(bare.root), "--model", "demo-viclip"], standalone_mode=False)
    manifests.create(tmp_path / "empty", encoder.space)
    app(["match", str(tmp_path / "empty"), "--model", "demo-viclip"], standalone_mode=False)  # nothing to do is no error
    with pytest.raises(UsageError, match="nothing to audit"):
        app(["audit", str(tmp_path / "empty"), "--model", "demo-viclip"], standalone_mode=False)

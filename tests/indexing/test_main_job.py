"""The main job on generated videos and the shipped demo model: index, add, search, filter, survive bad input and Ctrl-C."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import vidsearch
from indexer import build
from indexer.models import choose_model
from indexer.toyvideos import write_demo_videos
from vidsearch.errors import SpaceMismatchError

CLIPS = 24


@pytest.fixture(scope="module")
def encoder():
    return vidsearch.load_encoder("demo-viclip")


@pytest.fixture(scope="module")
def clips(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("clips")
    rows = [json.dumps(row) + "\n" for row in write_demo_videos(folder, count=CLIPS, seed=5)]
    (folder / "rows.jsonl").write_text("".join(rows), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def indexed(clips, encoder) -> vidsearch.Index:
    summary = build(clips, clips / "index", encoder=encoder)
    assert (summary.indexed, summary.failed, summary.rows) == (CLIPS, 0, CLIPS)
    assert summary.decode_s > 0
    assert summary.embed_s > 0
    return vidsearch.open_index(clips)


def captions(index: vidsearch.Index) -> list[tuple[str, str]]:
    return [(row["clip_id"], row["caption"]) for table in index.read_columns(["clip_id", "caption"]) for row in table.to_pylist()]


def test_a_clips_caption_finds_the_clip(indexed):
    ranks = []
    for clip_id, caption in captions(indexed):
        ids = [hit.clip_id for hit in indexed.search(caption, k=CLIPS)]
        ranks.append(ids.index(clip_id))
    assert np.mean(np.array(ranks) < 5) >= 0.8  # chance is 0.21


def test_scores_are_the_exact_cosines_of_text_and_clip(indexed, encoder):
    hits = indexed.search("a red circle", k=3)
    text = encoder.encode_texts(["a red circle"])[0]
    for hit in hits:
        assert hit.score == pytest.approx(float(text @ indexed.vector_of(hit.clip_id)), abs=2e-3)
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)


def test_a_filtered_answer_is_the_best_of_those_that_pass(indexed):
    everything = indexed.search("a blue square", k=CLIPS)
    expected = [hit.clip_id for hit in everything if hit.metadata["aesthetic"] > 5]
    filtered = indexed.search("a blue square", k=CLIPS, where="aesthetic > 5")
    assert [hit.clip_id for hit in filtered] == expected
    assert filtered.matching == len(expected) > 0


def test_hits_carry_every_column_of_the_rows(indexed):
    table = indexed.search("a star", k=2).to_table()
    assert {"rank", "score", "clip_id", "video", "start_s", "end_s", "caption", "language", "type", "aesthetic", "umt_score"} <= set(
        table.column_names
    )


def test_like_finds_the_clip_itself_first(indexed):
    clip_id, _ = captions(indexed)[3]
    assert indexed.search(like=clip_id, k=1)[0].clip_id == clip_id


def test_running_again_indexes_only_what_is_new(clips, encoder, tmp_path):
    folder = shutil.copytree(clips, tmp_path / "clips", ignore=shutil.ignore_patterns("index"))
    rows = (folder / "rows.jsonl").read_text().splitlines(keepends=True)
    (folder / "rows.jsonl").write_text("".join(rows[:10]))
    assert build(folder, folder / "index", encoder=encoder).indexed == 10
    (folder / "rows.jsonl").write_text("".join(rows[:13]))
    again = build(folder, folder / "index", encoder=encoder)
    assert (again.indexed, again.already, again.rows) == (3, 10, 13)
    index = vidsearch.open_index(folder)
    assert len(index.segments) == 1  # small segments are folded together
    assert len({clip_id for clip_id, _ in captions(index)}) == 13


def test_bad_videos_and_missing_ones_are_counted_and_the_rest_is_indexed(clips, encoder, tmp_path):
    rows = [json.loads(line) for line in (clips / "rows.jsonl").read_text().splitlines()[:5]]
    for row in rows[:4]:
        shutil.copy(clips / row["video_path"], tmp_path)
    bad = tmp_path / rows[0]["video_path"]
    bad.write_bytes(b"this is no video")
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    summary = build(tmp_path, tmp_path / "index", encoder=encoder)
    assert summary.indexed == 3
    assert sum(summary.skipped.values()) == 2
    assert summary.skipped["NOT_FOUND"] == 1
    reasons = vidsearch.open_index(tmp_path).segments[0].quarantine().select(["video", "reason"]).to_pylist()
    assert {row["video"] for row in reasons} == {rows[0]["video_path"], rows[4]["video_path"]}
    again = build(tmp_path, tmp_path / "index", encoder=encoder)
    assert (again.indexed, again.planned, sum(again.skipped.values())) == (0, 0, 2)
    shutil.copy(clips / rows[0]["video_path"], bad)
    shutil.copy(clips / rows[4]["video_path"], tmp_path)
    mended = build(tmp_path, tmp_path / "index", encoder=encoder)
    assert (mended.indexed, mended.rows) == (2, 5)


def test_an_index_of_another_model_is_refused_and_left_alone(clips, tmp_path):
    shutil.copytree(clips, tmp_path / "clips", ignore=shutil.ignore_patterns("index"))
    build(tmp_path / "clips", tmp_path / "index", encoder=vidsearch.load_encoder("demo-viclip", preset="demo"))
    with pytest.raises(SpaceMismatchError, match="preset demo"):
        build(tmp_path / "clips", tmp_path / "index", encoder=vidsearch.load_encoder("demo-viclip"))
    assert len(vidsearch.open_index(tmp_path / "index")) == CLIPS


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
def test_ctrl_c_keeps_what_was_committed_and_the_same_command_goes_on(clips, tmp_path):
    command = [sys.executable, "-m", "vidsearch", "index", str(clips), "--out", str(tmp_path / "index"), "--model", "demo-viclip"]
    started = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while not (tmp_path / "index" / "FORMAT").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    started.send_signal(signal.SIGINT)
    _, err = started.communicate(timeout=60)
    assert started.returncode == 130
    assert "Traceback" not in err
    finished = subprocess.run(command, check=True, capture_output=True, text=True)
    assert f"holds {CLIPS}" in finished.stdout
    index = vidsearch.open_index(tmp_path / "index")
    assert len({clip_id for clip_id, _ in captions(index)}) == len(index) == CLIPS


def test_without_a_model_named_an_index_goes_on_with_its_own(clips, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("VIDSEARCH_MODELS", str(tmp_path / "models"))
    assert choose_model(tmp_path / "index").source == "conse"
    build(clips, tmp_path / "index", encoder=vidsearch.load_encoder("demo-viclip", preset="demo"))
    source, preset, why = choose_model(tmp_path / "index")
    assert (source, preset) == ("demo-viclip", "demo")
    assert why.startswith("going on with demo-viclip")

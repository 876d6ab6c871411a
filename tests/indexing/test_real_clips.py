"""Real clips, found by their captions with the offline encoder: weak, but far from chance."""

import json
from pathlib import Path

import numpy as np
import pytest

import vidsearch
from indexer import build

VIDEOS = Path(__file__).parents[2].parent / "shared" / "videos"

pytestmark = pytest.mark.skipif(not (VIDEOS / "internvid_rows.jsonl").exists(), reason="no real clips beside the repository")


def recall(index: vidsearch.Index, depth: int) -> float:
    """Return text→video recall over all clips, each clip's caption as the query."""
    rows = [row for table in index.read_columns(["clip_id", "caption"]) for row in table.to_pylist()]
    found = [row["clip_id"] in {hit.clip_id for hit in index.search(row["caption"], k=depth)} for row in rows]
    return float(np.mean(found))


def index_clips(folder: Path, seconds: float) -> vidsearch.Index:
    """Index the clips that are no longer than that."""
    rows = [json.loads(line) for line in (VIDEOS / "internvid_rows.jsonl").read_text(encoding="utf-8").splitlines()]
    short = [row for row in rows if sum(float(part) * 60**n for n, part in enumerate(reversed(row["End_timestamp"].split(":")))) <= seconds]
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in short), encoding="utf-8")
    encoder = vidsearch.load_encoder("conse")
    summary = build(folder, folder / "index", encoder=encoder, metadata=folder / "rows.jsonl", videos=VIDEOS)
    assert (summary.indexed, dict(summary.skipped)) == (len(short), {})
    return vidsearch.open_index(folder)


def test_short_real_clips_are_found_by_their_captions(tmp_path):
    index = index_clips(tmp_path, 3.0)
    assert len(index) >= 20
    assert recall(index, 5) >= 0.6
    assert recall(index, 1) >= 0.3


@pytest.mark.slow
def test_all_real_clips_are_found_by_their_captions(tmp_path):
    index = index_clips(tmp_path, 1e9)
    assert len(index) >= 140
    assert recall(index, 1) >= 0.35  # 0.42 measured
    assert recall(index, 5) >= 0.62  # 0.70 measured

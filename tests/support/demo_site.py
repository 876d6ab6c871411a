"""Indexes of the toy world for the page: one as it should be, and one with all that can be wrong with an index that still opens."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

import vidsearch
from indexer import build
from indexer.rows import clips_table
from indexer.toyrender import render
from indexer.toyvideos import encode_video, write_demo_videos
from indexer.toyworld import describe, sample_scene
from vidsearch.storage import manifest as manifests
from vidsearch.storage import segment as segments
from vidsearch.storage.quarantine import quarantine_table

CLIPS = 115
PARTS, PART_S, RATE = 5, 3, 10  # of the one video that holds several clips
LONG = "toyLongFilm"
SCRIPT = "<script>window.hacked = 'script'</script>"
IMAGE = "<img src=x onerror=\"window.hacked = 'image'\">"
CLOSING = "\"'></textarea></title></script><svg onload=\"window.hacked = 'svg'\">"
HOSTILE = (SCRIPT, IMAGE, CLOSING, "{{7*7}} ${7*7} javascript:window.hacked='link'", "\u202eright to left\u202c \x00 \u2028 end")


def demo_index(folder: Path, *, clips: int = CLIPS) -> Path:
    """Make videos, index them with the demo model, and return the folder; all but one video hold one clip."""
    rows = [*write_demo_videos(folder, count=clips, seed=5), *_long_video(folder)]
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    build(folder, folder / "index", encoder=vidsearch.load_encoder("demo-viclip"))
    return folder


def _long_video(folder: Path) -> Iterator[dict[str, Any]]:
    rng = np.random.default_rng(6)
    scenes = [sample_scene(rng) for _ in range(PARTS)]
    encode_video(folder / f"{LONG}.mp4", np.concatenate([render(scene, size=128, frames=PART_S * RATE) for scene in scenes]), rate=RATE)
    for number, scene in enumerate(scenes):
        yield {
            "YoutubeID": LONG,
            "Start_timestamp": f"00:00:{number * PART_S:02d}.000",
            "End_timestamp": f"00:00:{(number + 1) * PART_S:02d}.000",
            "Caption": describe(scene, rng),
            "Language": "en",
            "Category": "film",
        }


def damaged_index(demo: Path, folder: Path) -> Path:
    """Copy a demo index as two segments, the second damaged; return the index.

    The captions, languages and types of the first clips are texts of HOSTILE, and so is the path of one; one video in three is gone.
    """
    source = vidsearch.open_index(demo)
    (table,) = source.read_columns(source.schema.names)
    rows, vectors = table.to_pylist(), source.segments[0].vectors
    for number, row in enumerate(rows):
        if number % 3 and not (folder / row["video"]).exists():
            os.link(demo / row["video"], folder / row["video"])
    for row, text in zip(rows, HOSTILE, strict=False):
        row.update(caption=text, language=text, type=text)
    rows[0]["video"] = f"{IMAGE.replace('/', '')}.mp4"
    root = folder / "index"
    manifests.create(root, source.space)
    half = len(rows) // 2
    bad = {"clip_id": "q0", "video": SCRIPT, "start_s": 0.0, "end_s": 1.0, "reason": "OPEN_FAILED", "detail": IMAGE}
    for part, quarantine in ((slice(half), [bad]), (slice(half, None), [])):
        reference = segments.write(
            root,
            vectors=vectors[part],
            rows=clips_table(rows[part]),
            index_files={},
            quarantine=quarantine_table(quarantine),
            info={"index": "flat"},
        )
        manifests.commit(root, lambda manifest, new=reference: manifest.with_segments([*manifest.segments, new]))
    _flip(root / "segments" / str(reference.uuid) / "columns.bin")
    return root


def _flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.chmod(0o600)
    path.write_bytes(content)

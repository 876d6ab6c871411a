"""An index in many segments, asked in many ways: for comparing shards with one process."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from indexer.rows import clips_table
from indexer.toyworld import describe, sample_scene
from vidsearch.encoders import load_encoder
from vidsearch.query import Query
from vidsearch.registry import plugin
from vidsearch.results import Hits
from vidsearch.storage import manifest as manifests
from vidsearch.storage import segment as segments
from vidsearch.storage.quarantine import quarantine_table
from vidsearch.storage.template import write_template
from vidsearch.storage.tombstones import bury
from vidsearch.wire import hits_to_json

ROWS, SENTENCES = 24_000, 60  # so many rows that codes are worth comparing


def sentences(count: int = SENTENCES, seed: int = 0) -> list[str]:
    """Return what the toy world's clips are called."""
    rng = np.random.default_rng(seed)
    return [describe(sample_scene(rng), rng) for _ in range(count)]


def make_sharded(root: Path, kind: Literal["flat", "ivfpq"], *, rows: int = ROWS, segments: int = 6) -> Path:
    """Make an index of clips c0, c1, … in segments of unlike sizes, some rows deleted; with codes the last segment has none yet."""
    encoder = load_encoder("demo-viclip")
    said, rng = sentences(), np.random.default_rng(1)
    which = rng.integers(len(said), size=rows)
    vectors = encoder.encode_texts(said)[which] + 0.7 * rng.normal(size=(rows, encoder.space.dim)).astype(np.float32) / 11
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    vectors[rows // 3 : rows // 3 + 40] = vectors[rows - 40 :]  # ties between segments
    manifests.create(root, encoder.space)
    trained, name = None, None
    if kind == "ivfpq":
        data = plugin("vidsearch.indexes", kind).train(vectors, rows=rows, seed=0)
        trained, name = plugin("vidsearch.indexes", kind).load_template(data), write_template(root, data, {})
        manifests.commit(root, lambda manifest: manifest.with_template(name))
    ends = [0, *np.cumsum(np.arange(1, segments + 1) / sum(range(1, segments + 1)) * rows).astype(int)]
    for start, end in pairwise(ends):
        plain = kind == "flat" or start == 0
        add(root, vectors[start:end], start, [said[n] for n in which[start:end]], template=None if plain else name, trained=trained)
    chosen = manifests.read(root).segments[1].uuid
    manifests.commit(root, lambda manifest: bury(root, manifest, {chosen: [3, 5, 8, 13]}))
    return root


def add(
    root: Path, vectors: npt.NDArray[np.float32], first: int, captions: list[str], *, template: str | None = None, trained: Any = None
) -> None:
    """Commit a segment of clips, with codes where there is a template."""
    module = plugin("vidsearch.indexes", "flat" if template is None else "ivfpq")
    order = np.arange(len(vectors))
    lists = module.assign(vectors.astype(np.float16), trained)
    if lists is not None:
        order = np.argsort(lists, kind="stable")
        lists = lists[order]
    stored = vectors[order].astype(np.float16)
    rows = [
        {
            "clip_id": f"c{first + n}",
            "video": f"v{(first + n) // 7}.mp4",
            "start_s": float(n % 7),
            "end_s": n % 7 + 1.0,
            "duration_s": 1.0,
            "caption": captions[n],
            "language": ("en", "de", "fr")[(first + n) % 3],
            "aesthetic": (first + n) % 100 / 10,
        }
        for n in order.tolist()
    ]
    info = {"index": "flat"} if template is None else {"index": "ivfpq", "template": template, "code_bytes": trained.code_bytes}
    written = segments.write(
        root,
        vectors=stored,
        rows=clips_table(rows),
        index_files=module.build(stored, trained, lists),
        quarantine=quarantine_table([]),
        info=info,
    )
    manifests.commit(root, lambda manifest: manifest.with_segments([*manifest.segments, written]))


def questions() -> list[Query]:
    """Return 100 questions of all kinds."""
    shapes: list[dict[str, Any]] = [
        {},
        {"k": 100},
        {"where": "aesthetic > 2"},
        {"where": "language = 'en'"},
        {"where": "aesthetic > 9.8 and language = 'de'"},
        {"exclude": ("a red circle",)},
        {"dedupe": 0.9, "k": 5},
        {"per_video": 1},
        {"sort": "aesthetic desc"},
        {"mode": "hybrid"},
        {"mode": "hybrid", "hybrid_weight": 0.5, "where": "aesthetic < 8"},
        {"mode": "keywords"},
        {"diverse": 0.5},
        {"group": "video", "k": 4},
        {"exact": True},
        {"min_score": 0.5},
        {"then": ("a blue square",), "k": 3},
        {"like": ("c20", "c12000"), "texts": ()},
        {"up": ("c100",), "down": ("c23999",)},
        {"recall": 0.8, "where": "language != 'fr'"},
    ]
    said = sentences(5, seed=3)
    return [Query(**{"texts": ((text, 1.0),), **shape}) for text in said for shape in shapes]


def told(hits: Hits) -> dict[str, Any]:
    """Return an answer without what may differ: times, and how many codes were looked at before a row was good enough."""
    told = hits_to_json(hits, index_version=0)
    del told["timings_ms"]
    if told["certificate"]:
        del told["certificate"]["codes"]
    return told


def next_page(query: Query, hits: Hits) -> Query | None:
    """Return the question for the page after, if there may be one."""
    return None if hits.cursor is None else replace(query, cursor=hits.cursor)

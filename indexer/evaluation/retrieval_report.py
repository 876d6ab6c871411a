"""The report of a retrieval evaluation: results in both directions, beside published numbers, and what one must know to compare them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from indexer.evaluation.retrieval import Embedded, ExactRanks, IndexRanks
from vidsearch.encoders.base import Encoder
from vidsearch.evaluation import published
from vidsearch.evaluation.metrics import CUTOFFS, Estimate, retrieval_metrics
from vidsearch.evaluation.ranks import Ranks
from vidsearch.evaluation.report import Cell, Report, Table
from vidsearch.indexes.base import FLAT_ROWS

MEASURES = {**{f"r{k}": f"R@{k}" for k in CUTOFFS}, "median": "median rank", "mean": "mean rank"}
WAYS = {"t2v": "text→video", "v2t": "video→text"}
TEST_VIDEOS = {"msrvtt": 1000, "lsmdc": 1000, "msvd": 670}  # of the published numbers
PUBLISHED_FRAMES = 8


@dataclass(frozen=True)
class Asked:
    """What was asked for.

    Attributes:
        dataset: the name of a layout, or of a file.
        annotation: the file's name.
        videos: that the annotation names.
        missing: of them those that were not there.
        paragraph: sentences were joined.
        dsl_temperature: of dual softmax scores, None for cosines.
        blend: how the weights were averaged with a CLIP, or "".
    """

    dataset: str
    annotation: str
    videos: int
    missing: int = 0
    paragraph: bool = False
    dsl_temperature: float | None = None
    blend: str = ""


def retrieval_report(asked: Asked, found: Embedded, encoder: Encoder, exact: ExactRanks, index: IndexRanks | None, *, seed: int) -> Report:
    """Return all there is to say; percentages are rounded to two digits, as the published ones are."""
    clips = np.arange(len(found.clips))
    text_to_video = retrieval_metrics(exact.text_to_video, found.annotation.clip_of, seed=seed)
    video_to_text = retrieval_metrics(exact.video_to_text, clips, seed=seed)
    tables = [
        _table(WAYS["t2v"], text_to_video, exact.text_to_video, index),
        _table(WAYS["v2t"], video_to_text, exact.video_to_text, None),
    ]
    others = published.find("retrieval", asked.dataset, encoder.space)
    measured = {
        f"{way}_{name}": value.value for way, values in (("t2v", text_to_video), ("v2t", video_to_text)) for name, value in values.items()
    }
    names = {f"{way}_r{k}": f"{WAYS[way]} R@{k}" for way in WAYS for k in CUTOFFS}
    compared = published.beside(measured, others, names)
    if compared is not None:
        tables.append(compared)
    notes = [*_notes(asked, found, encoder, exact, index), *(published.notes(others) if compared else ())]
    if compared is not None:
        notes += _differences(asked, found, encoder)
    return Report(f"Retrieval on {asked.dataset}", _settings(asked, found, encoder), tuple(tables), tuple(notes))


def _table(way: str, values: Mapping[str, Estimate], exact: Ranks, index: IndexRanks | None) -> Table:
    columns = ("measure", "exact", "low", "high", *(("index", "lost %") if index else ()))
    rows: list[tuple[Cell, ...]] = []
    for name, title in MEASURES.items():
        value = values[name]
        row: tuple[Cell, ...] = (title, round(value.value, 2), round(value.low, 2), round(value.high, 2))
        rows.append((*row, *_through(name, exact, index)) if index else row)
    return Table(f"{way}, {len(exact.above):,} queries; low and high: 95 % interval", columns, tuple(rows))


def _through(name: str, exact: Ranks, index: IndexRanks) -> tuple[Cell, Cell]:
    """Return R@k through the index, and the share of the exact hits that it does not show; nothing for ranks, which it does not tell."""
    if not name.startswith("r"):
        return None, None
    k = int(name.removeprefix("r"))
    hits, shown = exact.hit(k), index.text_to_video.hit(k)
    lost = np.maximum(hits - shown, 0).sum() / hits.sum() if hits.any() else 0.0
    return round(100 * float(shown.mean()), 2), round(100 * float(lost), 2)


def _settings(asked: Asked, found: Embedded, encoder: Encoder) -> dict[str, Cell]:
    captions, clips = len(found.annotation.captions), len(found.clips)
    return {
        "model": encoder.space.model,
        "weights": encoder.space.weights_sha256[:12] + (f", {asked.blend}" if asked.blend else ""),
        "preset": f"{encoder.preset.name}, {encoder.preset.frames} frames",
        "device": " ".join([encoder.device, str(getattr(encoder, "precision", ""))]).strip(),
        "annotation": asked.annotation,
        "clips": clips,
        "captions": f"{captions:,}, {captions / clips:.3g} a clip" + (", paragraphs" if asked.paragraph else ", sentences"),
        "scores": "cosine" if asked.dsl_temperature is None else f"dual softmax, temperature {asked.dsl_temperature:g}",
    }


def _notes(asked: Asked, found: Embedded, encoder: Encoder, exact: ExactRanks, index: IndexRanks | None) -> list[str]:
    notes = []
    cut = encoder.count_cut(found.annotation.captions)
    if cut is not None and cut[0]:
        notes.append(f"{cut[0]:,} captions are longer than the {cut[1]} tokens the model reads; their ends are not seen.")
    if asked.missing or found.failures:
        notes.append(
            f"{asked.missing:,} of {asked.videos:,} videos were not there, {len(found.failures):,} clips could not be decoded; they are "
            "left out, and fewer candidates make it easier."
        )
    tied = int(np.count_nonzero(exact.text_to_video.ties))
    if tied:
        notes.append(f"{tied:,} captions score other clips the same as the right one; they count as in a random order, on average.")
    if index is None:
        return notes
    if index.kind == "flat":
        notes.append(f"index: exact search of float16 vectors, as `vidsearch index` has it up to {FLAT_ROWS:,} clips.")
    else:
        notes.append(f"index: {index.plan}; lost % is of the exact hits.")
    return notes


def _differences(asked: Asked, found: Embedded, encoder: Encoder) -> list[str]:
    """Return what is not as in the published evaluation."""
    ours = []
    if encoder.space.encoder == "viclip" and encoder.preset.name != "eval":
        ours.append(f"preset {encoder.preset.name} (published: eval)")
    if encoder.preset.frames != PUBLISHED_FRAMES:
        ours.append(f"{encoder.preset.frames} frames (published: {PUBLISHED_FRAMES})")
    if asked.paragraph:
        ours.append("paragraphs (published: sentences)")
    if asked.dsl_temperature is not None:
        ours.append("dual softmax (published: cosines)")
    videos = TEST_VIDEOS.get(asked.dataset)
    if videos not in (None, len(found.clips)):
        ours.append(f"{len(found.clips):,} clips (published: {videos:,})")
    if asked.dataset == "msrvtt" and len(found.annotation.captions) != len(found.clips):
        ours.append("several captions a clip (published: 1k-A, one)")
    return [f"Not as published: {'; '.join(ours)}."] if ours else []

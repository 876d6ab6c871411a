"""The report of a classification: accuracy, published numbers beside it, what is taken for what."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from indexer.evaluation.zeroshot import Scored
from vidsearch.config import Space
from vidsearch.evaluation import published
from vidsearch.evaluation.accuracy import TOP, Accuracy
from vidsearch.evaluation.classes import ClassList
from vidsearch.evaluation.prompts import ACTION_PROMPTS
from vidsearch.evaluation.report import Cell, Report, Table

MEASURES = {"top1": "top-1", "top5": "top-5", "avg": "AVG"}
PAIRS_SHOWN = 10
PUBLISHED_FRAMES = 8


@dataclass(frozen=True)
class Asked:
    """What was asked for, and what was found of it.

    Attributes:
        dataset: a name of the shipped class lists, or of a file.
        classes: the classes that were to choose from.
        scored: the clips, and what scored them.
        prompts: that made the scores; none if a head did.
        blend: what the model was averaged with, in words, or "".
        missing: clips that were not there.
    """

    dataset: str
    classes: ClassList
    scored: Scored
    prompts: Sequence[str] = ()
    blend: str = ""
    missing: int = 0

    @property
    def space(self) -> Space:
        return self.scored.space


def zeroshot_report(asked: Asked, accuracy: Accuracy) -> Report:
    """Return what a person reads at a terminal."""
    measured = {"top1": accuracy.top1.value, "top5": accuracy.top5.value, "avg": accuracy.average.value}
    others = published.find("zeroshot", asked.dataset, asked.space) if asked.prompts else ()
    compared = published.beside(measured, others, MEASURES)
    tables = [_accuracy_table(asked, accuracy), *([compared] if compared else []), *_confusions(asked, accuracy)]
    said = _notes(asked)
    if compared is not None:
        said += [*published.notes(others), *_differences(asked)]
    title = f"{'Zero-shot classification' if asked.prompts else 'Classification by a trained head'} on {asked.dataset}"
    return Report(title, _settings(asked, accuracy), tuple(tables), tuple(said))


def with_classes(report: Report, asked: Asked, accuracy: Accuracy) -> Report:
    """Return the report with a row for each class, for a file."""
    rows: list[tuple[Cell, ...]] = [
        (name, count, None if np.isnan(share) else round(share, 2))
        for name, count, share in zip(asked.classes.names, accuracy.clips_of.tolist(), accuracy.per_class.tolist(), strict=True)
    ]
    return replace(report, tables=(*report.tables, Table("Classes", ("class", "clips", "top-1"), tuple(rows))))


def _settings(asked: Asked, accuracy: Accuracy) -> dict[str, Cell]:
    there = int(np.count_nonzero(accuracy.clips_of))
    return {
        "model": asked.space.model,
        **({"averaged": asked.blend} if asked.blend else {}),
        "weights": asked.space.weights_sha256[:12],
        "preset": f"{asked.space.preset.name}, {_counted(asked.space.preset.frames, 'frame')}",
        "device": asked.scored.device,
        "clips": int(accuracy.clips_of.sum()),
        "classes": f"{len(asked.classes):,} of {asked.classes.source}" + (f", {there:,} with clips" if there < len(asked.classes) else ""),
        "scores": asked.scored.by,
    }


def _accuracy_table(asked: Asked, accuracy: Accuracy) -> Table:
    estimates = zip(MEASURES.values(), (accuracy.top1, accuracy.top5, accuracy.average), strict=True)
    chances = {"top-1": 100 / len(asked.classes), "top-5": 100 * min(1.0, TOP / len(asked.classes))}
    chances["AVG"] = sum(chances.values()) / 2
    rows: list[tuple[Cell, ...]] = [
        (name, round(one.value, 2), round(one.low, 2), round(one.high, 2), round(chances[name], 2)) for name, one in estimates
    ]
    rows.append(("top-1, mean of classes", round(accuracy.class_mean, 2), None, None, round(chances["top-1"], 2)))
    return Table("Accuracy in percent (low, high: 95 % interval)", ("measure", "value", "low", "high", "chance"), tuple(rows))


def _confusions(asked: Asked, accuracy: Accuracy) -> list[Table]:
    names = asked.classes.names
    rows: list[tuple[Cell, ...]] = [(names[true], names[other], count) for true, other, count in accuracy.confused[:PAIRS_SHOWN]]
    return [Table("Most often confused", ("class", "taken for", "clips"), tuple(rows))] if rows else []


def _notes(asked: Asked) -> list[str]:
    notes = []
    texts, limit = asked.scored.cut
    if texts:
        notes.append(f"{_counted(texts, 'prompt')} longer than the {limit} tokens the model reads; the end is not seen.")
    gone = [(asked.missing, "not there"), (asked.scored.failed, "not decoded")]
    notes += [f"{_counted(count, 'clip')} {'was' if count == 1 else 'were'} {why}, and left out." for count, why in gone if count]
    if len(asked.classes) <= TOP:
        notes.append(f"Of {len(asked.classes)} classes the right one is always among {TOP}: top-5 and AVG say nothing here.")
    return notes


def _differences(asked: Asked) -> list[str]:
    """Return what is not as in the published evaluation."""
    ours = []
    if asked.space.encoder == "viclip" and asked.space.preset.name != "eval":
        ours.append(f"preset {asked.space.preset.name} (published: eval)")
    if asked.space.preset.frames != PUBLISHED_FRAMES:
        ours.append(f"{_counted(asked.space.preset.frames, 'frame')} (published: {PUBLISHED_FRAMES})")
    if tuple(asked.prompts) != ACTION_PROMPTS:
        ours.append(f"{_counted(len(asked.prompts), 'prompt')} of your own (published: {len(ACTION_PROMPTS)})")
    said = [f"Not as published: {'; '.join(ours)}."] if ours else []
    if asked.space.encoder == "viclip" and not asked.blend:
        said.append(
            "The published run averaged ViCLIP half and half with CLIP (WiSE-FT); whether a published file is that already is stated "
            "nowhere: --blend CLIP does it."
        )
    return said


def _counted(count: int, thing: str) -> str:
    return f"{count:,} {thing}" + ("" if count == 1 else "s")

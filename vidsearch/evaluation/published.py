"""Published numbers to stand beside measured ones. Data, and how a model of ours is matched with them.

Sources: InternVid (arXiv 2307.06942v2), table 1 (zero-shot action recognition), table 5 (zero-shot retrieval) and table 11 (ViCLIP-B);
issue 139 of OpenGVLab/InternVideo. Only R@1 of retrieval is published; top-5 follows from AVG = (top-1 + top-5) / 2.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from vidsearch.catalogue import published as catalogued
from vidsearch.config import Space
from vidsearch.evaluation.report import Cell, Table

Task = Literal["retrieval", "zeroshot"]
Pair = tuple[float | None, float]
Row = tuple[Pair | None, ...]

PAPER = "InternVid, arXiv 2307.06942v2"
ACTIONS = ("kinetics400", "kinetics600", "kinetics700")
TABLE_1: dict[str, Row] = {  # top-1, AVG; by name of `vidsearch models list`
    "CLIP-L-14-OpenAI": ((58.42, 70.14), (55.11, 67.16), (46.12, 58.38)),
    "CLIP-L-14-DataComp": ((56.14, 67.67), (54.15, 65.83), (45.36, 57.01)),
    "EVA-CLIP-L-14": ((None, 65.00), (None, 64.90), (None, 59.10)),
    "EVA-CLIP-E-14": ((None, 69.80), (None, 69.30), (None, 63.40)),
    "ViCLIP-B_InternVid-FLT-10M": ((58.52, 71.11), (55.37, 68.27), (47.09, 59.98)),
    "ViCLIP-B_InternVid-200M": ((56.58, 69.20), (53.57, 66.20), (45.82, 58.28)),
    "ViCLIP-L_WebVid-10M": ((59.88, 71.03), (58.66, 69.84), (50.23, 61.86)),
    "ViCLIP-L_InternVid-10M": ((56.68, 68.17), (54.67, 66.28), (46.53, 58.73)),
    "ViCLIP-L_InternVid-50M": ((57.18, 68.93), (55.36, 67.07), (47.00, 59.36)),
    "ViCLIP-L_InternVid-DIV-10M": ((63.00, 74.15), (60.68, 72.07), (52.50, 64.59)),
    "ViCLIP-L_InternVid-FLT-10M": ((64.80, 75.70), (62.20, 73.53), (54.30, 66.38)),
    "ViCLIP-L_InternVid-200M": ((59.80, 71.09), (57.80, 69.34), (49.30, 61.25)),
}
RETRIEVAL = ("msrvtt", "lsmdc", "didemo", "msvd", "activitynet")
TABLE_5: dict[str, Row] = {  # R@1 text→video, video→text
    "CLIP-L-14-OpenAI": ((29.0, 25.8), (13.9, 15.2), (11.5, 19.1), (37.9, 60.0), (8.3, 12.2)),
    "CLIP-L-14-DataComp": ((30.4, 24.2), (13.9, 11.9), (12.7, 18.7), (40.5, 57.2), (9.1, 13.2)),
    "ViCLIP-L_WebVid-10M": ((35.6, 33.1), (16.5, 13.4), (14.5, 23.3), (45.3, 69.0), (12.4, 19.0)),
    "ViCLIP-L_InternVid-10M": ((36.4, 37.1), (17.1, 15.0), (16.4, 25.9), (45.2, 69.8), (13.5, 23.4)),
    "ViCLIP-L_InternVid-50M": ((39.7, 40.7), (18.0, 16.7), (16.7, 26.4), (46.5, 72.2), (13.6, 23.2)),
    "ViCLIP-L_InternVid-200M": ((39.3, 39.5), (18.3, 16.6), (17.1, 25.5), (47.3, 70.0), (13.7, 21.6)),
    "ViCLIP-L_InternVid-DIV-10M": ((41.5, 41.6), (18.5, 17.4), (17.7, 26.2), (48.6, 71.9), (14.8, 23.4)),
    "ViCLIP-L_InternVid-FLT-10M": ((42.4, 41.3), (20.1, 16.9), (18.4, 27.9), (49.1, 75.1), (15.1, 24.0)),
}
TABLE_11: dict[str, Row] = {"ViCLIP-B_InternVid-FLT-10M": ((38.6, 38.5), None, None, None, None)}
OF_USERS: dict[tuple[str, str], tuple[float, ...]] = {  # R@1, 5, 10 text→video, then video→text
    ("ViCLIP-L-14-hf", "msrvtt"): (39.4, 61.9, 73.0, 38.9, 62.2, 74.0),
    ("ViCLIP-L-14-hf", "lsmdc"): (17.8, 32.1, 40.1, 15.2, 29.0, 35.6),
}
NEAREST = {  # weights that nobody published numbers for → those they are most like
    "ViCLIP-L-14-hf": "ViCLIP-L_InternVid-FLT-10M",
    "ViClip-InternVid-10M-FLT": "ViCLIP-L_InternVid-FLT-10M",
    "ViCLIP-B-16-hf": "ViCLIP-B_InternVid-FLT-10M",
}
CLIP_FRAMES = "the paper says mean of the frames' embeddings for CLIP, its scripts take 1 frame"


@dataclass(frozen=True)
class Published:
    """What others measured.

    Attributes:
        model: of `vidsearch models list`.
        values: percent by measure: "t2v_r1" and "v2t_r1" (also r5, r10), or "top1", "top5", "avg".
        source: where it stands.
        label: how to call it: "published", "published for MODEL" where these weights have no numbers, or "reported by users".
        note: what else one should know, or "".
    """

    model: str
    values: Mapping[str, float]
    source: str
    label: str = "published"
    note: str = ""


def find(task: Task, dataset: str, space: Space) -> tuple[Published, ...]:
    """Return what is published for a model on a data set, the best match first; nothing for weights and data nobody measured.

    Models are matched by name, which proves nothing: two files called ViCLIP-L FLT hold other weights.

    Args:
        dataset: a name of ACTIONS or RETRIEVAL; any other finds nothing.
        space: of the encoder that is evaluated.
    """
    model = name_of(space)
    if model is None:
        return ()
    found = []
    for name, label in ((model, "published"), (NEAREST.get(model, ""), f"published for {NEAREST.get(model)}")):
        tables = (
            ((TABLE_1, ACTIONS, "table 1"),) if task == "zeroshot" else ((TABLE_5, RETRIEVAL, "table 5"), (TABLE_11, RETRIEVAL, "table 11"))
        )
        for table, datasets, where in tables:
            pair = table[name][datasets.index(dataset)] if name in table and dataset in datasets else None
            if pair is not None:
                note = CLIP_FRAMES if name.startswith("CLIP") else ""
                found.append(Published(name, _values(task, pair), f"{PAPER}, {where}", label, note))
    if task == "retrieval" and (model, dataset) in OF_USERS:
        values = dict(zip(("t2v_r1", "t2v_r5", "t2v_r10", "v2t_r1", "v2t_r5", "v2t_r10"), OF_USERS[model, dataset], strict=True))
        found.append(Published(model, values, "OpenGVLab/InternVideo issue 139", "reported by users"))
    return tuple(found)


def name_of(space: Space) -> str | None:
    """Return what `vidsearch models list` calls a model, by its source, its name, or its file's; None for any other."""
    for name in (space.source, space.model, Path(space.source).stem):
        known = catalogued(name) if name else None
        if known is not None:
            return known.name
    return None


def beside(measured: Mapping[str, float], found: Sequence[Published], names: Mapping[str, str]) -> Table | None:
    """Return measured values with each published one and the difference, a row a measure that is known; None where none is.

    Args:
        measured: percent by measure, keyed as `Published.values`.
        names: how to call the measures, in the order to show.
    """
    rows: list[tuple[Cell, ...]] = []
    for one in found:
        for measure, name in names.items():
            if measure in one.values and measure in measured:
                here, there = round(measured[measure], 2), one.values[measure]
                rows.append((name, here, there, round(here - there, 2), one.label))
    columns = ("measure", "here", "there", "difference", "which")
    return Table("Beside published numbers (percent)", columns, tuple(rows), signed=("difference",)) if rows else None


def notes(found: Sequence[Published]) -> tuple[str, ...]:
    """Return the sources and notes of published numbers, once each."""
    sources = [f"{one.label}: {one.source}" + (f"; {one.note}" if one.note else "") for one in found]
    return tuple(dict.fromkeys(sources))


def _values(task: Task, pair: Pair) -> dict[str, float]:
    first, second = pair
    if task == "retrieval":
        return {"v2t_r1": second} if first is None else {"t2v_r1": first, "v2t_r1": second}
    return {"avg": second} if first is None else {"top1": first, "top5": round(2 * second - first, 2), "avg": second}

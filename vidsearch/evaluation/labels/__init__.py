"""Annotations that give each clip a class; every layout is one file of this folder."""

from __future__ import annotations

from pathlib import Path

from vidsearch.errors import InputNotFoundError, UsageError
from vidsearch.evaluation.labels.base import Labelled
from vidsearch.registry import names, plugin


def read_labels(path: Path, *, split: str | None = None) -> list[Labelled]:
    """Read the clips of an annotation and their classes, in its order.

    Args:
        path: a table (CSV, TSV, JSON, JSON lines), a list (.txt), HMDB51's folder of split files, or a folder of videos by class.
        split: which one is wanted of an annotation that holds several.
    """
    if not path.exists():
        raise InputNotFoundError(f"no annotation {path}")
    layout = next((module for module in (plugin(__name__, name) for name in names(__name__)) if module.recognises(path)), None)
    if layout is None:
        raise UsageError(f"{path.name} is not understood; give .csv, .tsv, .json, .jsonl, .txt, or a folder with a folder a class")
    found: list[Labelled] = layout.read(path, split)
    if not found:
        raise UsageError(f"{path} holds no labelled clips" + (f" of the split {split!r}" if split else ""))
    return found

"""ActivityNet Captions: its own `val_1.json` ({"v_…": {"duration", "timestamps", "sentences"}}), or JSON ([{"video", "caption": [...]}]).

The whole video is shown; the times of its sentences order them into a paragraph.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from vidsearch.errors import UsageError
from vidsearch.evaluation.annotations._rows import json_rows, read_json, read_rows, sentences_of
from vidsearch.evaluation.annotations.base import Clip, Sentence


def read(path: Path) -> list[Sentence]:
    if path.suffix.lower() != ".json":
        return sentences_of(read_rows(path), path)
    value = read_json(path)
    if not isinstance(value, dict):
        return sentences_of(json_rows(value, path), path)
    return [sentence for video, told in value.items() for sentence in _sentences(video, told, path)]


def _sentences(video: str, told: Any, path: Path) -> list[Sentence]:
    try:
        times = [float(start) for start, _ in told["timestamps"]]
        texts = [" ".join(text.split()) for text in told["sentences"]]
        return [Sentence(Clip(video), text, at_s) for text, at_s in zip(texts, times, strict=True) if text]
    except (TypeError, KeyError, ValueError, AttributeError) as error:
        raise UsageError(f'{path}: {video} must have "sentences", and as many "timestamps" of a start and an end') from error

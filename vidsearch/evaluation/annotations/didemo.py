"""DiDeMo: its own `test_data.json` (one description of a moment an entry), or JSON ([{"video", "caption": [...]}]).

Moments lie in a video's first 30 seconds, and the published evaluation reads videos cut to those: so does this. A paragraph joins a
video's descriptions in the order of the file, as published ones do: they were written apart, of moments that several people placed apart.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from vidsearch.evaluation.annotations._rows import read_rows, sentences_of
from vidsearch.evaluation.annotations.base import Sentence

LONGEST_S = 30.0


def read(path: Path) -> list[Sentence]:
    return [replace(one, clip=replace(one.clip, end_s=LONGEST_S)) for one in sentences_of(read_rows(path), path)]

"""LSMDC: the 1,000 clips of the 2016 challenge, tab-separated, or JSON ([{"video", "caption"}]).

`LSMDC16_challenge_1000_publictect.csv` has no header and no quotes: clip, start and end aligned, start and end extracted, sentence. Its
times are those in the film; the clips are cut already. Clips lie in a folder a film.
"""

from __future__ import annotations

from pathlib import Path

from vidsearch.errors import UsageError
from vidsearch.evaluation.annotations._rows import read_rows, read_text, sentences_of
from vidsearch.evaluation.annotations.base import Clip, Sentence

COLUMNS = 6


def read(path: Path) -> list[Sentence]:
    if path.suffix.lower() not in (".csv", ".tsv", ".txt"):
        return sentences_of(read_rows(path), path)
    lines = [line.rstrip("\r").split("\t") for line in read_text(path).split("\n") if line.strip()]
    if lines and len(lines[0]) != COLUMNS:
        return sentences_of(read_rows(path), path)
    if lines and lines[0][-1].strip().lower() == "sentence":
        lines = lines[1:]
    for number, fields in enumerate(lines, 1):
        if len(fields) != COLUMNS or not fields[0].strip() or not fields[-1].strip():
            raise UsageError(f"{path}, line {number}: {COLUMNS} fields were expected, the first a clip and the last its sentence")
    return [Sentence(Clip(fields[0].strip()), fields[-1].strip()) for fields in lines]

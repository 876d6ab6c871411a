"""MSVD: JSON ([{"video", "caption": [about 40]}], 670 test videos), or its own text file, a line being a video and a sentence.

The text file is of all 1,970 videos; a list of the test's, `test_list.txt` beside it, keeps those alone.
"""

from __future__ import annotations

from pathlib import Path

from vidsearch.errors import UsageError
from vidsearch.evaluation.annotations._rows import read_rows, read_text, sentences_of
from vidsearch.evaluation.annotations.base import Clip, Sentence


def read(path: Path) -> list[Sentence]:
    if path.suffix.lower() != ".txt":
        return sentences_of(read_rows(path), path)
    test = path.with_name("test_list.txt")
    kept = set(read_text(test).split()) if test.is_file() else None
    found = []
    for number, line in enumerate(read_text(path).split("\n"), 1):
        if line.startswith("#") or not line.strip():
            continue
        video, _, text = line.strip().partition(" ")
        if not text.strip():
            raise UsageError(f"{path}, line {number}: a video and a sentence were expected, not {line[:60]!r}")
        if kept is None or video in kept:
            found.append(Sentence(Clip(video), text.strip()))
    return found

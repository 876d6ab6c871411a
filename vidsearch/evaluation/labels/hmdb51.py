"""HMDB51's folder of splits: a file a class, brush_hair_test_split1.txt, with lines `video.avi 2`; 2 is the test, 1 training, 0 neither."""

from __future__ import annotations

from pathlib import Path

from vidsearch.errors import UsageError
from vidsearch.evaluation.annotations._rows import read_text
from vidsearch.evaluation.annotations.base import Clip
from vidsearch.evaluation.labels.base import Labelled

SPLITS = ("1", "2", "3")
TEST = "2"


def recognises(path: Path) -> bool:
    """Whether that folder holds such files."""
    return path.is_dir() and next(path.glob("*_test_split?.txt"), None) is not None


def read(path: Path, split: str | None) -> list[Labelled]:
    """Read the test clips of a split, the first if none is named."""
    wanted = split or SPLITS[0]
    if wanted not in SPLITS:
        raise UsageError(f"HMDB51 has no split {split!r}; choose from {', '.join(SPLITS)}")
    ending = f"_test_split{wanted}.txt"
    found = []
    for file in sorted(path.glob(f"*{ending}")):
        label = file.name.removesuffix(ending)
        for number, line in enumerate(read_text(file).splitlines(), 1):
            video, _, use = line.strip().rpartition(" ")
            if line.strip() and (not video or use not in ("0", "1", TEST)):
                raise UsageError(f"{file}, line {number}: {line.strip()[:60]!r} is no video with 0, 1 or 2")
            if use == TEST:
                found.append(Labelled(Clip(video.strip()), label))
    return found

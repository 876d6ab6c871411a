"""A video a line, with or without the index of its class: UCF101's testlist01.txt, and the lists that training codes read.

ApplyEyeMakeup/v_ApplyEyeMakeup_g01_c01.avi              the class is the folder
ApplyEyeMakeup/v_ApplyEyeMakeup_g08_c01.avi 1            so it is here, whether indices count from 0 or from 1
val/-0vZs1JuY4k.mp4 287                                  the class is the index, from 0
"""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath

from vidsearch.errors import UsageError
from vidsearch.evaluation.annotations._rows import read_text
from vidsearch.evaluation.annotations.base import Clip
from vidsearch.evaluation.labels.base import Labelled

LINE = re.compile(r"(?P<video>.+?\.\w{2,4})(?:[ ,;\t]+(?P<index>\d+))?", re.ASCII)


def recognises(path: Path) -> bool:
    """Whether that is a .txt, or a .csv that begins with a video and an index in place of a header."""
    if not path.is_file() or path.suffix.lower() not in (".txt", ".csv"):
        return False
    with path.open(encoding="utf-8-sig", errors="replace") as file:
        first = LINE.fullmatch(file.readline().strip())
    return path.suffix.lower() == ".txt" or (first is not None and first["index"] is not None)


def read(path: Path, split: str | None) -> list[Labelled]:
    """Read every line."""
    if split is not None:
        raise UsageError(f"{path.name} is one split; leave --split out")
    lines = [_parse(line, number, path) for number, line in enumerate(read_text(path).splitlines(), 1) if line.strip()]
    folders = [PurePosixPath(video).parent.name for video, _ in lines]
    by_folder = _folders_are_classes(folders, [index for _, index in lines])
    found = []
    for number, ((video, index), folder) in enumerate(zip(lines, folders, strict=True), 1):
        if not folder and index is None:
            raise UsageError(f"{path}, line {number}: {video} has neither a folder that is its class nor the index of one")
        found.append(Labelled(Clip(video), folder if by_folder or index is None else index))
    return found


def _parse(line: str, number: int, path: Path) -> tuple[str, int | None]:
    matched = LINE.fullmatch(line.strip())
    if matched is None:
        raise UsageError(f"{path}, line {number}: {line.strip()[:60]!r} is no video file with or without the index of its class")
    return matched["video"].replace("\\", "/"), None if matched["index"] is None else int(matched["index"])


def _folders_are_classes(folders: list[str], indices: list[int | None]) -> bool:
    """Whether each folder has one index and each index one folder: then the folder's name says more than a number."""
    pairs = set(zip(folders, indices, strict=True))
    return "" not in folders and len(pairs) > 1 and len(pairs) == len(set(folders)) == len(set(indices))

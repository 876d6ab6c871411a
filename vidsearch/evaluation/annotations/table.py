"""Anyone's own data: CSV, TSV or JSON rows of a video and a caption, with times where a clip is a part of its video.

Rows of InternVid (YoutubeID, Start_timestamp, End_timestamp, Caption, and video_path) are such rows.
"""

from __future__ import annotations

from pathlib import Path

from vidsearch.evaluation.annotations._rows import read_rows, sentences_of
from vidsearch.evaluation.annotations.base import Sentence


def read(path: Path) -> list[Sentence]:
    return sentences_of(read_rows(path), path, spans=True)

"""MSR-VTT: the 1k-A test as CSV (key, vid_key, video_id, sentence) or JSON ([{"video", "caption"}]), or the data set's own JSON.

1k-A is JSFusion's (Yu et al. 2018, arXiv 1808.02559): 1,000 videos, one caption each; every number of InternVid is on it. The data set's
own file holds "videos" with their split and "sentences"; its test split has 2,990 videos of 20 captions.
"""

from __future__ import annotations

from pathlib import Path

from vidsearch.evaluation.annotations._rows import json_rows, read_json, read_rows, sentences_of
from vidsearch.evaluation.annotations.base import Sentence


def read(path: Path) -> list[Sentence]:
    if path.suffix.lower() != ".json":
        return sentences_of(read_rows(path), path)
    value = read_json(path)
    if not (isinstance(value, dict) and "sentences" in value):
        return sentences_of(json_rows(value, path), path)
    videos = json_rows(value.get("videos", []), path)
    others = {row.get("video_id") for row in videos if row.get("split", "test") != "test"}
    return sentences_of([row for row in json_rows(value["sentences"], path) if row.get("video_id") not in others], path)

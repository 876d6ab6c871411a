"""Rows as InternVid writes them: JSON lines with the six fields of its 10M-FLT file, which the readers of that file take.

A row that says of no YouTube video that it was cut from it has its file in `YoutubeID`, and its times in that file.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from vidsearch.curate.export import Records, Sink, new_file


@contextmanager
def open_lines(path: Path, *, media: dict[str, int]) -> Iterator[Sink]:
    """Give what writes rows; the file has its name only when the block has ended well.

    Args:
        path: the file.
        media: counts of rows that are "named by their file", added to.
    """
    with new_file(path) as file:

        def write(records: Records) -> None:
            lines = [internvid_row(record) for record in records]
            strangers = sum(1 for record in records if record.get("youtube_id") is None)
            if strangers:
                media["named by their file"] = media.get("named by their file", 0) + strangers
            file.write("".join(f"{json.dumps(line, ensure_ascii=False)}\n" for line in lines).encode())

        yield write


def internvid_row(record: dict[str, Any]) -> dict[str, Any]:
    """Return one line of the file.

    The names and their order are those of https://huggingface.co/datasets/OpenGVLab/InternVid; a score that is not known is null.
    """
    known = record.get("youtube_id") is not None
    cut = known and record.get("source_start_s") is not None and record.get("source_end_s") is not None
    start, end = ("source_start_s", "source_end_s") if cut else ("start_s", "end_s")
    return {
        "YoutubeID": record["youtube_id"] if known else record["video"],
        "Start_timestamp": timestamp(record[start]),
        "End_timestamp": timestamp(record[end]),
        "Caption": record.get("caption") or "",
        "Aesthetic_Score": record.get("aesthetic"),
        "UMT_Score": record.get("umt_score"),
    }


def timestamp(seconds: float) -> str:
    """Return HH:MM:SS.mmm, rounded to the nearest millisecond."""
    whole, milliseconds = divmod(round(seconds * 1000), 1000)
    return f"{whole // 3600:02d}:{whole // 60 % 60:02d}:{whole % 60:02d}.{milliseconds:03d}"

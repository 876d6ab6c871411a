"""A plain folder of videos: each file is one clip, without a caption."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pyarrow as pa

from indexer.readers.base import PLACE_SCHEMA, BadRow, Block, clip_key, is_text, list_videos

BLOCK_ROWS = 4096


def recognises(path: Path) -> bool:
    return path.is_dir()


def read(path: Path, videos: Path) -> Iterator[Block]:
    names = list_videos(videos)
    while block := list(islice(names, BLOCK_ROWS)):
        good = [name for name in block if is_text(name)]
        keys = [clip_key(name, 0.0, None) for name in good]
        columns = [keys, good, [True] * len(good), [0.0] * len(good), [None] * len(good)]
        yield Block(pa.table(columns, PLACE_SCHEMA), [_unnameable(name) for name in block if not is_text(name)], uncut=True)


def _unnameable(name: str) -> BadRow:
    shown = name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return BadRow(shown, shown, "METADATA_INVALID", f"the file's name {shown!r} is not UTF-8; rename it")

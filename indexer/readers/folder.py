"""A plain folder of videos: each file is one clip, without a caption."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pyarrow as pa

from indexer.readers.base import PLACE_SCHEMA, Block, clip_key, list_videos

BLOCK_ROWS = 4096


def recognises(path: Path) -> bool:
    return path.is_dir()


def read(path: Path, videos: Path) -> Iterator[Block]:
    names = list_videos(videos)
    while block := list(islice(names, BLOCK_ROWS)):
        keys = [clip_key(name, 0.0, None) for name in block]
        columns = [keys, block, [True] * len(block), [0.0] * len(block), [None] * len(block)]
        yield Block(pa.table(columns, PLACE_SCHEMA), uncut=True)

"""Rows without their video: indexed by the caption alone, at the pace of the model's text side; no decode process is started.

rows ─▶ captions, some hundred at once ─▶ encoder's thread ─▶ rows with vectors, to be committed
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from indexer.jobs import DETAIL, FRESH, REASON, TRIES, WAY
from indexer.rows import CORE_SCHEMA, EMBEDDED_FROM
from indexer.run import Run
from vidsearch.encoders.base import Vectors

TEXTS_AT_ONCE = 256
AHEAD = 2  # batches the encoder has waiting


def embed_captions(run: Run, tables: Iterable[pa.Table]) -> None:
    """Embed and hand on every row that waits, in order; commit as segments fill or age."""
    waiting: deque[tuple[pa.Table, Future[Vectors]]] = deque()
    try:
        for table in _batches(tables):
            waiting.append((table, run.thread.submit(_encode, run, table["caption"].to_pylist())))
            if len(waiting) > AHEAD:
                _take_over(run, *waiting.popleft())
        while waiting:
            _take_over(run, *waiting.popleft())
    finally:
        for _, future in waiting:
            future.cancel()


def _batches(tables: Iterable[pa.Table]) -> Iterator[pa.Table]:
    for table in tables:
        for start in range(0, table.num_rows, TEXTS_AT_ONCE):
            yield table.slice(start, TEXTS_AT_ONCE)


def _encode(run: Run, captions: list[str]) -> Vectors:
    timer = time.perf_counter()
    vectors = run.encoder.encode_texts(captions)
    run.summary.embed_s += time.perf_counter() - timer
    return vectors


def _take_over(run: Run, table: pa.Table, future: Future[Vectors]) -> None:
    timer = time.perf_counter()
    vectors = future.result()
    run.summary.waits["embedding"] += time.perf_counter() - timer
    fresh = table["clip_id"].filter(table[FRESH]).to_pylist()
    run.commits.add(rows_by_caption(table), vectors.astype(np.float16), planned=fresh)
    run.summary.indexed += table.num_rows
    run.summary.by_caption += table.num_rows
    run.commit_if_due()
    run.progress(run.summary)


def rows_by_caption(waiting: pa.Table) -> pa.Table:
    """Return rows that wait as rows of the index; where nobody said when a clip ends, its length is 0."""
    start = waiting["start_s"]
    end = pc.coalesce(waiting["end_s"], start)
    core = {
        "clip_id": waiting["clip_id"],
        "video": waiting["video"],
        "start_s": start,
        "end_s": end,
        "duration_s": pc.subtract(end, start),
        "caption": waiting["caption"].cast(pa.string()),
    }
    hidden = {*core, "key", "there", WAY, FRESH, TRIES, REASON, DETAIL, EMBEDDED_FROM}
    others = {name: waiting[name] for name in waiting.column_names if name not in hidden}
    made_of = pa.array(["caption"] * waiting.num_rows, pa.string())
    fields = [*CORE_SCHEMA, *(pa.field(name, column.type) for name, column in others.items()), pa.field(EMBEDDED_FROM, pa.string())]
    return pa.table({**core, **others, EMBEDDED_FROM: made_of}, schema=pa.schema(fields))

"""Filters and late fetching over millions of rows: predicates in one process on one thread, beside PyArrow's kernels over the same columns.

    uv run python benchmarks/filters.py --rows 1000000 10000000

Rows are generated like InternVid's (12 columns), a million a segment, and written as `vidsearch index` writes them; 10 million take 6 GB in
--folder and some minutes. Each predicate is asked --runs times; the table has the shortest and the median, of all segments together.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
from _machine import describe

from vidsearch.config import Space, viclip_preset
from vidsearch.corpus import Corpus
from vidsearch.filters.evaluate import evaluate
from vidsearch.storage import manifest as manifests
from vidsearch.storage import segment as segments

SEGMENT_ROWS = 1_000_000
CLIPS_A_VIDEO = 20
LANGUAGES = np.array(["en", "zh", "ko", "ja", "de", "ru", "es", "fr", "pt", "hi", "th"])
LANGUAGE_SHARES = np.array([0.58, 0.08, 0.07, 0.06, 0.05, 0.05, 0.04, 0.03, 0.02, 0.01, 0.01])
TYPES = np.array([f"type {letter}" for letter in "abcdefghijklmno"])
WORDS = np.array("a the dog cat man woman surfing running red car street snow kitchen cooks holds rides under over big small".split())  # noqa: SIM905
FETCHED = ["clip_id", "video", "start_s", "end_s", "duration_s", "caption", "language", "type", "aesthetic"]
PREDICATES = [
    "language = 'en'",
    "language = 'en' and aesthetic > 5",
    "duration_s between 3 and 10",
    "type in ('type a', 'type b') and not language = 'en'",
    "language = 'th' and aesthetic > 6.5",
    "language = 'en' and (duration_s < 3 or type = 'type c') and aesthetic is not null",
    "video = '{video}'",
    "clip_id = '{clip_id}'",
    "aesthetic > 8.5",
    "aesthetic > 8 and caption like '%dog%kitchen%'",
]


def table(rows: int, first: int, seed: int) -> pa.Table:
    """Return rows of metadata, numbered from `first`."""
    rng = np.random.default_rng([seed, first])
    numbers = np.arange(first, first + rows)
    durations = rng.lognormal(2.0, 0.7, rows)
    starts = np.round(rng.random(rows) * 600, 3)
    scores = {name: rng.normal(middle, 1, rows).astype(np.float32) for name, middle in (("aesthetic", 4.5), ("umt_score", 0.4))}
    return pa.table(
        {
            "clip_id": [f"{number * 0x9E3779B97F4A7C15 % 2**80:020x}" for number in numbers.tolist()],
            "video": [f"{number // CLIPS_A_VIDEO:011x}.mp4" for number in numbers.tolist()],
            "start_s": starts,
            "end_s": starts + durations,
            "duration_s": durations,
            "caption": [" ".join(words) for words in WORDS[rng.integers(0, len(WORDS), (rows, 10))].tolist()],
            "youtube_id": [f"{number // CLIPS_A_VIDEO:011x}" for number in numbers.tolist()],
            "language": pa.array(rng.choice(LANGUAGES, rows, p=LANGUAGE_SHARES)),
            "type": pa.array(rng.choice(TYPES, rows)),
            **{name: pa.array(values, mask=rng.random(rows) < 0.01) for name, values in scores.items()},
            "clip_score": rng.random(rows).astype(np.float32),
        }
    )


def build(root: Path, rows: int, seed: int) -> None:
    """Write an index whose vectors are of no account."""
    manifests.create(root, Space("viclip", "none", "0" * 64, 1, viclip_preset("eval"), 1))
    references = []
    for first in range(0, rows, SEGMENT_ROWS):
        part = table(min(SEGMENT_ROWS, rows - first), first, seed)
        vectors = np.ones((part.num_rows, 1), dtype=np.float16)
        references.append(segments.write(root, vectors=vectors, rows=part, index_files={}, quarantine=pa.table({}), info={"index": "flat"}))
    manifests.commit(root, lambda manifest: manifest.with_segments(references))


def milliseconds(call: Callable[[], object], runs: int) -> tuple[float, float]:
    """Return the shortest and the median time of a call."""
    call()
    times = []
    for _ in range(runs):
        started = time.perf_counter()
        call()
        times.append((time.perf_counter() - started) * 1000)
    return min(times), statistics.median(times)


def scan(corpus: Corpus, where: str) -> None:
    """Look at every value with PyArrow's kernels, the columns mapped and not decoded."""
    condition = corpus.parse(where)
    for segment in corpus.segments:
        names = sorted(condition.columns)
        evaluate(condition, pa.Table.from_arrays([segment.columns[name].arrow() for name in names], names=names))


def measure(corpus: Corpus, *, runs: int, seed: int) -> None:
    rows = len(corpus)
    column_bytes = sum(segment.map_file("columns.bin").nbytes for segment in corpus.segments)
    print(f"\n{rows:,} rows in {len(corpus.segments)} segments; columns.bin {column_bytes / rows:,.0f} bytes a row")
    print(f"{'predicate':82} {'passing':>9} {'min ms':>8} {'median':>8} {'PyArrow':>8} {'ratio':>7}")
    named = corpus.take([rows // 3], ["clip_id", "video"])[0]
    for predicate in PREDICATES:
        where = predicate.format(**named)
        passing = sum(selection.count for selection in corpus.select(where)) / rows
        shortest, median = milliseconds(lambda where=where: [selection.count for selection in corpus.select(where)], runs)
        kernels, _ = milliseconds(lambda where=where: scan(corpus, where), 2)
        print(f"{where:82} {passing:9.3%} {shortest:8.3f} {median:8.3f} {kernels:8.1f} {kernels / shortest:6.0f}x")
    shown = iter(np.random.default_rng(seed).integers(0, rows, (runs + 1, 100)))
    selections = corpus.select("aesthetic > 5")
    others: dict[str, Callable[[], object]] = {
        "fetch of 100 rows, 9 columns": lambda: corpus.take(next(shown), FETCHED),
        "row of a clip id": lambda: corpus.row_of(named["clip_id"]),
        "counts of each type among the rows with aesthetic > 5": lambda: corpus.value_counts("type", selections),
    }
    for name, call in others.items():
        shortest, median = milliseconds(call, runs)
        print(f"{name:82} {'':9} {shortest:8.3f} {median:8.3f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[1_000_000])
    parser.add_argument("--folder", type=Path, help="where indexes are built, and kept")
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    pa.set_cpu_count(1)
    print(describe("numpy", "pyarrow", seed=arguments.seed))
    with tempfile.TemporaryDirectory() as temporary:
        for rows in arguments.rows:
            root = (arguments.folder or Path(temporary)) / f"{rows}"
            if not manifests.exists(root):
                started = time.perf_counter()
                build(root, rows, arguments.seed)
                print(f"written in {time.perf_counter() - started:.0f} s")
            measure(Corpus(root), runs=arguments.runs, seed=arguments.seed)


if __name__ == "__main__":
    main()

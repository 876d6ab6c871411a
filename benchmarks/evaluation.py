"""Retrieval metrics of n x n pairs: both directions with bootstrap intervals, in blocks, beside the whole matrix and a sort of it.

    uv run python benchmarks/evaluation.py --pairs 1000 10000

The dense way is what the released evaluation of ViCLIP does: the matrix, an argsort of each of its rows, the place of the right answer; no
ties, no intervals. Each way runs in a process of its own on one thread: the least processor time of --runs, and the peak of memory above
what the process held with the vectors.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import resource
import time
from collections.abc import Callable

THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
for name in THREADS:
    os.environ[name] = "1"  # before NumPy is loaded

import numpy as np  # noqa: E402
from _machine import describe  # noqa: E402

from vidsearch.evaluation.metrics import retrieval_metrics  # noqa: E402
from vidsearch.evaluation.ranks import Floats, cosines, dual_softmax, rank  # noqa: E402

DIM = 768  # ViCLIP-L's
NOISE = 8.0  # of a caption, in lengths of its clip: R@1 is about a third among 10,000


def make_vectors(pairs: int, seed: int) -> tuple[Floats, Floats]:
    """Return captions and clips, (pairs, DIM) float32 unit rows; caption i belongs to clip i."""
    rng = np.random.default_rng(seed)
    clips = rng.standard_normal((pairs, DIM), dtype=np.float32)
    texts = rng.standard_normal((pairs, DIM), dtype=np.float32)
    texts *= NOISE
    texts += clips
    return np.divide(texts, _lengths(texts), out=texts), np.divide(clips, _lengths(clips), out=clips)


def _lengths(rows: Floats) -> Floats:
    """Return (n, 1) without a copy of the rows, which would count as memory held before."""
    lengths: Floats = np.sqrt(np.einsum("ij,ij->i", rows, rows))[:, None]
    return lengths


def in_blocks(texts: Floats, clips: Floats, *, temperature: float | None = None) -> float:
    each = np.arange(len(texts))
    found = []
    for queries, candidates in ((texts, clips), (clips, texts)):
        scores = cosines(queries, candidates)
        ranks = rank(scores if temperature is None else dual_softmax(scores, temperature=temperature), each, each)
        found.append(retrieval_metrics(ranks, each)["r1"].value)
    return found[0]


def dense(texts: Floats, clips: Floats) -> float:
    scores = texts @ clips.T
    found = []
    for matrix in (scores, scores.T):
        places = np.array([np.flatnonzero(np.argsort(row)[::-1] == number)[0] for number, row in enumerate(matrix)])
        found.append(100 * float((places < 1).mean()))
    return found[0]


WAYS: dict[str, Callable[[Floats, Floats], float]] = {
    "blocks, intervals": in_blocks,
    "dual softmax, blocks": lambda texts, clips: in_blocks(texts, clips, temperature=0.01),
    "dense, argsort": dense,
}


def measure(way: str, pairs: int, seed: int) -> tuple[float, float, float]:
    """Return processor seconds, megabytes above the vectors, and R@1 text→video in percent."""
    WAYS[way](*make_vectors(50, seed))  # what is loaded at the first use is no part of it
    texts, clips = make_vectors(pairs, seed)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started = time.process_time()
    value = WAYS[way](texts, clips)
    seconds = time.process_time() - started
    return seconds, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024, value


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, nargs="+", default=[1000, 10_000])
    parser.add_argument("--runs", type=int, default=3, help="of which the one of least processor time counts")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    print(describe("numpy", seed=arguments.seed))
    print(f"\n{'way':22} {'pairs':>17} {'CPU s':>8} {'MB above vectors':>17} {'R@1':>7}")
    context = multiprocessing.get_context("spawn")
    for pairs in arguments.pairs:
        for way in WAYS:
            with context.Pool(1, maxtasksperchild=1) as pool:
                runs = [pool.apply(measure, (way, pairs, arguments.seed)) for _ in range(arguments.runs)]
            seconds, megabytes, value = min(run[0] for run in runs), max(run[1] for run in runs), runs[0][2]
            print(f"{way:22} {f'{pairs:,} x {pairs:,}':>17} {seconds:8.2f} {megabytes:17,.0f} {value:7.2f}", flush=True)


if __name__ == "__main__":
    main()

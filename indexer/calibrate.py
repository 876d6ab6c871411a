"""Measure what search settings give on held-out queries, and choose the cheapest for each wanted recall.

For each query and kind of filter the codes of all passing rows are compared once. From where the true nearest rows lie, in the order of
the lists and in the order of the candidates, follows the recall of every setting at once. One half of the queries chooses the settings,
the other states what they give.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from indexer.probes import Probes
from vidsearch.calibration import NEAR, SELECTIVITIES, TARGETS, Calibration, Point
from vidsearch.corpus import Corpus
from vidsearch.indexes.base import Candidates, VectorIndex
from vidsearch.nearest import Part
from vidsearch.planner import Costs
from vidsearch.selection import WORD_ROWS, Selection

K = 10
MEASURED_ROWS = 1_048_576  # of the index, from its first segments on
SHARES = np.array([0.01, 0.02, 0.03, 0.05, 0.07, 0.1, 0.14, 0.2, 0.24, 0.28, 0.33, 0.4, 0.47, 0.56, 0.65, 0.75, 0.87, 1.0])
DEPTHS = np.array([20, 40, 70, 100, 150, 220, 320, 450, 640, 900, 1300, 1800, 2600])
FEWEST_ROWS = 40 * K  # a filter that leaves fewer is not measured
# Weight of nearness to the query, against noise, in which rows pass. Few filters have nothing at all to do with what is asked beneath them,
# and a mild preference does not show in the concentration: the plain setting is chosen under one.
PLAIN = 0.3
CORRELATIONS = (PLAIN, -PLAIN, 1.0, -1.0)
# Recall above what is wanted when choosing on one half of the queries, until the other half has the first of them: the best of many
# settings flatters itself.
SPARES = (0.004, 0.01, 0.02, 0.03, 0.05)

Curve = npt.NDArray[np.float64]  # (queries, shares, depths), recall


@dataclass(frozen=True)
class _Measured:
    """The part of an index that is measured."""

    indexes: list[VectorIndex]
    parts: list[Part]
    offsets: npt.NDArray[np.int64]  # (segments + 1,)

    @property
    def rows(self) -> int:
        return int(self.offsets[-1])


def calibrate(index: Corpus, probes: Probes, *, seed: int) -> Calibration:
    """Return what the settings of an IVF-PQ index give.

    About 20 ms for each query and filter and million rows, on one core.
    """
    measured = _part_of(index)
    costs = Costs(2 * index.space.dim, int(index.segments[0].info.get("code_bytes", 96)))
    kinds = [
        (selectivity, correlation)
        for selectivity in SELECTIVITIES
        for correlation in (CORRELATIONS if selectivity < 1 else CORRELATIONS[:1])
        if selectivity * measured.rows >= FEWEST_ROWS and len(probes.held_out) > 1
    ]
    curves = {kind: np.zeros((len(probes.held_out), len(SHARES), len(DEPTHS))) for kind in kinds}
    concentrations = {kind: np.ones(len(probes.held_out)) for kind in kinds}
    noise = np.random.default_rng(seed).standard_normal(measured.rows, dtype=np.float32)
    for number, (query, scores) in enumerate(_exact_scores(measured, probes.held_out)):
        for kind in kinds:
            mask = _filter(noise, scores, *kind)
            passing = np.flatnonzero(mask)
            true = passing[np.argpartition(-scores[passing], K - 1)[:K]]
            curves[kind][number], concentrations[kind][number] = _recalls(measured, query, mask, true)
    points = []
    for selectivity, correlation in kinds:
        near = np.maximum(concentrations[selectivity, correlation], 1e-3)
        typical = 1.0 if correlation == PLAIN else float(np.exp(np.log(near).mean()))
        if correlation == -PLAIN:
            continue  # it is measured for the interval of the plain setting
        beside = [curves[kind] for kind in kinds if kind[0] == selectivity and abs(kind[1] - correlation) <= 2 * PLAIN]
        points += _points(curves[selectivity, correlation], beside, selectivity, typical, measured.rows, costs)
    return Calibration(tuple(points), measured.rows, len(probes.held_out), probes.source)


def _part_of(index: Corpus) -> _Measured:
    indexes: list[VectorIndex] = []
    parts: list[Part] = []
    offsets = [0]
    for number, segment in enumerate(index.segments):
        if segment.info["index"] == "ivfpq" and (not parts or offsets[-1] + segment.rows <= MEASURED_ROWS):
            indexes.append(index.index_of(number))
            parts.append(Part(segment.vectors, Selection(segment.rows, segment.rows), offsets[-1]))
            offsets.append(offsets[-1] + segment.rows)
    return _Measured(indexes, parts, np.array(offsets))


def _exact_scores(
    measured: _Measured, queries: npt.NDArray[np.float32]
) -> Iterator[tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]]:
    """Yield each query with the scores of all rows; computed for several at once."""
    together = max(1, (1 << 26) // max(1, measured.rows))
    for start in range(0, len(queries), together):
        group = queries[start : start + together]
        scores = np.empty((len(group), measured.rows), dtype=np.float32)
        for part in measured.parts:
            for first in range(0, len(part.vectors), 16_384):
                block = part.vectors[first : first + 16_384].astype(np.float32)
                scores[:, part.first + first : part.first + first + len(block)] = group @ block.T
        yield from zip(group, scores, strict=True)


def _filter(
    noise: npt.NDArray[np.float32], scores: npt.NDArray[np.float32], selectivity: float, correlation: float
) -> npt.NDArray[np.bool_]:
    """Return which rows pass: those highest in noise, mixed with nearness to the query or its opposite; about the share that is asked."""
    if selectivity >= 1:
        return np.ones(len(scores), dtype=np.bool_)
    limit = NormalDist(sigma=math.hypot(1, correlation)).inv_cdf(1 - selectivity)
    weight = np.float32(correlation / scores.std())
    passing: npt.NDArray[np.bool_] = noise + weight * scores > limit + weight * scores.mean()
    return passing


def _recalls(
    measured: _Measured, query: npt.NDArray[np.float32], mask: npt.NDArray[np.bool_], true: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.float64], float]:
    """Return the share of the true rows that each setting finds, (shares, depths), and the concentration of the rows that pass."""
    from vidsearch.indexes._kernels import concentration  # compiled code, which small indexes never load

    depth = 2 * int(DEPTHS[-1])
    candidates = Candidates.empty(1, depth)
    selections = [Selection.of_mask(mask[start:end]) for start, end in zip(measured.offsets[:-1], measured.offsets[1:], strict=True)]
    prepared = measured.indexes[0].prepare(query[None])
    order = measured.indexes[0].nearest_lists(prepared)[0]
    counts = np.sum([index.counts(chosen) for index, chosen in zip(measured.indexes, selections, strict=True)], axis=0)
    for index, part, chosen in zip(measured.indexes, measured.parts, selections, strict=True):
        index.collect(prepared, [order], chosen, share=1.0, depth=depth, first=part.first, into=candidates)
    held = int(candidates.counts[0])
    best = np.argsort(-candidates.scores[0, :held], kind="stable")
    rows = candidates.rows[0, :held][best]
    before = np.empty(len(order))
    before[order] = (np.cumsum(counts[order]) - counts[order]) / max(1, counts.sum())  # share of the rows in nearer lists
    needed = before[_lists_of(measured, rows)]
    places = np.flatnonzero(np.isin(rows, true))
    recalls = np.empty((len(SHARES), len(DEPTHS)))
    for number, share in enumerate(SHARES):
        visited = needed < share
        position = np.cumsum(visited)
        found = visited[places, None] & (position[places, None] <= DEPTHS)
        recalls[number] = found.sum(axis=0) / len(true)
    sizes = np.sum([index.sizes for index in measured.indexes], axis=0)
    return recalls, concentration(order, counts, sizes, NEAR)


def _lists_of(measured: _Measured, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    lists = np.empty(len(rows), dtype=np.int64)
    for number, index in enumerate(measured.indexes):
        own = (rows >= measured.offsets[number]) & (rows < measured.offsets[number + 1])
        lists[own] = index.list_of(rows[own] - measured.offsets[number])
    return lists


def _points(curve: Curve, beside: Sequence[Curve], selectivity: float, typical: float, rows: int, costs: Costs) -> list[Point]:
    """Return the cheapest setting for each wanted recall, chosen on one half of the queries, with what it gives on the other.

    The interval holds for the kinds of filter beside this one too, which a query's concentration does not tell apart.
    """
    half = len(curve) // 2
    choosing = curve[:half].mean(axis=0)
    blocks = round(-(-rows // WORD_ROWS) * (1 - (1 - selectivity) ** WORD_ROWS))
    price = np.array([[costs.codes(blocks, share, int(depth)) for depth in DEPTHS] for share in SHARES])
    points = []
    for target in TARGETS:
        for spare in SPARES:
            reached = choosing >= min(target + spare, 1 - (1 - target) / 4)
            if not reached.any():
                break
            share, depth = np.unravel_index(np.where(reached, price, np.inf).argmin(), price.shape)
            recall = float(curve[half:, share, depth].mean())
            if recall >= target + SPARES[0]:
                intervals = [_interval(other[half:, share, depth]) for other in beside]
                low, high = min(low for low, _ in intervals), max(high for _, high in intervals)
                points.append(Point(target, selectivity, typical, float(SHARES[share]), int(DEPTHS[depth]), recall, low, high))
                break
    return points


def _interval(recalls: npt.NDArray[np.float64]) -> tuple[float, float]:
    """Return the 95 % interval of the mean."""
    mean = float(recalls.mean())
    error = 1.96 * float(recalls.std(ddof=1)) / math.sqrt(len(recalls)) if len(recalls) > 1 else 0.5
    error = max(error, 1 / (K * len(recalls)))  # no miss seen is not no miss
    return max(0.0, mean - error), min(1.0, mean + error)

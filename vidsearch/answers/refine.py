"""Pure: rankings refined, fused and chained; arrays in, positions out.

A ranking is rows (m,) int64, best first, with scores (m,) beside them. What keeps or drops rows does so from the best down, so a longer
ranking never changes what a shorter one gave.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

RANK_CONSTANT = 60  # of reciprocal rank fusion, as its authors chose it
ORDER_SLACK_S = 1e-3  # a clip that starts where another ends may start a rounding error earlier
BLOCK_ROWS = 256
ROUNDING = np.float32(1e-6)

Rows = npt.NDArray[np.int64]
Scores = npt.NDArray[np.float32]
Vectors = npt.NDArray[np.float32]  # (m, dim), unit rows


@dataclass(frozen=True)
class Kept:
    """Which of a ranking's rows remain.

    Attributes:
        positions: (n,) ascending.
        duplicates: (n,) how many rows were folded into each.
    """

    positions: Rows
    duplicates: Rows


def keep(
    count: int,
    *,
    videos: npt.NDArray[np.int64] | None = None,
    per_video: int | None = None,
    vectors: Vectors | None = None,
    threshold: float | None = None,
) -> Kept:
    """Go down a ranking and keep each row, unless it resembles one kept before, or its video has enough of them.

    Args:
        count: rows in the ranking.
        videos: (count,) a number for each row's source video.
        per_video: rows kept of one video at most.
        vectors: (count, dim), unit rows.
        threshold: cosine from which a row is folded into the best kept one it resembles.
    """
    if (videos is None or per_video is None) and (vectors is None or threshold is None):
        return Kept(np.arange(count), np.zeros(count, np.int64))
    room: dict[int, int] = {}
    kept: list[int] = []
    folded: list[int] = []
    into = np.full(count, -1)  # the place in `kept` of the row that each resembles
    for start in range(0, count, BLOCK_ROWS):
        stop = min(start + BLOCK_ROWS, count)
        if vectors is not None and threshold is not None and kept:
            into[start:stop] = _first(vectors[start:stop] @ vectors[kept].T >= np.float32(threshold) - ROUNDING)
        for row in range(start, stop):
            if into[row] >= 0:
                folded[into[row]] += 1
                continue
            if videos is not None and per_video is not None:
                video = int(videos[row])
                if room.setdefault(video, per_video) == 0:
                    continue
                room[video] -= 1
            if vectors is not None and threshold is not None:
                alike = vectors[row + 1 : stop] @ vectors[row] >= np.float32(threshold) - ROUNDING
                later = into[row + 1 : stop]
                later[alike & (later < 0)] = len(kept)
            kept.append(row)
            folded.append(0)
    return Kept(np.array(kept, dtype=np.int64), np.array(folded, dtype=np.int64))


def _first(found: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
    """Return the first true column of each row, -1 where there is none."""
    return np.where(found.any(axis=1), found.argmax(axis=1), -1)


def diversify(relevance: Scores, vectors: Vectors, wanted: int, tradeoff: float) -> Rows:
    """Return positions of a pool in the order of maximal marginal relevance.

    Each next one has the greatest tradeoff * relevance - (1 - tradeoff) * cosine with the most similar chosen one; relevance is scaled to
    0..1 over the pool, for cosines of texts and clips differ little beside those of clips. Equal ones in the order given.
    J. Carbonell, J. Goldstein, The use of MMR (SIGIR 1998).

    Args:
        relevance: (m,) in the order of the ranking.
        vectors: (m, dim), unit rows.
        wanted: positions to return, at most m.
        tradeoff: 1 is relevance alone, 0 variety alone; the first is always the most relevant.
    """
    count = len(relevance)
    scaled = scale(relevance) * np.float32(tradeoff)
    closest = np.full(count, -np.inf, dtype=np.float32)
    left = np.ones(count, dtype=np.bool_)
    chosen: list[int] = []
    for _ in range(min(wanted, count)):
        gain = scaled - np.float32(1 - tradeoff) * closest if chosen else relevance
        best = int(np.where(left, gain, -np.inf).argmax())
        chosen.append(best)
        left[best] = False
        np.maximum(closest, vectors @ vectors[best], out=closest)
    return np.array(chosen, dtype=np.int64)


def scale(scores: Scores) -> Scores:
    """Return scores moved and stretched to 0..1; all 1 when they are equal."""
    if not len(scores):
        return scores
    low, high = scores.min(), scores.max()
    scaled: Scores = (scores - low) / (high - low) if high > low else np.ones_like(scores)
    return scaled


def fuse_ranks(rankings: Sequence[Rows], *, constant: int = RANK_CONSTANT) -> tuple[Rows, Scores]:
    """Return the rows of some rankings by the sum of 1 / (constant + rank), the first rank being 1; equal ones by row.

    G. Cormack, C. Clarke, S. Buettcher, Reciprocal rank fusion outperforms Condorcet (SIGIR 2009).
    """
    rows, place = np.unique(np.concatenate(rankings), return_inverse=True)
    shares = [1 / (constant + np.arange(1, len(ranking) + 1)) for ranking in rankings]
    return best_first(rows, np.bincount(place, np.concatenate(shares), len(rows)).astype(np.float64))


def fuse_scores(rows: Rows, cosines: Scores, keywords: Scores, weight: float) -> tuple[Rows, Scores]:
    """Return rows by weight * cosine + (1 - weight) * keyword score, both scaled: cosines from least to greatest, BM25 from 0.

    A convex combination: S. Bruch, S. Gai, A. Ingber, An analysis of fusion functions for hybrid retrieval (TOIS 2023).
    """
    top = keywords.max(initial=0)
    total = np.float32(weight) * scale(cosines) + np.float32(1 - weight) * (keywords / top if top > 0 else keywords)
    return best_first(rows, total)


def best_first(rows: Rows, scores: npt.NDArray[np.floating]) -> tuple[Rows, Scores]:
    """Return rows and scores by falling score, equal ones by row."""
    order = np.lexsort((rows, -scores))
    return rows[order], scores[order].astype(np.float32)


def best_chain(starts_s: npt.NDArray[np.float64], ends_s: npt.NDArray[np.float64], scores: Scores) -> tuple[list[int], float] | None:
    """Return the positions of the clips of one video that show the stages in order with the greatest sum of scores, and that sum.

    Each clip starts no earlier than the one before it ends. Of equal chains, the one whose clips come first.

    Args:
        starts_s, ends_s: (m,) seconds.
        scores: (stages, m); -inf where a clip may not stand for a stage.
    """
    count = scores.shape[1]
    ends_s = np.maximum(ends_s, starts_s + 2 * ORDER_SLACK_S)  # a clip without length does not come before itself
    by_end = np.argsort(ends_s, kind="stable")
    total = scores[0].astype(np.float64)
    before: list[npt.NDArray[np.int64]] = []
    for stage in scores[1:]:
        # best[i]: of the i clips that end first, the one that ends the best chain so far
        best, leader = np.full(count + 1, -1), -1
        for place, clip in enumerate(by_end.tolist(), 1):
            if total[clip] > -np.inf and (leader < 0 or (-total[clip], clip) < (-total[leader], leader)):
                leader = clip
            best[place] = leader
        previous = best[np.searchsorted(ends_s[by_end], starts_s + ORDER_SLACK_S, side="right")]
        total = np.where(previous >= 0, total[previous] + stage, -np.inf)
        before.append(previous)
    last = int(total.argmax()) if count else -1
    if last < 0 or total[last] == -np.inf:
        return None
    chain = [last]
    for previous in reversed(before):
        chain.append(int(previous[chain[-1]]))
    return chain[::-1], float(total[last])

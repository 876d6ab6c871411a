"""Groups of points on the map, and the words that tell each from the others."""

from __future__ import annotations

import math
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

ROUNDS = 30  # of Lloyd's algorithm; on a map little moves after twenty
COMMON = 0.3  # a word in a larger share of all captions tells nothing apart: "a", "the", "的"; where groups are few,
COMMON_GROUPS = 1.5  # in as many captions as so many groups have
RAREST = 3  # a word in fewer captions of its group may be a name
NAME_WORDS = 3

Points = npt.NDArray[np.float32]  # (n, 2)
Labels = npt.NDArray[np.int64]  # (n,)

_SPACELESS = re.compile(r"[぀-ヿ㐀-䶿一-鿿฀-໿က-႟ក-៿]+")
_WORD = re.compile(r"[^\W\d_]{3,}")


def group(points: Points, count: int, *, seed: int = 0) -> Labels:
    """Return which of at most `count` groups each point is in, by k-means on the map itself, so that a group is a region one can circle.

    Lloyd's algorithm from k-means++ seeds (Arthur and Vassilvitskii, 2007); a group that loses all its points is left out.
    """
    if not len(points):
        return np.zeros(0, np.int64)
    centres = _seeds(points.astype(np.float64), min(count, len(points)), np.random.default_rng(seed))
    labels = np.full(len(points), -1, np.int64)
    for _ in range(ROUNDS):
        nearest = _nearest(points, centres)
        if np.array_equal(nearest, labels):
            break
        labels = nearest
        sizes = np.bincount(labels, minlength=len(centres))
        sums = np.stack([np.bincount(labels, weights=points[:, axis], minlength=len(centres)) for axis in (0, 1)], axis=1)
        centres = sums[sizes > 0] / sizes[sizes > 0, None]
        labels = (np.cumsum(sizes > 0) - 1)[labels]
    return labels


def _nearest(points: Points, centres: npt.NDArray[np.float64]) -> Labels:
    best = np.full(len(points), np.inf)
    labels = np.zeros(len(points), np.int64)
    for number, (x, y) in enumerate(centres):
        distance = (points[:, 0] - x) ** 2 + (points[:, 1] - y) ** 2
        closer = distance < best
        best[closer], labels[closer] = distance[closer], number
    return labels


def _seeds(points: npt.NDArray[np.float64], count: int, rng: np.random.Generator) -> npt.NDArray[np.float64]:
    """Draw seeds, each with a chance that grows with the square of its distance from those before it: the best of a few each time."""
    seeds = [points[rng.integers(len(points))]]
    distance = ((points - seeds[0]) ** 2).sum(axis=1)
    while len(seeds) < count and distance.any():  # fewer places than seeds: no more to draw
        drawn = points[rng.choice(len(points), size=2 + int(math.log(count)), p=distance / distance.sum())]
        left = [np.minimum(distance, ((points - seed) ** 2).sum(axis=1)) for seed in drawn]
        best = int(np.argmin([rest.sum() for rest in left]))
        seeds.append(drawn[best])
        distance = left[best]
    return np.array(seeds)


def names(captions: Sequence[str | None], labels: Labels) -> list[str]:
    """Return a name for each group: the words that its captions have more often than the others', "" where no word does.

    c-TF-IDF: a group's captions are one document, and a word t weighs sqrt(tf) * log(1 + A / f), where tf is its share of the group's
    words, f how often all groups together have it, and A how many words a group has on average (Grootendorst, "BERTopic: Neural topic
    modeling with a class-based TF-IDF procedure", arXiv 2203.05794, 2022; the root is BERTopic's `reduce_frequent_words`). Words that
    are common are left out, which needs no list of stop words for each language.
    """
    groups = [Counter[str]() for _ in range(int(labels.max(initial=-1)) + 1)]
    for caption, label in zip(captions, labels.tolist(), strict=True):
        if caption:
            groups[label].update(set(words_of(caption)))
    return _names(groups, sum(caption is not None for caption in captions))


def _names(groups: Sequence[Counter[str]], captions: int) -> list[str]:
    everywhere: Counter[str] = Counter()
    for counts in groups:
        everywhere.update(counts)
    average = sum(everywhere.values()) / max(1, len(groups))
    most = max(COMMON, COMMON_GROUPS / max(1, len(groups))) * captions
    told = {word: math.log(1 + average / count) for word, count in everywhere.items() if count <= most}
    found = []
    for counts in groups:
        size = sum(counts.values())
        weights = {word: math.sqrt(count / size) * told[word] for word, count in counts.items() if count >= RAREST and word in told}
        found.append(", ".join(_apart(sorted(weights, key=lambda word: (-weights[word], word)))))
    return found


def _apart(ranked: Iterable[str]) -> list[str]:
    """Return the first words of which none is another's beginning: dog and dogs are one thing."""
    chosen: list[str] = []
    for word in ranked:
        if not any(word.startswith(other[:4]) for other in chosen):
            chosen.append(word)
        if len(chosen) == NAME_WORDS:
            break
    return chosen


def words_of(caption: str) -> list[str]:
    """Return the words of a caption in small letters; of scripts without spaces, pairs of neighbouring characters."""
    text = unicodedata.normalize("NFKC", caption).lower()
    pairs = [run[place : place + 2] for run in _SPACELESS.findall(text) for place in range(max(1, len(run) - 1))]
    return _WORD.findall(_SPACELESS.sub(" ", text)) + pairs


def border(points: Points, most: int) -> list[list[float]]:
    """Return the corners of the convex hull of points, a little widened so that it holds them all; at most so many corners.

    Andrew's monotone chain (1979).
    """
    if len(points) < 3:
        return []
    ordered = sorted(set(map(tuple, points.tolist())))
    hull = [*_chain(ordered), *_chain(ordered[::-1])]
    step = -(-len(hull) // most)
    middle = points.mean(axis=0)
    return ((np.array(hull[::step]) - middle) * 1.002 + middle).tolist() if len(hull) >= 3 else []


def _chain(ordered: Sequence[tuple[float, ...]]) -> list[tuple[float, ...]]:
    chain: list[tuple[float, ...]] = []
    for x, y in ordered:
        while len(chain) > 1 and (chain[-1][0] - chain[-2][0]) * (y - chain[-2][1]) <= (chain[-1][1] - chain[-2][1]) * (x - chain[-2][0]):
            chain.pop()
        chain.append((x, y))
    return chain[:-1]

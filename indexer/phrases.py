"""Short phrases that several captions share: sentences of a few words, whose clips the captions name."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

import numpy as np

MOST_WORDS = 4
FEWEST_CLIPS, MOST_SHARE = 2, 1 / 3  # of the captions: rarer ones are whole captions, commoner ones say nothing
LEAST_LETTERS = 4


def normalized(text: str) -> str:
    """Return a text's words in lower case between single spaces, one before the first and one after the last."""
    words = " ".join(re.findall(r"\w+", text.lower()))
    return f" {words} "


def phrases_of(captions: Sequence[str], count: int, *, seed: int) -> list[str]:
    """Return at most so many phrases of one to four words, drawn at random from those that several captions share."""
    found: Counter[str] = Counter()
    for caption in captions:
        words = normalized(caption).split()
        found.update({" ".join(words[start : start + length]) for length in range(1, MOST_WORDS + 1) for start in range(len(words))})
    most = MOST_SHARE * len(captions)
    shared = sorted(phrase for phrase, clips in found.items() if FEWEST_CLIPS <= clips <= most and len(phrase) >= LEAST_LETTERS)
    return [shared[place] for place in np.random.default_rng(seed).permutation(len(shared))[:count].tolist()]

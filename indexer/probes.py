"""Text queries to train and calibrate an index with: its own captions, or a background of plain sentences."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from vidsearch.corpus import Corpus

TRAINING, HELD_OUT = 1000, 300
FEW_CAPTIONS = 200  # fewer distinct ones than this are filled up from the background

WHO = [
    "a man",
    "a woman",
    "two people",
    "a child",
    "a dog",
    "a group of friends",
    "a chef",
    "a musician",
    "an athlete",
    "a cat",
    "a crowd",
    "a worker",
]
WHAT = [
    "is talking to the camera",
    "is walking",
    "is cooking",
    "is playing a game",
    "is driving a car",
    "is dancing",
    "is showing a product",
    "is riding a bike",
    "is opening a box",
    "is singing",
    "is jumping",
    "is reading",
    "is using a phone",
    "is sitting",
]
WHERE = [
    "in a kitchen",
    "on a street",
    "on a stage",
    "in a park",
    "on a beach",
    "in an office",
    "at night",
    "in the snow",
    "in a gym",
    "in front of a building",
    "in a field",
    "by a river",
]

EncodeTexts = Callable[[Sequence[str]], npt.NDArray[np.float32]]


@dataclass(frozen=True)
class Probes:
    """Queries as vectors.

    Attributes:
        training: (n, dim) float32, or None where there are none.
        held_out: (m, dim) float32, none of them used in training.
        source: where they came from, in words.
    """

    training: npt.NDArray[np.float32] | None
    held_out: npt.NDArray[np.float32]
    source: str


def probes_for(index: Corpus, *, encode_texts: EncodeTexts | None, queries: npt.NDArray[np.float32] | None, seed: int) -> Probes:
    """Return queries for an index: those given, else its captions encoded, else, without a text side, its own vectors."""
    rng = np.random.default_rng(seed)
    if queries is not None:
        return _parted(np.asarray(queries, dtype=np.float32)[rng.permutation(len(queries))], "the queries given")
    if encode_texts is not None:
        texts, source = _texts(index, rng)
        return _parted(encode_texts(texts), source)
    rows = np.sort(rng.choice(index.slots, size=min(index.slots, HELD_OUT), replace=False))
    return Probes(None, index.vectors_of(rows), "stored vectors, which are easier to find than texts")


def _parted(queries: npt.NDArray[np.float32], source: str) -> Probes:
    held_out = min(HELD_OUT, len(queries) // 2)
    return Probes(queries[held_out : held_out + TRAINING], queries[:held_out], source)


def _texts(index: Corpus, rng: np.random.Generator) -> tuple[list[str], str]:
    """Return distinct captions in random order; where there are few, background sentences besides."""
    wanted = TRAINING + HELD_OUT
    captions: set[str] = set()
    if "caption" in index.schema.names:
        for segment in index.segments:
            share = -(-2 * wanted * segment.rows // index.slots)
            drawn = np.sort(rng.choice(segment.rows, size=min(segment.rows, share), replace=False))
            column = segment.read_columns(["caption"])["caption"].take(pa.array(drawn))
            captions.update(text for text in column.to_pylist() if text and text.strip())
    texts = sorted(captions)
    rng.shuffle(texts)
    if len(texts) >= FEW_CAPTIONS:
        return texts[:wanted], "captions of the index"
    background = [" ".join(parts) for parts in itertools.product(WHO, WHAT, WHERE)]
    rng.shuffle(background)
    return [*texts, *background][:wanted], "background sentences" + (" and captions of the index" if texts else "")

"""Queries to measure an index with: those given, else captions of its own, else stored vectors made unlike themselves."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from indexer.vectors import read_queries
from vidsearch.engine import Index
from vidsearch.errors import InputNotFoundError, UsageError, VidsearchError

NOISE = 0.7  # length of what is added to a stored vector, which leaves a cosine of 0.82 with it
DRAWN = 4  # times as many captions as are wanted are drawn, as some say the same
FEWEST = 20  # captions that are enough to ask with

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Queries:
    """Queries as vectors.

    Attributes:
        vectors: (n, dim) float32, unit rows.
        source: where they came from, in words.
    """

    vectors: npt.NDArray[np.float32] = field(repr=False)
    source: str


def queries_for(index: Index, file: Path | None, count: int, *, seed: int) -> Queries:
    """Return so many queries at most, each once.

    Args:
        index: what is to be measured, with a clip at least.
        file: .npy with (n, dim) vectors, or a text file with a sentence a line; None for the index's own.
        count: at most.
        seed: of which are drawn.
    """
    rng = np.random.default_rng(seed)
    if file is not None:
        return _of_file(index, file, count, rng)
    captions = _captions(index, count, rng)
    reason = f"the index has {len(captions)} distinct captions"
    if len(captions) >= min(FEWEST, count):
        try:
            return Queries(index.encode_texts(captions), f"{len(captions):,} captions of the index")
        except VidsearchError as error:
            if index.model is not None:
                raise  # the model that was named is the wrong one, which is no reason to ask something easier
            reason = f"its captions cannot be encoded: {error}"
    log.warning("%s; asking with changed clip vectors, which are easier to find than sentences", reason)
    return Queries(_changed(index, count, rng), "stored vectors changed by noise, which are easier to find than sentences")


def _of_file(index: Index, file: Path, count: int, rng: np.random.Generator) -> Queries:
    if not file.is_file():
        raise InputNotFoundError(f"no file {file}; give a .npy file of vectors or a text file with a sentence a line")
    if file.suffix.lower() == ".npy":
        vectors = _read_vectors(file, index.space.dim)
        chosen = np.sort(rng.permutation(len(vectors))[:count])
        return Queries(vectors[chosen], f"{len(chosen):,} vectors of {file.name}")
    try:
        sentences = list(dict.fromkeys(line for text in file.read_text(encoding="utf-8").splitlines() if (line := text.strip())))
    except UnicodeDecodeError as error:
        raise UsageError(
            f"{file} is not UTF-8 text ({error}); give a .npy file of vectors or a text file with a sentence a line"
        ) from error
    if not sentences:
        raise UsageError(f"{file} holds no sentence; give one a line")
    chosen = np.sort(rng.permutation(len(sentences))[:count])
    return Queries(index.encode_texts([sentences[place] for place in chosen.tolist()]), f"{len(chosen):,} sentences of {file.name}")


def _read_vectors(file: Path, dim: int) -> npt.NDArray[np.float32]:
    vectors = read_queries(file)
    if vectors.shape[1] != dim or not len(vectors):
        raise UsageError(f"{file} holds {len(vectors):,} vectors of {vectors.shape[1]} numbers; this index is asked with vectors of {dim}")
    if not (np.abs(np.linalg.norm(vectors, axis=1) - 1) < 0.01).all():
        raise UsageError(f"{file} holds vectors without a direction: zeros, infinite numbers or NaN")
    return vectors


def _captions(index: Index, count: int, rng: np.random.Generator) -> list[str]:
    """Return distinct captions in the order they were drawn."""
    if "caption" not in index.schema.names:
        return []
    alive = np.flatnonzero(index.alive_mask)
    rows = rng.choice(alive, size=min(len(alive), DRAWN * count), replace=False)
    texts = [row["caption"] for row in index.take(rows, ["caption"])]
    return list(dict.fromkeys(text for text in texts if isinstance(text, str) and text.strip()))[:count]


def _changed(index: Index, count: int, rng: np.random.Generator) -> npt.NDArray[np.float32]:
    alive = np.flatnonzero(index.alive_mask)
    rows = np.sort(rng.choice(alive, size=min(len(alive), count), replace=False))
    noise = rng.standard_normal((len(rows), index.space.dim), dtype=np.float32) * np.float32(NOISE / np.sqrt(index.space.dim))
    vectors = index.vectors_of(rows) + noise
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)

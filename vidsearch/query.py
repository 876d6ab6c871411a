"""What a user asks, checked; and the one vector it becomes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vidsearch.errors import QueryError

MAX_K = 1000
MAX_TEXT = 4096  # characters
NEGATIVE_WEIGHT = 0.5  # how strongly an excluded text pushes the query away; the wanted side weighs 1

Vector = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Query:
    """One question.

    Attributes:
        text: a sentence, or None.
        like: the id of a clip to resemble, or None.
        vector: (dim,) float32, for embeddings the caller brings, or None.
        exclude: sentences to move away from.
        k: number of clips wanted.
        where: a filter in SQL WHERE syntax, or None.
    """

    text: str | None = None
    like: str | None = None
    vector: Vector | None = None
    exclude: tuple[str, ...] = ()
    k: int = 10
    where: str | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.k <= MAX_K:
            raise QueryError(f"k is {self.k}; it must be 1 to {MAX_K}")
        for text in (self.text, *self.exclude):
            _check_text(text)
        if self.text is None and self.like is None and self.vector is None:
            raise QueryError("nothing to search for; give a sentence, a clip id or a vector")


def compose(query: Query, *, dim: int, encode: Callable[[Sequence[str]], Vector], vector_of: Callable[[str], Vector]) -> Vector:
    """Return the query as one unit vector (dim,) float32.

    Args:
        query: what is asked.
        dim: length of the index's vectors.
        encode: texts to unit rows (n, dim).
        vector_of: a clip's id to its vector.
    """
    parts: list[Vector] = []
    if query.vector is not None:
        parts.append(_check_vector(query.vector, dim))
    if query.like is not None:
        parts.append(vector_of(query.like))
    texts = [*([query.text] if query.text is not None else []), *query.exclude]
    encoded = encode(texts) if texts else np.zeros((0, dim), dtype=np.float32)
    if query.text is not None:
        parts.append(encoded[0])
        encoded = encoded[1:]
    total = np.sum([_unit(part) for part in parts], axis=0)
    if len(encoded):
        total = _unit(total) - NEGATIVE_WEIGHT * _unit(encoded.sum(axis=0))
    if float(np.linalg.norm(total)) < 1e-6:
        raise QueryError("the wanted and the excluded parts cancel each other; drop one of them")
    return _unit(total)


def _check_text(text: str | None) -> None:
    if text is None:
        return
    if not text.strip():
        raise QueryError("the query is empty; describe in a sentence what the clip shows")
    if len(text) > MAX_TEXT:
        raise QueryError(f"the query has {len(text):,} characters; at most {MAX_TEXT:,} are allowed")


def _check_vector(vector: Vector, dim: int) -> Vector:
    vector = np.asarray(vector, dtype=np.float32)
    if vector.shape != (dim,):
        raise QueryError(f"the query vector has shape {vector.shape}; this index holds vectors of shape ({dim},)")
    if not np.isfinite(vector).all() or not vector.any():
        raise QueryError("the query vector must be finite and not all zero")
    return vector


def _unit(vector: Vector) -> Vector:
    unit: Vector = (vector / max(float(np.linalg.norm(vector)), 1e-12)).astype(np.float32)
    return unit

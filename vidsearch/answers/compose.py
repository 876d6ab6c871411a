"""Questions → the vectors they are asked with, every text of all of them encoded at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from vidsearch._query_parts import Media
from vidsearch.captions.text import unquoted
from vidsearch.errors import QueryError
from vidsearch.query import Query, Vector

NEGATIVE_WEIGHT = 0.5  # how strongly excluded texts push the query away; the wanted side weighs 1

Encode = Callable[[Sequence[str]], Vector]


def compose(
    queries: Sequence[Query],
    *,
    dim: int,
    encode: Encode,
    vectors_of: Callable[[Sequence[str]], Vector],
    show: Callable[[Media], Vector],
) -> list[Vector]:
    """Return each question's unit vectors (stages, dim) float32: one, and one more for each `then`; none for keywords alone.

    Args:
        queries: what is asked.
        dim: length of the index's vectors.
        encode: texts to unit rows (n, dim).
        vectors_of: ids of clips to their rows (n, dim).
        show: a file to its unit vector (dim,).
    """
    encoded = _encode(queries, encode)
    return [
        _stages(query, dim, encoded, vectors_of, show) if query.mode != "keywords" else np.zeros((0, dim), np.float32) for query in queries
    ]


def _encode(queries: Sequence[Query], encode: Encode) -> dict[str, Vector]:
    texts = dict.fromkeys(text for query in queries if query.mode != "keywords" for text in _texts(query))
    return dict(zip(texts, encode(list(texts)), strict=True)) if texts else {}


def _texts(query: Query) -> list[str]:
    return [*_sentences(query), *query.exclude, *query.then]


def _sentences(query: Query) -> list[str]:
    """The wanted sentences; the quotes around what must occur are no part of what a clip shows."""
    return [unquoted(text) if query.mode == "hybrid" else text for text, _ in query.texts]


def _stages(
    query: Query,
    dim: int,
    encoded: dict[str, Vector],
    vectors_of: Callable[[Sequence[str]], Vector],
    show: Callable[[Media], Vector],
) -> Vector:
    weights = (weight for _, weight in query.texts)
    parts = [np.float32(weight) * encoded[text] for text, weight in zip(_sentences(query), weights, strict=True)]
    if query.vector is not None:
        parts.append(_unit(_checked(query.vector, dim)))
    parts += [_unit(vectors_of([item])[0] if isinstance(item, str) else show(item)) for item in query.like]
    total = _sum(parts, dim)
    if query.exclude:
        away = _sum([encoded[text] for text in query.exclude], dim)
        total = _unit(total) - NEGATIVE_WEIGHT * _unit(away)
    if query.up or query.down:
        total = _feedback(query, total, vectors_of)
    if float(np.linalg.norm(total)) < 1e-6:
        raise QueryError("the parts of the query cancel each other or weigh nothing; drop one of them or change its weight")
    return np.stack([_unit(total), *(_unit(encoded[text]) for text in query.then)])


def _feedback(query: Query, total: Vector, vectors_of: Callable[[Sequence[str]], Vector]) -> Vector:
    """Rocchio: alpha q + beta mean(liked) - gamma mean(disliked), of unit vectors.

    J. Rocchio, Relevance feedback in information retrieval, in: The SMART Retrieval System (1971).
    """
    alpha, beta, gamma = (np.float32(weight) for weight in query.rocchio)
    moved = alpha * _unit(total)
    if query.up:
        moved = moved + beta * vectors_of(query.up).mean(axis=0)
    if query.down:
        moved = moved - gamma * vectors_of(query.down).mean(axis=0)
    return moved


def _sum(parts: Sequence[Vector], dim: int) -> Vector:
    total = np.zeros(dim, dtype=np.float32)
    for part in parts:
        total += part
    return total


def _checked(vector: Vector, dim: int) -> Vector:
    vector = np.asarray(vector, dtype=np.float32)
    if vector.shape != (dim,):
        raise QueryError(f"the query vector has shape {vector.shape}; this index holds vectors of shape ({dim},)")
    if not np.isfinite(vector).all() or not vector.any():
        raise QueryError("the query vector must be finite and not all zero")
    return vector


def _unit(vector: Vector) -> Vector:
    """Return a vector of length one; one that is (nearly) zero stays so: it has no direction, only rounding."""
    length = float(np.linalg.norm(vector))
    unit: Vector = np.asarray(vector / length if length > 1e-6 else np.zeros_like(vector), dtype=np.float32)
    return unit

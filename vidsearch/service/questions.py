"""What a client sends → a checked question. A client names clips by id, never files of this machine, nor rows of a version."""

from __future__ import annotations

from typing import Any

from vidsearch._query_parts import Media
from vidsearch.answers import cursor as cursors
from vidsearch.errors import QueryError
from vidsearch.query import Query
from vidsearch.service.limits import Limits

PLAIN_K, PLAIN_RECALL = 100, 0.99


def read_question(values: dict[str, Any], limits: Limits) -> Query:
    """Return the question of a JSON object.

    Raises:
        QueryError: it cannot be asked here.
    """
    query = Query.from_json(values)
    if any(isinstance(example, Media) for example in query.like):
        raise QueryError("like takes clip ids here; files of the server cannot be asked with")
    if query.within is not None:
        raise QueryError("within names rows of one version of the index; say which clips with a filter")
    if query.k > limits.k:
        raise QueryError(f"k is {query.k}; it must be 1 to {limits.k:,} here")
    if query.cursor is not None and cursors.position(query.cursor) >= limits.depth:
        raise QueryError(f"the first {limits.depth:,} clips can be paged through; export more with /v1/export")
    check_filter(query.where, limits)
    return query


def read_choice(values: dict[str, Any] | None, where: str | None, limits: Limits) -> Query | None:
    """Return the question whose clips are meant; None where a filter says which, or nothing does and all are.

    Raises:
        QueryError: both are given, or one cannot be asked here.
    """
    check_filter(where, limits)
    if values is None:
        return None
    if where is not None:
        raise QueryError("a question has its filter in itself: give one of question and where")
    return read_question(values, limits)


def is_costly(query: Query) -> bool:
    """Whether a question takes much longer than a plain one, and should not hold those up."""
    ordered = query.mode != "vectors" or bool(query.then) or query.diverse is not None or query.sort is not None or query.group is not None
    return ordered or query.exact or query.recall > PLAIN_RECALL or query.k > PLAIN_K or query.cursor is not None


def check_filter(where: str | None, limits: Limits) -> None:
    """Refuse a filter that is too long to be read."""
    if where is not None and len(where) > limits.filter_chars:
        raise QueryError(f"the filter has {len(where):,} characters; at most {limits.filter_chars:,} are allowed")

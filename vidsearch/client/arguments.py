"""What the methods of both clients make of their arguments."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING

from vidsearch._query_parts import sentences
from vidsearch.client.calls import check_address, check_token
from vidsearch.errors import QueryError, UsageError
from vidsearch.extras import require
from vidsearch.query import Mode, Query
from vidsearch.settings import read_settings

if TYPE_CHECKING:
    from vidsearch.storage.files import Writer

TIMEOUT_S = 30.0
FORMATS = ("parquet", "csv", "jsonl", "ids")


def checked(url: str, token: str | None, timeout_s: float) -> tuple[str, str | None]:
    """Return a client's address and token, checked."""
    if not 0 < timeout_s < float("inf"):
        raise UsageError(f"timeout_s is {timeout_s}; it must be above 0")
    require("httpx")
    return check_address(url), check_token(read_settings().token if token is None else token)


def counted(text: str | None, where: str | None, min_score: float | None, mode: Mode, exact: bool) -> Query | None:
    """Return the question that is counted for, None where there is only a filter."""
    if text is not None:
        return Query(sentences([text]), where=where, min_score=min_score, mode=mode, exact=exact)
    if min_score is not None:
        raise QueryError("a score needs a text to be counted for")
    return None


def known_form(form: str) -> str:
    """Return a format that a service exports as."""
    if form not in FORMATS:
        raise UsageError(f"unknown format {form!r}; choose from {', '.join(FORMATS)}")
    return form


def new_file_at(path: Path) -> AbstractContextManager[Writer]:
    """Open a file that is there only when the block has ended well."""
    from vidsearch.curate.export import new_file  # with all that reads an index, which most clients do without

    return new_file(path)

"""What one client may ask of a service; /v1/limits says it."""

from __future__ import annotations

from dataclasses import dataclass

from vidsearch.errors import UsageError
from vidsearch.query import MAX_DEPTH, MAX_K, MAX_TEXT


@dataclass(frozen=True)
class Limits:
    """Attributes:
    k: clips of a page.
    depth: clips to page through.
    text_chars: of a sentence.
    filter_chars: of a filter.
    batch: questions of one request.
    export_rows: clips of one export.
    body_bytes: of a request.
    body_s: seconds a request's body may take to come.
    deadline_s: seconds until an answer, after which a question is given up.
    queue: questions that wait; one more is refused with 429.
    together: questions that are answered at once.
    counting: facets and exports that are made at once.
    """

    k: int = MAX_K
    depth: int = MAX_DEPTH
    text_chars: int = MAX_TEXT
    filter_chars: int = 8192
    batch: int = 64
    export_rows: int = 1_000_000
    body_bytes: int = 1 << 20
    body_s: float = 10.0
    deadline_s: float = 10.0
    queue: int = 512
    together: int = 32
    counting: int = 2

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not value > 0:
                raise UsageError(f"the limit {name} is {value}; it must be above 0")
        if self.batch > self.queue:
            raise UsageError(f"the limit batch is {self.batch}; it must not be above queue, {self.queue}")

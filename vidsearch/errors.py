"""Everything vidsearch raises on purpose.

VidsearchError             exit code 2
├── UsageError             a value the caller gave is not usable (ValueError)
│   ├── FilterError        a WHERE filter that cannot be parsed or does not fit the columns
│   └── QueryError         a query that cannot be asked
├── InputNotFoundError     a file or folder that was named is not there (FileNotFoundError)
├── ConflictError          exit 75: another process changed the same segments first
├── QuarantineLimitError   exit 7: more of the input cannot be decoded than was allowed for
├── MissingExtraError      an optional library is not installed (ImportError)
├── DecodeError            one video cannot be decoded; carries a reason code
├── NotAnIndexError        exit 5: no index there
├── IndexCorruptError      exit 5: an index that does not hold what its seals say
│   ├── DamagedSegmentError   one segment, while it was read; it is left out and the question asked again
│   └── PartialIndexError  exit 4: a segment is damaged, and only whole answers are wanted
├── FormatVersionError     exit 6: written by a newer vidsearch
├── CheckpointError        exit 6: weights that do not fit or cannot be read safely
├── SpaceMismatchError     exit 6: the vectors of one model asked with another
└── ServiceError           exit 69: a service cannot be reached, refuses the token, or is none of ours
    ├── BusyError          exit 75: it has too much to do; ask again later
    └── DeadlineError      exit 75: its answer would come too late
"""

from __future__ import annotations

from typing import ClassVar


class VidsearchError(Exception):
    """Base of every error raised on purpose; its message is one line that says what to do."""

    exit_code: ClassVar[int] = 2


class UsageError(VidsearchError, ValueError):
    """A value that cannot be used; the message holds the value and what is allowed."""


class FilterError(UsageError):
    """A filter that cannot be parsed, names an unknown column or compares unlike types."""


class QueryError(UsageError):
    """A query that cannot be asked: empty, too long, or an impossible number of results."""


class InputNotFoundError(VidsearchError, FileNotFoundError):
    """A file or folder named by the caller is not there."""


class ConflictError(VidsearchError):
    """Another process changed the same segments first; nothing is lost, and the same command does it anew."""

    exit_code = 75


class QuarantineLimitError(VidsearchError):
    """More of the clips that were tried cannot be decoded than the caller allows for; what could be is committed."""

    exit_code = 7


class MissingExtraError(VidsearchError, ImportError):
    """An optional library is missing; the message names the extra that brings it."""


class DecodeError(VidsearchError):
    """One video or clip cannot be decoded.

    Args:
        reason: a code of the quarantine, such as "OPEN_FAILED" or "SHORT_DECODE".
        detail: what was seen, for a person.
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


class NotAnIndexError(VidsearchError, FileNotFoundError):
    """The folder holds no vidsearch index."""

    exit_code = 5


class IndexCorruptError(VidsearchError):
    """A file of the index is missing or does not have the bytes its seal promises."""

    exit_code = 5


class DamagedSegmentError(IndexCorruptError):
    """A segment turned out to be damaged while it was read.

    Args:
        segment: its place among the segments of the corpus.
    """

    def __init__(self, message: str, segment: int) -> None:
        super().__init__(message)
        self.segment = segment


class PartialIndexError(IndexCorruptError):
    """A segment is damaged and would be left out of answers, which the caller does not want."""

    exit_code = 4


class FormatVersionError(VidsearchError):
    """The index was written by a newer version of vidsearch."""

    exit_code = 6


class CheckpointError(VidsearchError, ValueError):
    """A checkpoint that is unsafe, unreadable, or does not fit the network."""

    exit_code = 6


class SpaceMismatchError(VidsearchError, ValueError):
    """Vectors of different models, weights or presets would be compared."""

    exit_code = 6


class ServiceError(VidsearchError):
    """A service cannot be reached, does not know the token, or does not answer as one of this version does."""

    exit_code = 69


class BusyError(ServiceError):
    """Too many questions wait; ask again later."""

    exit_code = 75


class DeadlineError(ServiceError):
    """The answer would have come too late."""

    exit_code = 75

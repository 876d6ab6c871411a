"""What a client asks of a service, and what it makes of the answers. How these travel is another's business, so both clients share it."""

from __future__ import annotations

import json
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar
from urllib.parse import quote, urlsplit

import numpy as np

from vidsearch._query_parts import Media
from vidsearch.errors import QueryError, ServiceError, UsageError, VidsearchError
from vidsearch.query import Query
from vidsearch.results import Count, Hits
from vidsearch.wire import hits_from_json

if TYPE_CHECKING:
    from vidsearch.curate.recipe import Subset

T = TypeVar("T")
Json = dict[str, Any]

LONGEST_TOKEN = 4096
LOOPBACK = ("127.0.0.1", "localhost", "::1")
SCHEMES = ("http", "https")
ENVELOPE_BYTES = 64  # what stands around the questions of a batch


@dataclass(frozen=True)
class Call:
    """One request: POST with a body, GET without."""

    path: str
    body: Json | None = None

    @property
    def content(self) -> bytes | None:
        return None if self.body is None else json.dumps(self.body, allow_nan=False).encode()


@dataclass(frozen=True)
class Result(Generic[T]):
    """What some requests amount to."""

    value: T


Steps = Generator[Call, Any, T]  # yields requests, is sent the JSON of each one's answer, returns what they amount to


def check_address(url: str) -> str:
    """Return an address without the slash at its end.

    Raises:
        UsageError: it is none, or holds what must not be in one.
    """
    try:
        parts = urlsplit(url)
        known = parts.scheme in SCHEMES and bool(parts.hostname) and parts.port != 0 and url.isprintable() and " " not in url
    except ValueError:
        known = False
    if not known:
        raise UsageError(f"{url!r:.200} is no address of a service; write http://HOST:PORT")
    if parts.username is not None or parts.password is not None or parts.query or parts.fragment:
        raise UsageError("the address of a service is http://HOST:PORT and nothing more; give the token as token=, or set VIDSEARCH_TOKEN")
    return url.rstrip("/")


def check_token(token: str | None) -> str | None:
    """Return a token as a header can carry it; an empty one counts as none."""
    token = (token or "").strip()
    if not token:
        return None
    if not (token.isascii() and token.isprintable() and " " not in token and len(token) <= LONGEST_TOKEN):
        raise UsageError(f"the token must be printable ASCII characters without spaces, at most {LONGEST_TOKEN:,}")
    return token


def is_here(url: str) -> bool:
    """Return whether an address is one of this machine's own."""
    return urlsplit(url).hostname in LOOPBACK


def advance(steps: Steps[T], answer: Any, url: str) -> Call | Result[T]:
    """Give some steps the answer to their request (None at first), and return the next request, or their result.

    Raises:
        ServiceError: they cannot read it.
    """
    try:
        return steps.send(answer)
    except StopIteration as done:
        return Result(done.value)
    except VidsearchError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ServiceError(f"{url} does not answer as a vidsearch service of this version does ({error!r:.80})") from error


class Calls:
    """The requests behind each method of a client; it remembers the limits of the service, which do not change while it runs."""

    def __init__(self) -> None:
        self._limits: Json | None = None

    def ask(self, queries: Sequence[Query]) -> Steps[list[Hits]]:
        bodies = [_body(query) for query in queries]
        if len(bodies) == 1:
            return [hits_from_json((yield Call("/v1/search", bodies[0])))]
        limits = (yield from self.limits()) if bodies else {}
        found: list[Hits] = []
        for part in _parts(bodies, limits):
            answers = (yield Call("/v1/batch", {"questions": part}))["answers"]
            if len(answers) != len(part):
                raise ValueError(f"{len(answers)} answers to {len(part)} questions")
            found += [hits_from_json(answer) for answer in answers]
        return found

    def similar(self, clip_id: str, options: Json) -> Steps[Hits]:
        said = {name: value for name, value in options.items() if value is not None}
        return hits_from_json((yield Call("/v1/similar", {"clip_id": clip_id, **said})))

    def count(self, query: Query | None, where: str | None) -> Steps[Count]:
        counted = yield Call("/v1/count", _which(query, where))
        return Count(counted["rows"], counted["exact"])

    def facets(self, query: Query | None, where: str | None, columns: Sequence[str] | None) -> Steps[list[Json]]:
        if query is not None and where is not None:
            raise QueryError("a question has its filter in itself: give one of query and where")
        named = {} if columns is None else {"columns": list(columns)}
        found: list[Json] = (yield Call("/v1/facets", _which(query, where) | named))["facets"]
        return found

    def clip(self, clip_id: str) -> Steps[Json]:
        columns: Json = (yield Call(clip_path(clip_id)))["columns"]
        return columns

    def info(self) -> Steps[Json]:
        described: Json = yield Call("/v1/info")
        return described

    def ready(self) -> Steps[Json]:
        state: Json = yield Call("/readyz")
        if not isinstance(state["clips"], int):
            raise TypeError("clips")
        return state

    def limits(self) -> Steps[Json]:
        if self._limits is None:
            limits: Json = yield Call("/v1/limits")
            self._limits = limits
        return self._limits


def clip_path(clip_id: str) -> str:
    """Return the path of a clip; its id may hold anything."""
    if not clip_id.strip("./"):
        raise QueryError(f"no clip {clip_id!r}")  # a path of dots and slashes means another one on its way
    return f"/v1/clips/{quote(clip_id, safe='', errors='replace')}"


def export_call(subset: Subset, form: str) -> Call:
    """Return the request for an export."""
    said = {name: value for name, value in subset.to_json().items() if name != "query"}
    if subset.query is not None:
        said["query"] = {name: value for name, value in _body(subset.query).items() if name != "k"}
    return Call("/v1/export", {**said, "format": form})


def _which(query: Query | None, where: str | None) -> Json:
    """Return which clips are meant: a question's, which has its own filter, or a filter's, or all."""
    if query is not None:
        return {"question": _body(query)}
    return {} if where is None else {"where": where}


def _body(query: Query) -> Json:
    """Return a question as the API takes it.

    Raises:
        QueryError: it names what only this machine has, or JSON lacks.
    """
    files = [str(item) for item in query.like if isinstance(item, Media)]
    if files:
        raise QueryError(f"{files[0]!r:.200} is a file of this machine, which a service cannot be asked with; give clip ids or a vector")
    if query.within is not None:
        raise QueryError("within names rows of one version of an index, which a service may have left; say which clips with a filter")
    if query.vector is not None and not np.isfinite(query.vector).all():
        raise QueryError("the query vector must be finite and not all zero")
    return query.to_json()


def _parts(bodies: Sequence[Json], limits: Json) -> Iterator[list[Json]]:
    """Yield questions together, as many at once as the service takes and fit into one request."""
    part: list[Json] = []
    size = ENVELOPE_BYTES
    for body in bodies:
        length = len(json.dumps(body)) + 2  # a comma and a space
        if part and (len(part) == limits["batch"] or size + length > limits["body_bytes"]):
            yield part
            part, size = [], ENVELOPE_BYTES
        part.append(body)
        size += length
    if part:
        yield part

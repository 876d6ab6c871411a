"""What an assistant can do with an index: four tools that only read, as tables and functions; how they are called is another's business."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from vidsearch.client.remote import RemoteIndex
from vidsearch.engine import Index
from vidsearch.errors import QueryError, UsageError
from vidsearch.query import Query
from vidsearch.results import Hits
from vidsearch.wire import hits_to_json, plain

Json = dict[str, Any]

MOST = 100  # clips of one answer: more fills what a model reads and helps nobody
HIDDEN = ("timings_ms", "certificate", "skipped", "rows")  # of an answer, which a model has no use for
SYNTAX = (
    "A condition as after WHERE in SQL: =, !=, <, <=, >, >=, between .. and .., in (..), not in (..), like and ilike (% any text, _ one "
    "character), is null, is not null, and, or, not, parentheses; texts in 'single quotes', dates as 'YYYY-MM-DD'. No functions, no "
    "arithmetic. A missing value passes no comparison."
)
K: Json = {"type": "integer", "minimum": 1, "maximum": MOST, "default": 10, "description": "Clips wanted."}
WHERE: Json = {
    "type": "string",
    "description": "Only clips that pass this filter, such as \"language = 'en' and duration_s > 5\"; filter_schema tells the columns.",
}
PER_VIDEO: Json = {"type": "integer", "minimum": 1, "description": "At most so many clips of one source video."}
DEDUPE: Json = {"type": "number", "exclusiveMinimum": 0, "maximum": 1, "description": "Fold clips as similar as that, such as 0.95."}
SENTENCES: Json = {"type": "array", "items": {"type": "string"}}
CLIP_ID: Json = {"type": "string", "description": "A clip's id, as an answer names it."}
HITS: Json = {
    "type": "object",
    "properties": {
        "hits": {"type": "array", "items": {"type": "object", "required": ["rank", "score", "clip_id", "video", "start_s", "end_s"]}},
        "matching": {"type": "integer", "description": "Clips that pass the filter."},
        "total": {"type": "object", "description": "Clips that can be paged through; at least so many where it is not exact."},
        "cursor": {"type": ["string", "null"], "description": "Gives the next page."},
    },
    "required": ["hits", "matching", "total", "cursor"],
}


@dataclass(frozen=True)
class Tool:
    """One tool.

    Attributes:
        name: what calls it.
        description: what a model is told of it.
        properties: its arguments, as JSON Schema.
        required: those it cannot do without.
        answers: its answer, as JSON Schema.
        call: gives the answer.
    """

    name: str
    description: str
    properties: Json
    required: tuple[str, ...]
    answers: Json
    call: Callable[[Tools, Json], Json]

    @property
    def schema(self) -> Json:
        return {"type": "object", "properties": self.properties, "required": list(self.required), "additionalProperties": False}

    def check(self, arguments: Json) -> None:
        """Refuse arguments that it does not have; what these hold is checked by what uses them."""
        unknown = [name for name in arguments if name not in self.properties]
        if unknown:
            raise UsageError(f"{self.name} has no argument {unknown[0]!r:.60}; choose from {', '.join(self.properties) or 'none'}")
        missing = [name for name in self.required if arguments.get(name) is None]
        if missing:
            raise UsageError(f"{self.name} needs the argument {missing[0]}")


class Tools:
    """The tools of one index, here or behind a service. For one thread.

    Args:
        current: gives the index to ask, which may be a newer version each time.
    """

    def __init__(self, current: Callable[[], Index | RemoteIndex]) -> None:
        self._current = current
        self._known: tuple[int, Json] | None = None  # a version and its columns, which take long to read

    def call(self, name: str, arguments: Json) -> Json:
        """Return a tool's answer, ready for JSON.

        Raises:
            VidsearchError: there is none, in a line that says why.
        """
        tool = next((tool for tool in TOOLS if tool.name == name), None)
        if tool is None:
            raise UsageError(f"unknown tool {name!r:.60}; choose from {', '.join(tool.name for tool in TOOLS)}")
        tool.check(arguments)
        return tool.call(self, arguments)

    def search(self, arguments: Json) -> Json:
        return self._answer(arguments)

    def similar(self, arguments: Json) -> Json:
        return self._answer({"like": [_name(arguments)], **{name: value for name, value in arguments.items() if name != "clip_id"}})

    def get_clip(self, arguments: Json) -> Json:
        name, index = _name(arguments), self._current()
        return {"clip": plain(index.clip(name) if isinstance(index, RemoteIndex) else _row(index, name))}

    def filter_schema(self, arguments: Json) -> Json:
        del arguments
        index = self._current()
        version = int(index.ready()["index_version"]) if isinstance(index, RemoteIndex) else index.manifest.version
        if self._known is None or self._known[0] != version:
            described = _described(index)
            self._known = version, {"syntax": SYNTAX, "clips": described["rows"], "columns": plain(described["columns"])}
        return self._known[1]

    def _answer(self, values: Json) -> Json:
        query = Query.from_json(values)
        if query.k > MOST:
            raise QueryError(f"k is {query.k}; it must be 1 to {MOST} here; the answer's cursor gives the next page")
        (hits,) = self._current().ask([query])
        return _told(hits)


def _row(index: Index, name: str) -> Json:
    rows: list[Json] = index.answered(lambda: index.take(index.rows_of([name])))
    if not rows:
        raise QueryError(f"no clip {name!r:.60}; take an id that an answer names")
    return rows[0]


def _described(index: Index | RemoteIndex) -> Json:
    if isinstance(index, RemoteIndex):
        return index.info()
    from vidsearch.describe import describe

    return describe(index)


def _told(hits: Hits) -> Json:
    """Return an answer without what is empty, nor what only people want to know."""
    values = {name: value for name, value in hits_to_json(hits, index_version=0).items() if name not in (*HIDDEN, "index_version")}
    if hits.skipped:
        values["note"] = f"{len(hits.skipped)} damaged part(s) of the index were left out"
    if hits.confidence is not None:
        values["confidence"] = hits.confidence.words
    return {**{name: value for name, value in values.items() if value or name in HITS["required"]}, "hits": _filled(values["hits"])}


def _filled(hits: Sequence[Json]) -> list[Json]:
    """Return hits with their score, and whatever else is not empty."""
    return [{name: value for name, value in hit.items() if value is not None or name in ("score", "end_s")} for hit in hits]


def _name(arguments: Json) -> str:
    name = arguments["clip_id"]
    if not isinstance(name, str):
        raise QueryError(f"clip_id is {name!r:.60}; it must be text")
    return name


TOOLS = (
    Tool(
        "search",
        "Find the video clips that a sentence describes, best first. Each hit names its video, its seconds in it, its caption and all "
        "columns of its row. The score is a cosine: compare hits by it, it is no probability.",
        {
            "text": {"type": "string", "description": "What the clip shows, in a sentence."},
            "k": K,
            "where": WHERE,
            "exclude": {**SENTENCES, "description": "Sentences to move away from."},
            "then": {**SENTENCES, "description": "What happens later in the same video, in order; the answer is chains of clips."},
            "mode": {
                "enum": ["vectors", "hybrid", "keywords"],
                "default": "vectors",
                "description": 'Rank by what is seen, by the words of captions, or by both; then words in "double quotes" must occur.',
            },
            "min_score": {"type": "number", "description": "Least score."},
            "per_video": PER_VIDEO,
            "dedupe": DEDUPE,
            "sort": {"type": "string", "description": 'Show the k best in the order of a column: "aesthetic desc".'},
            "cursor": {"type": "string", "description": "The next page; everything else as it was asked before."},
        },
        ("text",),
        HITS,
        Tools.search,
    ),
    Tool(
        "similar",
        "Find the clips that look like a clip; that clip itself is the first.",
        {"clip_id": CLIP_ID, "k": K, "where": WHERE, "per_video": PER_VIDEO, "dedupe": DEDUPE},
        ("clip_id",),
        HITS,
        Tools.similar,
    ),
    Tool(
        "get_clip",
        "Return everything that is written of a clip: its video, its seconds, its caption and all further columns.",
        {"clip_id": CLIP_ID},
        ("clip_id",),
        {"type": "object", "properties": {"clip": {"type": "object"}}, "required": ["clip"]},
        Tools.get_clip,
    ),
    Tool(
        "filter_schema",
        "Say what a filter (where) may hold: its syntax, and each column with its type, range or common values. Ask it before filtering.",
        {},
        (),
        {"type": "object", "properties": {"syntax": {"type": "string"}, "columns": {"type": "array"}}, "required": ["syntax", "columns"]},
        Tools.filter_schema,
    ),
)

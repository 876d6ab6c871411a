"""A question as JSON has it → the arguments of `Query`, each of its type: a file of queries is input like any other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from vidsearch._query_parts import Media, Rocchio, Weighted
from vidsearch.errors import QueryError

MAX_WHOLE = 2**63 - 1
TEXTS = ("exclude", "up", "down", "then")


def read(values: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """Return checked arguments of `Query`.

    Args:
        values: a JSON object; "text" may stand for one sentence.
        defaults: of each field; its type is what a plain value must have.
    """
    unknown = [name for name in values if name not in defaults and name != "text"]
    if unknown:
        raise QueryError(f"a query has no {unknown[0]!r}; choose from text, {', '.join(defaults)}")
    arguments = {name: _value(name, value, defaults[name]) for name, value in values.items() if name != "text" and value is not None}
    if values.get("text") is not None:
        arguments["texts"] = (Weighted(_text("text", values["text"])), *arguments.get("texts", ()))
    return arguments


def _value(name: str, value: Any, default: Any) -> Any:
    if name == "texts":
        return tuple(_weighted(item) for item in _list(value))
    if name in TEXTS:
        return tuple(_text(name, item) for item in _list(value))
    if name == "like":
        return tuple(_example(item) for item in _list(value))
    if name == "vector":
        plain = isinstance(value, list) and set(map(type, value)) == {float}  # as most are: 20 times as fast
        with np.errstate(over="ignore"):  # a number beyond singles is infinite, which no vector may hold
            return np.array(value if plain else [_number(name, item) for item in _list(value)], dtype=np.float32)
    if name == "within":
        return np.array([_whole(name, item) for item in _list(value)], dtype=np.int64)
    if name == "rocchio":
        weights = [_number(name, item) for item in _list(value)]
        if len(weights) != 3:
            raise QueryError(f"rocchio has {len(weights)} weights; it takes three: alpha, beta, gamma")
        return Rocchio(*weights)
    return _scalar(name, value, default)


def _scalar(name: str, value: Any, default: Any) -> Any:
    if name in ("k", "per_video"):
        return _whole(name, value)
    if isinstance(default, bool):
        if not isinstance(value, bool):
            raise QueryError(f"{name} is {value!r:.60}; it must be true or false")
        return value
    if name in ("hybrid_weight", "min_score", "dedupe", "diverse", "recall"):
        return _number(name, value)
    return _text(name, value)


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _weighted(value: Any) -> Weighted:
    if isinstance(value, list) and len(value) == 2:
        return Weighted(_text("texts", value[0]), _number("texts", value[1]))
    return Weighted(_text("texts", value))


def _example(value: Any) -> str | Media:
    if isinstance(value, dict) and set(value) == {"file"}:
        return Media.parse(_text("like", value["file"]))
    return _text("like", value)


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise QueryError(f"{name} is {value!r:.60}; it must be text")
    return value


def _whole(name: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or abs(value) > MAX_WHOLE:
        raise QueryError(f"{name} is {value!r:.60}; it must be a whole number")
    return value


def _number(name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise QueryError(f"{name} is {value!r:.60}; it must be a number")
    try:
        return float(value)
    except OverflowError:
        raise QueryError(f"{name} is too large a number") from None

"""Search terms from a file, and texts that have their words but mean nothing."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from vidsearch.errors import InputNotFoundError, UsageError

FIELDS = ("term", "query", "text", "search_word_id", "search_word")  # InternVid's queries.jsonl has the last two: English, Chinese
JUMBLE_WORDS = 4
JUMBLES = 256
# So that the jumbles of a few terms are not those terms again.
PLAIN_WORDS = (
    *("table", "river", "music", "engine", "paper", "mountain", "coffee", "window", "guitar", "market", "snow", "bicycle", "kitchen"),
    *("horse", "camera", "garden", "train", "ocean", "doctor", "bread", "football", "letter", "bridge", "candle", "forest", "phone"),
)


def read_terms(path: Path, field: str | None = None) -> list[str]:
    """Return the terms of a file, each once, in order: one a line, or of a field of JSON lines.

    Args:
        path: a text file, or .jsonl.
        field: of the JSON objects; None takes the first of FIELDS that is there.
    """
    if not path.is_file():
        raise InputNotFoundError(f"no file of terms {path}")
    lines = [line.strip() for line in path.read_text(encoding="utf-8-sig", errors="replace").splitlines()]
    lines = [line for line in lines if line]
    if path.suffix == ".jsonl":
        lines = [_term(line, number, path, field) for number, line in enumerate(lines, 1)]
    elif field is not None:
        raise UsageError(f"{path.name} has no fields; leave --field {field!r} out, or give a .jsonl file")
    terms = list(dict.fromkeys(lines))
    if not terms:
        raise UsageError(f"{path} holds no term")
    return terms


def _term(line: str, number: int, path: Path, field: str | None) -> str:
    try:
        values = json.loads(line)
    except (ValueError, RecursionError):
        values = None
    if isinstance(values, str) and field is None:
        return values
    if not isinstance(values, dict):
        raise UsageError(f"{path.name}:{number} is not a JSON object")
    names = FIELDS if field is None else (field,)
    for name in names:
        if isinstance(values.get(name), str) and values[name].strip():
            return str(values[name]).strip()
    raise UsageError(f"{path.name}:{number} has no text under {' or '.join(names)}; name the field with --field")


def jumbles(terms: Sequence[str], *, seed: int = 0, count: int = JUMBLES) -> list[str]:
    """Return texts of words drawn at random from the terms: what they are made of, without what they mean."""
    rng = np.random.default_rng(seed)
    words = [*{word: None for term in terms for word in term.split()}, *PLAIN_WORDS]
    return [" ".join(words[place] for place in rng.choice(len(words), size=JUMBLE_WORDS, replace=False)) for _ in range(count)]

"""What is asked, written down for whoever runs the service and wants that: nothing else keeps a word of it."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any, TextIO


class QueryLog:
    """Questions as lines of JSON.

    {"time": "2026-01-31T12:00:00.123+00:00", "ms": 4.2, "outcome": "answered", "question": {"texts": [["a dog", 1.0]]}}
    """

    def __init__(self, file: TextIO) -> None:
        self._file = file

    def write(self, question: dict[str, Any], outcome: str, ms: float) -> None:
        """Write down one question; a vector by its length alone."""
        vector = {"vector": f"{len(question['vector'])} numbers"} if question.get("vector") is not None else {}
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        line = json.dumps({"time": now, "ms": round(ms, 1), "outcome": outcome, "question": question | vector})
        self._file.write(line + "\n")
        self._file.flush()

"""What one build did, counted while it runs."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field


@dataclass
class Summary:
    """What a run did; the command prints it, and progress is shown from it while it grows.

    Attributes:
        planned, indexed, failed: clips of this run; the first is the sum of the others when it ends.
        already: clips that an earlier run indexed.
        duplicates: rows that name a clip a second time.
        left_out: video files that no row names.
        skipped, examples: clips and rows not indexed, by reason, and the stories of the first three; the quarantine has all.
        decode_s, embed_s, write_s: seconds spent in each stage; decoding in all workers together.
        wall_s: seconds from start to end.
        rows, size_bytes, index_kind: of the whole index afterwards.
        interrupted: ended by Ctrl-C; what is counted was committed.
    """

    planned: int = 0
    indexed: int = 0
    failed: int = 0
    already: int = 0
    duplicates: int = 0
    left_out: int = 0
    skipped: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[str]] = field(default_factory=dict)
    decode_s: float = 0.0
    embed_s: float = 0.0
    write_s: float = 0.0
    wall_s: float = 0.0
    rows: int = 0
    size_bytes: int = 0
    index_kind: str = ""
    interrupted: bool = False

"""What one build did, counted while it runs."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from typing import Any, Literal

FOLDING = "folding segments together"  # the last stage
EXAMPLES = 3  # told of each reason for which clips are skipped
ADDED = ("indexed", "failed", "by_caption", "decode_s", "embed_s", "write_s")
Stage = Literal["reading rows", "decoding", "embedding", "writing"]


@dataclass
class Summary:
    """What a run did; the command prints it, and progress is shown from it while it grows.

    Attributes:
        read: rows read so far, before anything else is known.
        planned, indexed, failed: clips of this run; the first is the sum of the others when it ends.
        by_caption: clips among those indexed whose video is not there.
        uncut: videos still to be cut, whose clips are not counted yet.
        already: rows whose clip an earlier run indexed.
        duplicates: rows that name a clip a second time.
        left_out: video files that no row names.
        skipped, examples: clips and rows not indexed, by reason, and the stories of the first three; the quarantine has all.
        decode_s, embed_s, write_s: seconds spent in each stage; decoding in all workers together.
        wall_s: seconds from start to end.
        stage, queued: what the run is busy with; clips decoded and not yet taken.
        waits: seconds that the run waited for each stage: the one it waits for most holds it up.
        rows, size_bytes, index_kind: of the whole index afterwards.
        interrupted: ended by Ctrl-C; what is counted was committed.
    """

    read: int = 0
    planned: int = 0
    indexed: int = 0
    failed: int = 0
    by_caption: int = 0
    uncut: int = 0
    already: int = 0
    duplicates: int = 0
    left_out: int = 0
    skipped: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[str]] = field(default_factory=dict)
    decode_s: float = 0.0
    embed_s: float = 0.0
    write_s: float = 0.0
    wall_s: float = 0.0
    stage: str = ""
    queued: int = 0
    waits: dict[Stage, float] = field(default_factory=lambda: {"reading rows": 0.0, "decoding": 0.0, "embedding": 0.0, "writing": 0.0})
    rows: int = 0
    size_bytes: int = 0
    index_kind: str = ""
    interrupted: bool = False

    def to_json(self) -> dict[str, Any]:
        return {**vars(self), "skipped": dict(self.skipped)}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Summary:
        return cls(**{**values, "skipped": Counter(values["skipped"])})

    def plus(self, done: Summary) -> Summary:
        """Return this with what another process or a job has done: clips, reasons and times; `planned` and `uncut` stay."""
        skipped, examples = self.skipped + done.skipped, dict(self.examples)
        for reason, told in done.examples.items():
            examples[reason] = [*examples.get(reason, []), *told][:EXAMPLES]
        waits = {stage: self.waits[stage] + done.waits[stage] for stage in self.waits}
        added = {name: getattr(self, name) + getattr(done, name) for name in ADDED}
        return replace(self, skipped=skipped, examples=examples, waits=waits, stage=done.stage, queued=done.queued, **added)

"""What an index goes through in the campaigns: each a command that is run again, as a person would, after it was cut short.

A scenario's `run` yields the number of a stage as soon as what that stage holds is acknowledged; running it again goes on from there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
from reliability.tiny import SPACE, Clips, add_clips, name_of, write_clips

from indexer import fold
from indexer.probes import Probes
from vidsearch.corpus import Corpus
from vidsearch.storage import garbage, rewrite
from vidsearch.storage import manifest as manifests
from vidsearch.storage.template import read_template, write_template
from vidsearch.storage.tombstones import bury
from vidsearch.upkeep.delete import delete
from vidsearch.upkeep.repair import repair

Run = Callable[[Path], Iterator[int]]


@dataclass(frozen=True)
class Scenario:
    """A command and what the index holds while it goes on.

    Attributes:
        run: the command; yields stages.
        stages: the clips of each; the first is what `before` leaves.
        before: makes what is there already.
        hard_links: whether the disk has them.
        keeps: whether what was there before stays readable to those who have opened it.
        damages: what is broken before the run, a part of a path; a byte of the first such file is flipped.
    """

    run: Run
    stages: tuple[Clips, ...]
    before: tuple[Run, ...] = ()
    hard_links: bool = True
    keeps: bool = True
    damages: str | None = None


BATCHES = ([0, 1], [2, 3, 4], [5, 6])
NONE, FIRST, SECOND, ALL = (frozenset(clip for batch in BATCHES[:n] for clip in batch) for n in range(4))
DELETED = frozenset({1, 5, 6})  # one of a segment, and all of another
REST = ALL - DELETED
MOVED = frozenset({2, 3})
TEMPLATE = bytes(range(256)) * 3


def build(root: Path) -> Iterator[int]:
    """Index three batches, a commit each, as `vidsearch index` does; what is indexed is not indexed again."""
    manifests.create(root, SPACE)
    yield 0
    indexed = ids_in(root)
    for number, batch in enumerate(BATCHES, start=1):
        if not indexed.issuperset(name_of(clip) for clip in batch):
            add_clips(root, batch, bad=(100 + number,))
        yield number


def add(root: Path) -> Iterator[int]:
    """Add two clips to an index."""
    manifests.create(root, SPACE)
    if name_of(7) not in ids_in(root):
        add_clips(root, [7, 8])
    yield 1


def replace(root: Path) -> Iterator[int]:
    """Index clips again: their new rows and the end of the old ones come in one commit."""
    manifests.create(root, SPACE)
    corpus = Corpus(root)
    segment = next(segment for segment in corpus.segments if segment.rows == len(BATCHES[1]))
    if segment.uuid == corpus.segments[1].uuid and corpus.alive[1].everything:
        written = write_clips(root, sorted(MOVED))
        rows = {segment.uuid: [BATCHES[1].index(clip) for clip in MOVED]}
        manifests.commit(root, lambda manifest: bury(root, manifest.with_segments([*manifest.segments, written]), rows))
    yield 1


def delete_some(root: Path) -> Iterator[int]:
    delete(root, clip_ids=[name_of(clip) for clip in sorted(DELETED)])
    yield 1


def compact(root: Path) -> Iterator[int]:
    """Write the small segments as one, without the rows that are deleted."""
    fold._fold_segments(root, None, 0, no_probes, compact=True, retrain=False)
    yield 1


def collect(root: Path) -> Iterator[int]:
    """Remove all that the newest version does not need."""
    garbage.collect(root, grace_s=0, versions=1)
    yield 1


def compact_and_collect(root: Path) -> Iterator[int]:
    yield from compact(root)
    yield from (2 for _ in collect(root))


def train(root: Path) -> Iterator[int]:
    """Write a template and name it."""
    name = write_template(root, TEMPLATE, {"rows": 7})
    manifests.commit(root, lambda manifest: manifest if manifest.template == name else manifest.with_template(name))
    yield 1
    named = manifests.read(root).template
    assert named is not None
    assert read_template(root, named) == TEMPLATE


def add_column(root: Path) -> Iterator[int]:
    rewrite.with_column(root, "long", lambda segment: pa.array([True] * segment.rows))
    yield 1


def mend(root: Path) -> Iterator[int]:
    repair(root)
    yield 1


def life(root: Path) -> Iterator[int]:
    """Build, delete, compact and clean, one after another; begun again, each finds its work done."""
    yield from build(root) if not has_deleted(root) else ()
    yield from (4 for _ in delete_some(root))
    yield from (5 for _ in compact(root))
    yield from (6 for _ in collect(root))


def ids_in(root: Path) -> set[str]:
    return {name for segment in Corpus(root).segments for name in segment.read_columns(["clip_id"])["clip_id"].to_pylist()}


def has_deleted(root: Path) -> bool:
    """Whether the clips were deleted, which a build does not bring back."""
    return manifests.exists(root) and len(Corpus(root)) == len(REST)


def no_probes(index: Corpus) -> Probes:
    raise AssertionError("so few clips need no template")


SCENARIOS = {
    "build": Scenario(build, (NONE, FIRST, SECOND, ALL)),
    "build without hard links": Scenario(build, (NONE, FIRST, SECOND, ALL), hard_links=False),
    "add": Scenario(add, (ALL, ALL | {7, 8}), (build,)),
    "replace": Scenario(replace, (ALL, ALL), (build,)),
    "delete": Scenario(delete_some, (ALL, REST), (build,)),
    "delete without hard links": Scenario(delete_some, (ALL, REST), (build,), hard_links=False),
    "compact": Scenario(compact, (REST, REST), (build, delete_some)),
    "collect": Scenario(collect, (REST, REST), (build, train, delete_some, compact), keeps=False),
    "compact and collect": Scenario(compact_and_collect, (REST, REST, REST), (build, delete_some), keeps=False),
    "train": Scenario(train, (ALL, ALL), (build,)),
    "train without hard links": Scenario(train, (ALL, ALL), (build,), hard_links=False),
    "add a column": Scenario(add_column, (REST, REST), (build, delete_some)),
    "repair": Scenario(mend, (NONE, ALL), (build,), keeps=False, damages="rows.parquet"),
    "life": Scenario(life, (NONE, FIRST, SECOND, ALL, REST, REST, REST), keeps=False),
}

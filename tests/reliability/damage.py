"""The campaign of damage: a bit of a file flips, or the file is cut, grows, vanishes or is another's, and reading all of it must notice.

Verification reads every byte; a question need not, but what it answers in spite of damage must be right.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cache

import numpy as np
import pyarrow as pa
from reliability.crashes import quiet
from reliability.tiny import DIM, ROOT, SPACE, name_of, vector_of
from support.simulated_disk import File, SimulatedDisk

from vidsearch.corpus import Corpus
from vidsearch.errors import VidsearchError
from vidsearch.storage import manifest as manifests
from vidsearch.storage import segment as segments
from vidsearch.storage.quarantine import quarantine_table
from vidsearch.storage.template import write_template
from vidsearch.upkeep.delete import delete
from vidsearch.upkeep.verify import verify

PARTS, ROWS = 2, 12
KINDS = {
    "FORMAT": "/FORMAT",
    "manifest": "/manifests/",
    "SEGMENT.json": "/SEGMENT.json",
    "vectors.f16": "/vectors.f16",
    "vectors.crc32": "/vectors.crc32",
    "rows.parquet": "/rows.parquet",
    "columns.bin": "/columns.bin",
    "quarantine.parquet": "/quarantine.parquet",
    "codes.pq4": "/codes.pq4",
    "lists.i64": "/lists.i64",
    "index.faiss": "/index.faiss",
    "template": ".template",
    "template's description": "/template/",
    "tombstones": ".bits",
}
ANSWERS = "answers"  # not a kind of file: damage to any that a question reads
ASKED = ("SEGMENT.json", "vectors.f16", "vectors.crc32", "columns.bin", "tombstones")


@dataclass
class Damages:
    """What a campaign did.

    Attributes:
        cases: by kind of file.
        found: of those, how many were noticed; of answers, how many were left out or right all the same.
        violations: a line each.
    """

    cases: Counter[str] = field(default_factory=Counter)
    found: int = 0
    violations: list[str] = field(default_factory=list)


def campaign(kinds: Iterable[str], *, flips: int, seed: int) -> Damages:
    """Flip so many bits of files of each kind, one at a time, and look for it."""
    tally = Damages()
    with quiet():
        for kind in kinds:
            rng = random.Random(f"{seed}/{kind}")
            for _ in range(flips):
                chosen = rng.choice(ASKED) if kind == ANSWERS else kind
                tally.cases[kind] += 1
                _one(chosen, _flip, _answers_are_right if kind == ANSWERS else _is_noticed, rng, tally)
    return tally


def other_damage(kinds: Iterable[str], *, seed: int) -> Damages:
    """Cut a file of each kind, at each end and between; let it grow; remove it; put another's in its place; make it a folder."""
    tally = Damages()
    with quiet():
        for kind in kinds:
            rng = random.Random(f"{seed}/{kind}")
            for name, change in CHANGES.items():
                if (kind, name) in HARMLESS:
                    continue
                tally.cases[f"{kind}, {name}"] += 1
                _one(kind, change, _is_noticed, rng, tally)
    return tally


def _one(
    kind: str,
    change: Callable[[SimulatedDisk, str, random.Random], str],
    notices: Callable[[SimulatedDisk], bool],
    rng: random.Random,
    tally: Damages,
) -> None:
    disk = _disk().copy()
    paths = paths_of(disk, kind)
    path = paths[-1] if change is _exchange else rng.choice(paths)  # the newest version: nobody remembers what an old one said
    what = change(disk, path, rng)
    try:
        with disk.mounted():
            noticed = notices(disk)
    except VidsearchError:
        noticed = True
    except Exception as error:  # damage ends in one line, whatever it is
        noticed, what = False, f"{what}: {type(error).__name__}: {error}"
    tally.found += noticed
    if not noticed:
        tally.violations.append(f"{path}: {what}")


def paths_of(disk: SimulatedDisk, kind: str) -> list[str]:
    """Return the files of a kind that hold anything but zeros; those of no rows do not."""
    found = [path for path, file in disk.walk(ROOT) if KINDS[kind] in path and any(file.data)]
    return [path for path in found if path.endswith(".json")] if kind == "template's description" else found


def _flip(disk: SimulatedDisk, path: str, rng: random.Random) -> str:
    file = _file(disk, path)
    place, bit = rng.randrange(len(file.data)), rng.randrange(8)
    file.data = file.data[:place] + bytes([file.data[place] ^ 1 << bit]) + file.data[place + 1 :]
    return f"bit {bit} of byte {place} flipped"


def _cut(disk: SimulatedDisk, path: str, rng: random.Random) -> str:
    file = _file(disk, path)
    length = rng.randrange(len(file.data))
    file.data = file.data[:length]
    return f"cut to {length} bytes"


def _move(disk: SimulatedDisk, path: str, rng: random.Random) -> str:
    """Flip a bit that is set and one that is not: as many are set as before."""
    file = _file(disk, path)
    bits = np.unpackbits(np.frombuffer(file.data, np.uint8))
    places = [rng.choice(np.flatnonzero(bits == value).tolist()) for value in (0, 1)]
    bits[places] ^= 1
    file.data = np.packbits(bits).tobytes()
    return "two bits flipped"


def _empty(disk: SimulatedDisk, path: str, rng: random.Random) -> str:
    _file(disk, path).data = b""
    return "emptied"


def _grow(disk: SimulatedDisk, path: str, rng: random.Random) -> str:
    _file(disk, path).data += rng.randbytes(rng.randint(1, 600))
    return "bytes appended"


def _zero(disk: SimulatedDisk, path: str, rng: random.Random) -> str:
    file = _file(disk, path)
    file.data = bytes(len(file.data))
    return "zeros throughout"


def _remove(disk: SimulatedDisk, path: str, rng: random.Random) -> str:
    disk.unlink(path)
    return "removed"


def _exchange(disk: SimulatedDisk, path: str, rng: random.Random) -> str:
    """Put a file of the same kind of another index in its place; none of ours has its bytes."""
    ours = _file(disk, path)
    kind = next(kind for kind in KINDS if path in paths_of(disk, kind))
    theirs = [_file(_disk(1), other) for other in paths_of(_disk(1), kind)]
    ours.data = rng.choice([file.data for file in theirs if file.data != ours.data])
    return "another index's in its place"


def _folder(disk: SimulatedDisk, path: str, rng: random.Random) -> str:
    disk.unlink(path)
    disk.mkdir(path)
    return "a folder in its place"


CHANGES = {
    "two bits": _move,
    "cut": _cut,
    "emptied": _empty,
    "longer": _grow,
    "zeros": _zero,
    "gone": _remove,
    "another's": _exchange,
    "a folder": _folder,
}


HARMLESS = {
    ("manifest", "gone"),  # an old one goes with time; without the newest, the index is what it was before that commit
    ("FORMAT", "another's"),  # says the same of every index
}


def _is_noticed(disk: SimulatedDisk) -> bool:
    """Whether reading every byte of an index says that something is wrong."""
    return not verify(ROOT).whole


def _answers_are_right(disk: SimulatedDisk) -> bool:
    """Whether what is answered all the same is what a whole index answers, and what is missing is said to be."""
    corpus = Corpus(ROOT)
    found = corpus.answered(lambda: _ask(corpus))
    whole = _whole_answers()
    return set(found.items()) <= set(whole.items()) if corpus.skipped else found == whole


def _ask(corpus: Corpus) -> dict[str, float]:
    """Return the score of each clip for a vector that each has a part of; every row is answered."""
    query = np.full((1, DIM), 0.5, dtype=np.float32)
    ranked = corpus.nearest(query, PARTS * ROWS, selections=corpus.select(None))[0]
    ids = [row["clip_id"] for row in corpus.take(ranked.rows, ["clip_id"])]
    return dict(zip(ids, ranked.scores.tolist(), strict=True))


@cache
def _whole_answers() -> dict[str, float]:
    with _disk().copy().mounted():
        return _ask(Corpus(ROOT))


def _file(disk: SimulatedDisk, path: str) -> File:
    found = disk.find(path)
    assert isinstance(found, File)
    return found


@cache
def _disk(number: int = 0) -> SimulatedDisk:
    """Return a disk with an index that has a file of each kind."""
    disk, first = SimulatedDisk(), 100 * number
    with disk.mounted():
        manifests.create(ROOT, SPACE)
        trained = write_template(ROOT, bytes([1 + number]) * 300, {"rows": 7 + number})
        manifests.commit(ROOT, lambda manifest: manifest.with_template(trained))
        for part in range(PARTS):
            clips = range(first + part * ROWS, first + (part + 1) * ROWS)
            reference = segments.write(
                ROOT,
                vectors=np.array([vector_of(clip) for clip in clips], dtype=np.float16),
                rows=pa.table({"clip_id": [name_of(clip) for clip in clips], "length_s": pa.array([clip / 7 for clip in clips])}),
                index_files={name: f"{name} {number} {part} ".encode() * 20 for name in ("codes.pq4", "lists.i64", "index.faiss")},
                quarantine=quarantine_table([{"clip_id": f"q{first + part}", "video": "bad.mp4", "reason": "OPEN_FAILED"}]),
                info={"index": "flat"},
            )
            manifests.commit(ROOT, lambda manifest, new=reference: manifest.with_segments([*manifest.segments, new]))
        delete(ROOT, clip_ids=[name_of(first + 3), name_of(first + ROWS + 1 + number)])
    return disk

"""The classes of a data set: shipped lists of names (see README.md), or a list of the user's own."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

import numpy as np
import numpy.typing as npt

from vidsearch.errors import UsageError
from vidsearch.evaluation.annotations._rows import read_json, read_rows, read_text

NAME_COLUMNS = ("name", "label", "class", "template")
UNKNOWN_SHOWN = 3
WORD_STARTS = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


@dataclass(frozen=True, repr=False)
class ClassList:
    """Classes in the order of their index.

    Attributes:
        source: where the names come from, for messages.
        names: as the data set spells them.
    """

    source: str
    names: tuple[str, ...]

    def __post_init__(self) -> None:
        seen: dict[str, str] = {}
        for name in self.names:
            key = _key(name)
            if not key or key in seen:
                raise UsageError(f"{self.source}: class {name!r} {'is the same as ' + repr(seen[key]) if key else 'has no name'}")
            seen[key] = name
        if len(self.names) < 2:
            raise UsageError(f"{self.source} holds {len(self.names)} classes; at least two are needed to choose between")

    def __repr__(self) -> str:
        return f"ClassList({self.source}, {len(self.names):,} classes)"

    def __len__(self) -> int:
        return len(self.names)

    def spoken(self) -> tuple[str, ...]:
        """Return the names as words of a sentence."""
        return tuple(map(spoken, self.names))

    def find(self, labels: Sequence[str | int]) -> npt.NDArray[np.int64]:
        """Return the place of each label, a name or an index from 0; spelling matters no further than letters and digits."""
        places = {_key(name): place for place, name in enumerate(self.names)}
        found = [places.get(_key(label)) if isinstance(label, str) else _within(label, len(self)) for label in labels]
        unknown = dict.fromkeys(str(label) for label, place in zip(labels, found, strict=True) if place is None)
        if unknown:
            raise UsageError(f"{self.source} does not know {self._told(list(unknown))}; name the right list with --classes FILE")
        return np.array(found, dtype=np.int64)

    def _told(self, unknown: list[str]) -> str:
        """Return labels with the classes they are most like."""
        spellings = {_key(name): name for name in self.names}
        told = []
        for label in unknown[:UNKNOWN_SHOWN]:
            near = get_close_matches(_key(label), spellings, n=1)
            told.append(repr(label) + (f" (nearest: {spellings[near[0]]!r})" if near else ""))
        more = len(unknown) - UNKNOWN_SHOWN
        return ", ".join(told) + (f" and {more:,} more labels" if more > 0 else "") + f" among its {len(self):,} classes"


def shipped() -> tuple[str, ...]:
    """Return the data sets whose classes come with vidsearch."""
    return tuple(sorted(path.stem for path in Path(__file__).parent.glob("*.txt")))


def read_classes(source: str | Path) -> ClassList:
    """Read a shipped list by its name, or a file: a name a line (an index before it or not), JSON names or {name: index}, or CSV."""
    if str(source) in shipped():
        return ClassList(str(source), tuple(read_text(Path(__file__).parent / f"{source}.txt").splitlines()))
    path = Path(source)
    suffix = path.suffix.lower()
    names = _names_of_json(path) if suffix == ".json" else _names_of_table(path) if suffix in (".csv", ".tsv", ".jsonl") else _lines(path)
    return ClassList(path.name, tuple(names))


def classes_of(labels: Iterable[str | int], source: str) -> ClassList:
    """Return the classes that occur in an annotation, in the order of their names."""
    names = list(labels)
    if any(isinstance(name, int) for name in names):
        raise UsageError(f"{source} labels clips by number; name the list of their classes with --classes FILE")
    spellings: dict[str, str] = {}
    for name in map(str, names):
        spellings.setdefault(_key(name), name)
    return ClassList(source, tuple(sorted(spellings.values())))


def spoken(name: str) -> str:
    """Return a class's name as words: "ApplyEyeMakeup" and "apply_eye_makeup" become "apply eye makeup", names with spaces stay.

    The brackets of Something-Something's templates go: "Opening [something]" becomes "Opening something".
    """
    name = name.replace("[", "").replace("]", "").strip()
    if " " in name:
        return name
    return " ".join(WORD_STARTS.sub(" ", name.replace("_", " ")).lower().split())


def _key(name: str) -> str:
    return re.sub(r"[\W_]", "", name).casefold()


def _within(index: int, count: int) -> int | None:
    return index if 0 <= index < count else None


def _lines(path: Path) -> list[str]:
    lines = [line.strip() for line in read_text(path).splitlines() if line.strip()]
    if lines and all(re.match(r"\d+\s+\D", line) for line in lines):  # UCF101's classInd.txt
        return [line.split(maxsplit=1)[1] for line in lines]
    return lines


def _names_of_json(path: Path) -> list[str]:
    value = read_json(path)
    if isinstance(value, dict) and all(str(index).isdecimal() for index in value.values()):  # Something-Something's labels.json
        return sorted(map(str, value), key=lambda name: int(value[name]))
    if isinstance(value, list) and all(isinstance(name, str) for name in value):
        return value
    raise UsageError(f"{path}: an array of names, or an object of names and their indices, was expected")


def _names_of_table(path: Path) -> list[str]:
    rows = read_rows(path)
    column = next((name for name in NAME_COLUMNS if rows and name in rows[0]), None)
    if column is None:
        raise UsageError(f"{path} has no column of class names; it must be {', '.join(NAME_COLUMNS)}")
    return [str(row.get(column) or "") for row in rows]

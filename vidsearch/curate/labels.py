"""A sample of clips to look at, as a CSV file or asked one by one, and the estimate that the labels give."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

import numpy as np

from vidsearch.corpus import Corpus, Rows
from vidsearch.curate.prevalence import Estimate, Labelled, Places, estimate
from vidsearch.errors import UsageError

ANSWERS = {"y": "y", "yes": "y", "1": "y", "n": "n", "no": "n", "0": "n", "?": "?", "": ""}
MAX_FILE_BYTES = 64 << 20


@dataclass(frozen=True)
class Item:
    """One clip of a sample.

    Attributes:
        clip_id, video, start_s, end_s, caption: of the clip.
        label: "y", "n", "?" (cannot be told; left out), or "" as long as nobody has looked.
        score: its cosine.
        stratum, stratum_rows: number of its stratum, from 1 for the nearest clips, and how many clips that holds.
        text, where: what was asked.
    """

    clip_id: str
    label: str
    video: str
    start_s: float
    end_s: float
    caption: str
    score: float
    stratum: int
    stratum_rows: int
    text: str
    where: str


NAMES = tuple(field.name for field in fields(Item))


def sample_of(
    corpus: Corpus, rows: Rows, scores: Sequence[float], drawn: tuple[Places, list[Places]], *, text: str, where: str | None, seed: int
) -> list[Item]:
    """Return the drawn clips, unlabelled, in random order: so that whoever stops early has looked at some of every stratum.

    Args:
        rows: of all clips, by falling score.
        scores: theirs.
        drawn: what `draw_sample` returned.
    """
    edges, ranks = drawn
    places = [(number, rank) for number, chosen in enumerate(ranks, 1) for rank in chosen.tolist()]
    order = np.random.default_rng(seed).permutation(len(places)).tolist()
    chosen_rows = rows[[places[place][1] for place in order]] if order else rows[:0]
    taken = corpus.take(chosen_rows, ["clip_id", "video", "start_s", "end_s", "caption"])
    return [
        Item(
            **{**values, "caption": values["caption"] or ""},
            label="",
            score=round(float(scores[places[place][1]]), 4),
            stratum=places[place][0],
            stratum_rows=int(edges[places[place][0]] - edges[places[place][0] - 1]),
            text=text,
            where=where or "",
        )
        for place, values in zip(order, taken, strict=True)
    ]


def ask(items: Sequence[Item], question: Callable[[int, Item], str]) -> list[Item]:
    """Return the items with labels asked one by one, until the answer is "q"."""
    labelled: list[Item] = []
    for number, item in enumerate(items, 1):
        answer = question(number, item)
        if answer == "q":
            break
        labelled.append(replace(item, label=answer))
    return labelled


def estimate_from(items: Sequence[Item], strata: dict[int, int]) -> Estimate:
    """Return how many clips are right; those labelled "?" count as not looked at.

    Args:
        items: labelled.
        strata: clips of each stratum by its number.
    """
    looked, right = (Counter(item.stratum for item in items if item.label in wanted) for wanted in ("yn", "y"))
    return estimate([Labelled(rows, looked[number], right[number]) for number, rows in sorted(strata.items())])


def strata_of(items: Sequence[Item]) -> dict[int, int]:
    """Return how many clips each stratum of a sample holds."""
    return {item.stratum: item.stratum_rows for item in items}


def write_labels(path: Path, items: Sequence[Item]) -> None:
    """Write a sample for someone to fill in the column `label`; the file must not be there yet."""
    content = io.StringIO()
    writer = csv.DictWriter(content, fieldnames=NAMES, lineterminator="\n")
    writer.writeheader()
    writer.writerows(asdict(item) for item in items)
    with path.open("x", encoding="utf-8", newline="") as file:
        file.write(content.getvalue())


def read_labels(path: Path, *, text: str, where: str | None) -> list[Item]:
    """Read a sample that was filled in.

    Raises:
        UsageError: it is not such a file, was drawn for something else, or has clips without a label.
    """
    if path.stat().st_size > MAX_FILE_BYTES:
        raise UsageError(f"{path} has more than {MAX_FILE_BYTES >> 20} MiB; a sample is smaller")
    try:
        lines = list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8-sig", errors="replace"), newline="")))
        items = [_item(path, number, line) for number, line in enumerate(lines, 2)]
    except csv.Error as error:
        raise UsageError(f"{path} is not a CSV file ({error})") from error
    if not items:
        raise UsageError(f"{path} holds no clip; remove it to have a new sample drawn")
    for item in items:
        if (item.text, item.where) != (text, where or ""):
            raise UsageError(f"{path} was drawn for {item.text!r:.60} where {item.where!r:.60}; name another file for another question")
    if len({item.clip_id for item in items}) < len(items) or len({(item.stratum, item.stratum_rows) for item in items}) > len(
        strata_of(items)
    ):
        raise UsageError(f"{path} names a clip twice, or two sizes of one stratum; change nothing but the column label")
    missing = sum(not item.label for item in items)
    if missing:
        raise UsageError(f"{missing:,} of {len(items):,} clips in {path} have no label; write y, n, or ? where it cannot be told")
    return items


def _item(path: Path, number: int, line: dict[str, str | None]) -> Item:
    values = {name: line.get(name) for name in NAMES}
    absent = [name for name, value in values.items() if value is None]
    if absent:
        raise UsageError(f"{path}:{number} has no {absent[0]}; the columns are {', '.join(NAMES)}")
    said = {name: str(value) for name, value in values.items()}
    label = ANSWERS.get(said["label"].strip().lower())
    if label is None:
        raise UsageError(f"{path}:{number} has the label {said['label']!r:.20}; write y, n, or ? where it cannot be told")
    try:
        return Item(
            clip_id=said["clip_id"],
            label=label,
            video=said["video"],
            start_s=float(said["start_s"]),
            end_s=float(said["end_s"]),
            caption=said["caption"],
            score=float(said["score"]),
            stratum=int(said["stratum"]),
            stratum_rows=int(said["stratum_rows"]),
            text=said["text"],
            where=said["where"],
        )
    except ValueError as error:
        raise UsageError(f"{path}:{number} holds no number where one was ({error}); change nothing but the column label") from error

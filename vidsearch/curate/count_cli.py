"""What stands behind `vidsearch count TEXT`: an estimate, or a sample to label for an honest one."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from vidsearch.curate.labels import ANSWERS, Item, ask, estimate_from, read_labels, sample_of, strata_of, write_labels
from vidsearch.errors import UsageError
from vidsearch.tables import visible

if TYPE_CHECKING:
    from vidsearch.curate.prevalence import Estimate
    from vidsearch.engine import Index

LABELS = 200


def print_estimate(
    opened: Callable[[], Index], text: str, where: str | None, label: int | None, labels: Path | None, *, seed: int, as_json: bool
) -> None:
    """Print how many clips show what a sentence says; with a file of labels that is not there yet, write it instead.

    Args:
        opened: opens the index; not called where the labels are all there.
        text, where: what is counted.
        label: clips to look at, or None.
        labels: file to write the sample to, or to read it from, or None.
        seed: of the sample.
        as_json: in place of words.
    """
    if labels is not None and labels.exists():
        items = read_labels(labels, text=text, where=where)
        _print(estimate_from(items, strata_of(items)), as_json)
    elif label is None and labels is None:
        _print(opened().estimate_count(text, where), as_json)
    elif labels is not None:
        items = _sample(opened(), text, where, label or LABELS, seed)
        write_labels(labels, items)
        typer.echo(
            f"{len(items):,} clips written to {labels}; fill in the column label (y, n, ?), then run the same command again", err=True
        )
    else:
        _print(_asked(opened(), text, where, label or LABELS, seed), as_json)


def _sample(index: Index, text: str, where: str | None, label: int, seed: int) -> list[Item]:
    from vidsearch.curate.counting import draw_sample, rank_all
    from vidsearch.query import Query

    Query.from_json({"text": text})  # refuses what cannot be asked
    rows, scores, probabilities = index.answered(lambda: rank_all(index, text, index.encode_texts, where=where))
    drawn = draw_sample(len(rows), probabilities, label, seed=seed)
    return sample_of(index, rows, scores.tolist(), drawn, text=text, where=where, seed=seed)


def _asked(index: Index, text: str, where: str | None, label: int, seed: int) -> Estimate:
    if not sys.stdin.isatty():
        raise UsageError("there is no terminal to ask at; add --labels FILE.csv, fill it in, and run the same command again")
    items = _sample(index, text, where, label, seed)
    typer.echo(f"Does the clip show: {visible(text)}?  y, n, ? (cannot be told), q (enough)", err=True)
    typer.echo(f"Look at a clip with: vidsearch ui {index.root}, at the address /?clip=CLIP_ID", err=True)
    labelled = ask(items, partial(_answer, len(items)))
    return estimate_from(labelled, strata_of(items))


def _answer(of: int, number: int, item: Item) -> str:
    typer.echo(f"\n{number} of {of}  {item.clip_id}  {visible(item.video)} {item.start_s:.1f}–{item.end_s:.1f} s", err=True)
    typer.echo(f"  {visible(item.caption or 'no caption')}", err=True)
    while True:
        said = str(typer.prompt("  y/n/?/q", prompt_suffix=" ", err=True)).strip().lower()
        if said == "q" or ANSWERS.get(said):
            return ANSWERS.get(said, "q")


def _print(found: Estimate, as_json: bool) -> None:
    values: dict[str, object] = {**asdict(found), "words": found.words}
    typer.echo(json.dumps(values) if as_json else found.words)

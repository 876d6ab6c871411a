"""What stands behind `vidsearch query` and `similar`: options → questions, answers → stdout. What is said about them goes to stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from vidsearch._query_parts import Media, example, weighted
from vidsearch.errors import InputNotFoundError, QueryError, UsageError
from vidsearch.query import DEFAULT_TRADEOFF, MAX_DEPTH, Query

if TYPE_CHECKING:
    from vidsearch.asking import Searchable
    from vidsearch.results import Hits

FILE_BYTES = 64 << 20
VECTOR_BYTES = 16 << 20
TOGETHER = 256  # questions asked at once: enough to share the reading of codes, few enough that answers come soon


@dataclass(frozen=True)
class Asked:
    """What the options say.

    Attributes:
        text: sentences, perhaps with weights.
        like: clip ids and files.
        vector: a .npy file.
        options: further fields of `Query` by name; None where nothing was said.
    """

    text: Sequence[str]
    like: Sequence[str]
    vector: Path | None
    options: dict[str, Any]

    def questions(self, path: Path | None) -> list[Query]:
        """Return the one question of the options, or those of a file, for each of which the options count where it says nothing."""
        values: dict[str, Any] = {name: value for name, value in self.options.items() if value is not None}
        if self.text:
            values["texts"] = [list(weighted(text)) for text in self.text]
        if self.like:
            values["like"] = [{"file": str(item)} if isinstance(item, Media) else item for item in map(example, self.like)]
        if self.vector is not None:
            values["vector"] = _read_vector(self.vector)
        asked = [Query.from_json(values)] if path is None else [_question(place, {**values, **line}) for place, line in _lines(path)]
        for query in asked:
            _check_depth(query)
        return asked


def tradeoff_of(diverse: bool, tradeoff: float | None) -> float | None:
    """Return what --diverse and --lambda mean together."""
    return DEFAULT_TRADEOFF if diverse and tradeoff is None else tradeoff


def print_answers(index: Searchable, queries: Sequence[Query], output: str, *, explain: bool = False, numbered: bool = False) -> bool:
    """Print the hits of each question, and return whether damaged segments were left out.

    Args:
        index: what is asked.
        queries: the questions; many are asked together.
        output: "table", "jsonl", "csv" or "ids".
        explain: say on stderr how each answer was found: lines with a table, a JSON object a question without.
        numbered: put the question's number, from 1, before each hit.
    """
    number = 0
    told: list[str] = []
    columns: list[str] = []
    for start in range(0, len(queries), TOGETHER):
        group = queries[start : start + TOGETHER]
        answers = index.ask(group)
        for reason in (reason for hits in answers for reason in hits.skipped if reason not in told):
            typer.echo(f"warning: {reason}", err=True)
            told.append(reason)
        for query, hits in zip(group, answers, strict=True):
            number += 1
            _print(query, hits, output, number if numbered else None, columns)
            _print_about(hits, output, explain, number if numbered else None)
    return bool(told)


def _print(query: Query, hits: Hits, output: str, number: int | None, columns: list[str]) -> None:
    if output == "table":
        from vidsearch.tables import print_hits, visible

        if number is not None:
            typer.echo(f"{number}: {visible(' + '.join(text for text, _ in query.texts)) or '(by example)'}")
        print_hits(hits)
    elif output == "ids":
        for hit in hits:
            typer.echo(hit.clip_id if number is None else f"{number}\t{hit.clip_id}")
    else:
        rows = [row if number is None else {"query": number, **row} for row in hits.to_json()]
        if output == "csv":
            _print_csv(rows, columns)
        else:
            for row in rows:
                typer.echo(json.dumps(row, ensure_ascii=False, default=str))


def _print_csv(rows: Sequence[dict[str, Any]], columns: list[str]) -> None:
    """Print rows under one header, that of the first; lists of clips are JSON."""
    import csv

    if not rows:
        return
    writer = csv.DictWriter(sys.stdout, fieldnames=columns or list(rows[0]), lineterminator="\n", extrasaction="ignore")
    if not columns:
        columns.extend(rows[0])
        writer.writeheader()
    for row in rows:
        writer.writerow({name: json.dumps(value, default=str) if isinstance(value, list) else value for name, value in row.items()})


def _print_about(hits: Hits, output: str, explain: bool, number: int | None) -> None:
    from vidsearch.tables import print_doubt, print_explanation, print_parts

    if explain and output != "table":
        typer.echo(json.dumps(hits.explain(), ensure_ascii=False, default=str), err=True)
    elif explain:
        print_explanation(hits)
    if not (explain and output != "table"):
        print_parts(hits)
        print_doubt(hits, number)


def _question(place: str, values: dict[str, Any]) -> Query:
    try:
        return Query.from_json(values)
    except UsageError as error:
        raise QueryError(f"{place}: {error}") from error


def _lines(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield where each question stands and what it says: a JSON object, or a sentence as on the command line."""
    for number, line in enumerate(_read(path, FILE_BYTES).decode("utf-8-sig", "replace").splitlines(), 1):
        place = f"{path}:{number}"
        if not line.strip():
            continue
        if not line.lstrip().startswith("{"):
            try:
                yield place, {"texts": [list(weighted(line.strip()))]}
            except UsageError as error:
                raise QueryError(f"{place}: {error}") from error
            continue
        try:
            yield place, json.loads(line)
        except (ValueError, RecursionError) as error:
            raise QueryError(f"{place}: starts like JSON and is none ({error})") from error


def _check_depth(query: Query) -> None:
    from vidsearch.answers.cursor import position

    if query.cursor is not None and position(query.cursor) + query.k > MAX_DEPTH:
        raise QueryError(f"no more than {MAX_DEPTH:,} clips can be paged through here; the library pages on, and `export` takes all")


def _read_vector(path: Path) -> list[float]:
    import io

    import numpy as np

    content = _read(path, VECTOR_BYTES)
    try:
        vector = np.load(io.BytesIO(content), allow_pickle=False)
        numbers = [float(value) for value in vector.reshape(-1)]
    except (ValueError, EOFError, OSError, TypeError, AttributeError) as error:
        raise QueryError(f"{path} holds no vector of numbers in NumPy's .npy format ({error})") from error
    if vector.shape not in ((len(numbers),), (1, len(numbers))):
        raise QueryError(f"{path} holds shape {vector.shape}; a query has one vector")
    return numbers


def _read(path: Path, limit_bytes: int) -> bytes:
    if not path.is_file():
        raise InputNotFoundError(f"no file {path}")
    with path.open("rb") as file:
        content = file.read(limit_bytes + 1)
    if len(content) > limit_bytes:
        raise UsageError(f"{path} has more than {limit_bytes >> 20} MiB")
    return content

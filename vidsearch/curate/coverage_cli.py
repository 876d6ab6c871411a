"""`vidsearch coverage`: what search terms find, and what they do not."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vidsearch.cli import IndexOption, ModelOption
from vidsearch.curate.cli import WhereOption, open_corpus, progress_line
from vidsearch.errors import UsageError

if TYPE_CHECKING:
    from vidsearch.curate.coverage import Coverage
    from vidsearch.engine import Index

SHOWN_TERMS = 20


class CoverageFormat(StrEnum):
    """How a coverage is given."""

    gaps = "gaps"
    parquet = "parquet"
    csv = "csv"
    jsonl = "jsonl"


def coverage(
    terms: Annotated[Path, typer.Argument(help="Search terms: one a line, or JSON lines such as InternVid's queries.jsonl.")],
    index: IndexOption = None,
    form: Annotated[
        CoverageFormat, typer.Option("--format", help="gaps: the terms with the fewest clips; else all counts.")
    ] = CoverageFormat.gaps,
    out: Annotated[Path | None, typer.Option("-o", "--out", help="The file to write, for the other formats.")] = None,
    field: Annotated[str | None, typer.Option("--field", help="Of the JSON lines that holds the term.")] = None,
    by: Annotated[
        str | None, typer.Option("--by", help="Columns to split by, with commas. [default: language,type where they are]")
    ] = None,
    where: WhereOption = None,
    min_score: Annotated[float | None, typer.Option("--min-score", help="A cosine from which clips count, for every term.")] = None,
    quantile: Annotated[float, typer.Option("--quantile", help="Of the scores of unrelated texts that is noise.")] = 0.999,
    background: Annotated[Path | None, typer.Option("--background", help="A file of unrelated texts. [default: jumbled terms]")] = None,
    seed: Annotated[int, typer.Option("--seed", help="Of the sample that noise is measured on.")] = 0,
    shown: Annotated[int, typer.Option("--top", min=1, help="Terms to show.")] = SHOWN_TERMS,
    model: ModelOption = None,
) -> None:
    """Count the clips of each search term above the noise."""
    from vidsearch.curate.coverage import measure_coverage
    from vidsearch.curate.terms import read_terms

    if (out is None) != (form is CoverageFormat.gaps):
        raise UsageError("give --out FILE with --format parquet, csv or jsonl, and not with gaps")
    wanted, unrelated = read_terms(terms, field), None if background is None else read_terms(background)
    found = open_corpus(index, model)
    with progress_line("scored", len(found)) as report:
        measured = measure_coverage(
            found,
            wanted,
            found.encode_texts,
            by=_columns(found, by),
            where=where,
            min_score=min_score,
            quantile=quantile,
            background=unrelated,
            seed=seed,
            progress=report,
        )
    noise = "" if measured.noise is None else f"; by chance about {measured.noise:,.0f} a term"
    typer.echo(f"{len(wanted):,} terms, {measured.rows:,} clips{noise}", err=True)
    if out is None:
        _print_gaps(measured, shown)
    else:
        from vidsearch.curate.export import write_table

        write_table(measured.to_table(), out, form.value)


def _columns(index: Index, by: str | None) -> list[str]:
    if by is not None:
        return [name.strip() for name in by.split(",") if name.strip()]
    return [name for name in ("language", "type") if len(index) and name in index.schema.names]


def _print_gaps(measured: Coverage, shown: int) -> None:
    """Print the terms with the fewest clips, fewest first."""
    from rich.table import Table

    from vidsearch.tables import console, plain

    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
    table.add_column("clips", justify="right", no_wrap=True)
    table.add_column("floor", justify="right", no_wrap=True)
    table.add_column("term", overflow="fold")
    for place in measured.totals.argsort(kind="stable")[:shown].tolist():
        table.add_row(f"{measured.totals[place]:,}", f"{measured.floors[place]:.3f}", plain(measured.terms[place]))
    console().print(table)

"""`vidsearch eval index`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vidsearch.cli import EXIT_PARTIAL, ModelOption, default_index
from vidsearch.errors import InputNotFoundError, UsageError

if TYPE_CHECKING:
    from vidsearch.engine import Index
    from vidsearch.evaluation.index_filters import RowFilter
    from vidsearch.evaluation.report import Report

MAX_K = 1000


def index(
    index: Annotated[Path | None, typer.Argument(help="Index folder. Without it: VIDSEARCH_INDEX, ./shards/index, ./index or .")] = None,
    k: Annotated[str, typer.Option("--k", help="Clips asked for, with commas.")] = "10,100",
    queries: Annotated[
        Path | None, typer.Option("--queries", help="A sentence a line, or .npy vectors. [default: captions of the index]")
    ] = None,
    count: Annotated[int, typer.Option("--count", min=10, help="Queries at most.")] = 200,
    recall: Annotated[float, typer.Option("--recall", min=0.0, max=1.0, help="The recall to find a setting for.")] = 0.95,
    report: Annotated[Path | None, typer.Option("--report", help="Also write the report: a name ending in .md or .json.")] = None,
    plot: Annotated[Path | None, typer.Option("--plot", help="Also draw it: a name ending in .png, .svg or .pdf.")] = None,
    seed: Annotated[int, typer.Option("--seed", help="Of queries, drawn rows and intervals.")] = 0,
    model: ModelOption = None,
) -> None:
    """Measure what the index finds of the true nearest clips, and the time it takes, filter by filter."""
    from vidsearch.engine import open_index
    from vidsearch.evaluation.report import check_report_path, print_report, write_report

    ks = _whole_numbers(k)
    check_report_path(report)
    _check_plot(plot)
    found = open_index(default_index() if index is None else index, model=model)
    if not len(found):
        raise UsageError(f"{found.root} holds no clip; there is nothing to measure")
    told = found.answered(lambda: _measured(found, ks, queries, count, recall, plot, seed))
    print_report(told)
    if report is not None:
        write_report(told, report)
    for path in (report, plot):
        if path is not None:
            typer.echo(f"written to {path}", err=True)
    for reason in found.skipped:
        typer.echo(f"warning: {reason}", err=True)
    if found.skipped:
        sys.exit(EXIT_PARTIAL)


def _measured(index: Index, ks: list[int], file: Path | None, count: int, wanted: float, plot: Path | None, seed: int) -> Report:
    from indexer.evaluation import index_report
    from indexer.evaluation.index_queries import queries_for
    from vidsearch.evaluation.index_filters import row_filters
    from vidsearch.evaluation.recall import measure, suggest

    index.check()
    asked = queries_for(index, file, count, seed=seed)
    filters = row_filters(index, seed=seed)
    found = measure(index, asked.vectors, filters, ks=ks, seed=seed, progress=_progress)
    suggestions = [suggest(found, wanted, k) for k in ks]
    if plot is not None:
        index_report.plot(found, plot)
    return index_report.index_report(index, found, asked.source, len(asked.vectors), suggestions, seed=seed)


def _progress(chosen: RowFilter, number: int, total: int) -> None:
    if sys.stderr.isatty():
        typer.echo(f"filter {number} of {total}: {chosen.name}", err=True)


def _whole_numbers(text: str) -> list[int]:
    """Return what --k names, each once, ascending."""
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() and 1 <= int(part) <= MAX_K for part in parts):
        raise UsageError(f"--k {text!r} is not understood; give whole numbers from 1 to {MAX_K} with commas, such as 10,100")
    return sorted({int(part) for part in parts})


def _check_plot(plot: Path | None) -> None:
    """Refuse a plot that cannot be drawn, before minutes of measuring."""
    if plot is None:
        return
    from indexer.evaluation.index_report import PLOTS
    from vidsearch.extras import require

    if plot.suffix.lower() not in PLOTS:
        raise UsageError(f"--plot {plot} is not understood; give a name ending in {', '.join(PLOTS[:-1])} or {PLOTS[-1]}")
    if not plot.parent.is_dir():
        raise InputNotFoundError(f"no folder {plot.parent} for --plot {plot.name}; make it first")
    require("matplotlib.figure")

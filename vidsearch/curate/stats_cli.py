"""`vidsearch stats`: what a data set consists of."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from vidsearch.cli import EXIT_PARTIAL, default_index
from vidsearch.curate.cli import WhereOption, progress_line
from vidsearch.errors import InputNotFoundError, UsageError

REPORTS = (".html", ".htm", ".json")


def stats(
    index: Annotated[Path | None, typer.Argument(help="Index folder. Without it: VIDSEARCH_INDEX, ./shards/index, ./index or .")] = None,
    where: WhereOption = None,
    json_output: Annotated[bool, typer.Option("--json", help="As one JSON object.")] = False,
    report: Annotated[Path | None, typer.Option("--report", help="A file to write besides: .html, a page with plots, or .json.")] = None,
) -> None:
    """Count what a data set consists of: languages, lengths, captions, scores, and what is missing."""
    from vidsearch.corpus import Corpus
    from vidsearch.engine import open_index
    from vidsearch.evaluation.statistics import statistics

    _check(report)
    found: Corpus = open_index(default_index() if index is None else index)
    with progress_line("counted", len(found)) as progress:
        counted = statistics(found, where, progress=progress)
    if report is not None:
        from vidsearch.evaluation.statistics_html import page

        text = page(counted) if report.suffix.lower() != ".json" else json.dumps(counted.to_json(), ensure_ascii=False, indent=1) + "\n"
        beside = report.with_name(f"{report.name}.part")
        beside.write_text(text, encoding="utf-8")
        beside.replace(report)
    if json_output:
        typer.echo(json.dumps(counted.to_json(), ensure_ascii=False))
    else:
        from vidsearch.evaluation.statistics_text import lines

        for line in lines(counted):
            typer.echo(line)
    if report is not None:
        typer.echo(f"written to {report}", err=True)
    for reason in counted.skipped:
        typer.echo(f"warning: {reason}", err=True)
    if counted.skipped:
        sys.exit(EXIT_PARTIAL)


def _check(report: Path | None) -> None:
    """Refuse a file that cannot be written, before anything is counted."""
    if report is None:
        return
    if report.suffix.lower() not in REPORTS:
        raise UsageError(f"--report {report} is not understood; give a name ending in {' or '.join(REPORTS)}")
    if not report.parent.is_dir():
        raise InputNotFoundError(f"no folder {report.parent} for --report {report.name}; make it first")

"""`vidsearch score audit`."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from indexer.scoring.aesthetic_cli import IndexArgument
from vidsearch.cli import ModelOption
from vidsearch.curate.cli import WhereOption


class AuditFormat(StrEnum):
    """How an audit is given."""

    table = "table"
    jsonl = "jsonl"
    csv = "csv"


def audit(
    index: IndexArgument = None,
    k: Annotated[int, typer.Option("-k", min=1, help="Captions to show, the most doubtful first.")] = 50,
    where: WhereOption = None,
    neighbours: Annotated[int, typer.Option("--neighbours", min=1, max=100, help="Nearest clips whose captions are compared.")] = 10,
    form: Annotated[AuditFormat, typer.Option("--format", help="For a person, or for a program.")] = AuditFormat.table,
    out: Annotated[Path | None, typer.Option("-o", "--out", help="A file to write, for jsonl and csv.")] = None,
    model: ModelOption = None,
) -> None:
    """Rank captions by how much speaks against them."""
    from indexer.scoring.audit import audit_captions, audit_records
    from indexer.scoring.columns import rows_to_score
    from vidsearch.curate.cli import open_corpus, progress_line
    from vidsearch.curate.export import refuse_existing
    from vidsearch.errors import UsageError

    if out is not None and form is AuditFormat.table:
        raise UsageError("a table is for the terminal; with --out FILE give --format jsonl or csv")
    if out is not None:
        refuse_existing(out)
    corpus = open_corpus(index, model)
    rows = rows_to_score(corpus, "caption", where=where, missing_only=False)
    with progress_line("looked at", 2 * len(rows)) as report:
        found = audit_captions(corpus, rows, corpus.encode_texts, neighbours=neighbours, progress=report)
    records = audit_records(corpus, found, found.worst(k))
    typer.echo(f"{len(found.rows):,} captions audited, the {len(records):,} most doubtful first", err=True)
    if form is AuditFormat.table:
        _print_table(records)
    elif out is not None:
        import pyarrow as pa

        from vidsearch.curate.export import write_table

        write_table(pa.Table.from_pylist(records), out, form.value)
    else:
        _print_lines(records, form)


def _print_lines(records: list[dict[str, Any]], form: AuditFormat) -> None:
    if form is AuditFormat.jsonl:
        import json

        for record in records:
            typer.echo(json.dumps(record, ensure_ascii=False))
        return
    import csv
    import sys

    writer = csv.DictWriter(sys.stdout, list(records[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(records)


def _print_table(records: list[dict[str, Any]]) -> None:
    """Print each caption with the percentiles that speak against it, and the nearest clip's below."""
    from rich.table import Table

    from vidsearch.tables import console, plain

    out = console()
    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
    widths = {"doubt": 5, "match": 5, "umt": 4, "near": 4, "clip": 16}
    for title, width in widths.items():
        table.add_column(title, justify="left" if title == "clip" else "right", no_wrap=True, overflow="ellipsis", width=width)
    left = out.width - sum(widths.values()) - 2 * len(widths)
    table.add_column("caption; below, the nearest clip's", no_wrap=True, overflow="ellipsis", width=max(20, left))
    for record in records:
        shares = [_percent(record[name]) for name in ("match_percentile", "umt_percentile", "agreement_percentile")]
        table.add_row(f"{record['suspicion']:.3f}", *shares, plain(record["video"] or record["clip_id"]), plain(record["caption"]))
        table.add_row("", "", "", "", plain(f"{record['start_s']:.1f}–{record['end_s']:.1f} s"), plain(record["nearest_caption"] or "–"))
    out.print(table)


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{share:.0%}"

"""What an evaluation found, as a plain value: printed within 80 columns, written as Markdown or JSON.

report = Report("Retrieval on msrvtt", {"model": "ViCLIP-L-14"}, (Table("R@k", ("", "R@1"), (("text→video", 42.4),)),), ("one note",))
print_report(report)
write_report(report, Path("out.md"))
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vidsearch.errors import InputNotFoundError, UsageError
from vidsearch.tables import console, plain

Cell = str | int | float | None  # None is "not known", shown as a dash
SUFFIXES = (".md", ".json")


@dataclass(frozen=True)
class Table:
    """Rows of cells under columns.

    Attributes:
        digits: of floats as they are shown; JSON has them as they are.
        signed: columns shown with a + where they are above 0.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    digits: int = 2
    signed: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if any(len(row) != len(self.columns) for row in self.rows):
            raise UsageError(f"table {self.title!r}: every row must have {len(self.columns)} cells")

    def texts(self) -> list[tuple[str, ...]]:
        """Return the cells as they are shown."""
        signs = [column in self.signed for column in self.columns]
        return [tuple(shown(cell, self.digits, signed=signed) for cell, signed in zip(row, signs, strict=True)) for row in self.rows]

    def are_numbers(self) -> list[bool]:
        """Return which columns stand to the right: those without a text."""
        return [not any(isinstance(row[place], str) for row in self.rows) for place in range(len(self.columns))]


@dataclass(frozen=True)
class Report:
    """One evaluation.

    Attributes:
        title: what was measured, in a line.
        settings: what it depends on, such as model, preset and data, in the order to show.
        tables: the results.
        notes: sentences that whoever reads the numbers must know.
    """

    title: str
    settings: Mapping[str, Cell] = field(default_factory=dict)
    tables: tuple[Table, ...] = ()
    notes: tuple[str, ...] = ()


def shown(cell: Cell, digits: int = 2, *, signed: bool = False) -> str:
    """Return a cell as a person reads it: 1,234, 12.35, – for None."""
    if cell is None:
        return "–"
    if isinstance(cell, float):
        return f"{cell:{'+' if signed else ''},.{digits}f}"
    return f"{cell:,}" if isinstance(cell, int) and not isinstance(cell, bool) else str(cell)


def to_markdown(report: Report) -> str:
    lines = [f"# {report.title}", ""]
    lines += [f"- {_escaped(name)}: {_escaped(shown(value, 4))}" for name, value in report.settings.items()]
    for table in report.tables:
        lines += ["", f"## {table.title}", "", _row(table.columns), _row(["---:" if number else "---" for number in table.are_numbers()])]
        lines += [_row([_escaped(cell) for cell in row]) for row in table.texts()]
    lines += ["", *(f"- {_escaped(note)}" for note in report.notes)] if report.notes else []
    return "\n".join(lines) + "\n"


def to_json(report: Report) -> str:
    """Return title, settings, notes, and each table as its title and an object a row, keyed by column."""
    tables = [{"title": table.title, "rows": [dict(zip(table.columns, row, strict=True)) for row in table.rows]} for table in report.tables]
    values: dict[str, Any] = {"title": report.title, "settings": dict(report.settings), "tables": tables, "notes": list(report.notes)}
    return json.dumps(values, ensure_ascii=False, indent=1) + "\n"


def check_report_path(path: Path | None) -> None:
    """Refuse a file that cannot be written, before hours of measuring."""
    if path is None:
        return
    if path.suffix.lower() not in SUFFIXES:
        raise UsageError(f"--report {path} is not understood; give a name ending in {' or '.join(SUFFIXES)}")
    if not path.parent.is_dir():
        raise InputNotFoundError(f"no folder {path.parent} for --report {path.name}; make it first")


def write_report(report: Report, path: Path) -> None:
    """Write a report whole or not at all, as its suffix says: .md or .json."""
    check_report_path(path)
    beside = path.with_name(f"{path.name}.part")
    beside.write_text(to_json(report) if path.suffix.lower() == ".json" else to_markdown(report), encoding="utf-8")
    beside.replace(path)


def print_report(report: Report) -> None:
    """Print to stdout, each table as wide as it needs, within the terminal."""
    from rich.table import Table as RichTable
    from rich.text import Text

    out = console()
    out.print(plain(report.title), style="bold")
    width = max((len(name) for name in report.settings), default=0)
    for name, value in report.settings.items():
        out.print(Text(f"{name:{width}}  ", style="dim") + plain(shown(value, 4)))
    for table in report.tables:
        drawn = RichTable(box=None, pad_edge=False, header_style="dim")
        for column, number in zip(table.columns, table.are_numbers(), strict=True):
            drawn.add_column(plain(column), justify="right" if number else "left")
        for row in table.texts():
            drawn.add_row(*map(plain, row))
        out.print()
        out.print(plain(table.title))
        out.print(drawn)
    if report.notes:
        out.print()
    for note in report.notes:
        out.print(plain(note))


def _row(cells: list[str] | tuple[str, ...]) -> str:
    return f"| {' | '.join(cells)} |"


def _escaped(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())

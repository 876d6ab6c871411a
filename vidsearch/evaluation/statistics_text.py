"""The figures of a data set at a terminal, within its width."""

from __future__ import annotations

from collections.abc import Iterator
from shutil import get_terminal_size

from rich.cells import cell_len, set_cell_size

from vidsearch.evaluation.charts import FEW_VALUES, Chart, charts, headlines, share
from vidsearch.evaluation.statistics import Statistics
from vidsearch.tables import cut, visible

BLOCKS = " ▁▂▃▄▅▆▇█"
EIGHTHS = " ▏▎▍▌▋▊▉"
LABEL = 28  # cells of a value before its bar
WIDEST = 100  # cells of a line
LONGEST = 32  # cells of a bar


def lines(found: Statistics, width: int | None = None) -> Iterator[str]:
    """Yield the lines to print.

    Args:
        width: cells of a line; None is the terminal's, 80 where there is none.
    """
    width = min(WIDEST, width or get_terminal_size((80, 24)).columns)
    yield visible(f"{found.index}  (version {found.version})")
    if found.where is not None:
        yield cut(visible(f"of the clips with {found.where}"), width)
    told = headlines(found)
    widest = max(len(value) for _, value, _ in told)
    for label, value, note in told:
        yield cut(f"{label:14} {value:>{widest}}  {note}".rstrip(), width)
    for chart in charts(found):
        yield ""
        yield from _histogram(chart, width) if chart.edges else _values(chart, width)
    uncounted = [column.name for column in found.columns if column.kind in ("texts", "other") or (column.distinct or 0) > FEW_VALUES]
    if uncounted:
        yield ""
        yield cut(visible(f"Columns whose values are not listed: {', '.join(uncounted)}"), width)


def _title(chart: Chart, width: int) -> str:
    return cut(visible(f"{chart.title}: {chart.note}" if chart.note else chart.title), width)


def _values(chart: Chart, width: int) -> Iterator[str]:
    yield _title(chart, width)
    labels = [cut(visible(label), LABEL) for label, _ in chart.bars]
    named, counted = max(map(cell_len, labels)), max(len(f"{count:,}") for _, count in chart.bars)
    room = min(LONGEST, width - named - counted - 18)
    most = max(count for _, count in chart.bars) or 1
    for label, (_, count) in zip(labels, chart.bars, strict=True):
        part = share(count, chart.clips)
        yield f"  {set_cell_size(label, named)}  {count:>{counted},}  {part:>11} {_bar(count / most, room)}".rstrip()


def _histogram(chart: Chart, width: int) -> Iterator[str]:
    """Yield a histogram as one row of columns, between its ends."""
    yield _title(chart, width)
    most = max(count for _, count in chart.bars) or 1
    wide = 2 if 2 * len(chart.bars) + 30 <= width else 1
    columns = "".join(_column(count / most) * wide for _, count in chart.bars)
    yield cut(f"  {chart.edges[0]} {columns} {chart.edges[-1]}", width)


def _column(part: float) -> str:
    """Return a block as high as a share; what is not nothing can be seen."""
    return BLOCKS[max(round(8 * part), int(part > 0))]


def _bar(part: float, room: int) -> str:
    eighths = max(round(8 * part * max(room, 1)), int(part > 0))
    return "█" * (eighths // 8) + EIGHTHS[eighths % 8].strip()

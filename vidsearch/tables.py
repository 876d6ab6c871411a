"""Answers for a person at a terminal."""

from __future__ import annotations

import re
import sys
from shutil import get_terminal_size
from typing import TYPE_CHECKING, Any, TextIO

from rich.cells import cell_len, set_cell_size

from vidsearch.results import Hit, Hits

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

GAP = "  "
DIM, RESET = "\x1b[2m", "\x1b[0m"
CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")  # those that move a cursor or turn the text around


def console() -> Console:
    """Return a rich console on stdout, as wide as the terminal, 80 columns where there is none."""
    from rich.console import Console

    return Console(file=sys.stdout, width=_width(), highlight=False)


def print_hits(hits: Hits) -> None:
    """Print rank, score, how likely it is right, video, times and caption, each hit on one line cut to the width of the terminal.

    Plain text laid out here, not a rich table: importing that takes a tenth of a cold query's time.
    """
    if hits.hits:
        rows = [row for hit in hits for row in _rows(hit)]
        titles: tuple[str, ...] = ("", "score", "right", "video", "seconds", "caption")
        if hits.confidence is None:
            titles, rows = _without_right(titles), [_without_right(row) for row in rows]
        widths = [max(cell_len(row[column]) for row in (titles, *rows)) for column in range(len(titles))]
        widths[-3] = min(widths[-3], _width() // 3)
        widths[-1] = max(10, _width() - sum(widths[:-1]) - (len(widths) - 1) * len(GAP))
        print(_styled(_line(titles, widths), DIM, sys.stdout))
        for row in rows:
            print(_line(row, widths))
    took = sum(hits.timings_ms.values())
    _note(f"{hits.plan}; {took:,.0f} ms")
    if hits.cursor is not None:
        _note(f"more of {hits.total}: --cursor {hits.cursor}")


def _rows(hit: Hit) -> list[tuple[str, ...]]:
    """Return the lines of a hit: its own, and those of the clips that came with it."""
    rank = str(hit.rank)
    if hit.chain is not None:
        first, *others = hit.chain
        return [(rank, f"{hit.score:.3f}", *_told(first)), *(("then", f"{clip.score:.3f}", *_told(clip)) for clip in others)]
    return [(rank, f"{hit.score:.3f}", *_told(hit)), *(("", f"{clip.score:.3f}", *_told(clip)) for clip in hit.group or ())]


def _without_right(row: tuple[str, ...]) -> tuple[str, ...]:
    return row[:2] + row[3:]


def _told(hit: Hit) -> tuple[str, str, str, str]:
    alike = f"  [{hit.duplicates:,} alike]" if hit.duplicates else ""
    return percent(hit.probability), visible(hit.video), f"{hit.start_s:.1f}–{hit.end_s:.1f}", visible(hit.caption or "–") + alike


def percent(share: float | None) -> str:
    """Return "12 %", "<1 %" for less than half of one, and nothing for None."""
    return "" if share is None else "<1 %" if share < 0.005 else f"{min(99, round(100 * share))} %"


def print_doubt(hits: Hits, number: int | None) -> None:
    """Print to stderr that the best of an answer is no confident match; the question's number stands before it where there is one."""
    if hits.confidence is not None and not hits.confidence.confident:
        _note(("" if number is None else f"{number}: ") + hits.confidence.words)


def print_explanation(hits: Hits) -> None:
    """Print to stderr how an answer was found: plan, rows, effort, recall and time of each stage."""
    certificate = hits.certificate
    lines = [("plan", hits.plan), ("rows", f"{hits.matching:,} of {hits.rows:,} pass, {hits.total} to page through")]
    if certificate is not None:
        effort = f"{certificate.lists:,} of {certificate.all_lists:,} lists, {certificate.codes:,} codes, {certificate.scored:,} vectors"
        sure = f"{certificate.recall_low:.3f} to {certificate.recall_high:.3f} at 95 %"
        recall = "not measured" if certificate.recall is None else f"{certificate.recall:.3f} ({sure})"
        lines += [("compared", effort), ("recall", recall)]
    lines.append(("time", ", ".join(f"{name} {taken:,.2f} ms" for name, taken in hits.timings_ms.items())))
    for name, text in lines:
        _note(f"{name:10}{text}")


def print_parts(hits: Hits) -> None:
    """Print to stderr how many rows each part of a filter passes that, as a whole, nothing passes."""
    for part, number in hits.parts:
        _note(f"{number:>12,} pass {visible(part)}" + (" alone" if len(hits.parts) > 1 else ""))


def _note(text: str) -> None:
    print(_styled(text, DIM, sys.stderr), file=sys.stderr)


def visible(text: Any) -> str:
    """Return text on one line that cannot steer the terminal."""
    return CONTROLS.sub("\N{REPLACEMENT CHARACTER}", str(text))


def plain(text: Any) -> Text:
    """Return the same for a rich table, where it is not taken for markup either."""
    from rich.text import Text

    return Text(visible(text))


def _line(row: tuple[str, ...], widths: list[int]) -> str:
    *numbers, video, seconds, caption = (cut(text, width) for text, width in zip(row, widths, strict=True))
    cells = [number.rjust(width) for number, width in zip(numbers, widths, strict=False)]
    return GAP.join([*cells, set_cell_size(video, widths[-3]), seconds.rjust(widths[-2]), caption]).rstrip()


def cut(text: str, width: int) -> str:
    """Return text of at most that many cells, an ellipsis where it was longer."""
    return text if cell_len(text) <= width else set_cell_size(text, width - 1).rstrip() + "…"


def _styled(text: str, style: str, stream: TextIO) -> str:
    return f"{style}{text}{RESET}" if stream.isatty() else text


def _width() -> int:
    return get_terminal_size((80, 24)).columns

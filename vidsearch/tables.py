"""Answers for a person at a terminal."""

from __future__ import annotations

import re
import sys
from shutil import get_terminal_size
from typing import Any

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from vidsearch.results import Hits

COLUMN_GAP = 2
CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")  # those that move a cursor or turn the text around


def console(*, stderr: bool = False) -> Console:
    """Return a console as wide as the terminal, 80 columns where there is none."""
    return Console(file=sys.stderr if stderr else sys.stdout, width=get_terminal_size((80, 24)).columns, highlight=False, soft_wrap=False)


def print_hits(hits: Hits) -> None:
    """Print rank, score, video, times and caption, each hit on one line cut to the width of the terminal."""
    out = console()
    if hits.hits:
        rows = [
            (str(hit.rank), f"{hit.score:.3f}", plain(hit.video), f"{hit.start_s:.1f}–{hit.end_s:.1f}", plain(hit.caption or "–"))
            for hit in hits
        ]
        widths = [max(len(title), *(len(row[column]) for row in rows)) for column, title in ((0, ""), (1, "score"), (3, "seconds"))]
        video = min(max(cell_len(row[2].plain) for row in rows), out.width // 3)
        caption = out.width - sum(widths) - video - 4 * COLUMN_GAP
        table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, COLUMN_GAP, 0, 0))
        table.add_column("", justify="right", style="dim", width=widths[0])
        table.add_column("score", justify="right", style="bold", width=widths[1])
        table.add_column("video", no_wrap=True, overflow="ellipsis", width=video)
        table.add_column("seconds", justify="right", no_wrap=True, style="dim", width=widths[2])
        table.add_column("caption", no_wrap=True, overflow="ellipsis", width=max(caption, 10))
        for row in rows:
            table.add_row(*row)
        out.print(table)
    took = sum(hits.timings_ms.values())
    console(stderr=True).print(Text(f"{hits.plan}; {took:,.0f} ms", style="dim"))


def plain(text: Any) -> Text:
    """Return text that cannot steer the terminal: no control characters, no markup."""
    return Text(CONTROLS.sub("\N{REPLACEMENT CHARACTER}", str(text)))

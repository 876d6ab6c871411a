"""`vidsearch score`: columns of scores, and the captions to doubt."""

from __future__ import annotations

import typer

from indexer.scoring.aesthetic_cli import aesthetic
from indexer.scoring.audit_cli import audit
from indexer.scoring.match_cli import match

app = typer.Typer(
    name="score",
    help="Score clips: how beautiful, how well the caption fits, which captions to doubt.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
for function in (aesthetic, match, audit):
    app.command()(function)

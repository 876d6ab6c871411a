"""`vidsearch eval`: mounts the commands, each of which is one file beside this."""

from __future__ import annotations

import typer

from indexer.evaluation.index_cli import index
from indexer.evaluation.retrieval_cli import retrieval
from indexer.evaluation.zeroshot_cli import zeroshot

app = typer.Typer(
    name="eval",
    help="Measure how good the answers are, beside published numbers.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


@app.callback()
def evaluations() -> None:
    """Measure how good the answers are, beside published numbers."""


app.command()(retrieval)
app.command()(zeroshot)
app.command()(index)

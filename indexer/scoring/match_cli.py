"""`vidsearch score match`."""

from __future__ import annotations

from typing import Annotated

import typer

from indexer.scoring.aesthetic_cli import IndexArgument, MissingOption
from vidsearch.cli import ModelOption
from vidsearch.curate.cli import WhereOption


def match(
    index: IndexArgument = None,
    column: Annotated[str, typer.Option("--column", help="Where the scores go.")] = "match",
    where: WhereOption = None,
    missing_only: MissingOption = False,
    model: ModelOption = None,
) -> None:
    """Score how well captions fit their clips; decodes nothing."""
    import numpy as np

    from indexer.scoring.columns import check_column, rows_to_score, write_scores
    from indexer.scoring.match import score_match
    from vidsearch.curate.cli import open_corpus, progress_line
    from vidsearch.errors import UsageError

    corpus = open_corpus(index, model)
    made_by = {"by": f"cosine of caption and clip, {corpus.space.model}", "space": corpus.space.id}
    check_column(corpus, column, missing_only=missing_only, made_by=made_by, partly=where is not None)
    rows = rows_to_score(corpus, column, where=where, missing_only=missing_only)
    if not len(rows):
        typer.echo(f"nothing to do: no clip passes, or all that do have a value in column {column}", err=True)
        return
    with progress_line("scored", len(rows)) as report:
        scores = score_match(corpus, rows, corpus.encode_texts, progress=report)
    found = scores[~np.isnan(scores)]
    if not len(found):
        raise UsageError(f"none of the {len(rows):,} clips of {corpus.root} has a caption beside its video, so nothing can be matched")
    version = write_scores(corpus, column, scores, rows, made_by=made_by, missing_only=missing_only)
    spread = f"{found.min():.3f} … {found.max():.3f}, mean {found.mean(dtype=np.float64):.3f}"
    without = len(rows) - len(found)
    note = f", {without:,} without a caption or a video have none" if without else ""
    typer.echo(f"{len(found):,} clips scored: {spread}{note}", err=True)
    typer.echo(f"written to column {column} in version {version}, by {made_by['by']}")

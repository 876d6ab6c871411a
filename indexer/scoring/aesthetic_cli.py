"""`vidsearch score aesthetic`."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vidsearch.cli import EXIT_INTERRUPTED
from vidsearch.curate.cli import WhereOption

if TYPE_CHECKING:
    from indexer.scoring.aesthetic import Aggregate, Scored
    from indexer.scoring.aesthetic_head import Head
    from indexer.scoring.columns import MadeBy
    from vidsearch.config import Space

IndexArgument = Annotated[Path | None, typer.Argument(help="Index folder. Without it: VIDSEARCH_INDEX, ./shards/index, ./index or .")]
MissingOption = Annotated[
    bool, typer.Option("--missing-only", help="Score only clips without a value in the column, and keep the others'.")
]


class AggregateName(StrEnum):
    """How frames become one score."""

    internvid = "internvid"
    vbench = "vbench"
    single = "single"


def aesthetic(
    index: IndexArgument = None,
    head: Annotated[str, typer.Option("--head", help="v1 or v2 of LAION, in the models folder, or a file.")] = "v1",
    model: Annotated[str, typer.Option("--model", help="The CLIP that the head was trained on.")] = "open_clip:ViT-L-14/openai",
    aggregate: Annotated[
        AggregateName, typer.Option("--aggregate", help="Greatest of 4 frames, mean of the frames / 10, or the middle frame.")
    ] = AggregateName.internvid,
    frames: Annotated[
        int | None, typer.Option("--frames", min=1, max=1024, help="Frames at most, for vbench, which takes all. [default: 32]")
    ] = None,
    column: Annotated[str, typer.Option("--column", help="Where the scores go.")] = "aesthetic",
    where: WhereOption = None,
    missing_only: MissingOption = False,
    videos: Annotated[Path | None, typer.Option("--videos", help="Folder of the videos. [default: the one that holds the index]")] = None,
    device: Annotated[str, typer.Option("--device", help="auto, cpu or cuda.")] = "auto",
    workers: Annotated[int, typer.Option("--workers", min=1, help="Decode processes.")] = max(1, (os.cpu_count() or 2) - 1),
) -> None:
    """Score how beautiful clips are, by LAION's predictors."""
    from indexer.cli import share_cores
    from indexer.scoring.aesthetic import choose_aggregate, find_videos, score_aesthetic
    from indexer.scoring.aesthetic_head import check_fit, find_head, read_head
    from indexer.scoring.columns import check_column, rows_to_score, write_scores
    from vidsearch.curate.cli import open_corpus, progress_line
    from vidsearch.encoders import load_encoder
    from vidsearch.settings import read_settings

    share_cores()
    how, settings = choose_aggregate(aggregate.value, frames), read_settings()
    corpus = open_corpus(index, None)
    root = corpus.root.resolve().parent if videos is None else videos
    check_column(corpus, column, missing_only=missing_only)
    rows = rows_to_score(corpus, column, where=where, missing_only=missing_only)
    if not len(rows):
        typer.echo(f"nothing to do: no clip passes, or all that do have a value in column {column}", err=True)
        return
    find_videos(corpus, rows, root)
    network = read_head(find_head(head, settings.models))
    encoder = load_encoder(model, device=device)
    check_fit(network, encoder.space)
    made_by = described(network, encoder.space, how)
    check_column(corpus, column, missing_only=missing_only, made_by=made_by, partly=where is not None)
    with _keeping(), progress_line("scored", len(rows)) as report:
        scored = score_aesthetic(
            corpus,
            rows,
            root,
            encoder=encoder,
            head=network,
            aggregate=how,
            cache=settings.cache / "evaluation",
            workers=workers,
            progress=report,
        )
    tell(scored)
    version = write_scores(corpus, column, scored.scores, rows, made_by=made_by, missing_only=missing_only)
    typer.echo(f"written to column {column} in version {version}, by {made_by['by']}")


@contextmanager
def _keeping() -> Iterator[None]:
    """Say on Ctrl-C that nothing is lost, and end."""
    try:
        yield
    except KeyboardInterrupt:
        typer.echo("interrupted; what was measured is kept, and the same command goes on from there", err=True)
        sys.exit(EXIT_INTERRUPTED)


def described(head: Head, space: Space, aggregate: Aggregate) -> MadeBy:
    """Return what the index is to remember of such scores."""
    return {
        "by": f"{head.name} on {space.model}, {aggregate.words}",
        "head_sha256": head.sha256,
        "space": space.id,
        "aggregate": aggregate.name,
        "frames": aggregate.frames,
    }


def tell(scored: Scored) -> None:
    """Print how many clips have a score, which, and why the others have none."""
    import numpy as np

    from vidsearch.tables import visible

    found = scored.scores[~np.isnan(scored.scores)]
    spread = "" if not len(found) else f": {found.min():.3f} … {found.max():.3f}, mean {found.mean(dtype=np.float64):.3f}"
    typer.echo(f"{len(found):,} of {scored.clips:,} clips scored, {scored.cached:,} of them before{spread}", err=True)
    for reason, number in scored.failures.most_common():
        typer.echo(f"not scored {number:,}: {reason}", err=True)
    for story in scored.examples:
        typer.echo(f"  {visible(story)}", err=True)

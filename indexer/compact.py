"""The `compact` command: few large segments, no deleted rows, and a template that fits the data, from what is stored."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from indexer.fold import EncodeTexts
    from vidsearch.engine import Index

HOUR_S = 3600.0


def compact(
    index: Annotated[Path | None, typer.Argument(help="Index folder. [default: as for `query`]")] = None,
    retrain: Annotated[
        bool, typer.Option("--retrain", help="Train the codes anew on what is there now; nothing is decoded again.")
    ] = False,
    grace: Annotated[float, typer.Option("--grace", min=0, help="Hours for which replaced files are kept; 0 if nobody else reads.")] = 24.0,
    index_factory: Annotated[
        str | None, typer.Option("--index-factory", help="With --retrain: a FAISS factory string in place of what is chosen here.")
    ] = None,
    seed: Annotated[int, typer.Option("--seed", help="Of the training of the codes.")] = 0,
) -> None:
    """Write small segments as few large ones, without deleted rows."""
    from indexer.fold import fold
    from vidsearch.cli import default_index
    from vidsearch.engine import open_index
    from vidsearch.errors import UsageError

    if index_factory is not None and not retrain:
        raise UsageError("--index-factory goes with --retrain: all segments share one template")
    started = time.monotonic()
    before = open_index(index or default_index())
    texts = text_side(before)
    fold(
        before.root,
        index_factory=index_factory,
        seed=seed,
        encode_texts=texts,
        compact=True,
        retrain=retrain,
        grace_s=grace * HOUR_S,
    )
    after = open_index(before.root)
    spent = time.monotonic() - started
    if after.manifest.segments == before.manifest.segments:
        typer.echo(f"nothing to do: {len(after):,} clips in {len(after.segments)} segment(s), none deleted that could go")
        return
    typer.echo(f"{len(before.segments)} segment(s) became {len(after.segments)}, with {len(after):,} clips, in {spent:,.1f} s")
    gone = before.slots - after.slots
    if gone > 0:
        typer.echo(f"{gone:,} deleted rows are no longer stored in the newest version")


def text_side(index: Index) -> EncodeTexts | None:
    """Return the model's text side, for captions to train and calibrate with; None where there is none or it is not at hand."""
    from vidsearch.config import EXTERNAL
    from vidsearch.errors import VidsearchError

    if index.space.encoder == EXTERNAL:
        return None
    try:
        _ = index.encoder
    except VidsearchError as error:
        typer.echo(f"without the model's text side, the codes are trained on the clips' vectors alone: {error}", err=True)
        return None
    return index.encode_texts

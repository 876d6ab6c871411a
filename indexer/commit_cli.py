"""The `commit` command: what the parts of a build have done becomes the index."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from indexer.plans import Plan
    from vidsearch.storage.handed_in import OpenPlan

EXIT_MISSING = 3
HOUR_S = 3600.0
TOLD = 8  # jobs by number


def commit(
    index: Annotated[Path | None, typer.Argument(help="Index folder. [default: as for `query`]")] = None,
    give_up: Annotated[
        bool, typer.Option("--give-up", help="Drop what is still missing: the next build of that input plans it anew.")
    ] = False,
    index_factory: Annotated[
        str | None, typer.Option("--index-factory", help="A FAISS factory string in place of the sizes chosen here.")
    ] = None,
    seed: Annotated[int, typer.Option("--seed", help="Of the training of the codes.")] = 0,
    grace: Annotated[float, typer.Option("--grace", min=0, help="Hours for which replaced files are kept; 0 if nobody else reads.")] = 24.0,
) -> None:
    """Join the parts that `vidsearch index --shard I/N` has done, and say what is still missing (exit code 3)."""
    from indexer import ready
    from indexer.compact import text_side
    from indexer.fold import fold
    from vidsearch.cli import default_index
    from vidsearch.engine import open_index

    before = open_index(index or default_index())
    root = before.root
    jobs = ready.commit_ready(root)
    if give_up:
        ready.give_up(root)
    work = ready.open_work(root)
    if not work:  # the codes are trained on all of it, or not yet
        fold(root, index_factory=index_factory, seed=seed, encode_texts=text_side(before), grace_s=grace * HOUR_S)
    after = open_index(root)
    typer.echo(f"{jobs:,} job{'' if jobs == 1 else 's'} committed; {root} holds {len(after):,} clips ({len(after) - len(before):+,})")
    for plan, standing in work:
        _tell_missing(plan, standing)
    if work:
        sys.exit(EXIT_MISSING)


def _tell_missing(plan: Plan, standing: OpenPlan) -> None:
    missing = standing.missing
    clips, uncut = (sum(plan.jobs[number][place] for number in missing) for place in (0, 1))
    what = " and ".join([f"{clips:,} clips"] * bool(clips) + [f"{uncut:,} videos to be cut"] * bool(uncut)) or "quarantine entries"
    numbers = ", ".join(map(str, missing[:TOLD])) + ", …" * (len(missing) > TOLD)
    typer.echo(f"{len(missing):,} of {standing.jobs:,} jobs of {plan.videos} are missing, {what}: {numbers}", err=True)
    typer.echo("run their parts again (job J is in part J mod N), or any build of that input; --give-up drops them", err=True)

"""The `map` command."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from vidsearch.cli import default_index
from vidsearch.extras import require


def map_(
    index: Annotated[Path | None, typer.Argument(help="Index folder. Without it: VIDSEARCH_INDEX, ./shards/index, ./index or .")] = None,
) -> None:
    """Place clips on the map with PaCMAP, once, and keep the places beside the index, where `vidsearch ui` finds them.

    Without it the map is made by PCA. Up to 100,000 clips are placed, some minutes on two cores; when the index has changed, run it again.
    """
    require("pacmap")
    from ui.plots import pacmap_store
    from ui.plots.map import layout_key, sample
    from vidsearch.engine import open_index

    opened = open_index(index or default_index())
    rows = sample(opened)
    sys.stderr.write(f"placing {len(rows):,} of {len(opened):,} clips\n")
    path = pacmap_store.save(opened.root, layout_key(opened), pacmap_store.embed(opened.vectors_of(rows)))
    print(path)  # noqa: T201

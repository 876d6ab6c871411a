"""`vidsearch demo`: the whole job on a toy world, in under two minutes and without a download."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Annotated

import typer

QUERIES: tuple[tuple[str, str | None], ...] = (
    ("a blue circle moves up", None),
    ("an orange star moves to the right", None),
    ("a purple star grows", None),
    ("a pink star is blinking", "type = 'single' and umt_score >= 0.4"),
    ("ein blauer Kreis bewegt sich nach oben", "language = 'de'"),
)
SEED = 7


def demo(
    folder: Annotated[Path, typer.Option("--folder", help="Where the clips and their index go.")] = Path("vidsearch-demo"),
    count: Annotated[int, typer.Option("--count", min=20, max=5000, help="Clips to make.")] = 300,
) -> None:
    """Make small clips, index them, search them, and say what to try next."""
    from indexer.cli import print_summary, share_cores
    from indexer.pipeline import build
    from indexer.toyvideos import write_demo_videos
    from vidsearch.encoders import load_encoder
    from vidsearch.engine import open_index
    from vidsearch.tables import print_hits

    share_cores()
    folder.mkdir(parents=True, exist_ok=True)
    rows = folder / "rows.jsonl"
    if not rows.exists():
        typer.echo(f"making {count} clips of a toy world in {folder}/ ...")
        lines = [json.dumps(row) + "\n" for row in write_demo_videos(folder, count=count, seed=SEED)]
        rows.write_text("".join(lines), encoding="utf-8")
    typer.echo("indexing them with the demo model, a ViCLIP of toy size ...")
    summary = build(folder, folder / "index", encoder=load_encoder("demo-viclip"), workers=max(1, (os.cpu_count() or 2) - 1))
    print_summary(summary, folder / "index")
    found = open_index(folder / "index")
    for text, where in QUERIES:
        typer.echo(f'\n$ vidsearch query "{text}" --index {folder}/index -k 3' + (f' --where "{where}"' if where else ""))
        print_hits(found.search(text, k=3, where=where))
    typer.echo(NEXT.format(folder=folder))


NEXT = """
The demo model knows nothing but this toy world. For real videos:
  vidsearch models list                   the published ViCLIP checkpoints
  vidsearch models pull ViCLIP-L-14-hf    download one (1.7 GB), or `convert` a file you have
  vidsearch index CLIPS/ && vidsearch query "a dog surfing" --index CLIPS/index
Without a download, `vidsearch index CLIPS/` uses the offline encoder: weak, but it searches real video.
The clips made here are in {folder}/; try your own sentence on them:
  vidsearch query "a red triangle moves down" --index {folder}/index
or look at them in the browser:
  vidsearch ui {folder}/index
"""

"""`vidsearch models`: which weights there are, getting them, converting them."""

from __future__ import annotations

import json
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from vidsearch.catalogue import CLIP, MODELS, OTHER_VICLIP, VICLIP, PublishedModel, find
from vidsearch.errors import UsageError
from vidsearch.settings import read_settings

FOOTNOTE = """
GB: of the published file. K400: zero-shot top-1 / mean of top-1 and top-5.
MSR-VTT: zero-shot R@1 text→video / video→text. –: not published.
Get one with: vidsearch models pull NAME"""

app = typer.Typer(
    name="models",
    help="List published weights, get them, convert them.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


class Format(StrEnum):
    """How models are printed."""

    table = "table"
    jsonl = "jsonl"


class Number(StrEnum):
    """What weights are written as."""

    float32 = "float32"
    float16 = "float16"


@app.command("list")
def list_models(output: Annotated[Format, typer.Option("--format", help="For a person, or for a program.")] = Format.table) -> None:
    """List the published weights: size, training data, what their authors measured, and whether they are here."""
    folder = read_settings().models
    if output is Format.jsonl:
        for model in MODELS:
            path = find(model.source, folder)
            typer.echo(json.dumps(asdict(model) | {"path": str(path) if path else None}, ensure_ascii=False))
    else:
        _print_table(folder)


@app.command()
def pull(name: Annotated[str, typer.Argument(help="A name of `vidsearch models list`, or open_clip:MODEL/TAG.")]) -> None:
    """Download weights from the Hugging Face hub and make them ready; interrupted, it goes on when called again."""
    from vidsearch.models import pull as pull_model

    pulled = pull_model(name, settings=read_settings())
    typer.echo(f"{pulled.source} {'was already' if pulled.was_there else 'is'} here; use it with: --model {pulled.source}", err=True)
    typer.echo(str(pulled.path))


@app.command()
def convert(
    file: Annotated[Path, typer.Argument(help="ViCLIP weights in any published container.")],
    out: Annotated[
        Path | None, typer.Option("--out", help="A file ending in .safetensors. Without it: the same name in the models folder.")
    ] = None,
    dtype: Annotated[
        Number, typer.Option("--dtype", help="float16 halves the file; its vectors belong to another space.")
    ] = Number.float32,
    blend: Annotated[Path | None, typer.Option("--blend", help="An OpenAI CLIP of the same size to average with (WiSE-FT).")] = None,
    coefficient: Annotated[float | None, typer.Option("--coefficient", help="Share of FILE in that average; 0.5 without it.")] = None,
) -> None:
    """Convert a checkpoint to safetensors, with the text-only half that makes a cold query fast."""
    from vidsearch.encoders._checkpoint import convert as convert_checkpoint

    if coefficient is not None and blend is None:
        raise UsageError("--coefficient says how to average with a CLIP; name that with --blend FILE")
    share = 0.5 if coefficient is None else coefficient
    target = out or read_settings().models / f"{file.stem}{f'-blend-{share:g}' if blend else ''}.safetensors"
    converted = convert_checkpoint(file, target, dtype=dtype.value, blend=blend, blend_coefficient=share)
    typer.echo(f"{converted.model}: weights {converted.weights_sha256[:12]}, text-only half in {converted.text_path}", err=True)
    typer.echo(str(converted.path))


def _print_table(folder: Path) -> None:
    """Print within 80 columns what fits there; jsonl has the rest."""
    from rich.table import Table

    from vidsearch.tables import console

    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    table.add_column("", no_wrap=True, width=1)
    table.add_column("name", no_wrap=True)
    table.add_column("GB", justify="right", no_wrap=True)
    table.add_column("trained on", no_wrap=True)
    table.add_column("K400 t1/avg", justify="right", no_wrap=True)
    table.add_column("MSR-VTT", justify="right", no_wrap=True)
    for group in (VICLIP, OTHER_VICLIP, CLIP):
        for model in group:
            table.add_row(*_row(model, folder), end_section=model is group[-1])
    out = console()
    out.print(table)
    out.print(FOOTNOTE)
    out.print(f"✓ is in {folder}", soft_wrap=True)


def _row(model: PublishedModel, folder: Path) -> tuple[str, ...]:
    return (
        "✓" if find(model.source, folder) else "",
        model.name,
        _number(model.size_gb, 1),
        model.data or "–",
        f"{_number(model.k400_top1, 2)}/{_number(model.k400_avg, 2)}" if model.k400_avg else "–",
        f"{_number(model.msrvtt_t2v, 1)}/{_number(model.msrvtt_v2t, 1)}" if model.msrvtt_t2v else "–",
    )


def _number(value: float | None, digits: int) -> str:
    return "–" if value is None else f"{value:.{digits}f}"

"""What both evaluations of a model take, as options of a command."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

WORKERS = max(1, (os.cpu_count() or 2) - 1)

VideosOption = Annotated[Path | None, typer.Option("--videos", help="Folder of the videos. [default: that of the annotation]")]
ModelOption = Annotated[str | None, typer.Option("--model", help="A checkpoint file or a name from `vidsearch models list`.")]
PresetOption = Annotated[str | None, typer.Option("--preset", help="eval (published numbers), demo or vbench. [default: the model's own]")]
FramesOption = Annotated[int | None, typer.Option("--frames", min=1, help="Frames of a clip, such as 1. [default: the preset's, 8]")]
BlendOption = Annotated[str | None, typer.Option("--blend", help="An OpenAI CLIP to average the ViCLIP with (WiSE-FT).")]
CoefficientOption = Annotated[float | None, typer.Option("--coefficient", help="Share of the ViCLIP in that average. [default: 0.5]")]
MissingOption = Annotated[bool, typer.Option("--allow-missing", help="Leave out videos that are not there or cannot be decoded.")]
DeviceOption = Annotated[str, typer.Option("--device", help="auto, cpu or cuda.")]
PrecisionOption = Annotated[str, typer.Option("--precision", help="auto, float32 or bfloat16.")]
WorkersOption = Annotated[int, typer.Option("--workers", min=1, help="Decode processes.")]
SeedOption = Annotated[int, typer.Option("--seed", help="Of the intervals.")]


def blend_told(blend: str | None, coefficient: float | None) -> str:
    """Say of what the weights are an average; "" where they are none."""
    from indexer.evaluation.models import COEFFICIENT

    return "" if blend is None else f"{COEFFICIENT if coefficient is None else coefficient:g} of it, the rest {Path(blend).name}"

"""Load the model that is evaluated, in the ways evaluations of it differ: preset, frames, and an average with CLIP (WiSE-FT)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from vidsearch.encoders import choose_source, load_encoder, openclip, viclip
from vidsearch.encoders.base import Encoder
from vidsearch.errors import UsageError

if TYPE_CHECKING:
    from vidsearch.encoders._viclip_classifier import ViCLIPClassifier

COEFFICIENT = 0.5  # of the published evaluation of ViCLIP


def choose(model: str | None) -> str:
    """Return the model that is named, or the best that is here, and say which on stderr."""
    if model is not None:
        return model
    source, why = choose_source()
    typer.echo(why, err=True)
    return source


def load(
    model: str | None = None,
    *,
    preset: str | None = None,
    frames: int | None = None,
    blend: str | None = None,
    coefficient: float | None = None,
    device: str = "auto",
    precision: str = "auto",
) -> Encoder:
    """Load both sides of a model; what differs in any of these has another fingerprint, so that measurements of it are never mixed.

    Args:
        model: as `load_encoder` takes it.
        preset: how clips become pixels; None is the model's own.
        frames: taken of a clip; None is the preset's number.
        blend: an OpenAI CLIP of the same size as a ViCLIP, file or name, to average it with (WiSE-FT); nothing is written.
        coefficient: share of `model` in that average, 0 to 1; None is a half.
        device, precision: as `load_encoder` takes them.
    """
    if coefficient is not None and blend is None:
        raise UsageError("--coefficient says how to average with a CLIP; name that with --blend CLIP")
    if blend is None:
        return load_encoder(model, device=device, precision=precision, preset=preset, frames=frames)
    share = COEFFICIENT if coefficient is None else coefficient
    encoder = _load_blended(model, blend, share, device=device, precision=precision, preset=preset)
    if frames is not None:
        encoder.take_frames(frames)
    return encoder


def load_classifier(model: str, *, preset: str | None, frames: int | None, device: str, precision: str) -> ViCLIPClassifier | None:
    """Load a fine-tuned ViCLIP with its classification head; None for a checkpoint without one, and for any other model."""
    if not viclip.recognises(model):
        return None
    return viclip.load_classifier(model, preset=preset, frames=frames, device=device, precision=precision)


def _load_blended(model: str | None, clip: str, share: float, *, device: str, precision: str, preset: str | None) -> Encoder:
    source = choose_source()[0] if model is None else model
    if not viclip.recognises(source):
        raise UsageError(f"{source} cannot be averaged with a CLIP, which is how ViCLIP began; leave --blend out")
    return viclip.load_blended(source, _clip_file(clip), share=share, device=device, precision=precision, preset=preset)


def _clip_file(clip: str) -> Path:
    """Return the weights of a CLIP given as a file, or by a name that open_clip or `vidsearch models` knows."""
    path = Path(clip).expanduser()
    if path.is_file() or not openclip.recognises(clip):
        return path
    return openclip.find_weights(clip).path

"""Find the encoder for a name or a file; every plug-in is one file of this folder."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from vidsearch.config import EXTERNAL
from vidsearch.errors import QueryError, SpaceMismatchError, UsageError
from vidsearch.registry import names, plugin

if TYPE_CHECKING:
    from vidsearch.config import Space
    from vidsearch.encoders.base import Encoder, TextEncoder

OFFLINE = "conse"  # the encoder that needs no download


def load_encoder(
    source: str | Path | None = None,
    *,
    device: str = "auto",
    precision: str = "auto",
    preset: str | None = None,
    frames: int | None = None,
) -> Encoder:
    """Load both sides of a model.

        load_encoder("ViCLIP-L-14.safetensors", device="cuda").encode_texts(["a dog"])  # (1, 768) float32, unit rows

    Args:
        source: a file or a name; None is what `choose_source` chooses.
        device: "auto", "cpu", "cuda" or "cuda:n".
        precision: "auto" is bfloat16 where the hardware has it, else float32; "float32" and "bfloat16" are obeyed.
        preset: how clips become pixels, such as ViCLIP's "eval", "demo" and "vbench"; None is the model's own default.
        frames: taken of a clip, in place of the preset's number; ViCLIP can take 1, a model that averages frames any number.
    """
    wanted = choose_source()[0] if source is None else str(source)
    encoder: Encoder = _plugin_for(wanted).load(wanted, device=device, precision=precision, preset=preset)
    if frames is not None:
        encoder.take_frames(frames)
    return encoder


def load_text_encoder(space: Space, source: str | Path | None = None) -> TextEncoder:
    """Load the text side alone, as light as the model allows, for a query against vectors of `space`.

    Args:
        space: the index's.
        source: where its weights are; None looks in the models folder and where the index was made.
    """
    if space.encoder == EXTERNAL:
        raise QueryError("these vectors came without a model, so there is no text side; query with --vector FILE.npy or like a CLIP_ID")
    maker = plugin(__name__, space.encoder)
    if source is not None and not maker.recognises(str(source)):
        raise SpaceMismatchError(f"the index was made with {space.model} ({space.encoder}), which {str(source)!r} is not")
    encoder: TextEncoder = maker.load_text(space, None if source is None else str(source))
    return encoder


def choose_source() -> tuple[str, str]:
    """Return (source, why) for a user who named no model: ViCLIP weights of the models folder, else the offline encoder."""
    from vidsearch.encoders.viclip import find_best
    from vidsearch.settings import read_settings

    models = read_settings().models
    best = find_best(models)
    if best is not None:
        return str(best), f"using {best.name} of {models}; --model takes another name or file"
    return OFFLINE, (
        f"no ViCLIP weights in {models}: using the small offline encoder, which is weak; for better answers put "
        "ViCLIP-L-14.safetensors there (vidsearch models pull ViCLIP-L-14-hf) or give --model"
    )


def _plugin_for(source: str) -> ModuleType:
    known = names(__name__)
    for name in known:
        module = plugin(__name__, name)
        if module.recognises(source):
            return module
    raise UsageError(f"unknown model {source!r}; give a checkpoint file or a name of {', '.join(known)} (vidsearch models list)")

"""Which model indexes, when the user names none."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from vidsearch.encoders import OFFLINE, choose_source
from vidsearch.errors import VidsearchError
from vidsearch.models import pull
from vidsearch.settings import read_settings
from vidsearch.storage import manifest as manifests

FROM_HUB = "ViCLIP-L-14-hf"


class Choice(NamedTuple):
    """A model for `load_encoder`, its preset (None: the model's own), and why, in one line that says what would be better."""

    source: str
    preset: str | None
    why: str


def choose_model(root: Path) -> Choice:
    """Choose the model that made the index at `root`; else ViCLIP of the models folder; else the hub's; else the offline encoder."""
    if manifests.exists(root):
        space = manifests.read(root).space
        preset = space.preset.name if space.encoder == "viclip" else None
        return Choice(space.source or space.encoder, preset, f"going on with {space.model}, which made {root}")
    source, why = choose_source()
    if source != OFFLINE:
        return Choice(source, None, why)
    try:
        pulled = pull(FROM_HUB, settings=read_settings())
    except VidsearchError:  # no network, no access, no extra: the line of the offline encoder says what to do
        return Choice(source, None, why)
    return Choice(pulled.source, None, f"using {FROM_HUB} from the hub, kept at {pulled.path}; --model takes another name or file")

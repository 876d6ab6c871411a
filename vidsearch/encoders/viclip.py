"""ViCLIP, the video-text model of InternVid (arXiv 2307.06942): weights by file or by name, torch only where clips are encoded."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from vidsearch.config import Space
from vidsearch.encoders._checkpoint import (
    Checkpoint,
    blended,
    ensure_text_file,
    read_checkpoint,
    read_classifier,
    read_text_checkpoint,
    text_file,
)
from vidsearch.encoders._containers import SAFE_SUFFIX, SUFFIXES
from vidsearch.encoders._text_tower import TextTower
from vidsearch.encoders._tokens import clean_caption
from vidsearch.encoders.base import Encoder, TextEncoder, Vectors, unit_rows
from vidsearch.errors import InputNotFoundError, SpaceMismatchError
from vidsearch.extras import require
from vidsearch.settings import read_settings

if TYPE_CHECKING:
    from vidsearch.encoders._viclip_classifier import ViCLIPClassifier

NETWORK_VERSION = 1  # raise it when the same weights and pixels would give other features
NAMES = ("viclip", "demo-viclip")  # how a name of this model begins, in lower case
DEMO = "demo-viclip"
TEXTS_AT_ONCE = 64  # in NumPy; keeps memory flat

log = logging.getLogger(__name__)


def recognises(source: str) -> bool:
    """Whether that is a checkpoint file, or a name such as "ViCLIP-L-14" or "demo-viclip"."""
    return source.lower().startswith(NAMES) or Path(source).suffix in SUFFIXES


def load(source: str, *, device: str, precision: str, preset: str | None) -> Encoder:
    """Load both towers, and leave a text-only file behind for queries unless the weights already lie in a file that serves them."""
    require("torch")
    from vidsearch.encoders._viclip_encoder import build_encoder

    path = find_weights(source)
    checkpoint = read_checkpoint(path)
    if path.suffix != SAFE_SUFFIX or checkpoint.merges is None:
        _leave_text_file(checkpoint)
    named = source if Path(source).name == source and not Path(source).is_file() else str(path.resolve())
    return build_encoder(
        checkpoint, device=device, precision=precision, preset=preset or "eval", network_version=NETWORK_VERSION, source=named
    )


def load_blended(source: str, clip: Path, *, share: float, device: str, precision: str, preset: str | None) -> Encoder:
    """Load both towers averaged with an OpenAI CLIP of the same size, `share` of `source` (WiSE-FT); nothing is written to disk."""
    require("torch")
    from vidsearch.encoders._viclip_encoder import build_encoder

    checkpoint = blended(read_checkpoint(find_weights(source)), clip, share=share)
    return build_encoder(
        checkpoint, device=device, precision=precision, preset=preset or "eval", network_version=NETWORK_VERSION, source=""
    )


def load_text(space: Space, source: str | None) -> TextEncoder:
    """Load the text tower for vectors of `space`: of `source`, else of the models folder, else of where the index came from."""
    checkpoint = read_text_checkpoint(_find_text_weights(space, source))
    if (checkpoint.weights_sha256, NETWORK_VERSION) != (space.weights_sha256, space.network_version):
        raise SpaceMismatchError(
            f"these vectors are of {space.model} {space.weights_sha256[:12]} (network {space.network_version}), {checkpoint.path} is "
            f"{checkpoint.model} {checkpoint.weights_sha256[:12]} (network {NETWORK_VERSION}); name the weights the index was made with"
        )
    return LightTextEncoder(space, checkpoint)


def load_classifier(source: str, *, device: str, precision: str, preset: str | None, frames: int | None) -> ViCLIPClassifier | None:
    """Load the vision tower and the classification head of a fine-tuned checkpoint; None where it has no head."""
    require("torch")
    from vidsearch.encoders._viclip_classifier import build_classifier

    read = read_classifier(find_weights(source))
    if read is None:
        return None
    checkpoint, head = read
    return build_classifier(
        checkpoint, head, device=device, precision=precision, preset=preset or "eval", frames=frames, network_version=NETWORK_VERSION
    )


class LightTextEncoder(TextEncoder):
    """The text side in NumPy; see `_text_tower`."""

    def __init__(self, space: Space, checkpoint: Checkpoint) -> None:
        self.space = space
        self._tokenizer = checkpoint.tokenizer()
        self._tower = TextTower(checkpoint.tensors)

    def encode_texts(self, texts: Sequence[str]) -> Vectors:
        tokens = self._tokenizer.encode(self._cleaned(texts))
        parts = [self._tower.encode(tokens[start : start + TEXTS_AT_ONCE]) for start in range(0, len(tokens), TEXTS_AT_ONCE)]
        return unit_rows(np.concatenate([np.zeros((0, self.dim), dtype=np.float32), *parts]))

    def count_cut(self, texts: Sequence[str]) -> tuple[int, int]:
        return self._tokenizer.count_cut(self._cleaned(texts)), self._tokenizer.context_length

    def _cleaned(self, texts: Sequence[str]) -> Sequence[str]:
        return [clean_caption(text) for text in texts] if self.preset.clean_text else texts


def find_weights(source: str) -> Path:
    """Return the checkpoint file of a path or a name; a name is looked for in the models folder, "demo-viclip" comes with vidsearch."""
    path = Path(source).expanduser()
    if path.is_file():
        return path
    if source.lower() == DEMO:
        return demo_checkpoint()
    models = read_settings().models
    candidates = [models / f"{source}{suffix}" for suffix in ("", *SUFFIXES)]
    for candidate in candidates:
        if candidate.is_file():
            return candidate
    if path.suffix in SUFFIXES:
        raise InputNotFoundError(f"no such checkpoint: {path}")
    raise InputNotFoundError(
        f"no weights of {source} are here; put them at {models / source}{SAFE_SUFFIX}, or: vidsearch models pull {source}"
    )


def demo_checkpoint() -> Path:
    """Return the weights that ship with vidsearch and know only the toy world of `vidsearch demo`."""
    package = Path(__file__).parents[1]
    candidates = (package.parent / "data" / f"{DEMO}{SAFE_SUFFIX}", package / "_data" / f"{DEMO}{SAFE_SUFFIX}")
    for candidate in candidates:
        if candidate.is_file():
            return candidate
    raise InputNotFoundError(f"the demo model is not in this installation; it belongs at {candidates[1]}")


def find_best(models: Path) -> Path | None:
    """Return the ViCLIP checkpoint to prefer in a folder: size L, then FLT, whose published numbers are best, then safetensors."""
    found = [path for path in models.glob("*") if path.is_file() and path.suffix in SUFFIXES and path.name.lower().startswith("viclip")]
    return min(found, key=_preference, default=None)


def _preference(path: Path) -> tuple[bool, bool, bool, str]:
    name = path.stem.lower()
    return "viclip-l" not in name, "flt" not in name, path.suffix != SAFE_SUFFIX, path.name


def _find_text_weights(space: Space, source: str | None) -> Path:
    if source is not None:
        return _text_weights_of(find_weights(source))
    cached = text_file(read_settings().models, space.weights_sha256)
    if cached.is_file():
        return cached
    try:
        return _text_weights_of(find_weights(space.source))
    except InputNotFoundError as error:
        raise InputNotFoundError(
            f"the index was made with {space.model}, whose weights are not here: neither {cached} nor {space.source}; name them (--model)"
        ) from error


def _text_weights_of(path: Path) -> Path:
    """Return a file that can be mapped without torch; a pickle is read once and leaves one."""
    if path.suffix == SAFE_SUFFIX:
        return path
    return ensure_text_file(read_checkpoint(path), read_settings().models)


def _leave_text_file(checkpoint: Checkpoint) -> None:
    try:
        ensure_text_file(checkpoint, read_settings().models)
    except OSError as error:
        log.warning("no text-only weights are kept, so queries will be slow to start: %s", error)

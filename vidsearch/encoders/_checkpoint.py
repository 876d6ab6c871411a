"""ViCLIP's weights on disk: read and check them, write a checkpoint of our own, keep a text-only half for light queries.

A checkpoint of ours is a safetensors file whose metadata says {"format": "pt", "vidsearch_checkpoint": "1", "model": its name,
"weights_sha256": its fingerprint, "merges": its tokenizer, one merge a line}. Its text-only half has the same metadata, the
fingerprint of the whole, "part": "text", and the tensors of the text tower alone. Nothing here imports torch unless a pickle is read or
the shapes of both towers are checked.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from vidsearch.encoders._checks import CHECKPOINT_VERSION, VISION_PREFIX, check_finite, check_shapes, check_version
from vidsearch.encoders._containers import SAFE_SUFFIX, as_array, read_tensors
from vidsearch.encoders._safetensors import open_safetensors, write_safetensors
from vidsearch.encoders._tokens import Merge, Tokenizer, clip_merges, format_merges, parse_merges
from vidsearch.encoders._viclip_head import Head, read_head, split_head
from vidsearch.encoders._wiseft import blend_with_clip
from vidsearch.errors import CheckpointError, UsageError

if TYPE_CHECKING:
    import torch

Array = npt.NDArray[Any]

TEXT_PREFIX = "text_encoder."
TOKEN_EMBEDDING = "text_encoder.token_embedding.weight"  # (vocabulary, width)
TEXT_POSITIONS = "text_encoder.positional_embedding"  # (context length, width)


@dataclass(frozen=True, repr=False)
class Checkpoint:
    """Weights that fit the network.

    Attributes:
        path: where they were read.
        model: what a person calls them.
        weights_sha256: of the whole model, see `hash_weights`.
        tensors: by name, float16 or float32.
        merges: of the tokenizer if the file has them, else None.
        text_only: just the text tower.
        head: tensors of a classification head, if it was fine-tuned with one; no part of the fingerprint, as vectors do not depend on it.
    """

    path: Path
    model: str
    weights_sha256: str
    tensors: Mapping[str, Array]
    merges: tuple[Merge, ...] | None
    text_only: bool = False
    head: Mapping[str, Array] = field(default_factory=dict)

    def __repr__(self) -> str:
        return f"Checkpoint({self.model}, {self.weights_sha256[:12]}, {len(self.tensors)} tensors)"

    def tokenizer(self) -> Tokenizer:
        """Return the tokenizer these weights were trained with: the file's own, else CLIP's."""
        tokenizer = Tokenizer(clip_merges() if self.merges is None else self.merges, context_length=self.tensors[TEXT_POSITIONS].shape[0])
        rows = self.tensors[TOKEN_EMBEDDING].shape[0]
        if tokenizer.vocab_size != rows:
            raise CheckpointError(
                f"{self.path} knows {rows:,} tokens, its tokenizer makes {tokenizer.vocab_size:,}: they do not belong together"
            )
        return tokenizer


@dataclass(frozen=True)
class Converted:
    """What `convert` wrote."""

    path: Path
    text_path: Path
    model: str
    weights_sha256: str


def read_checkpoint(path: Path) -> Checkpoint:
    """Read both towers from any published container and check every tensor's name, shape and values; reads the whole file once."""
    everything, metadata = read_tensors(path)
    check_version(path, metadata)
    tensors, head = split_head(everything)
    check_shapes(path, tensors)
    check_finite(path, tensors)
    fingerprint = hash_weights(tensors)
    if metadata.get("weights_sha256", fingerprint) != fingerprint:
        raise CheckpointError(f"{path} is damaged: SHA-256 mismatch, its weights are no longer those it was written with; get it again")
    return Checkpoint(path, metadata.get("model") or _model_name(path), fingerprint, tensors, _merges(metadata), head=head)


def read_classifier(path: Path) -> tuple[Checkpoint, Head] | None:
    """Read a vision tower and the head that it was fine-tuned with, whatever else a file holds; None where there is no head.

    The tower's tensors may lack the prefix "vision_encoder.", and the last projection if the head does not read it.
    """
    everything, metadata = read_tensors(path)
    towers, named = split_head(everything)
    head = read_head(named, path)
    if head is None:
        return None
    if "conv1.weight" in towers:
        towers = {VISION_PREFIX + name: tensor for name, tensor in towers.items()}
    tensors = {name: tensor for name, tensor in towers.items() if name.startswith(VISION_PREFIX)}
    check_version(path, metadata)
    check_shapes(path, tensors, vision_only=True)
    check_finite(path, tensors)
    return Checkpoint(path, metadata.get("model") or _model_name(path), hash_weights(tensors), tensors, None, head=named), head


def read_text_checkpoint(path: Path) -> Checkpoint:
    """Map the text tower of a safetensors file, whole or text-only, without torch; touches no tensor of a file of ours."""
    file = open_safetensors(path)
    check_version(path, file.metadata)
    names = [name for name in file.tensors if name.removeprefix("module.").startswith(TEXT_PREFIX)]
    fingerprint = file.metadata.get("weights_sha256")
    if fingerprint is None:  # a published file, which does not say
        fingerprint = hash_weights(read_tensors(path)[0])
    tensors = {name.removeprefix("module."): file.array(name) for name in names}
    model = file.metadata.get("model") or _model_name(path)
    return Checkpoint(path, model, fingerprint, tensors, _merges(file.metadata), text_only=True)


def write_checkpoint(
    path: Path,
    tensors: Mapping[str, Array | torch.Tensor],
    *,
    model: str,
    merges: Sequence[Merge] | None = None,
    notes: str = "",
) -> str:
    """Write a checkpoint atomically and return its weights_sha256.

    Args:
        path: ends in .safetensors.
        tensors: by the names of the published checkpoints; float16 stays float16, all else becomes float32.
        model: what a person calls it, such as "ViCLIP-L-14".
        merges: of its tokenizer, unless that is CLIP's; with them inside a machine without open_clip can query.
        notes: free text, such as where the weights come from.
    """
    arrays = {name: as_array(tensor) for name, tensor in tensors.items()}
    fingerprint = hash_weights(split_head(arrays)[0])
    write_safetensors(path, arrays, _metadata(model, fingerprint, merges) | ({"notes": notes} if notes else {}))
    return fingerprint


def ensure_text_file(checkpoint: Checkpoint, models: Path) -> Path:
    """Return models/text/FINGERPRINT.text.safetensors, written if it is not there: all that a query needs, tokenizer included."""
    path = text_file(models, checkpoint.weights_sha256)
    if not _is_text_file(path, checkpoint.weights_sha256):
        arrays = {name: tensor for name, tensor in checkpoint.tensors.items() if name.startswith(TEXT_PREFIX)}
        metadata = _metadata(checkpoint.model, checkpoint.weights_sha256, checkpoint.tokenizer().merges)
        write_safetensors(path, arrays, metadata | {"part": "text"})
    return path


def text_file(models: Path, weights_sha256: str) -> Path:
    """Return where the text-only half of these weights belongs."""
    return models / "text" / f"{weights_sha256[:16]}.text.safetensors"


def blended(checkpoint: Checkpoint, clip: Path, *, share: float) -> Checkpoint:
    """Return these weights averaged with an OpenAI CLIP of the same size, `share` of them and the rest of `clip` (WiSE-FT)."""
    tensors = blend_with_clip(checkpoint.tensors, read_tensors(clip)[0], share=share, named=clip)
    check_finite(clip, tensors)
    return replace(checkpoint, tensors=tensors, weights_sha256=hash_weights(tensors))


def convert(
    source: Path,
    target: Path,
    *,
    dtype: Literal["float32", "float16"] = "float32",
    blend: Path | None = None,
    blend_coefficient: float = 0.5,
) -> Converted:
    """Write any published container as a checkpoint of ours, and its text-only half into the folder `text` beside it.

    Args:
        source: .safetensors, or a pickle .pth, .pt, .bin.
        target: ends in .safetensors; may be the source.
        dtype: of the numbers written; float16 halves the file, and is another fingerprint because it is other numbers.
        blend: an OpenAI CLIP of the same size to average with, as the published evaluation of ViCLIP did (WiSE-FT).
        blend_coefficient: share of `source` in that average, 0 to 1.
    """
    if target.suffix != SAFE_SUFFIX or dtype not in ("float32", "float16"):
        raise UsageError(f"cannot write {target.name} as {dtype}; choose a name ending in {SAFE_SUFFIX} and float32 or float16")
    checkpoint = read_checkpoint(source)
    tensors = checkpoint.tensors
    if blend is not None:
        tensors = blend_with_clip(tensors, read_tensors(blend)[0], share=blend_coefficient, named=blend)
    with np.errstate(over="ignore"):  # named one by one below
        tensors = {name: np.asarray(tensor, dtype=dtype) for name, tensor in (*tensors.items(), *checkpoint.head.items())}
    check_finite(target, tensors)
    notes = f"converted from {source.name}" + (f", {blend_coefficient:g} of it and the rest {blend.name}" if blend else "")
    merges = checkpoint.tokenizer().merges
    fingerprint = write_checkpoint(target, tensors, model=checkpoint.model, merges=merges, notes=notes)
    written = replace(checkpoint, path=target, tensors=tensors, merges=merges, weights_sha256=fingerprint)
    return Converted(target, ensure_text_file(written, target.parent), checkpoint.model, fingerprint)


def hash_weights(arrays: Mapping[str, Array]) -> str:
    """Return the fingerprint of weights: SHA-256 over each tensor in order of name, as name, shape and float32 little-endian bytes.

    The container and the type in it do not matter: what is hashed are the values the network computes with.
    """
    digest = hashlib.sha256()
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name], dtype="<f4")
        digest.update(f"{name}\0{list(arrays[name].shape)}\0".encode())
        digest.update(array.data)
    return digest.hexdigest()


def _metadata(model: str, fingerprint: str, merges: Sequence[Merge] | None) -> dict[str, str]:
    metadata = {"format": "pt", "vidsearch_checkpoint": str(CHECKPOINT_VERSION), "model": model, "weights_sha256": fingerprint}
    return metadata if merges is None else {**metadata, "merges": format_merges(merges)}


def _merges(metadata: Mapping[str, str]) -> tuple[Merge, ...] | None:
    return parse_merges(metadata["merges"]) if "merges" in metadata else None


def _model_name(path: Path) -> str:
    """Return what a file is called: hub repositories name the folder, not the file."""
    return path.resolve().parent.name if path.stem in ("model", "pytorch_model") else path.stem


def _is_text_file(path: Path, weights_sha256: str) -> bool:
    try:
        return path.is_file() and open_safetensors(path).metadata.get("weights_sha256") == weights_sha256
    except CheckpointError:
        return False

"""ViCLIP's weights on disk: read every published container, write one of our own.

A checkpoint of ours is a safetensors file whose metadata says {"format": "pt", "vidsearch_checkpoint": "1", "model": its name,
"weights_sha256": its fingerprint, "merges": its tokenizer, one merge a line}.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from vidsearch.encoders._safetensors import write_safetensors
from vidsearch.encoders._tokens import Merge, format_merges

if TYPE_CHECKING:
    import torch

Array = npt.NDArray[Any]


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
    fingerprint = hash_weights(arrays)
    write_safetensors(path, arrays, _metadata(model, fingerprint, merges, notes))
    return fingerprint


def _metadata(model: str, fingerprint: str, merges: Sequence[Merge] | None, notes: str) -> dict[str, str]:
    metadata = {"format": "pt", "vidsearch_checkpoint": "1", "model": model, "weights_sha256": fingerprint}
    if merges is not None:
        metadata["merges"] = format_merges(merges)
    if notes:
        metadata["notes"] = notes
    return metadata


def as_array(tensor: Array | torch.Tensor) -> Array:
    """Return a NumPy array of the same values: float16 stays, all else becomes float32."""
    if isinstance(tensor, np.ndarray | np.generic):
        array: Array = np.asarray(tensor)
    else:
        tensor = tensor.detach().cpu()
        array = (tensor if str(tensor.dtype) == "torch.float16" else tensor.float()).numpy()
    return array if array.dtype in (np.float16, np.float32) else array.astype(np.float32)


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

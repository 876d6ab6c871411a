"""Read the tensors out of every container ViCLIP was published in: flat safetensors, and four shapes of pickle.

    {'model': {...}}                               ViClip-InternVid-10M-FLT.pth
    {'model': {...}, 'optimizer', 'config', ...}   a whole training checkpoint, ViCLIP-L_InternVid-FLT-10M.pth
    {'module': {...}}                              DeepSpeed
    {...}                                          flat; any name may carry the prefix "module." of a wrapped model

A pickle is only ever read by torch's weights-only unpickler, which runs nothing from the file.
"""

from __future__ import annotations

import pickle
import warnings
import zipfile
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from vidsearch.encoders._safetensors import open_safetensors
from vidsearch.errors import CheckpointError, InputNotFoundError
from vidsearch.extras import require

Array = npt.NDArray[Any]

SAFE_SUFFIX = ".safetensors"
PICKLE_SUFFIXES = (".pth", ".pt", ".bin")
SUFFIXES = (SAFE_SUFFIX, *PICKLE_SUFFIXES)
SAFE_TORCH = (2, 10)  # before it, weights_only was broken: CVE-2025-32434, CVE-2026-24747

# A training checkpoint's configuration names these classes; it is read as plain dictionaries and thrown away.
CONFIG_CLASSES = [(OrderedDict, "utils.easydict.EasyDict"), (OrderedDict, "easydict.EasyDict")]


def read_tensors(path: Path) -> tuple[dict[str, Array], Mapping[str, str]]:
    """Return (tensors by name, metadata), as float16 or float32, memory-mapped where the container allows."""
    if not path.is_file():
        raise InputNotFoundError(f"no such checkpoint: {path}")
    tensors: Mapping[str, Any]
    metadata: Mapping[str, str] = {}
    if path.suffix == SAFE_SUFFIX:
        file = open_safetensors(path)
        tensors, metadata = {name: file.array(name) for name in file.tensors}, file.metadata
    elif path.suffix in PICKLE_SUFFIXES:
        tensors = _unwrap(path, _load_pickle(path))
    else:
        raise CheckpointError(f"{path} is not a checkpoint; known endings are {', '.join(SUFFIXES)}")
    return {name.removeprefix("module."): as_array(tensor) for name, tensor in tensors.items()}, metadata


def as_array(tensor: Any) -> Array:
    """Return the values of a NumPy array or torch tensor: float16 and float32 without a copy, all else as float32."""
    if not isinstance(tensor, np.ndarray | np.generic):
        tensor = tensor.detach().cpu()
        tensor = (tensor if tensor.dtype.itemsize == 4 or str(tensor.dtype) == "torch.float16" else tensor.float()).numpy()
    array = np.asarray(tensor)
    return array if array.dtype in (np.float16, np.float32) else array.astype(np.float32)


def _load_pickle(path: Path) -> Any:
    torch = require("torch")
    if tuple(int(part) for part in torch.__version__.split(".")[:2]) < SAFE_TORCH:
        raise CheckpointError(f"torch {torch.__version__} cannot read the pickle {path.name} safely; install torch 2.10 or newer")
    try:
        with torch.serialization.safe_globals(CONFIG_CLASSES), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about how odd the file is; whether it is usable is decided here
            return torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except (pickle.UnpicklingError, RuntimeError, EOFError, OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{path} is not a checkpoint that can be read without running code from it: {_first_line(error)}") from error


def _first_line(error: Exception) -> str:
    """Return what was found, without torch's advice to load unsafely."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    telling = [line for line in lines if line.startswith(("WeightsUnpickler error", "Unsupported", "Trying to"))]
    return (telling or lines or [type(error).__name__])[0][:160]


def _unwrap(path: Path, content: Any) -> dict[str, Any]:
    for key in ("model", "module"):
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
    if not isinstance(content, Mapping) or not content:
        raise CheckpointError(f"{path} holds no weights: its content is {type(content).__name__}")
    strange = [str(name) for name, value in content.items() if not (isinstance(name, str) and _is_plain_tensor(value))]
    if strange:
        raise CheckpointError(f"{path} holds what is no tensor: {', '.join(strange[:5])}")
    return dict(content)


def _is_plain_tensor(value: Any) -> bool:
    return str(getattr(value, "layout", "")) == "torch.strided" and not value.is_quantized

"""Segments searched through faiss-gpu on the first CUDA device, where there is one; the kernels on the CPU otherwise, which is said once.

The GPU is given the same lists and codes (`index.faiss`), in the interleaved layout that takes 4-bit codes. It takes no bitmap: what is
filtered stays on the CPU.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

MAX_K = 2048  # faiss-gpu's limit for results and for lists probed

log = logging.getLogger(__name__)
_lock = threading.Lock()  # a GPU index answers one caller at a time

Found = tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]


@cache
def resources() -> Any | None:
    """Return the device's memory and streams, made once; None where there is no device or no FAISS for it."""
    if not _device_is_there():
        return None
    import faiss

    library: Any = faiss
    if not hasattr(library, "StandardGpuResources") or library.get_num_gpus() == 0:
        log.warning("a CUDA device is there, but this FAISS does not use it; install faiss-gpu to search on it")
        return None
    return library.StandardGpuResources()


def _device_is_there() -> bool:
    """Whether the driver is loaded: asked before FAISS, which takes a third of a second to import."""
    from pathlib import Path

    return Path("/dev/nvidia0").exists()


def copy_to_device(make_index: Callable[[], Any]) -> Any | None:
    """Return a GPU copy of the IndexIVFPQ that a function makes; None where there is no device or it has no room."""
    held = resources()
    if held is None:
        return None
    import faiss

    library: Any = faiss
    config = library.GpuIndexIVFPQConfig()
    config.interleavedLayout = True
    try:
        return library.GpuIndexIVFPQ(held, make_index(), config)
    except RuntimeError as error:
        _complain(str(error).partition("\n")[0])
        return None


def search(index: Any, queries: npt.NDArray[np.float32], depth: int, nprobe: int) -> Found | None:
    """Return scores and rows (q, depth) of projected queries, -1 where there are fewer; None where the device cannot."""
    if max(depth, nprobe) > MAX_K:
        return None
    import faiss

    library: Any = faiss
    try:
        with _lock:
            scores, rows = index.search(np.ascontiguousarray(queries), depth, params=library.SearchParametersIVF(nprobe=nprobe))
    except RuntimeError as error:
        _complain(str(error).partition("\n")[0])
        return None
    return scores, rows


@cache
def _complain(reason: str) -> None:
    log.warning("FAISS falls back to the CPU: %s", reason)

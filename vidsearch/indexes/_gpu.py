"""FAISS on the first CUDA device, where there is one; the CPU otherwise, which is said once."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any, TypeVar

import faiss

MAX_K = 2048  # faiss-gpu's limit for results and for lists probed
WIDE_CODES = 48  # bytes; beyond, float32 look-up tables exceed a block's 48 KiB of shared memory

log = logging.getLogger(__name__)
Result = TypeVar("Result")


@cache
def resources() -> Any | None:
    """Return the device's memory and streams, made once; None where there is no device."""
    if faiss.get_num_gpus() == 0:
        log.info("FAISS sees no CUDA device and runs on the CPU")
        return None
    return faiss.StandardGpuResources()


def attempt(work: Callable[[Any], Result]) -> Result | None:
    """Return what `work(resources)` does on the GPU; None where there is none or it fails, for the caller to use the CPU."""
    held = resources()
    if held is None:
        return None
    try:
        return work(held)
    except RuntimeError as error:
        _complain(str(error).partition("\n")[0])
        return None


@cache
def _complain(reason: str) -> None:
    log.warning("FAISS falls back to the CPU: %s", reason)


def copy_to(held: Any, index: Any) -> Any:
    """Return a GPU copy of an IndexIVFPQ, trained or with rows."""
    config = faiss.GpuIndexIVFPQConfig()
    config.useFloat16LookupTables = index.pq.M > WIDE_CODES
    return faiss.GpuIndexIVFPQ(held, index, config)


@contextmanager
def clustering(held: Any, index: Any) -> Iterator[None]:
    """Let an IndexIVFPQ do the k-means of its lists and of its codes on the GPU while it trains."""
    lists = faiss.GpuIndexFlatIP(held, index.d)
    codes = faiss.GpuIndexFlatL2(held, index.pq.dsub)
    index.clustering_index, index.pq.assign_index = lists, codes
    try:
        yield
    finally:
        index.clustering_index = index.pq.assign_index = None  # they end with this block, and the index must not point at them

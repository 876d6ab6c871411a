"""Keep NumPy's matrix products on one thread for a moment.

A sentence is small work. OpenBLAS shares it out even so, and its threads spin while they wait for each other: on a busy machine that made
a query of an L-sized text tower 20 times slower.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

# OpenBLAS's functions as NumPy's own wheels and other builds name them.
NAMES = ("scipy_openblas_{}_num_threads64_", "scipy_openblas_{}_num_threads", "openblas_{}_num_threads64_", "openblas_{}_num_threads")


@contextmanager
def one_thread() -> Iterator[None]:
    """Hold the OpenBLAS that came with NumPy to one thread; without one of those, change nothing."""
    controls = _find_controls()
    if controls is None:
        yield
        return
    get_threads, set_threads = controls
    before = get_threads()
    set_threads(1)
    try:
        yield
    finally:
        set_threads(before)


def hold_one_thread() -> None:
    """Hold it there for good, for a process that computes in several threads at once: none changes the number under another."""
    controls = _find_controls()
    if controls is not None:
        controls[1](1)


@lru_cache(maxsize=1)
def _find_controls() -> tuple[Any, Any] | None:
    package = Path(np.__file__).parent
    for library in (*package.with_name("numpy.libs").glob("*openblas*"), *(package / ".dylibs").glob("*openblas*")):
        loaded = ctypes.CDLL(str(library))  # NumPy has it loaded: this is the same one
        for name in NAMES:
            if hasattr(loaded, name.format("set")):
                return getattr(loaded, name.format("get")), getattr(loaded, name.format("set"))
    return None

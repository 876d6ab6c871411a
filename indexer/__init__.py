"""Videos, or vectors made elsewhere, to index: `from indexer import build, build_from_vectors`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from indexer.pipeline import build as build
    from indexer.summary import Summary as Summary
    from indexer.vectors import build_from_vectors as build_from_vectors

_HOMES = {"Summary": "indexer.summary", "build": "indexer.pipeline", "build_from_vectors": "indexer.vectors"}
__all__ = ["Summary", "build", "build_from_vectors"]


def __getattr__(name: str) -> Any:
    """Import what is asked for when it is first used, so that decode workers, which import this package, stay light."""
    if name not in _HOMES:
        raise AttributeError(f"module 'indexer' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)

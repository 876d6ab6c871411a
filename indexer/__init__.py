"""Videos to index: `from indexer import build`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from indexer.pipeline import build as build
    from indexer.summary import Summary as Summary

__all__ = ["Summary", "build"]


def __getattr__(name: str) -> Any:
    """Import the pipeline when it is first used, so that decode workers, which import this package, stay light."""
    if name not in __all__:
        raise AttributeError(f"module 'indexer' has no attribute {name!r}")
    from indexer import pipeline

    return getattr(pipeline, name)

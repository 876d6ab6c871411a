"""Search large video data sets in plain sentences.

import vidsearch

index = vidsearch.open_index("shards")
for hit in index.search("a dog surfing", k=5, where="aesthetic > 5"):
    print(hit.score, hit.video, hit.start_s, hit.caption)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vidsearch._version import __version__
from vidsearch.errors import VidsearchError

if TYPE_CHECKING:
    from vidsearch.client.remote import connect as connect
    from vidsearch.client.remote import connect_async as connect_async
    from vidsearch.encoders import load_encoder as load_encoder
    from vidsearch.engine import Index as Index
    from vidsearch.engine import open_index as open_index
    from vidsearch.results import Hit as Hit
    from vidsearch.results import Hits as Hits

__all__ = ["Hit", "Hits", "Index", "VidsearchError", "__version__", "connect", "connect_async", "load_encoder", "open_index"]

_HOMES = {
    "Hit": "vidsearch.results",
    "Hits": "vidsearch.results",
    "Index": "vidsearch.engine",
    "connect": "vidsearch.client.remote",
    "connect_async": "vidsearch.client.remote",
    "load_encoder": "vidsearch.encoders",
    "open_index": "vidsearch.engine",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used, so that `import vidsearch` and decode workers stay light."""
    if name not in _HOMES:
        raise AttributeError(f"module 'vidsearch' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)

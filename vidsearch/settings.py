"""The one place that reads the environment."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

HUB_ENDPOINT = "https://huggingface.co"


@dataclass(frozen=True)
class Settings:
    """What the environment says.

    Attributes:
        models: folder of the weights; need not exist.
        index: the index asked when none is named, or None.
        hub_endpoint: address of the Hugging Face hub or a mirror of it, without a slash at the end.
        hub_offline: never ask the hub.
        cache: folder of what can be made again: cuts of videos, measured clips; need not exist.
        token: what a service wants to be told by its clients, or None.
        store_token: the same for a vector store that clips are exported to.
    """

    models: Path
    index: Path | None = None
    hub_endpoint: str = HUB_ENDPOINT
    hub_offline: bool = False
    cache: Path = field(default_factory=lambda: _folder("", "."))
    token: str | None = field(default=None, repr=False)
    store_token: str | None = field(default=None, repr=False)


def read_settings(environ: Mapping[str, str] | None = None) -> Settings:
    """Read VIDSEARCH_MODELS, _CACHE, _INDEX, _TOKEN and _STORE_TOKEN, HF_ENDPOINT and HF_HUB_OFFLINE; an empty variable counts as unset."""
    environ = os.environ if environ is None else environ
    index = environ.get("VIDSEARCH_INDEX")
    return Settings(
        models=_folder(environ.get("VIDSEARCH_MODELS", ""), "models"),
        cache=_folder(environ.get("VIDSEARCH_CACHE", ""), "."),
        index=Path(index).expanduser() if index else None,
        token=environ.get("VIDSEARCH_TOKEN") or None,
        store_token=environ.get("VIDSEARCH_STORE_TOKEN") or None,
        hub_endpoint=(environ.get("HF_ENDPOINT") or HUB_ENDPOINT).rstrip("/"),
        hub_offline=environ.get("HF_HUB_OFFLINE", "").strip().lower() in ("1", "true", "yes", "on"),
    )


def _folder(named: str, default: str) -> Path:
    if named:
        return Path(named).expanduser()
    from platformdirs import user_cache_path

    return user_cache_path("vidsearch", appauthor=False) / default

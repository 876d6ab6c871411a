"""Plug-ins: the file name is the plug-in's name, and the folder is the list."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from types import ModuleType

from vidsearch.errors import UsageError


def names(package: str) -> tuple[str, ...]:
    """Return the plug-ins of a package such as "vidsearch.decoders", sorted: its files but for base.py and _private ones."""
    folder = Path(str(import_module(package).__file__)).parent
    return tuple(sorted(p.stem for p in folder.glob("*.py") if p.stem != "base" and not p.stem.startswith("_")))


def plugin(package: str, name: str) -> ModuleType:
    """Import one plug-in; an unknown name raises UsageError with the known ones."""
    known = names(package)
    if name not in known:
        kind = package.rpartition(".")[2].removesuffix("s")
        raise UsageError(f"unknown {kind} {name!r}; choose from {', '.join(known)}")
    return import_module(f"{package}.{name}")

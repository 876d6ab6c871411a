"""Mutants of the protocol: each lacks one sync, link, seal, hash or check. A campaign that lets one live proves nothing.

A mutant is a name, what it breaks, and the campaign that must notice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

from reliability import crashes, rivals

from vidsearch.storage import files, tombstones

Campaign = Callable[[], list[str]]  # returns violations, the first at least


@dataclass(frozen=True)
class Mutant:
    """A change to one function, and who must notice it."""

    target: Any
    attribute: str
    broken: Any
    campaign: Campaign

    @contextmanager
    def at_large(self) -> Iterator[None]:
        with patch.object(self.target, self.attribute, self.broken):
            yield

    def hunt(self) -> list[str]:
        """Return what the campaign finds while the mutant is at large; nothing where it lives on."""
        with self.at_large():
            return self.campaign()


def crash_in(*names: str, states: int = 4000) -> Campaign:
    return lambda: crashes.campaign(names, states=states, seed=0, stop_after=1).violations


def race_of(*pairs: tuple[str, str]) -> Campaign:
    return lambda: rivals.campaign(pairs, stop_after=1).violations


_sync_folder, _put, _tombstone = files.sync_folder, files.put, tombstones.files.write


def unsynced(skip: Callable[[Path], bool]) -> Callable[[Path], None]:
    return lambda path: None if skip(path) else _sync_folder(path)


def _overwrite(temporary: Path, path: Path, data: bytes) -> bool:
    files.os.rename(temporary, path)
    return True

"""Paths that rows name, checked against the folder of the videos."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path

from vidsearch.archives.members import READERS, is_member

FOLDERS_KEPT = 65_536
INSIDE = re.compile(rf"(?:{'|'.join(map(re.escape, READERS))})/", re.IGNORECASE)  # a path that may lead through an archive


class Paths:
    """Where paths lead, relative to a folder; the folders that they name are looked up once."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()
        self._folders: dict[str, str | None] = {}  # as named: resolved, relative to ours and with a slash; None leads out of it

    def place(self, path: str) -> tuple[str, bool] | None:
        """Return the file relative to the folder and whether it is there; None for a path out of the folder, or a URL."""
        parent, _, name = path.rpartition("/")
        if not path or "://" in path or "\0" in path:
            return None
        if name in ("", ".", "..") or path.startswith("/"):
            return self._resolved(path)
        try:
            folder = self._folders[parent]
        except KeyError:
            folder = self._look_up(parent)
        if folder is None:
            return None
        video = folder + name
        try:
            mode = os.lstat(f"{self.folder}/{video}").st_mode
        except OSError:
            return video, INSIDE.search(video) is not None and is_member(self.folder / video)
        return self._resolved(path) if stat.S_ISLNK(mode) else (video, True)

    def _look_up(self, parent: str) -> str | None:
        if len(self._folders) >= FOLDERS_KEPT:
            self._folders.clear()
        place = self._resolved(parent)
        folder = None if place is None else f"{place[0]}/".removeprefix("./")
        self._folders[parent] = folder
        return folder

    def _resolved(self, path: str) -> tuple[str, bool] | None:
        try:
            resolved = (self.folder / path).resolve()
            if not resolved.is_relative_to(self.folder):
                return None
            return str(resolved.relative_to(self.folder)), resolved.exists()
        except (OSError, RuntimeError):  # a name too long, or links in a circle
            return path, False

"""A video and an address that nobody may touch, and the evidence of who did: the kernel's own, not the suspect's."""

from __future__ import annotations

import ctypes
import os
import socket
from contextlib import suppress
from pathlib import Path

from tests.support import videos

_IN_ACCESS, _IN_OPEN = 0x1, 0x20


class Canary:
    """Files watched with inotify, where there is one, and a port that counts who calls; a context manager.

    Attributes:
        folder: holds `target.mp4` and `target.ts`, good videos.
        url: an address on this machine.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        videos.write_video(folder / "target.mp4", frames=10)
        videos.write_video(folder / "target.ts", frames=10)
        self._port = socket.create_server(("127.0.0.1", 0))
        self._port.setblocking(False)
        self.url = f"http://127.0.0.1:{self._port.getsockname()[1]}/target.mp4"
        libc = ctypes.CDLL(None)
        self._watch = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC) if hasattr(libc, "inotify_init1") else -1
        for name in ("target.mp4", "target.ts") if self._watch >= 0 else ():
            libc.inotify_add_watch(self._watch, os.fsencode(folder / name), _IN_OPEN | _IN_ACCESS)

    def __enter__(self) -> Canary:
        return self

    def __exit__(self, *_: object) -> None:
        self._port.close()
        if self._watch >= 0:
            os.close(self._watch)

    def touched(self) -> bool:
        """Whether a file was opened, or the port called, since this was last asked."""
        touched = False
        with suppress(BlockingIOError):
            self._port.accept()[0].close()
            touched = True
        if self._watch >= 0:
            with suppress(BlockingIOError):
                touched = bool(os.read(self._watch, 1 << 16)) or touched
        return touched

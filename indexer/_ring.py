"""The memory that decode processes and their parent share: pixels in slots, and a count of what each worker has put there."""

from __future__ import annotations

import mmap
import os
import tempfile
from contextlib import suppress

import numpy as np

from vidsearch.config import Preset
from vidsearch.errors import VidsearchError

_PAGE = 4096  # bytes


class Ring:
    """One file in memory, mapped by all; it has no name any more, so nothing is left of it whoever dies.

    Attributes:
        pixels: (slots, frames, size, size, 3) uint8; a share of the slots is each worker's.
        delivered: (workers,) int64, the clips that each worker has filled a slot with in its life. For show: nothing depends on it.
    """

    def __init__(self, file: int, *, workers: int, shape: tuple[int, ...]) -> None:
        self.file = file
        self._map = mmap.mmap(file, 0)
        self.delivered = np.frombuffer(self._map, dtype=np.int64, count=workers)
        self.pixels = np.frombuffer(self._map, dtype=np.uint8, offset=_counts_bytes(workers)).reshape(-1, *shape)

    @classmethod
    def make(cls, slots: int, *, workers: int, shape: tuple[int, ...]) -> Ring:
        """Return a new one.

        Raises:
            VidsearchError: there is no room for it.
        """
        return cls(_unnamed_file(_counts_bytes(workers) + slots * int(np.prod(shape))), workers=workers, shape=shape)

    def close(self) -> None:
        del self.pixels, self.delivered
        with suppress(BufferError):  # the caller still holds a clip: the map goes when that does
            self._map.close()
        os.close(self.file)


def slot_shape(preset: Preset) -> tuple[int, int, int, int]:
    """Return the shape of the uint8 pixels of one clip: (frames, size, size, 3)."""
    return preset.frames, preset.size, preset.size, 3


def _counts_bytes(workers: int) -> int:
    return -(-workers * 8 // _PAGE) * _PAGE


def _unnamed_file(size_bytes: int) -> int:
    """Return a file of a size whose space is really there, in memory if it fits: writing to a map beyond that would kill the writer."""
    for folder in ("/dev/shm", None):
        with suppress(OSError), tempfile.TemporaryFile(dir=folder, buffering=0) as file:
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(file.fileno(), 0, size_bytes)
            else:
                file.truncate(size_bytes)
            return os.dup(file.fileno())
    raise VidsearchError(f"no {size_bytes / 1e6:.0f} MB free for decoded clips, neither in /dev/shm nor in {tempfile.gettempdir()}")

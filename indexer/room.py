"""Room on the disk: a build stops while what it has can still be written."""

from __future__ import annotations

import errno
import shutil
from pathlib import Path

FLOOR_BYTES = 256 << 20  # always left free, or a hundredth of the disk if that is more
SAFETY = 2  # times what is about to be written: it is folded into larger segments later


def ensure_room(folder: Path, wanted_bytes: int = 0) -> None:
    """Raise OSError (ENOSPC) when writing that many bytes would leave the disk of a folder nearly full; it need not exist yet."""
    there = next(parent for parent in (folder, *folder.resolve().parents) if parent.exists())
    disk = shutil.disk_usage(there)
    needed = SAFETY * wanted_bytes + max(FLOOR_BYTES, disk.total // 100)
    if disk.free < needed:
        raise OSError(
            errno.ENOSPC,
            f"disk nearly full, {disk.free / 1e9:,.1f} GB free and {needed / 1e9:,.1f} GB wanted; make room and go on",
            str(folder),
        )

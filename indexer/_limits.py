"""What a decode process may not do, whatever a stranger's video makes of it. Linux knows all of it, other systems a part."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import time
from contextlib import suppress

MEMORY_BYTES = 4 << 30  # of address space
_LIMITS = {"RLIMIT_AS": MEMORY_BYTES, "RLIMIT_CORE": 0, "RLIMIT_FSIZE": 0, "RLIMIT_NOFILE": 64}
_PR_SET_PDEATHSIG, _PR_SET_NO_NEW_PRIVS = 1, 38  # linux/prctl.h


def confine(parent: int) -> None:
    """Bound this process's memory, files and rights for good, and have it killed when `parent`, a process id, ends."""
    for name, value in _LIMITS.items():
        _set_limit(name, value, value)
    if sys.platform == "linux":
        with suppress(AttributeError, OSError):
            libc = ctypes.CDLL(None)
            libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
            libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
            if os.getppid() != parent:  # it has ended already
                os._exit(0)


def allow_processor_time(seconds: float) -> None:
    """Let this process use so many more seconds of processor time; the system kills it with SIGXCPU after that."""
    _set_limit("RLIMIT_CPU", int(time.process_time() + seconds) + 1, None)


def _set_limit(name: str, soft: int, hard: int | None) -> None:
    with suppress(ImportError, AttributeError, ValueError, OSError):  # unknown here, or already lower
        import resource

        kind = getattr(resource, name)
        resource.setrlimit(kind, (soft, resource.getrlimit(kind)[1] if hard is None else hard))

"""The process that reads videos for the page: `python -m vidsearch.playback._video_child SOCKET`, started by `_video_processes`.

It talks over an inherited socket in lines of JSON:

    out   {"ready": true}
    in    {"do": "poster", "seconds": 10, …}       what `poster`, `probe` or `cut` takes
    out   {…} or {"reason": "OPEN_FAILED", "detail": "…"}

A video may hang or kill this process, so nothing here may be needed by another; end of file on the socket ends it, whatever it is doing.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue
from typing import Any

from vidsearch.errors import DecodeError, VidsearchError
from vidsearch.playback._cutting import cut
from vidsearch.playback._picturing import poster
from vidsearch.playback._probing import probe

MEMORY_BYTES = 3 << 30  # of address space: frames of 8192 x 8192 pixels, several at a time
LARGEST_FILE_BYTES = 256 << 20  # of a cut
_LIMITS = {"RLIMIT_AS": MEMORY_BYTES, "RLIMIT_CORE": 0, "RLIMIT_FSIZE": LARGEST_FILE_BYTES, "RLIMIT_NOFILE": 64}
_PR_SET_NO_NEW_PRIVS = 38  # linux/prctl.h

JOBS: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {"poster": poster, "probe": probe, "cut": cut}


def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # a cut that grows too large fails as a write does
    connection = socket.socket(fileno=int(sys.argv[1]))
    _confine()
    jobs: SimpleQueue[dict[str, Any]] = SimpleQueue()
    threading.Thread(target=_listen, args=(connection, jobs), daemon=True).start()
    _send(connection, {"ready": True})
    while True:
        _send(connection, _done(jobs.get()))


def _listen(connection: socket.socket, jobs: SimpleQueue[dict[str, Any]]) -> None:
    with suppress(OSError), connection.makefile("rb") as lines:
        for line in lines:
            jobs.put(json.loads(line))
    os._exit(0)  # the parent is gone, even in the middle of native code


def _done(job: dict[str, Any]) -> dict[str, Any]:
    _limit("RLIMIT_CPU", int(time.process_time() + 2 * job["seconds"]) + 1, resource.RLIM_INFINITY)  # two threads may work
    try:
        return JOBS[job["do"]](job)
    except DecodeError as error:
        return {"reason": error.reason, "detail": error.detail[:500]}
    except MemoryError:
        return {"reason": "DECODER_OOM", "detail": f"more than {MEMORY_BYTES >> 30} GiB were needed"}
    except (VidsearchError, Exception) as error:  # whatever one video makes of a decoder, the others are to be shown
        return {"reason": "DECODE_ERROR", "detail": f"{type(error).__name__}: {error}"[:500]}


def _confine() -> None:
    """Bound this process's memory, files and rights for good."""
    for name, value in _LIMITS.items():
        _limit(name, value, value)
    if sys.platform == "linux":
        with suppress(AttributeError, OSError):
            ctypes.CDLL(None).prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)


def _limit(name: str, soft: int, hard: int) -> None:
    with suppress(AttributeError, ValueError, OSError):  # unknown here, or already lower
        resource.setrlimit(getattr(resource, name), (soft, hard))


def _send(connection: socket.socket, value: dict[str, Any]) -> None:
    connection.sendall(json.dumps(value).encode() + b"\n")


if __name__ == "__main__":
    main()

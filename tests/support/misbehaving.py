"""A decoder that does what bad videos make of real ones. What it does stands in the name of the file it is given."""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from vidsearch.decoders.base import DecodedClip, Decoder, Frame, Span, nothing
from vidsearch.errors import DecodeError

HEAVY = {"torch", "pyarrow", "faiss", "typer", "rich", "gradio", "ray", "pandas", "open_clip"}


def open_decoder() -> Decoder:
    return MisbehavingDecoder()


class MisbehavingDecoder(Decoder):
    """Gives a clip that starts at n seconds four frames whose every byte is n; the name of the file says what else happens, at 2 s."""

    name = "misbehaving"

    def read_clips(
        self,
        path: Path,
        spans: Sequence[Span],
        *,
        choose: Callable[[int], Sequence[int]],
        transform: Callable[[Frame], Frame],
        alive: Callable[[], None] = nothing,
    ) -> Iterator[DecodedClip]:
        conduct = path.stem.partition("-")[0]
        for index, span in enumerate(spans):
            if span.start_s == 2:
                DEEDS.get(conduct, lambda path: None)(path)
            if conduct == "silent":
                return
            frame = np.full((16, 16, 3), int(span.start_s), dtype=np.uint8)
            yield DecodedClip(index, np.stack([transform(frame)] * 4), (0.0, 0.1, 0.2, 0.3), span.start_s + 1)


def _hang(path: Path) -> None:
    """Sleep in native code with the interpreter's lock held, as decord does: no signal handler and no other thread can run."""
    libc = ctypes.PyDLL(None)
    while True:
        libc.pause()


def _sleep(path: Path) -> None:
    threading.Event().wait()


def _crash(path: Path) -> None:
    os.kill(os.getpid(), signal.SIGSEGV)


def _crash_once(path: Path) -> None:
    marker = path.with_suffix(".crashed")
    if not marker.exists():
        os.mknod(marker)  # a worker may write nothing, but an empty file is no bytes
        _crash(path)


def _leave(path: Path) -> None:
    os._exit(0)


def _eat(path: Path) -> None:
    eaten = []
    while True:
        eaten.append(np.zeros(1 << 28, dtype=np.uint8))


def _babble(path: Path) -> None:
    os.write(json.loads(sys.argv[1])["socket"], b"\xff\x00 this is not JSON\n")


def _lie(path: Path) -> None:
    os.write(json.loads(sys.argv[1])["socket"], b'{"clip": 0, "slot": 100000, "times_s": [], "end_s": 0}\n')


def _flood(path: Path) -> None:
    while True:
        os.write(json.loads(sys.argv[1])["socket"], b"x" * 65536)


def _raise(path: Path) -> None:
    raise ZeroDivisionError("a bug\nin two lines")


def _write(path: Path) -> None:
    with path.with_suffix(".written").open("wb") as file:
        file.write(b"x")


def _report_process(path: Path) -> None:
    raise DecodeError("REPORT", str(os.getpid()))


def _report_modules(path: Path) -> None:
    import vidsearch.decoders.pyav

    assert vidsearch.decoders.pyav
    raise DecodeError("REPORT", " ".join(sorted(HEAVY & sys.modules.keys())) + f" of {len(sys.modules)}")


DEEDS: dict[str, Callable[[Path], None]] = {
    "hang": _hang,
    "sleep": _sleep,
    "crash": _crash,
    "crashonce": _crash_once,
    "leave": _leave,
    "eat": _eat,
    "babble": _babble,
    "lie": _lie,
    "flood": _flood,
    "raise": _raise,
    "write": _write,
    "process": _report_process,
    "modules": _report_modules,
}

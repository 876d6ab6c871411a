"""A decoder that does what bad videos make of real ones. What it does, and when, stands in the name of the file it is given."""

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

from vidsearch.decoders.base import DecodedClip, Decoder, Frame, Length, Span, nothing
from vidsearch.errors import DecodeError

HEAVY = {"torch", "pyarrow", "faiss", "typer", "rich", "gradio", "ray", "pandas", "open_clip"}


def open_decoder() -> Decoder:
    return MisbehavingDecoder()


class MisbehavingDecoder(Decoder):
    """Videos of four seconds. A clip that starts at n seconds has four frames whose every byte is n.

    A file's name begins with what else happens: when the clip at 2 s is decoded, or if it ends in "-survey", when its length is asked.
    """

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
        conduct, _, when = path.stem.partition("-")
        for index, span in enumerate(spans):
            if span.start_s == 2 and when != "survey":
                _misbehave(conduct, path, alive)
            if conduct == "silent":
                return
            frame = np.full((16, 16, 3), int(span.start_s), dtype=np.uint8)
            yield DecodedClip(index, np.stack([transform(frame)] * 4), (0.0, 0.1, 0.2, 0.3), span.start_s + 1)

    def read_length(self, path: Path, *, alive: Callable[[], None] = nothing) -> Length:
        conduct, _, when = path.stem.partition("-")
        if when == "survey":
            _misbehave(conduct, path, alive)
        return Length(4.0, 4.0)


def _misbehave(conduct: str, path: Path, alive: Callable[[], None]) -> None:
    while conduct == "spin":  # with signs of life for ever
        alive()
    DEEDS.get(conduct, lambda path: None)(path)


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


def _die(path: Path) -> None:
    os.kill(os.getpid(), signal.SIGKILL)  # as Linux does when memory runs out


def _leave(path: Path) -> None:
    os._exit(0)


def _eat(path: Path) -> None:
    eaten = []
    while True:
        eaten.append(np.zeros(1 << 28, dtype=np.uint8))


def _say(text: bytes) -> None:
    os.write(json.loads(sys.argv[1])["socket"], text)


def _babble(path: Path) -> None:
    _say(b"\xff\x00 this is not JSON\n")


def _lie(path: Path) -> None:
    _say(b'{"clip": 0, "slot": 100000, "times_s": [], "end_s": 0}\n')


def _boast(path: Path) -> None:
    """Tell of clips that lie before each other."""
    _say(b'{"spans": [[2, 3], [0, 1]]}\n')


def _flood(path: Path) -> None:
    while True:
        _say(b"x" * 65536)


def _chatter(path: Path) -> None:
    while True:
        _say(b'{"alive": true}\n' * 1000)


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
    "die": _die,
    "leave": _leave,
    "eat": _eat,
    "babble": _babble,
    "lie": _lie,
    "boast": _boast,
    "chatter": _chatter,
    "flood": _flood,
    "raise": _raise,
    "write": _write,
    "process": _report_process,
    "modules": _report_modules,
}

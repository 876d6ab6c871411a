"""The decode process: `python -m indexer.decode_worker SETTINGS`, started by `indexer.workers`. It imports a decoder and NumPy, no more.

It talks over a socket in lines of JSON, and puts pixels into slots of a file that both sides have mapped:

    in    {"job": 7, "path": "a.mp4", "seconds": 90.0, "spans": [[0, 0.0, 10.0]]}     a video; each span with its number
          {"job": 8, "path": "b.mp4", "seconds": 90.0, "split": "scenes"}             a video to cut first
          {"want": [0, 2], "seconds": 92.0}                                           of the spans that were found
          {"free": 3}                                                                 the parent is done with a slot
    out   {"ready": true} or {"fatal": "av cannot be imported …"}
          {"spans": [[0.0, 7.5], [7.5, 12.0]]}                       what a video was cut into; waits for "want"
          {"clip": 0, "slot": 3, "times_s": [0.6, …], "end_s": 10.0}
          {"clip": 0, "reason": "SHORT_DECODE", "detail": "…"}
          {"alive": true}                                            once a second while a long video makes progress
          {"done": 7, "reason": "", "detail": "", "decode_s": 0.4}   after all its clips

A video may hang or kill this process, so nothing here may be needed by another; end of file on the socket ends it, whatever it is doing.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import threading
import time
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from queue import LifoQueue, SimpleQueue
from typing import Any

from indexer import shots
from indexer._limits import MEMORY_BYTES, allow_processor_time, confine
from indexer._lines import Lines
from indexer._ring import Ring, slot_shape
from vidsearch.config import Preset
from vidsearch.decoders.base import DecodedClip, Decoder, Span
from vidsearch.errors import DecodeError, MissingExtraError, UsageError, VidsearchError
from vidsearch.extras import EXTRA_OF
from vidsearch.registry import plugin
from vidsearch.resize import resize_frames
from vidsearch.sampling import choose_frames

ALIVE_EVERY_S = 1.0


def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which then closes the socket
    settings = json.loads(sys.argv[1])
    lines = Lines(socket.socket(fileno=settings["socket"]), longest=1 << 28)
    try:
        worker = Worker(lines, settings)
    except (VidsearchError, ImportError) as error:
        lines.send({"fatal": _fatal(settings["decoder"], error), "missing": isinstance(error, ImportError)})
        return
    lines.send({"ready": True})
    worker.run()


class Worker:
    """Takes jobs off the socket, one after the other."""

    def __init__(self, lines: Lines, settings: dict[str, Any]) -> None:
        self._lines = lines
        self._preset = Preset.from_json(settings["preset"])
        self._decoder = load_decoder(settings["decoder"])
        self._ring = Ring(settings["ring"], workers=settings["workers"], shape=slot_shape(self._preset))
        self._number = settings["number"]
        self._free: LifoQueue[int] = LifoQueue()  # the last one used is still in the processor's cache
        for slot in settings["slots"]:
            self._free.put(slot)
        self._jobs: SimpleQueue[dict[str, Any]] = SimpleQueue()
        self._answers: SimpleQueue[dict[str, Any]] = SimpleQueue()
        self._alive_at = 0.0
        confine(settings["parent"])

    def run(self) -> None:
        threading.Thread(target=self._listen, daemon=True).start()
        while True:
            self._work(self._jobs.get())

    def _listen(self) -> None:
        """Sort what arrives; when the parent is gone, end the process even in the middle of native code."""
        with suppress(EOFError, OSError):
            while True:
                for message in self._lines.receive():
                    if "free" in message:
                        self._free.put(message["free"])
                    elif "want" in message:
                        self._answers.put(message)
                    else:
                        self._jobs.put(message)
        os._exit(0)

    def _work(self, job: dict[str, Any]) -> None:
        started = time.process_time()
        reason = detail = ""
        allow_processor_time(job["seconds"])
        try:
            self._decode(Path(job["path"]), self._cut(job) if "split" in job else job["spans"])
        except DecodeError as error:
            reason, detail = error.reason, error.detail
        except MemoryError:
            reason, detail = "DECODER_OOM", f"more than {MEMORY_BYTES >> 30} GiB were needed"
        except (UsageError, MissingExtraError) as error:  # no fault of this video's: every other would fail too
            self._lines.send({"fatal": str(error), "missing": isinstance(error, ImportError)})
            return
        except Exception as error:  # whatever one video makes of a decoder, the others are to be decoded
            reason, detail = "DECODE_ERROR", f"{type(error).__name__}: {error}"
        self._lines.send({"done": job["job"], "reason": reason, "detail": clean(detail), "decode_s": time.process_time() - started})

    def _cut(self, job: dict[str, Any]) -> list[tuple[int, float, float | None]]:
        """Find the clips of a video, and return those that the parent wants with their numbers."""
        spans = shots.find_spans(self._decoder, Path(job["path"]), shots.parse_split(job["split"]), self._alive)
        self._lines.send({"spans": spans})
        answer = self._answers.get()
        allow_processor_time(answer["seconds"])
        return [(number, *spans[number]) for number in answer["want"]]

    def _decode(self, path: Path, wanted: list[tuple[int, float, float | None]]) -> None:
        numbers = [number for number, _, _ in wanted]
        missing = set(numbers)
        for clip in self._decoder.read_clips(
            path,
            [Span(start_s, end_s) for _, start_s, end_s in wanted],
            choose=lambda available: choose_frames(available, self._preset),
            transform=lambda frame: resize_frames(frame, self._preset),
            alive=self._alive,
        ):
            missing.remove(numbers[clip.index])
            self._deliver(numbers[clip.index], clip)
        for number in sorted(missing):
            self._lines.send({"clip": number, "reason": "DECODE_ERROR", "detail": "the decoder said nothing about this clip"})

    def _deliver(self, number: int, clip: DecodedClip) -> None:
        if clip.frames is None:
            self._lines.send({"clip": number, "reason": clip.reason, "detail": clean(clip.detail)})
            return
        slot = self._free.get()
        self._ring.pixels[slot] = clip.frames
        self._ring.delivered[self._number] += 1
        self._lines.send({"clip": number, "slot": slot, "times_s": clip.times_s, "end_s": clip.end_s})

    def _alive(self) -> None:
        now = time.monotonic()
        if now - self._alive_at > ALIVE_EVERY_S:
            self._alive_at = now
            self._lines.send({"alive": True})


def load_decoder(name: str) -> Decoder:
    """Return the decoder of a plug-in's name, or of a module's dotted name, which has `open_decoder` too."""
    module = import_module(name) if "." in name else plugin("vidsearch.decoders", name)
    decoder: Decoder = module.open_decoder()
    return decoder


def clean(text: str) -> str:
    """Return text that a terminal can be shown: one line, no control characters, at most 500 of them."""
    return "".join(letter if letter.isprintable() else f"\\x{ord(letter):02x}" for letter in text)[:500]


def _fatal(decoder: str, error: Exception) -> str:
    if isinstance(error, ImportError) and not isinstance(error, MissingExtraError):
        extra = EXTRA_OF.get((error.name or "").partition(".")[0], "index")
        return f"the decoder {decoder!r} cannot be loaded ({error}); install it with: pip install 'vidsearch[{extra}]'"
    return str(error)


if __name__ == "__main__":
    main()

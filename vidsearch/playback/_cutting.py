"""A clip as a file of its own, its packets copied or its frames encoded anew. Runs in `_video_child`."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from fractions import Fraction
from heapq import heappop, heappush
from pathlib import Path
from typing import Any

import av
from av.audio.resampler import AudioResampler

from vidsearch.decoders._timeline import REORDER_LIMIT
from vidsearch.errors import DecodeError
from vidsearch.playback._opening import GRACE_S, MOST_FPS, decoded, open_container, open_video, packets_from_key, streams_of, zero_of

LARGEST = (1280, 720)
LARGEST_LONG = (640, 360)  # of a clip longer than a minute, so that it is done in time
LONG_S = 60.0
QUALITY = {"preset": "veryfast", "crf": "24"}
SOUND_RATE = 48_000
TICKS = 90_000  # a second, of what is encoded
_AHEAD_S = 1.0  # that the packets of sound and picture may lie apart in a file


def cut(job: dict[str, Any]) -> dict[str, Any]:
    """Write a clip as a file that browsers play.

    Args:
        job: {"root", "video": the file below it, "start_s", "end_s": the clip, "way", "form", "audio": of `vidsearch.playback.cuts.Plan`,
            "to": path to write}
    """
    with open_video(Path(job["root"]), job["video"]) as file, open_container(file) as container:
        options = {"movflags": "+faststart"} if job["form"] == "mp4" else {}
        with av.open(job["to"], "w", format=job["form"], container_options=options) as out:
            clip = _Clip(container, out, job)
            (clip.copy if job["way"] == "copy" else clip.encode)()
    return {}


class _Clip:
    """A clip on its way from one container to another."""

    def __init__(self, container: Any, out: Any, job: dict[str, Any]) -> None:
        self.container, self.out, self.sound = container, out, job["audio"]
        self.video, self.audio = streams_of(container)
        if self.sound == "none":
            self.audio = None
        zero = zero_of(container)
        self.start, self.end = job["start_s"] + zero, job["end_s"] + zero  # on the file's own clock, seconds

    def packets(self) -> Iterator[Any]:
        """Yield the packets of both streams from the key frame before the clip on to its end."""
        beyond_s = GRACE_S if self.audio is None else _AHEAD_S
        for packet in packets_from_key([self.video, *([self.audio] if self.audio is not None else [])], self.container, self.start):
            at = packet.dts if packet.dts is not None else packet.pts
            if packet.stream_index == self.video.index and at is not None and at * packet.time_base >= self.end + beyond_s:
                return
            yield packet

    def copy(self) -> None:
        picture = self.out.add_stream_from_template(self.video)
        sound = self._sound_stream()
        first = None
        for packet in self.packets():
            if first is None:
                first = packet.pts * packet.time_base  # the key frame
                self.start = first
            if packet.pts is None or packet.dts is None or not first <= packet.pts * packet.time_base < self.end:
                continue  # what is shown before its key frame cannot be decoded
            if packet.stream_index == self.video.index or self.sound == "copy":
                stream = picture if packet.stream_index == self.video.index else sound
                shift = round(first / packet.time_base)
                packet.pts, packet.dts = packet.pts - shift, packet.dts - shift
                packet.stream = stream
                self.out.mux(packet)
            else:
                self._encode_sound(packet, sound)
        self._finish_sound(sound)

    def encode(self) -> None:
        sound = self._sound_stream()
        picture = None
        held: list[Any] = []  # sound, until both streams are known: the header names them
        for packet, frame in self._frames():
            if packet is not None and picture is None:
                held.append(packet)
            elif packet is not None:
                self._encode_sound(packet, sound)
            elif self.start - GRACE_S <= frame.time < self.end - GRACE_S:
                if picture is None:
                    picture = self._picture_stream(frame)
                    for early in held:
                        self._encode_sound(early, sound)
                self._encode_picture(frame, picture)
        if picture is None:
            raise DecodeError("SPAN_EMPTY", "no frame lies in the clip")
        self.out.mux(picture.encode(None))
        self._finish_sound(sound)

    def _frames(self) -> Iterator[tuple[Any, Any]]:
        """Yield (packet of sound, None) and (None, frame), whose times ascend."""
        order = _Order(REORDER_LIMIT if self.container.format.name == "avi" else 0)
        for packet in self.packets():
            if packet.stream_index == self.video.index:
                for frame in decoded(self.video, packet):
                    yield from ((None, each) for each in order.add(frame))
            else:
                yield packet, None
        for frame in decoded(self.video, None):
            yield from ((None, each) for each in order.add(frame))
        yield from ((None, each) for each in order.rest())

    def _encode_picture(self, frame: Any, stream: Any) -> None:
        small = frame.reformat(stream.width, stream.height, "yuv420p")
        small.pts, small.time_base = max(0, round((frame.time - self.start) * TICKS)), Fraction(1, TICKS)
        small.pict_type = 0
        self.out.mux(stream.encode(small))

    def _picture_stream(self, frame: Any) -> Any:
        rate = (
            self.video.average_rate if self.video.average_rate and self.video.average_rate <= MOST_FPS else 25
        )  # a hint: frames have times
        stream = self.out.add_stream("libx264", rate=rate, options=QUALITY)
        seconds = float(self.end - self.start)
        stream.width, stream.height = fitted(frame.width, frame.height, self.video.sample_aspect_ratio, seconds=seconds)
        stream.pix_fmt = "yuv420p"
        stream.codec_context.time_base = Fraction(1, TICKS)
        stream.codec_context.thread_count = 1
        if frame.rotation:
            stream.set_display_rotation(frame.rotation)
        return stream

    def _sound_stream(self) -> Any:
        if self.audio is None:
            return None
        if self.sound == "copy":
            return self.out.add_stream_from_template(self.audio)
        self._resampler = AudioResampler(format="fltp", layout="stereo", rate=SOUND_RATE)
        self._samples: int | None = None  # written so far, from the start of the clip
        return self.out.add_stream("aac", rate=SOUND_RATE, layout="stereo")

    def _encode_sound(self, packet: Any, stream: Any) -> None:
        for frame in decoded(self.audio, packet):
            if frame.time is None or not self.start <= frame.time < self.end:
                continue
            if self._samples is None:
                self._samples = round((frame.time - self.start) * SOUND_RATE)
            self._write_sound(self._resampler.resample(frame), stream)

    def _write_sound(self, frames: list[Any], stream: Any) -> None:
        for frame in frames:
            frame.pts, frame.time_base = self._samples, Fraction(1, SOUND_RATE)
            self._samples = (self._samples or 0) + frame.samples
            self.out.mux(stream.encode(frame))

    def _finish_sound(self, stream: Any) -> None:
        if stream is None or self.sound == "copy":
            return
        if self._samples is not None:
            self._write_sound(self._resampler.resample(None), stream)
        self.out.mux(stream.encode(None))


class _Order:
    """Gives frames, which come in the order they are shown, their times in ascending order; AVI has the times of decoding on them."""

    def __init__(self, reach: int) -> None:
        self._reach = reach
        self._frames: deque[Any] = deque()
        self._times: list[int] = []

    def add(self, frame: Any) -> Iterator[Any]:
        """Take a frame; yield those whose time is known by now."""
        if frame.pts is None:
            return
        self._frames.append(frame)
        heappush(self._times, frame.pts)
        if len(self._frames) > self._reach:
            yield self._next()

    def rest(self) -> Iterator[Any]:
        while self._frames:
            yield self._next()

    def _next(self) -> Any:
        frame = self._frames.popleft()
        frame.pts = heappop(self._times)
        return frame


def fitted(width: int, height: int, sample_aspect: Fraction | None, *, seconds: float) -> tuple[int, int]:
    """Return the even width and height, in square pixels, at which a picture is encoded: not larger than it is, or than allowed."""
    if sample_aspect and 0.1 < sample_aspect < 10:
        width = round(width * sample_aspect)
    most = LARGEST if seconds <= LONG_S else LARGEST_LONG
    long, short = max(most), min(most)
    share = min(1.0, long / max(width, height), short / min(width, height))
    return _even(width * share), _even(height * share)


def _even(pixels: float) -> int:
    return max(2, 2 * int(pixels / 2 + 1e-6))

"""A clip as a file of its own, its packets copied or its frames encoded anew. Runs in a process of its own, see `ui._video_child`."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import av.error
from av.audio.resampler import AudioResampler

from ui._opening import open_container, open_video
from vidsearch.errors import DecodeError

LARGEST = (1280, 720)
LARGEST_LONG = (640, 360)  # of a clip longer than a minute, so that it is done in time
LONG_S = 60.0
QUALITY = {"preset": "veryfast", "crf": "24"}
SOUND_RATE = 48_000
TICKS = 90_000  # a second, of what is encoded
_GRACE_S = 1e-4
_STEPS_BACK_S = (0, 2, 8, 32)  # an index of decode times can overshoot the presentation time asked for
_AHEAD_S = 1.0  # that the packets of sound and picture may lie apart in a file


def probe(job: dict[str, Any]) -> dict[str, Any]:
    """Return what `ui.cuts.Probe` holds.

    Args:
        job: {"root", "video": the file below it, "start_s": of the clip}
    """
    with open_video(Path(job["root"]), job["video"]) as file, open_container(file) as container:
        video, audio = _streams(container)
        zero = _zero(container)
        key = next(_from_key([video], container, job["start_s"] + zero), None)
        if key is None:
            raise DecodeError("SPAN_EMPTY", "it holds no picture to begin with")
        rate = video.average_rate or video.guessed_rate
        return {
            "container": container.format.name,
            "video": video.codec_context.codec.canonical_name,
            "audio": "" if audio is None else audio.codec_context.codec.canonical_name,
            "pixels": video.codec_context.pix_fmt or "",
            "fps": float(rate) if rate else 0.0,
            "zero_s": float(zero),
            "duration_s": (container.duration or 0) / av.time_base,
            "key_s": float(key.pts * key.time_base - zero),
            "turned": _rotation(video, key) != 0,
        }


def cut(job: dict[str, Any]) -> dict[str, Any]:
    """Write a clip as a file that browsers play.

    Args:
        job: {"root", "video": the file below it, "start_s", "end_s": the clip, "way", "form", "audio": of `ui.cuts.Plan`,
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
        self.video, self.audio = _streams(container)
        if self.sound == "none":
            self.audio = None
        zero = _zero(container)
        self.start, self.end = job["start_s"] + zero, job["end_s"] + zero  # on the file's own clock, seconds

    def packets(self) -> Iterator[Any]:
        """Yield the packets of both streams from the key frame before the clip on to its end."""
        beyond_s = _GRACE_S if self.audio is None else _AHEAD_S
        for packet in _from_key([self.video, *([self.audio] if self.audio is not None else [])], self.container, self.start):
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
        picture = None
        sound = self._sound_stream()
        frames = 0
        for packet in self._until_drained():
            if packet is not None and packet.stream_index != self.video.index:
                self._encode_sound(packet, sound)
                continue
            for frame in _decoded(self.video, packet):
                if frame.time is None or not self.start - _GRACE_S <= frame.time < self.end - _GRACE_S:
                    continue
                picture = picture or self._picture_stream(frame)
                frames += 1
                small = frame.reformat(picture.width, picture.height, "yuv420p")
                small.pts, small.time_base = max(0, round((frame.time - self.start) * TICKS)), Fraction(1, TICKS)
                small.pict_type = 0
                self.out.mux(picture.encode(small))
        if picture is None:
            raise DecodeError("SPAN_EMPTY", "no frame lies in the clip")
        self.out.mux(picture.encode(None))
        self._finish_sound(sound)

    def _until_drained(self) -> Iterator[Any]:
        yield from self.packets()
        yield None

    def _picture_stream(self, frame: Any) -> Any:
        rate = self.video.average_rate or self.video.guessed_rate or 25
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
        for frame in _decoded(self.audio, packet):
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


def fitted(width: int, height: int, sample_aspect: Fraction | None, *, seconds: float) -> tuple[int, int]:
    """Return the even width and height, in square pixels, at which a picture is encoded: not larger than it is, or than allowed."""
    if sample_aspect and 0.1 < sample_aspect < 10:
        width = round(width * sample_aspect)
    most = LARGEST if seconds <= LONG_S else LARGEST_LONG
    long, short = max(most), min(most)
    share = min(1.0, long / max(width, height), short / min(width, height))
    return max(2, 2 * round(width * share / 2)), max(2, 2 * round(height * share / 2))


def _streams(container: Any) -> tuple[Any, Any]:
    """Return the video's stream and that of its sound, None where there is none that can be decoded."""
    audio = container.streams.best("audio")
    return container.streams.best("video"), audio if audio is not None and audio.codec_context is not None else None


def _zero(container: Any) -> Fraction:
    return Fraction(container.start_time or 0, av.time_base)


def _from_key(streams: list[Any], container: Any, time_s: float) -> Iterator[Any]:
    """Yield packets of streams from the last key frame of the first on that is shown at a time or earlier, else from its first."""
    video = streams[0]
    tick = math.floor((time_s + _GRACE_S) / video.time_base)
    for step_s in (*_STEPS_BACK_S, None):
        with suppress(av.error.FFmpegError):  # nothing there to seek to
            if step_s is None:
                container.seek(0)
            else:
                container.seek(tick - int(step_s / video.time_base), stream=video)
        packets = (packet for packet in container.demux(streams) if packet.size)
        pictures = (packet for packet in packets if packet.stream_index == video.index)
        key = next((packet for packet in pictures if packet.is_keyframe and packet.pts is not None), None)
        if key is not None and (key.pts <= tick or step_s is None):
            yield key
            yield from packets
            return


def _decoded(stream: Any, packet: Any) -> list[Any]:
    """Return the frames that come of a packet, None drains; of a damaged one none."""
    try:
        frames: list[Any] = stream.codec_context.decode(packet)
    except MemoryError:  # FFmpeg's is both
        raise
    except av.error.FFmpegError:
        return []
    return frames


def _rotation(video: Any, key: Any) -> int:
    """Return how many degrees the picture is to be turned by."""
    frames = [*_decoded(video, key), *_decoded(video, None)]
    return int(frames[0].rotation) if frames else 0

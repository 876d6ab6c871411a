"""One video opened with PyAV: its clock, its claims, and its packets from any keyframe on."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator
from contextlib import suppress
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import Any

import av
import av.error

from vidsearch.decoders._files import open_member
from vidsearch.decoders._timeline import REORDER_LIMIT, Clock
from vidsearch.decoders.base import MAX_PIXELS, MAX_SECONDS, Frame
from vidsearch.errors import DecodeError

# A playlist or a script can name other files and addresses to open; none of these formats can. Nor is any protocol but a file's needed.
FORMATS = "mov,matroska,webm,avi,mpegts,mpeg,flv,asf,ogg,gif,mxf,nut,ivf"
SEEKABLE = ("mov", "matroska", "avi")  # have an index of their keyframes; in the others a seek is a guess
READ_ON_S = 4.0  # a keyframe that near ahead is reached sooner by reading than by seeking
_STEPS_BACK_S = (0, 2, 8, 32)  # an index of decode times can overshoot the presentation time asked for
_MAX_READ_ERRORS = 16

Convert = Callable[[av.VideoFrame], Frame]  # to RGB, the right way up, and through the caller's transform; raises DecodeError

av.logging.set_level(None)


class Source:
    """A video, a file or a member of an archive, open for reading; it is a context manager.

    Attributes:
        clock: the video stream's.
        ended: the last packet has been read since the last seek.
        other_end_s: where the latest packet of the other streams ended, seconds; read along only if the video's own length is not given.
        damaged: a packet could not be read since it was last set to False.

    Raises:
        DecodeError: it cannot be opened, or is no video that may be decoded.
    """

    container: Any = None

    def __init__(self, path: Path, alive: Callable[[], None]) -> None:
        self._path = path
        self._alive = alive
        self._packets: Iterator[av.Packet] = iter(())
        self.other_end_s = 0.0
        self._member = open_member(path)
        try:
            self._open()
            self._check_stream()
            start = self.container.start_time
            zero = Fraction(start, av.time_base) if start is not None else (self.stream.start_time or 0) * self.stream.time_base
            self.clock = Clock(self.stream.time_base, zero)
            self._check_length()
        except DecodeError:
            self.close()
            raise
        self.seekable = self.container.format.name.startswith(SEEKABLE)

    def __enter__(self) -> Source:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._close_container()
        if self._member is not None:
            self._member.close()

    def rewind(self) -> None:
        """Go back to the first packet, by opening the file again: no seek is as sure."""
        if not self._untouched:
            self._close_container()
            self._open()

    @property
    def packets(self) -> Iterator[av.Packet]:
        """The packets that follow, in the order of decoding."""
        return self._packets

    def packets_before(self, tick: int) -> Iterator[av.Packet]:
        """Yield packets from a keyframe on that is shown at `tick` or earlier, or else from the video's first keyframe."""
        for step_s in _STEPS_BACK_S if self.seekable else ():
            self._seek(tick - int(step_s / self.clock.time_base))
            packet = self._next_key()
            if packet is not None and packet.pts is not None and packet.pts <= tick:
                return chain([packet], self._packets)
        self.rewind()
        packet = self._next_key()
        return chain([] if packet is None else [packet], self._packets)

    def packets_at(self, key: int) -> Iterator[av.Packet]:
        """Yield packets from the keyframe on that is shown at the tick `key`; none if it cannot be found again."""
        distance = None if self._reached is None else key - self._reached
        near = distance is not None and distance > 0 and (not self.seekable or distance < READ_ON_S / self.clock.time_base)
        packets = self._packets if near else self.packets_before(key)
        later = 0
        for packet in packets:
            if packet.is_keyframe and packet.pts == key:
                return chain([packet], self._packets)
            later += packet.pts is not None and packet.pts > key
            if later > REORDER_LIMIT:
                break
        return iter(())

    def decode(self, packet: av.Packet | None) -> list[av.VideoFrame] | None:
        """Decode a packet, or None to drain; return the frames that come out, None if the data is damaged."""
        try:
            frames: list[av.VideoFrame] = self.context.decode(packet)
        except MemoryError:  # FFmpeg's is both
            raise
        except av.error.FFmpegError:
            return None
        return frames

    def claimed_end(self) -> int | None:
        """Return the tick at which the header says the video ends; the least, where it says several."""
        claims: list[Fraction] = []
        if self.stream.duration:
            claims.append(((self.stream.start_time or 0) + self.stream.duration) * self.stream.time_base)
        if self.container.duration:
            from_zero = self.container.format.name.startswith(("matroska", "flv"))  # the others count from their first instant
            claims.append(Fraction(self.container.duration, av.time_base) + (0 if from_zero else self.clock.zero))
        return int(min(claims) / self.clock.time_base) if claims else None

    def _close_container(self) -> None:
        self._packets = iter(())  # the generator refers to this object: both would stay until the next garbage collection
        if self.container is not None:
            self.container.close()

    def _open(self) -> None:
        self._reached: int | None = None
        self.ended = self.damaged = False
        self._untouched = True
        if self._member is not None:
            self._member.seek(0)
        try:
            # "file:" keeps a name such as "concat:a|b" or "http://x" a name
            self.container = av.open(
                self._member or f"file:{self._path}",
                options={"format_whitelist": FORMATS, "protocol_whitelist": "file", "max_pixels": str(MAX_PIXELS)},
                metadata_errors="replace",
            )
        except MemoryError as error:
            raise DecodeError("DECODER_OOM", f"{self._path} needs more memory than a worker may have to be opened") from error
        except (av.error.FFmpegError, OSError) as error:
            if error.errno == errno.EINVAL:  # what FFmpeg says for a format outside the list
                raise DecodeError("FORMAT_NOT_ALLOWED", f"{self._path} is a list or a script, or of a format that is not read") from error
            raise DecodeError("OPEN_FAILED", f"{self._path}: {error.strerror}") from error
        self.stream = self.container.streams.best("video")
        self._packets = self._read()
        if self.stream is not None and self.stream.codec_context is not None:
            self.context = self.stream.codec_context
            self.context.thread_count = 1
            self.context.options = {"max_pixels": str(MAX_PIXELS)}

    def _check_stream(self) -> None:
        stream = self.stream
        if stream is None or stream.disposition & av.stream.Disposition.attached_pic:
            raise DecodeError("NO_VIDEO_STREAM", f"{self._path} holds no video")
        if stream.codec_context is None:
            raise DecodeError("CODEC_UNSUPPORTED", f"{self._path}: there is no decoder for its video")
        width, height = self.context.width, self.context.height
        if width * height > MAX_PIXELS:
            raise DecodeError("DIMENSIONS_TOO_LARGE", f"{width} x {height} pixels; at most {MAX_PIXELS:,} are decoded")

    def _check_length(self) -> None:
        end = self.claimed_end()
        seconds = 0.0 if end is None else self.clock.seconds(end)
        if seconds > MAX_SECONDS:
            raise DecodeError("DURATION_TOO_LONG", f"{seconds:.0f} s; at most {MAX_SECONDS:.0f} s are decoded")

    def _seek(self, tick: int) -> None:
        with suppress(av.error.FFmpegError):  # nothing there to seek to: what follows is read, looked at and refused
            self.container.seek(tick, stream=self.stream)
        self._reached = None
        self.ended = self.damaged = self._untouched = False
        self._packets = self._read()

    def _next_key(self) -> av.Packet | None:
        return next((packet for packet in self._packets if packet.is_keyframe), None)

    def _read(self) -> Iterator[av.Packet]:
        """Yield the video's packets; an unreadable stretch of the file is passed over and noted."""
        self._untouched = False
        errors = 0
        video_only = self.stream.duration is not None
        packets: Iterator[av.Packet] = self.container.demux(self.stream) if video_only else self.container.demux()
        while errors < _MAX_READ_ERRORS:
            try:
                packet = next(packets)
            except (StopIteration, IndexError):  # PyAV trips, at the end, over streams that appeared in the middle of a file
                break
            except MemoryError:
                raise
            except (av.error.FFmpegError, OSError):
                errors += 1
                self.damaged = True
                packets = self.container.demux(self.stream)
                continue
            self._alive()
            if not packet.size:
                continue
            if packet.stream_index != self.stream.index:
                self._note_other(packet)
                continue
            if packet.pts is not None:
                self._reached = packet.pts if self._reached is None else max(self._reached, packet.pts)
            yield packet
        self.ended = True

    def _note_other(self, packet: av.Packet) -> None:
        if packet.stream.type == "audio" and packet.pts is not None:
            end_s = float((packet.pts + (packet.duration or 0)) * packet.time_base - self.clock.zero)
            self.other_end_s = max(self.other_end_s, end_s)

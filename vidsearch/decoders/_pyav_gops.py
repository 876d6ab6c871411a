"""Read the frames of clips one group of pictures (GOP) at a time, decoding as little as gives them exactly.

Two passes over the packets of a stretch. The first looks at their times only, so that the wanted frames are known by rank; the second
decodes from the keyframe before a wanted frame to the last wanted packet of its GOP:

    in order of decoding   I0  P4  B2  b1  b3  P8  B6  b5  b7  I9     wanted: the frames shown as number 3 and 4
    sent to the decoder    yes yes yes no  yes stop, drain            b1 is in no other frame's past

Skipping packets of frames that no other refers to, and nothing else, leaves every picture the same to the bit.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence

import av
import numpy as np

from vidsearch.decoders._pyav_source import Convert, Source
from vidsearch.decoders._timeline import REORDER_LIMIT, Cover, Problem, Stretch, find_ending
from vidsearch.decoders.base import Frame
from vidsearch.errors import DecodeError

PACKET_IS_FRAME = ("h264", "hevc", "vp8", "vp9", "av1", "mjpeg", "prores")  # of the others, one may hold two frames or none
_PROGRESSIVE = (0, 1)  # field orders, unknown and progressive, in which a packet is not half a frame
_LAG = 256  # packets after which a decoder must have let go of a frame


def suits(source: Source) -> bool:
    """Whether the times of this video's packets are the times of its frames."""
    context = source.context
    only_decode_times = source.container.format.name == "avi" and context.reorder_depth > 0
    return context.codec.canonical_name in PACKET_IS_FRAME and context.field_order in _PROGRESSIVE and not only_decode_times


def scan(source: Source, cover: Cover) -> Stretch | None:
    """Read the times of a range's frames without decoding; None if packets have no times, two have the same, or none is a keyframe."""
    seen = _PacketTimes(source.context.codec.canonical_name)
    later = 0
    for packet in source.packets_before(cover.start):
        if packet.pts is None:
            return None
        seen.add(packet, after_damage=source.damaged)
        source.damaged = False
        later += cover.end is not None and packet.pts >= cover.end
        if later > REORDER_LIMIT:
            break
    return seen.stretch(source)


def fetch(source: Source, stretch: Stretch, wanted: Sequence[int], convert: Convert) -> Iterator[tuple[int, Frame | Problem]]:
    """Decode the frames at the positions `wanted`, ascending; yield each with its position, or why it cannot be had."""
    skip = may_skip(source)
    for positions in _runs(stretch, wanted):
        run = _Run(source, stretch, positions, convert)
        if skip:
            yield from run.decode(skip=True)
        if run.left:  # one that was thought not to be referred to was, or the file is damaged
            yield from run.decode(skip=False)
        if any(not run.is_damaged(position) for position in run.left):  # intra refresh: pictures are whole only a while after the "key"
            yield from run.decode(skip=False, lead_in=True)
        for position in run.left:
            yield position, run.problem(position)


class _PacketTimes:
    """What a pass over packets, without decoding, tells of their frames."""

    def __init__(self, codec: str) -> None:
        self._codec = codec
        self._pts = array("q")
        self._keys: list[int] = []
        self._hidden: list[int] = []
        self._breaks: list[int] = []
        self._latest: tuple[int, int] | None = None  # the last frame's time and length
        self._corrupt_tail = 0

    def add(self, packet: av.Packet, *, after_damage: bool) -> None:
        if after_damage:
            self._breaks.append(packet.pts)
        if packet.is_keyframe:
            self._keys.append(len(self._pts))
        hidden_vp8 = self._codec == "vp8" and not memoryview(packet)[0] & 0x10  # RFC 6386, 9.1: show_frame
        if packet.is_discard or hidden_vp8:  # an edit list cuts it, or it is there for others to refer to
            self._hidden.append(len(self._pts))
        elif not packet.is_corrupt and (self._latest is None or packet.pts > self._latest[0]):
            self._latest = packet.pts, packet.duration or 0
        self._corrupt_tail = self._corrupt_tail + 1 if packet.is_corrupt else 0
        self._pts.append(packet.pts)

    def stretch(self, source: Source) -> Stretch | None:
        pts = np.array(self._pts, dtype=np.int64)
        if source.ended:  # where a file is cut off its last packet is a torn one
            pts = pts[: len(pts) - self._corrupt_tail]
        if len(np.unique(pts)) < len(pts):
            return None
        shown = np.ones(len(pts), dtype=bool)
        shown[[position for position in self._hidden if position < len(pts)]] = False
        if len(pts):
            shown &= pts >= pts[0]  # what comes after the first keyframe and is shown before it needs what is not there
        order = np.argsort(pts)
        order = order[shown[order]]
        ending = None
        if source.ended:
            other_end = source.clock.ticks(source.other_end_s)
            ending = find_ending(pts[order], self._latest[1] if self._latest else 0, source.claimed_end(), other_end, source.clock)
        return Stretch(pts, [key for key in self._keys if key < len(pts)], order, self._breaks, ending)


def may_skip(source: Source) -> bool:
    """Whether FFmpeg knows, for this codec, which frames no other refers to."""
    context = source.context
    if context.codec.canonical_name != "hevc":
        return bool(context.codec.canonical_name == "h264")
    # With temporal layers, "not referred to" holds for frames of the same layer only. ISO/IEC 14496-15, hvcC: byte 21, numTemporalLayers
    header = context.extradata or b""
    return len(header) > 21 and header[0] == 1 and (header[21] >> 3 & 7) == 1


def _runs(stretch: Stretch, wanted: Sequence[int]) -> Iterator[list[int]]:
    """Split positions into those that are decoded in one go, from the keyframe of the first of them on."""
    run: list[int] = []
    for position in wanted:
        if run and stretch.key_of(position) > max(run[-1], stretch.key_of(run[0])):
            yield run
            run = []
        run.append(position)
    if run:
        yield run


class _Run:
    """Wanted frames that are decoded from one keyframe on.

    Attributes:
        left: positions of those that have not come.
    """

    def __init__(self, source: Source, stretch: Stretch, wanted: Sequence[int], convert: Convert) -> None:
        self._source, self._stretch, self._convert = source, stretch, convert
        self._first, self._last = stretch.key_of(wanted[0]), wanted[-1]
        self.left = list(wanted)
        self._damaged: list[int] = []
        self._arrived: dict[int, Frame] = {}

    def decode(self, *, skip: bool, lead_in: bool = False) -> Iterator[tuple[int, Frame]]:
        """Yield what comes undamaged. With `lead_in` decoding starts a GOP early."""
        self._damaged, self._arrived = [], {}
        wanted = {int(self._stretch.pts[position]): position for position in self.left}
        context = self._source.context
        context.flush_buffers()
        for position, packet in self._numbered(lead_in):
            context.skip_frame = "NONREF" if skip and packet.pts not in wanted else "DEFAULT"
            self._take(self._source.decode(packet), position, wanted)
            if position % _LAG == 0:
                yield from self._sound(position - _LAG)
        self._take(self._source.decode(None), self._last, wanted)
        context.flush_buffers()
        yield from self._sound(self._last)

    def is_damaged(self, position: int) -> bool:
        """Whether anything from a frame's keyframe to itself is."""
        key, pts = self._stretch.key_of(position), self._stretch.pts
        return any(key <= damaged <= position and pts[damaged] >= pts[key] for damaged in self._damaged)

    def problem(self, position: int) -> Problem:
        time_s = self._source.clock.seconds(int(self._stretch.pts[position]))
        if self.is_damaged(position):
            return Problem("DECODE_ERROR", f"the frame at {time_s:.3f} s, or one that it is made from, is damaged")
        return Problem("SHORT_DECODE", f"the frame at {time_s:.3f} s did not come out of the decoder")

    def _numbered(self, lead_in: bool) -> Iterator[tuple[int, av.Packet]]:
        """Yield the run's packets with their positions, those of the lead-in with -1; end early if they are not those of the scan."""
        key = int(self._stretch.pts[self._first])
        position = -1
        for packet in self._source.packets_before(key - 1) if lead_in else self._source.packets_at(key):
            if position < 0 and packet.is_keyframe and packet.pts == key:
                position = self._first
            if position >= 0 and packet.pts != self._stretch.pts[position]:
                return
            if self._source.damaged or packet.is_corrupt:  # in a transport stream, also where others before it are missing
                self._source.damaged = False
                self._damaged.append(position)
            yield position, packet
            if position == self._last:
                return
            position += position >= 0

    def _take(self, frames: Sequence[av.VideoFrame] | None, position: int, wanted: dict[int, int]) -> None:
        """Convert the wanted among `frames`, which came when the packet at `position` was decoded; None is a decoding error."""
        if frames is None:
            self._damaged.append(position)
            return
        for frame in frames:
            if frame.is_corrupt:
                self._damaged.append(self._position(frame.pts))
            elif (at := wanted.get(frame.pts)) is not None and at not in self._arrived:
                try:
                    self._arrived[at] = self._convert(frame)
                except DecodeError:
                    self._damaged.append(at)

    def _position(self, pts: int | None) -> int:
        """Find a frame of the run by its time; one that is not of the run counts as the keyframe's lead-in, -1."""
        found = np.flatnonzero(self._stretch.pts[self._first : self._last + 1] == pts)
        return self._first + int(found[0]) if len(found) else -1

    def _sound(self, last: int) -> Iterator[tuple[int, Frame]]:
        for position in [at for at in self._arrived if at <= last]:
            frame = self._arrived.pop(position)
            if not self.is_damaged(position):
                self.left.remove(position)
                yield position, frame

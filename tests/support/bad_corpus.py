"""The corpus of bad and odd files: how each is made, and what must come of it.

Every frame shows its own number, so that a wrong frame is known whatever the decoder says about it. The rows: what people's data sets hold
of what is no video, of what is damaged on the way, and of what is sound but read wrongly by one decoder or another.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from tests.support import bad_files as make
from tests.support import videos
from tests.support.bad_files import Maker, Place, changed, cut, entry_in_tar, flipped, holding, in_zip, named, patched, retimed, zeroed
from tests.support.videos import FPS, RECIPES, STEADY, Recipe
from vidsearch.decoders.base import Span

UNREADABLE = ("OPEN_FAILED", "FORMAT_NOT_ALLOWED", "NO_VIDEO_STREAM")
DAMAGED = ("DECODE_ERROR", "SHORT_DECODE")
BEYOND = ("SPAN_EMPTY", "SPAN_PAST_END")
ENCODED = dict(zip(range(50), STEADY, strict=True))  # the number that each frame shows, and its time in seconds
LONG = {number: number / FPS for number in range(431)}


@dataclass(frozen=True)
class Entry:
    """One file.

    Attributes:
        made: how, for a person.
        make: returns its path.
        reasons: why clips of it may be refused; none: it is odd, but sound, and each clip must come with exactly its frames.
        times_s: what its frames show and when; a file with none must not give a frame.
        at_least: how many of the five clips asked for must come of a damaged one.
        legible: whether its frames are large enough to hold their numbers.
    """

    made: str
    make: Maker
    reasons: tuple[str, ...] = ()
    times_s: dict[int, float] = field(default_factory=dict)
    at_least: int = 0
    legible: bool = True

    @property
    def spans(self) -> tuple[Span, ...]:
        length_s = max(self.times_s.values(), default=1.96) + 1 / FPS
        cuts = ((0.0, 0.25), (0.4, 0.6), (0.75, 1.1))
        return (Span(), *(Span(start * length_s, end * length_s) for start, end in cuts), Span(length_s + 50, length_s + 51))

    def between(self, span: Span) -> list[int]:
        """Return the numbers of the frames of a clip."""
        end_s = float("inf") if span.end_s is None else span.end_s
        return [number for number, time_s in self.times_s.items() if span.start_s - 1e-6 <= time_s < end_s - 1e-6]


def bad(made: str, maker: Maker, *reasons: str) -> Entry:
    return Entry(made, maker, reasons)


def hurt(made: str, maker: Maker, *reasons: str, at_least: int, times_s: dict[int, float] = ENCODED) -> Entry:
    return Entry(made, maker, (*DAMAGED, *reasons), times_s, at_least)


def odd(made: str, maker: Maker, times_s: dict[int, float] = ENCODED, *, legible: bool = True) -> Entry:
    return Entry(made, maker, (), times_s, legible=legible)


def _sound(name: str, recipe: Recipe) -> Entry:
    return odd("encoded so", make.recipe(name), dict(zip(recipe.numbers, recipe.times_s, strict=True)))


def _hls(place: Place) -> str:
    parts = "".join(f"#EXTINF:0.4,\n{part}\n" for part in ("target.ts", place.canary.url))
    return f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n{parts}#EXT-X-ENDLIST\n"


def _dash(_: Place) -> str:
    """A manifest as FFmpeg's own muxer writes it."""
    media = '<BaseURL>target.mp4</BaseURL><SegmentBase indexRange="0-99"/>'
    shape = '<AdaptationSet mimeType="video/mp4"><Representation id="0" codecs="avc1.640015" bandwidth="9" width="96" height="64">'
    return (
        '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" mediaPresentationDuration="PT1S" '
        f'profiles="urn:mpeg:dash:profile:isoff-live:2011"><Period>{shape}{media}</Representation></AdaptationSet></Period></MPD>'
    )


def _sdp(place: Place) -> str:
    port = place.canary.url.split(":")[2].split("/")[0]
    return f"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video {port} RTP/AVP 96\na=rtpmap:96 H264/90000\n"


NO_VIDEO = {
    "zero bytes": bad("0 bytes", holding(b""), "EMPTY"),
    "zeros": bad("1 MB of zeros", holding(bytes(1 << 20)), *UNREADABLE),
    "random bytes": bad("64 kB", holding(random.Random(0).randbytes(1 << 16)), *UNREADABLE),
    "text": bad("a text named .mp4", holding(b"this is not a video\n" * 50), *UNREADABLE),
    "web page": bad("an error page saved as .mp4", holding(b"<!DOCTYPE html><html><body>404</body></html>\n" * 9), *UNREADABLE),
    "JSON": bad("an error message saved as .mp4", holding(b'{"error": "not found"}'), *UNREADABLE),
    "picture": bad("a PNG header named .mp4", holding(b"\x89PNG\r\n\x1a\n" + bytes(99)), *UNREADABLE),
    "only a header": bad("ftyp, then nothing", holding(b"\0\0\0\x18ftypisom\0\0\0\0isommp42"), *UNREADABLE),
    "sound only": bad("AAC in mp4", make.sound_only, "NO_VIDEO_STREAM"),
    "no moov": bad("mp4 cut before its header", changed(make.without_header, "h264"), *UNREADABLE),
    "scrambled moov": bad("200 random bytes in the header", changed(make.scrambled_header), *UNREADABLE, *DAMAGED, "ZERO_DURATION"),
    "absent": bad("no such file", lambda place: place.file(), "NOT_FOUND"),
    "folder": bad("a folder named .mp4", make.folder, "NOT_REGULAR_FILE"),
    "pipe": bad("a FIFO nobody writes to", make.pipe, "NOT_REGULAR_FILE"),
    "socket": bad("a Unix socket", make.bound_socket, "NOT_REGULAR_FILE"),
    "device": bad("a link to /dev/zero", make.link_to("/dev/zero"), "NOT_REGULAR_FILE"),
    "process memory": bad("a link to /proc/self/mem", make.link_to("/proc/self/mem"), "NOT_REGULAR_FILE", "EMPTY", "NOT_FOUND"),
    "dangling link": bad("a link to nothing", make.link_to("gone.mp4"), "NOT_FOUND"),
    "circular link": bad("a link to itself", make.link_to("video.mp4"), "OPEN_FAILED"),
    "path through a file": bad("video.mp4/video.mp4", make.below_a_file, "NOT_FOUND"),
    "name too long": bad("300 characters", lambda place: place.file("x" * 296 + ".mp4"), "OPEN_FAILED"),
}
SCRIPTS = {
    "ffconcat": bad("names another video", holding(lambda place: "ffconcat version 1.0\nfile target.mp4\n"), *UNREADABLE),
    "ffconcat of a path": bad(
        "names another video", holding(lambda place: f"ffconcat version 1.0\nfile '{place.canary.folder}/target.mp4'\n"), *UNREADABLE
    ),
    "ffconcat of a URL": bad("names an address", holding(lambda place: f"ffconcat version 1.0\nfile '{place.canary.url}'\n"), *UNREADABLE),
    "HLS": bad("names another video and an address", holding(_hls), *UNREADABLE),
    "HLS by its name": bad("the same, named .m3u8", holding(_hls, "video.m3u8"), *UNREADABLE),
    "DASH": bad("names another video", holding(_dash), *UNREADABLE),
    "SDP": bad("would listen to a port", holding(_sdp), *UNREADABLE),
    "playlist of itself": bad("HLS", holding(lambda place: "#EXTM3U\n#EXTINF:1,\nvideo.mp4\n"), *UNREADABLE),
    "metadata script": bad(";FFMETADATA1", holding(b";FFMETADATA1\ntitle=x\n"), *UNREADABLE),
    "ffconcat in a tar": bad("names another video", make.script_in_tar, *UNREADABLE),
}
DAMAGES = {
    "mp4 cut to 90 %": hurt("faststart", changed(cut(0.9)), at_least=2),
    "mp4 cut to 50 %": hurt("faststart", changed(cut(0.5)), at_least=1),
    "mp4 cut to 10 %": hurt("faststart", changed(cut(0.1)), *UNREADABLE, at_least=0),
    "mkv cut to 50 %": hurt("", changed(cut(0.5), "mkv"), at_least=1),
    "mkv cut to 10 %": hurt("", changed(cut(0.1), "mkv"), *UNREADABLE, at_least=0),
    "webm cut to 50 %": hurt("VP9", changed(cut(0.5), "vp9"), at_least=1),
    "avi cut to 50 %": hurt("MPEG-4", changed(cut(0.5), "mpeg4 avi"), at_least=1),
    "ts cut to 50 %": hurt("not at a packet's end", changed(cut(0.5), "mpegts"), at_least=1),
    "flv cut to 50 %": hurt("", changed(cut(0.5), "flv"), at_least=1),
    "fragmented mp4 cut to 60 %": hurt("its header claims no length", changed(cut(0.6), "fragmented mp4"), at_least=1),
    "mp4 half downloaded": hurt("zeros from 50 % on", changed(zeroed(0.5, 1.0)), at_least=1),
    "hole in mdat": hurt("zeros from 60 to 65 %", changed(zeroed(0.6, 0.65)), at_least=1),
    "hole in mkv": hurt("zeros from 60 to 65 %", changed(zeroed(0.6, 0.65), "mkv"), at_least=1),
    "hole in ts": hurt("zeros from 60 to 65 %", changed(zeroed(0.6, 0.65), "mpegts"), at_least=1),
    "bits flipped in h264": hurt("40 of them", changed(flipped(40)), at_least=0),
    "bits flipped in hevc": hurt("40 of them", changed(flipped(40), "hevc closed gop"), at_least=0),
    "bits flipped in mkv": hurt("40 of them", changed(flipped(40), "mkv"), at_least=0),
    "bits flipped in mpeg4": hurt("40 of them", changed(flipped(40), "mpeg4 avi"), at_least=0),
    "bytes missing": hurt(
        "100 bytes cut out at 60 %", changed(lambda data: data[: len(data) * 6 // 10] + data[len(data) * 6 // 10 + 100 :]), at_least=1
    ),
    "claims 431 frames, holds 300": hurt("dmlc/decord issue 373", make.claiming_more, at_least=2, times_s=LONG),
    "mkv claims twice its length": hurt("", changed(make.twice_as_long, "mkv"), at_least=2),
    "no frame rate": hurt(
        "AVI, 0/0 frames a second", changed(patched(b"strh", 28, bytes(8)), "mjpeg avi"), "OPEN_FAILED", "ZERO_DURATION", at_least=0
    ),
    "no time scale": hurt("mp4, 0 ticks a second", changed(patched(b"mdhd", 16, bytes(4))), "DURATION_TOO_LONG", "OPEN_FAILED", at_least=0),
    "16384 x 16384": hurt(
        "MJPEG, in the AVI's header and in every picture's",
        changed(
            lambda data: patched(b"\xff\xc0\0\x11\x08", 5, b"\x40\0\x40\0")(patched(b"strf", 12, b"\0\x40\0\0" * 2)(data)), "mjpeg avi"
        ),
        "DIMENSIONS_TOO_LARGE",
        at_least=0,
    ),
    "a frame in the year 4": hurt(
        "mkv, its last frame at 10^8 s", retimed(lambda n, ms: ms if n < 49 else 10**11), "DURATION_TOO_LONG", at_least=0
    ),
    "picture changes its size": hurt("two transport streams in one file", make.resized_halfway, at_least=2),
    "tar, truncated": bad("inside the member", make.torn_tar, "OPEN_FAILED", "NOT_FOUND"),
    "zip, damaged": bad("deflated bytes zeroed", in_zip(make.DEFLATED, zeroed(0.3, 0.4)), "OPEN_FAILED"),
    "zip, cut to 50 %": bad("", in_zip(make.STORED, cut(0.5)), "NOT_FOUND"),
    "zip, encrypted": bad("by its flags", in_zip(make.STORED, patched(b"PK\1\2", 8, b"\1")), "OPEN_FAILED"),
    "zip bomb": bad("claims 4 GB unpacked", in_zip(make.DEFLATED, patched(b"PK\1\2", 24, b"\xfe\xff\xff\xff")), "MEMBER_TOO_LARGE"),
    "link in a tar": bad("to /etc/passwd", entry_in_tar("v.mp4", type=b"2", linkname="/etc/passwd"), "NOT_REGULAR_FILE"),
    "device in a tar": bad("/dev/zero", entry_in_tar("v.mp4", type=b"3", devmajor=1, devminor=5), "NOT_REGULAR_FILE"),
    "path out of a tar": bad("../../x.mp4", entry_in_tar("../../x.mp4"), "PATH_ESCAPE", "NOT_FOUND"),
    "archive in an archive": bad("zip in tar", make.archive_in_archive, "NOT_FOUND"),
}
ODDITIES = {
    **{name: _sound(name, recipe) for name, recipe in RECIPES.items()},
    "1 x 1": odd(
        "PNG in mov", lambda place: videos.write_video(place.file("v.mov"), width=1, height=1, codec="png", pix_fmt="rgb24"), legible=False
    ),
    "ffv1": odd("lossless, mkv", lambda place: videos.write_video(place.file("v.mkv"), codec="ffv1")),
    "prores": odd("mov", lambda place: videos.write_video(place.file("v.mov"), codec="prores_ks", pix_fmt="yuv422p10le")),
    "equal times": odd("mkv, frames 10 and 11 at 0.4 s", retimed(lambda n, ms: 400 if n == 11 else ms), {**ENCODED, 11: 0.4}),
    "negative times": odd("mkv from -0.4 s on", retimed(lambda n, ms: ms - 400)),
    "times with a gap of an hour": odd(
        "mkv", retimed(lambda n, ms: ms + 3_600_000 * (n > 24)), {n: n / FPS + 3600 * (n > 24) for n in range(50)}
    ),
    "garbage at the end": odd("10 kB after an mp4", changed(lambda data: data + random.Random(1).randbytes(10_000))),
    "link to another folder": odd("followed: who laid the link may read the file", make.outside),
    "name of 255 bytes": odd("", named("x" * 251 + ".mp4")),
    "name with a newline": odd("and a quote", named("a\n'b\".mp4")),
    "name like an address": odd("http:--x concat:a|b", named("concat:a|http:b %03d.mp4")),
    "name that is not UTF-8": odd("byte 255", named("a\udcff.mp4")),
    "name without a suffix": odd("", named("video")),
    "in a tar": odd("read in place", make.in_tar),
    "in a zip, stored": odd("read in place", in_zip(make.STORED)),
    "in a zip, deflated": odd("unpacked in memory", in_zip(make.DEFLATED)),
}
CORPUS: dict[str, Entry] = {**NO_VIDEO, **SCRIPTS, **DAMAGES, **ODDITIES}

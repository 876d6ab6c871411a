"""Pure: how a browser is to play a clip, told from what is in its file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Way = Literal["direct", "copy", "encode"]

FARTHEST_KEY_S = 12.0  # that much is decoded before a clip is seen; more is not played at once
LATEST_ZERO_S = 0.02  # a file whose times begin later is played by cuts: browsers do not count from its first instant
MOST_SECONDS = 600.0  # of a cut
MIME = {
    "mp4": "video/mp4", "m4v": "video/mp4", "mov": "video/mp4", "webm": "video/webm", "ogv": "video/ogg", "ogg": "video/ogg",
}  # fmt: skip
MP4_SUFFIXES, WEBM_SUFFIXES = ("mp4", "m4v", "mov"), ("webm",)
_EIGHT_BITS = ("yuv420p", "yuvj420p")
_TEN_BITS = (*_EIGHT_BITS, "yuv420p10le")
_VIDEO = {  # codec → the pixel formats that every browser which knows it shows
    "h264": _EIGHT_BITS,
    "vp8": (*_EIGHT_BITS, "yuva420p"),
    "vp9": (*_TEN_BITS, "yuva420p"),
    "av1": _TEN_BITS,
}
_OF_MP4 = (("h264", "vp9", "av1"), ("aac", "mp3", "opus", ""))  # video, audio; "": none
_OF_WEBM = (("vp8", "vp9", "av1"), ("opus", "vorbis", ""))


@dataclass(frozen=True)
class Probe:
    """What is in a file, and where a clip begins in it.

    Attributes:
        container: FFmpeg's name of the format.
        video, audio: names of the codecs; "" where there is none, or none that is known.
        pixels: FFmpeg's name of the pixel format.
        fps: frames a second, 0 where unknown.
        zero_s: the time that the file gives its first instant.
        duration_s: of the video, 0 where unknown.
        key_s: where the key frame lies from which the clip is decoded, seconds from the first instant.
        turned: it is to be shown rotated.
        timed: its packets say when they are decoded, as those of a live recording may not.
    """

    container: str
    video: str
    audio: str
    pixels: str
    fps: float
    zero_s: float
    duration_s: float
    key_s: float
    turned: bool
    timed: bool = True


@dataclass(frozen=True)
class Plan:
    """How a clip is played.

    Attributes:
        way: "direct": its file as it is; "copy": its packets, from the key frame before it on; "encode": its frames anew.
        form: "mp4" or "webm", of a cut.
        lead_s: how much of a cut lies before the clip.
        audio: what becomes of the sound of a cut.
    """

    way: Way
    form: Literal["mp4", "webm"] = "mp4"
    lead_s: float = 0.0
    audio: Literal["copy", "encode", "none"] = "none"


def plan(probe: Probe, suffix: str, start_s: float, *, packed: bool = False) -> Plan:
    """Return how to play the clip that begins at `start_s`.

    Args:
        probe: of its file.
        suffix: of the file's name, small letters, without a dot.
        packed: its bytes are not to be had one stretch at a time.
    """
    shown = probe.pixels in _VIDEO.get(probe.video, ())
    near = start_s - probe.key_s <= FARTHEST_KEY_S
    if not shown or not near or probe.key_s > start_s:
        return Plan("encode", audio="encode" if probe.audio else "none")
    fits_mp4, fits_webm = (probe.video in codecs and probe.audio in sounds for codecs, sounds in (_OF_MP4, _OF_WEBM))
    as_named = (suffix in MP4_SUFFIXES and "mp4" in probe.container and fits_mp4) or (
        suffix in WEBM_SUFFIXES and "webm" in probe.container and fits_webm
    )
    if as_named and abs(probe.zero_s) <= LATEST_ZERO_S and not packed:
        return Plan("direct")
    if probe.turned or not probe.timed or "avi" in probe.container:  # AVI knows no times of showing
        return Plan("encode", audio="encode" if probe.audio else "none")
    form: Literal["mp4", "webm"] = "webm" if fits_webm and (probe.video == "vp8" or not fits_mp4) else "mp4"
    if form == "mp4" and probe.video not in _OF_MP4[0]:
        return Plan("encode", audio="encode" if probe.audio else "none")
    sound: Literal["copy", "encode", "none"] = "none" if not probe.audio else "copy" if fits_webm or fits_mp4 else "encode"
    return Plan("copy", form, max(0.0, start_s - probe.key_s), sound)

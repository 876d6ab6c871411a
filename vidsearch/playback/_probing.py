"""What is in a video file, for `vidsearch.playback.cuts` to choose how it is played. Runs in `_video_child`."""

from __future__ import annotations

from itertools import chain
from pathlib import Path
from typing import Any

import av

from vidsearch.errors import DecodeError
from vidsearch.playback._opening import GRACE_S, MOST_FPS, decoded, open_container, open_video, packets_from_key, streams_of, zero_of


def probe(job: dict[str, Any]) -> dict[str, Any]:
    """Return what `vidsearch.playback.cuts.Probe` holds.

    Args:
        job: {"root", "video": the file below it, "start_s": of the clip}
    """
    with open_video(Path(job["root"]), job["video"]) as file, open_container(file) as container:
        video, audio = streams_of(container)
        zero = zero_of(container)
        start = job["start_s"] + zero
        packets = packets_from_key([video], container, start)
        key = next(packets, None)
        if key is None:
            raise DecodeError("SPAN_EMPTY", "it holds no picture to begin with")
        turned = _rotation(video, key) != 0
        if all(packet.pts is None or packet.pts * packet.time_base < start - GRACE_S for packet in chain([key], packets)):
            raise DecodeError("SPAN_PAST_END", "it ends before the clip starts")
        return {
            "container": container.format.name,
            "video": video.codec_context.codec.canonical_name,
            "audio": "" if audio is None else audio.codec_context.codec.canonical_name,
            "pixels": video.codec_context.pix_fmt or "",
            "fps": next((float(rate) for rate in (video.average_rate, video.guessed_rate) if rate and rate <= MOST_FPS), 0.0),
            "zero_s": float(zero),
            "duration_s": (container.duration or 0) / av.time_base,
            "key_s": float(key.pts * key.time_base - zero),
            "turned": turned,
            "timed": key.dts is not None,
        }


def _rotation(video: Any, key: Any) -> int:
    """Return how many degrees the picture is to be turned by."""
    frames = [*decoded(video, key), *decoded(video, None)]
    return int(frames[0].rotation) if frames else 0

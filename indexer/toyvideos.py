"""The toy world as video files with InternVid-style rows, for `vidsearch demo`, tests and benchmarks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from indexer.toyrender import PAINT, render
from indexer.toyworld import CATEGORIES, Clip, Scene, describe, sample_scene
from vidsearch.extras import require


def write_demo_videos(folder: Path, *, count: int = 300, seed: int, size: int = 128, rate: int = 10) -> Iterator[dict[str, Any]]:
    """Write `count` h264 files of 3 seconds into `folder` and yield the InternVid-style row of each as soon as it is written.

    One caption in ten is German. The scores are rules, not guesses: `Aesthetic_Score` is 3.5 plus up to 3 for the contrast of the
    things against their background; `UMT_Score` is 0.2 plus 0.3 times the part of what is seen that the caption names.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    for _ in range(count):
        scene = sample_scene(rng)
        language = "de" if rng.random() < 0.1 else "en"
        caption = describe(scene, rng, language=language)
        name = _video_id(rng)
        encode_video(folder / f"{name}.mp4", render(scene, size=size, frames=3 * rate), rate=rate)
        yield {
            "YoutubeID": name,
            "Start_timestamp": "00:00:00.000",
            "End_timestamp": "00:00:03.000",
            "Caption": caption[0].upper() + caption[1:],
            "Language": language,
            "Category": CATEGORIES[len(scene.things) - 1],
            "Aesthetic_Score": round(3.5 + 3 * _contrast(scene), 3),
            "UMT_Score": round(0.2 + 0.3 * min(1.0, len(caption.split()) / (6 * len(scene.things) + 5)), 3),
            "video_path": f"{name}.mp4",
        }


def encode_video(target: Path | BinaryIO, frames: Clip, *, rate: int, quality: int = 23) -> None:
    """Write frames as h264 in mp4, yuv420p; `quality` is x264's constant rate factor. The bytes follow from the input alone."""
    av = require("av")
    with av.open(str(target) if isinstance(target, Path) else target, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=rate, options={"crf": str(quality), "preset": "veryfast", "threads": "1"})
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "yuv420p"
        stream.codec_context.gop_size = 10
        for image in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode(None))


def _video_id(rng: np.random.Generator) -> str:
    """Return 11 characters, as YouTube's are, that begin with "toy"."""
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
    return "toy" + "".join(letters[i] for i in rng.integers(len(letters), size=8).tolist())


def _contrast(scene: Scene) -> float:
    """Return 0..1: the mean distance of the things' colours from the background's mean colour."""
    ground = 60 if scene.tone == "dark" else 187
    distances = [np.linalg.norm(np.array(PAINT[thing.colour]) - ground) for thing in scene.things]
    return float(np.mean(distances) / np.linalg.norm((195, 195, 195)))

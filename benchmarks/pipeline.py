"""Does the pipeline run at the pace of its slower stage, and does its memory stay flat?

    uv run python benchmarks/pipeline.py --clips 500

Makes videos of the toy world, then measures in one run, each with the same one decode process: decoding alone, embedding alone, and the
whole of `indexer.build` from its first clip to its last, commits included. Prints clips a second of each, pipeline over slower stage, and
how this process's memory grew after its first 50 clips. Two stages want two idle cores: where others run too, each stage alone has what the
pipeline must share.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path

import numpy as np
import psutil
from _machine import describe

from indexer.pipeline import build
from indexer.summary import Summary
from indexer.toyvideos import write_demo_videos
from indexer.workers import ClipPixels, DecodePool, VideoJob
from vidsearch.decoders.base import Span
from vidsearch.encoders import load_encoder
from vidsearch.encoders.base import Encoder


def decode_alone(videos: list[Path], encoder: Encoder, workers: int) -> float:
    """Return seconds to decode every video, pixels thrown away."""
    with DecodePool(encoder.preset, workers=workers) as pool:
        list(pool.run(VideoJob(number, path, (Span(),)) for number, path in enumerate(videos[:workers])))  # workers have started
        started = time.perf_counter()
        clips = sum(isinstance(r, ClipPixels) for r in pool.run(VideoJob(number, path, (Span(),)) for number, path in enumerate(videos)))
    if clips != len(videos):
        raise SystemExit(f"{clips} clips of {len(videos)} videos")
    return time.perf_counter() - started


def embed_alone(clips: int, encoder: Encoder) -> float:
    """Return seconds to embed as many clips, in the pipeline's batches."""
    size = encoder.preset.size
    pixels = np.random.default_rng(0).integers(0, 256, (encoder.clips_at_once, encoder.preset.frames, size, size, 3), dtype=np.uint8)
    encoder.encode_pixels(pixels)
    started = time.perf_counter()
    for start in range(0, clips, len(pixels)):
        encoder.encode_pixels(pixels[: min(len(pixels), clips - start)])
    return time.perf_counter() - started


def pipeline(folder: Path, encoder: Encoder, workers: int) -> tuple[float, float]:
    """Return seconds for all clips at the pace from the first to the last, commits included, and megabytes grown after the first 50."""
    process = psutil.Process()
    memory: list[float] = []
    seen: list[tuple[float, int]] = []

    def watch(summary: Summary) -> None:
        if summary.indexed and (not seen or summary.indexed > seen[-1][1]):
            seen.append((time.perf_counter(), summary.indexed))
        if summary.indexed > 50 * len(memory):
            memory.append(process.memory_info().rss / 1e6)

    with tempfile.TemporaryDirectory() as out:
        clips = build(folder, Path(out) / "index", encoder=encoder, workers=workers, progress=watch).indexed
    (start_s, first), (end_s, last) = seen[0], seen[-1]
    return (end_s - start_s) * clips / (last - first), max(memory[1:]) - memory[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=500)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=3, help="of which the fastest counts, each stage for itself")
    parser.add_argument("--threads", type=int, default=1, help="of torch")
    parser.add_argument("--size", type=int, default=256, help="of the videos, pixels; larger makes decoding the slower stage")
    parser.add_argument("--model", default="demo-viclip")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    import torch

    torch.set_num_threads(arguments.threads)
    print(describe("torch", "av", "numpy", "faiss-gpu", seed=arguments.seed))
    encoder = load_encoder(arguments.model)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        rows = list(write_demo_videos(folder, count=arguments.clips, seed=arguments.seed, size=arguments.size))
        (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        videos = [folder / row["video_path"] for row in rows]
        rounds = [
            (
                decode_alone(videos, encoder, arguments.workers),
                embed_alone(len(videos), encoder),
                *pipeline(folder, encoder, arguments.workers),
            )
            for _ in range(arguments.repeats)
        ]
    decode_s, embed_s, pipeline_s, grown = (min(column) for column in zip(*rounds, strict=True))
    slower = max(decode_s, embed_s)
    for stage, seconds in (("decode alone", decode_s), ("embed alone", embed_s), ("pipeline", pipeline_s)):
        print(f"{stage:14} {len(rows) / seconds:8.1f} clips/s")
    print(f"pipeline over its slower stage {slower / pipeline_s:.2f}; memory grew {grown:.1f} MB after the first 50 clips")


if __name__ == "__main__":
    main()

"""Reading rows: generated InternVid rows in each format, on one thread, from the file to blocks of clips, beside `json.loads` of each line.

    uv run python benchmarks/readers.py --rows 1000000

The rows name --videos clips that lie on disk, so every row is looked up. Seconds are of the processor, which a busy machine disturbs less
than the clock; the shortest of --runs. Memory is by how much the process grew over its size once all libraries were loaded and the folder
of the videos was listed, at its largest; --long also reads the JSON lines that many times over, as one file, to show that it stays so.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
from _machine import describe

LETTERS = np.frombuffer(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_", np.uint8)
WORDS = np.array("a the dog cat man woman surfing running red car street snow kitchen cooks holds rides under over big small".split())  # noqa: SIM905
CLIPS_A_VIDEO = 3
BLOCK = 50_000
CAPTION_WORDS = 12


def rows(count: int, seed: int) -> Iterator[list[dict[str, object]]]:
    """Yield rows like InternVid-10M-FLT-INFO's, a block at a time."""
    rng = np.random.default_rng(seed)
    for first in range(0, count, BLOCK):
        size = min(BLOCK, count - first)
        ids = [bytes(row).decode() for row in LETTERS[rng.integers(0, 64, (-(-size // CLIPS_A_VIDEO), 11))]]
        starts = rng.integers(0, 3_600_000, size)
        ends = starts + np.maximum(400, rng.lognormal(8.5, 0.8, size)).astype(np.int64)
        captions = WORDS[rng.integers(0, len(WORDS), (size, CAPTION_WORDS))]
        scores = rng.normal(4.5, 1, (2, size)).astype(np.float16).astype(float)
        yield [
            {
                "YoutubeID": ids[row // CLIPS_A_VIDEO],
                "Start_timestamp": timestamp(int(starts[row])),
                "End_timestamp": timestamp(int(ends[row])),
                "Caption": " ".join(captions[row]),
                "Aesthetic_Score": scores[0, row],
                "UMT_Score": scores[1, row] / 10,
                "Language": "en",
                "Category": "Howto & Style",
            }
            for row in range(size)
        ]


def timestamp(milliseconds: int) -> str:
    seconds, rest = divmod(milliseconds, 1000)
    return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}.{rest:03}"


def write(folder: Path, count: int, small: int, seed: int) -> dict[str, tuple[Path, int]]:
    """Write the rows, `count` of them as JSON lines and `small` in the other formats; return each file and its rows."""
    lines = folder / "rows.jsonl"
    first: list[dict[str, object]] = []
    with lines.open("w", encoding="utf-8") as file:
        for block in rows(count, seed):
            file.writelines(json.dumps(row) + "\n" for row in block)
            first += block[: small - len(first)]
    files = {"JSON lines": (lines, count)}
    text = "".join(json.dumps(row) + "\n" for row in first).encode()
    for name, path, data in (
        ("JSON lines, gzip", folder / "a.jsonl.gz", gzip.compress(text, 6)),
        ("JSON lines, zstd", folder / "a.jsonl.zst", pa.Codec("zstd").compress(text, asbytes=True)),
        ("one JSON array", folder / "a.json", json.dumps(first, indent=1).encode()),
        ("a broken line every 1,000", folder / "broken.jsonl", b"".join(broken(text))),
    ):
        path.write_bytes(data)
        files[name] = (path, small)
    with (folder / "a.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, first[0].keys())
        writer.writeheader()
        writer.writerows(first)
    files["CSV"] = (folder / "a.csv", small)
    table = pa.Table.from_pylist(first)
    pq.write_table(table, folder / "a.parquet", row_group_size=100_000)
    paths = pa.array([f"{row['YoutubeID']}.mp4" for row in first])
    pq.write_table(table.append_column("video_path", paths), folder / "paths.parquet", row_group_size=100_000)
    return {**files, "Parquet": (folder / "a.parquet", small), "Parquet, a path column": (folder / "paths.parquet", small)}


def broken(text: bytes) -> Iterator[bytes]:
    for number, line in enumerate(text.splitlines(keepends=True)):
        yield line if number % 1000 else b"{" + line


def make_videos(folder: Path, lines: Path, count: int) -> None:
    """Make empty files for the first rows: every other a clip already cut, else the whole video."""
    folder.mkdir()
    with lines.open(encoding="utf-8") as file:
        for number, line in zip(range(count), file, strict=False):
            row = json.loads(line)
            cut = f"_{row['Start_timestamp']}_{row['End_timestamp']}" if number % 2 else ""
            (folder / f"{row['YoutubeID']}{cut}.mp4").touch()


def measure(path: Path, videos: Path, runs: int) -> dict[str, float]:
    """Read a file and return its clips, bad rows, those found, processor seconds, and bytes of memory grown by."""
    from indexer.readers import internvid
    from indexer.readers._video_files import VideoFiles

    files = VideoFiles(videos)
    process, peak, done = psutil.Process(), 0, threading.Event()
    list(internvid.read_all([path], videos)) if path.stat().st_size < 1 << 24 else next(internvid.read_all([path], videos))
    listed = len(files.map.keys)
    before = process.memory_info().rss

    def watch() -> None:
        nonlocal peak
        while not done.wait(0.02):
            peak = max(peak, process.memory_info().rss)

    watcher = threading.Thread(target=watch)
    watcher.start()
    seconds = []
    for _ in range(runs):
        counted = dict.fromkeys(("clips", "bad", "there"), 0)
        started = time.process_time()
        for block in internvid.read_all([path], videos):
            counted["clips"] += block.clips.num_rows
            counted["bad"] += len(block.bad)
            counted["there"] += block.clips["there"].to_pylist().count(True)
        seconds.append(time.process_time() - started)
    done.set()
    watcher.join()
    return {**counted, "seconds": min(seconds), "grown": peak - before, "listed": listed}


def plain(path: Path) -> dict[str, float]:
    """Parse each line with json.loads and do nothing else."""
    started = time.process_time()
    clips = 0
    with path.open("rb") as file:
        for line in file:
            json.loads(line)
            clips += 1
    return {"clips": clips, "bad": 0, "there": 0, "seconds": time.process_time() - started, "grown": 0, "listed": 0}


def in_child(path: Path, videos: Path, runs: int) -> dict[str, float]:
    """Measure in a process of its own, so that no other file's memory counts."""
    command = [sys.executable, __file__, "--child", str(path), "--folder", str(videos), "--runs", str(runs)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    result: dict[str, float] = json.loads(subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout)
    return result


def report(name: str, path: Path, told: dict[str, float], least: float) -> None:
    size = path.stat().st_size / 1e6
    rate = (told["clips"] + told["bad"]) / told["seconds"]
    print(
        f"{name:28} {told['clips'] + told['bad']:>11,.0f} {told['bad']:>6,.0f} {told['there']:>8,.0f} {size:8,.0f} "
        f"{rate:10,.0f} {size / told['seconds']:7,.0f} {rate / least:6.2f}x {told['grown'] / 1e6:8,.0f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--small", type=int, default=300_000, help="rows of the formats but JSON lines")
    parser.add_argument("--videos", type=int, default=20_000)
    parser.add_argument("--long", type=int, default=0, help="times the JSON lines are repeated in a longer file")
    parser.add_argument("--folder", type=Path, help="where files are written; they are left there")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    pa.set_cpu_count(1)
    if arguments.child is not None:
        print(json.dumps(measure(arguments.child, arguments.folder, arguments.runs)))
        return
    print(describe("pyarrow", "numpy", seed=arguments.seed))
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.folder or Path(temporary)
        files = write(folder, arguments.rows, min(arguments.small, arguments.rows), arguments.seed)
        lines, videos = files["JSON lines"][0], folder / "videos"
        make_videos(videos, lines, arguments.videos)
        print(f"\n{'':28} {'rows':>11} {'bad':>6} {'found':>8} {'MB':>8} {'rows/s':>10} {'MB/s':>7} {'ratio':>7} {'grown MB':>8}")
        least = plain(lines)
        report("json.loads of each line", lines, least, least["clips"] / least["seconds"])
        if arguments.long:
            with (folder / "long.jsonl").open("wb") as file:
                for _ in range(arguments.long):
                    file.write(lines.read_bytes())
            files[f"JSON lines, {arguments.long} times"] = (folder / "long.jsonl", arguments.rows * arguments.long)
        for name, (path, _) in files.items():
            report(
                name, path, in_child(path, videos, 1 if path.name == "long.jsonl" else arguments.runs), least["clips"] / least["seconds"]
            )


if __name__ == "__main__":
    main()

"""An index of as many rows as wanted, whose clips can be asked for in words and played, for `browser.py`.

    python benchmarks/_browser_data.py FOLDER --rows 1000000        # FOLDER/index, FOLDER/videos

The sentences are encoded by the offline encoder, so a question in words finds clips of its topic; the rest of a vector is drawn:

    clip = 0.55 sentence of its topic + 0.25 its video + 0.20 what differs from clip to clip     (of its squared length)

The metadata is shaped like InternVid's: about five clips a source video, languages and topics of zipfian size, scores of the published
means, some values missing, one clip in ten thousand without a usable vector. The videos are a minute long and real: each of a few hundred
files has many names (hard links), so that every source video has its own and the disk holds few.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from _search_columns import TYPES, WHAT, WHERE, WHO

from indexer.toyvideos import write_demo_videos
from indexer.vectors import build_from_vectors
from vidsearch.encoders import load_encoder
from vidsearch.encoders.base import Encoder
from vidsearch.extras import require

LANGUAGES = tuple("en,zh,es,ko,ja,ru,de,fr,pt,hi,id,it,th,vi,tr,ar,pl,nl,uk,sv".split(","))  # noqa: SIM905
CATEGORIES = (*TYPES, "Shows")
TAILS = ("", "", "", " while people watch", " in slow motion", " with music playing", " and smiles", " for the first time")
TOPICS = 2_048
TOPIC, VIDEO, CLIP = 0.55, 0.25, 0.20  # of a vector's squared length
VIDEO_S, CLIP_S = 60.0, (0.5, 2.2)  # length of a file; a log-normal's spread and middle: 9 s
FILES, SCENES, SCENE_S = 300, 100, 3.0  # files with contents of their own, made of so many scenes
BLOCK_ROWS = 65_536
BAD_ROWS = 10_000  # one clip in so many has no direction, and is quarantined
LETTERS = np.frombuffer(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_", dtype="S1")

Floats = npt.NDArray[np.float32]
Numbers = npt.NDArray[np.int64]


def write_index(folder: Path, rows: int, *, seed: int) -> Path:
    """Write the videos, the vectors and their rows, build the index in FOLDER/index, and return its path."""
    folder.mkdir(parents=True, exist_ok=True)
    encoder = load_encoder("conse", device="cpu", precision="float32")
    vectors, metadata = folder / "vectors.npy", folder / "rows.parquet"
    names = _write_rows(vectors, metadata, rows, encoder=encoder, seed=seed)
    link_videos(folder / "videos", names, seed=seed)
    index = folder / "index"
    build_from_vectors(vectors, index, metadata=metadata, space=encoder.space, encode_texts=encoder.encode_texts, seed=seed, grace_s=0)
    vectors.unlink()
    metadata.unlink()
    return index


def _write_rows(vectors: Path, metadata: Path, rows: int, *, encoder: Encoder, seed: int) -> list[str]:
    """Write both files, row by row the same clips, and return the names of their videos."""
    rng = np.random.default_rng(seed)
    words = np.stack([rng.integers(len(part), size=TOPICS) for part in (WHO, WHAT, WHO, WHERE)])
    sentences = encoder.encode_texts([f"{WHO[a]} {WHAT[b]} {WHO[c]} {WHERE[d]}" for a, b, c, d in words.T.tolist()])
    total = rows + rows // BAD_ROWS
    stored = np.lib.format.open_memmap(vectors, mode="w+", dtype=np.float16, shape=(total, encoder.space.dim))
    names: list[str] = []
    writer = None
    for start in range(0, total, BLOCK_ROWS):
        video, topic, table = _clips(min(BLOCK_ROWS, total - start), words, rng)
        stored[start : start + len(video)] = _vectors(video, topic[video], sentences, rng)
        names += pc.unique(table["video"]).to_pylist()
        writer = writer or pq.ParquetWriter(metadata, table.schema)
        writer.write_table(table)
    assert writer is not None
    writer.close()
    stored[rng.choice(total, size=rows // BAD_ROWS, replace=False)] = 0
    return names


def _vectors(video: Numbers, topic: Numbers, sentences: Floats, rng: np.random.Generator) -> npt.NDArray[np.float16]:
    own = rng.standard_normal((int(video[-1]) + 1, sentences.shape[1]), dtype=np.float32)[video]
    clip = rng.standard_normal((len(video), sentences.shape[1]), dtype=np.float32)
    dim = np.float32(sentences.shape[1])
    made = (
        np.float32(TOPIC**0.5) * sentences[topic]
        + np.sqrt(VIDEO / dim, dtype=np.float32) * own
        + np.sqrt(CLIP / dim, dtype=np.float32) * clip
    )
    return made.astype(np.float16)


def _clips(rows: int, words: Numbers, rng: np.random.Generator) -> tuple[Numbers, Numbers, pa.Table]:
    """Return the video of each row, the topic of each video, and the rows."""
    length_s = np.clip(np.exp(rng.normal(CLIP_S[1], CLIP_S[0], rows)), 1.0, VIDEO_S).round(2)
    video = _fill(length_s)
    count = int(video[-1]) + 1
    first = np.searchsorted(video, np.arange(count))
    before_s = np.cumsum(length_s) - length_s
    start_s = (before_s - before_s[first][video]).round(2)
    topic = rng.choice(TOPICS, size=count, p=_zipf(TOPICS, 20.0))
    name = pa.array(np.ascontiguousarray(LETTERS[rng.integers(64, size=(count, 11))]).view("S11").ravel().astype(str)).take(pa.array(video))
    source_s = np.round(rng.uniform(0, 900, count), 1)[video]
    table = {
        "video": pc.binary_join_element_wise(
            "videos", pc.utf8_slice_codeunits(name, 0, 1), pc.binary_join_element_wise(name, "mp4", "."), "/"
        ),
        "start_s": pa.array(start_s),
        "end_s": pa.array((start_s + length_s).round(2)),
        "caption": _captions(topic[video], words, rng),
        "youtube_id": name,
        "source_start_s": pa.array(start_s + source_s),
        "source_end_s": pa.array((start_s + source_s + length_s).round(2)),
        "language": _missing(_words(LANGUAGES, rng.choice(len(LANGUAGES), size=count, p=_zipf(len(LANGUAGES), 0.5))[video]), 0.03, rng),
        "type": _words(CATEGORIES, rng.choice(len(CATEGORIES), size=count, p=_zipf(len(CATEGORIES), 1.0))[video]),
        "aesthetic": _missing(pa.array(rng.normal(4.5, 0.8, rows).astype(np.float32)), 0.02, rng),
        "umt_score": _missing(pa.array(rng.normal(0.42, 0.08, rows).clip(0, 1).astype(np.float32)), 0.01, rng),
    }
    return video, topic, pa.table(table)


def _fill(length_s: npt.NDArray[np.float64]) -> Numbers:
    """Return which video each clip lies in, when each holds as many as its length allows."""
    video = np.empty(len(length_s), np.int64)
    number, used = 0, 0.0
    for row, clip_s in enumerate(length_s.tolist()):
        if used + clip_s > VIDEO_S:
            number, used = number + 1, 0.0
        used += clip_s
        video[row] = number
    return video


def _captions(topic: Numbers, words: Numbers, rng: np.random.Generator) -> pa.Array:
    """Return sentences that say their topic, most of them with other words at the end."""
    who, what, whom, where = words[:, topic]
    where = np.where(rng.random(len(topic)) < 0.3, rng.integers(len(WHERE), size=len(topic)), where)
    whom = np.where(rng.random(len(topic)) < 0.3, rng.integers(len(WHO), size=len(topic)), whom)
    tail = _words(TAILS, rng.integers(len(TAILS), size=len(topic)))
    said = pc.binary_join_element_wise(_words(WHO, who), _words(WHAT, what), _words(WHO, whom), _words(WHERE, where), " ")
    return _missing(pc.utf8_capitalize(pc.binary_join_element_wise(said, tail, "")), 0.002, rng)


def _words(words: tuple[str, ...], numbers: Numbers) -> pa.Array:
    return pa.array(words).take(pa.array(numbers))


def _missing(values: pa.Array, share: float, rng: np.random.Generator) -> pa.Array:
    return pc.if_else(pa.array(rng.random(len(values)) < share), None, values)


def _zipf(count: int, behind: float) -> npt.NDArray[np.float64]:
    """Return shares that fall as 1 / (rank + behind)."""
    shares = 1 / (np.arange(count) + behind)
    normed: npt.NDArray[np.float64] = shares / shares.sum()
    return normed


def link_videos(folder: Path, names: list[str], *, seed: int) -> None:
    """Make real videos and give them all the names that the rows have."""
    files = list(_write_videos(folder / "made", seed=seed))
    for letter in {name.split("/")[1] for name in names}:
        (folder / letter).mkdir(exist_ok=True)
    for number, name in enumerate(names):
        target = folder.parent / name
        if not target.exists():
            os.link(files[number % len(files)], target)


def _write_videos(folder: Path, *, seed: int) -> Iterator[Path]:
    """Write videos of a minute, each of other scenes of the toy world one after another, without encoding a scene twice."""
    scenes = [folder / row["video_path"] for row in write_demo_videos(folder, count=SCENES, seed=seed)]
    rng = np.random.default_rng(seed)
    for number in range(FILES):
        path = folder / f"{number:04d}.mp4"
        _join([scenes[i] for i in rng.integers(SCENES, size=int(VIDEO_S / SCENE_S)).tolist()], path)
        yield path


def _join(parts: list[Path], target: Path) -> None:
    """Write videos that were encoded alike as one, packet by packet."""
    av: Any = require("av")
    with av.open(str(target), "w", options={"movflags": "faststart"}) as write:
        copy = None
        for number, part in enumerate(parts):
            with av.open(str(part)) as read:
                stream = read.streams.video[0]
                copy = copy or write.add_stream_from_template(stream)
                shift = round(number * SCENE_S / stream.time_base)
                for packet in read.demux(stream):
                    if packet.size:
                        packet.pts, packet.dts, packet.stream = packet.pts + shift, packet.dts + shift, copy
                        write.mux(packet)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    print(write_index(options.folder, options.rows, seed=options.seed))


if __name__ == "__main__":
    main()

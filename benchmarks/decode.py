"""Decode the clips of one long video: vidsearch's decoder against decord and against plain seeking with PyAV.

    python benchmarks/decode.py [--seconds 300] [--clips 20] [--rounds 3] [--keep FOLDER]

Makes a 720p H.264 video as x264 does by default (B frames that are referred to, a keyframe every 250 frames or at a cut), takes clips of
10 s at random places, 8 frames each, down to 224 x 224 by the same resizer, and counts CPU seconds of this process: the same on a busy
machine. All contenders take turns in one run, on one thread. Every frame shows its number, and is compared with a full decode.
"""

from __future__ import annotations

import argparse
import platform
import random
import tempfile
import time
from collections.abc import Callable, Sequence
from fractions import Fraction
from importlib.metadata import version
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt

from vidsearch.config import Preset
from vidsearch.decoders.base import Span
from vidsearch.decoders.pyav import open_decoder
from vidsearch.resize import resize_frames
from vidsearch.sampling import choose_frames

FPS, WIDTH, HEIGHT, BITS = 25, 1280, 720, 14
CLIP_S = 10.0
PRESET = Preset("benchmark")
Pixels = npt.NDArray[np.uint8]
Contender = Callable[[Path, Sequence[Span]], list[Pixels]]  # one array (frames, 224, 224, 3) a clip


def main() -> None:
    options = _options()
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.keep or Path(scratch)
        video = folder / f"decode-{WIDTH}x{HEIGHT}-{options.seconds}s-seed{options.seed}.mp4"
        if not video.exists():
            _write_video(video, options.seconds, options.seed)
        rng = random.Random(options.seed)
        starts = sorted(rng.uniform(0, options.seconds - CLIP_S) for _ in range(options.clips))
        _report(video, [Span(start, start + CLIP_S) for start in starts], options)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seconds", type=int, default=300, help="length of the video (300)")
    parser.add_argument("--clips", type=int, default=20, help="clips taken from it (20)")
    parser.add_argument("--rounds", type=int, default=3, help="turns of each decoder; the best one counts (3)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, help="folder in which the video stays for the next run")
    return parser.parse_args()


def _report(video: Path, spans: Sequence[Span], options: argparse.Namespace) -> None:
    contenders: dict[str, Contender] = {
        "vidsearch, one GOP at a time": _ours,
        "decord, resized while decoding": _decord_small,
        "decord, then the same resizer": _decord,
        "PyAV, seek and decode forward": _seek,
    }
    truth = _full_decode(video, spans)
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    wrong: dict[str, int] = {}
    for _ in range(options.rounds):
        for name, contender in contenders.items():
            begin = time.process_time()
            clips = contender(video, spans)
            seconds[name].append(time.process_time() - begin)
            wrong[name] = sum(
                not np.array_equal(frame, real)
                for clip, true in zip(clips, truth, strict=True)
                for frame, real in zip(clip, true, strict=True)
            )
    peer = min(min(times) for name, times in seconds.items() if name.startswith("decord"))
    machine = platform.processor() or platform.machine()
    print(f"{machine}, Python {platform.python_version()}, PyAV {version('av')}, decord {version('decord')}, seed {options.seed}")
    print(f"{video.name}: {video.stat().st_size / 1e6:.1f} MB, {_keyframes(video)} keyframes")
    print(f"{len(spans)} clips of {CLIP_S:.0f} s, {PRESET.frames} frames each, on one thread; the best of {options.rounds} turns")
    print(f"{'':30} {'CPU s':>7} {'per clip':>9} {'clips/s':>8} {'to decord':>10} {'not as in a full decode':>24}")
    for name, times in seconds.items():
        best, clips = min(times), len(spans)
        frames = f"{wrong[name]} of {clips * PRESET.frames} frames"
        print(f"{name:30} {best:7.2f} {best / clips:9.3f} {clips / best:8.2f} {peer / best:9.2f}x {frames:>24}")


def _ours(video: Path, spans: Sequence[Span]) -> list[Pixels]:
    clips = open_decoder().read_clips(
        video, spans, choose=lambda n: choose_frames(n, PRESET), transform=lambda frame: resize_frames(frame, PRESET)
    )
    by_index = {clip.index: clip.frames for clip in clips}
    return [frames for index in range(len(spans)) if (frames := by_index[index]) is not None]


def _decord(video: Path, spans: Sequence[Span]) -> list[Pixels]:
    import decord

    reader = decord.VideoReader(str(video), ctx=decord.cpu(0), num_threads=1)
    return [resize_frames(reader.get_batch(_numbers(span)).asnumpy(), PRESET) for span in spans]


def _decord_small(video: Path, spans: Sequence[Span]) -> list[Pixels]:
    import decord

    reader = decord.VideoReader(str(video), ctx=decord.cpu(0), num_threads=1, width=PRESET.size, height=PRESET.size)
    return [reader.get_batch(_numbers(span)).asnumpy() for span in spans]


def _seek(video: Path, spans: Sequence[Span]) -> list[Pixels]:
    """Decode each clip from the keyframe before its first frame, as most loaders do."""
    clips = []
    with av.open(str(video)) as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 1
        for span in spans:
            wanted = _numbers(span)
            container.seek(int(wanted[0] / FPS / stream.time_base), stream=stream)
            frames = {}
            for frame in container.decode(stream):
                number = round(frame.time * FPS)
                if number in wanted:
                    frames[number] = resize_frames(frame.to_ndarray(format="rgb24", threads=1), PRESET)
                if number >= wanted[-1]:
                    break
            clips.append(np.stack([frames[number] for number in wanted]))
    return clips


def _numbers(span: Span) -> list[int]:
    """Return the numbers of a span's frames in a video of constant rate that starts at 0."""
    first, last = (int(np.ceil(time_s * FPS - 1e-6)) for time_s in (span.start_s, span.end_s or 0.0))
    return [first + position for position in choose_frames(last - first, PRESET)]


def _full_decode(video: Path, spans: Sequence[Span]) -> list[Pixels]:
    """Decode every frame in order, with nothing skipped, and keep those of the spans; check the numbers they show."""
    wanted = {number for span in spans for number in _numbers(span)}
    kept: dict[int, Pixels] = {}
    with av.open(str(video)) as container:
        for number, frame in enumerate(container.decode(video=0)):
            if number in wanted:
                picture = frame.to_ndarray(format="rgb24")
                assert _read_number(picture) == number, f"frame {number} shows {_read_number(picture)}"
                kept[number] = resize_frames(picture, PRESET)
    return [np.stack([kept[number] for number in _numbers(span)]) for span in spans]


def _keyframes(video: Path) -> int:
    with av.open(str(video)) as container:
        return sum(packet.is_keyframe for packet in container.demux(video=0))


def _write_video(path: Path, seconds: int, seed: int) -> None:
    """Encode a slowly wandering view, discs that glide over it by fractions of a pixel, noise, and each frame's number as bars."""
    rng = np.random.default_rng(seed)
    grain = rng.normal(0, 2, (8, HEIGHT, WIDTH)).astype(np.float32)
    back, front = _clouds(rng, HEIGHT + 220, WIDTH + 220), _clouds(rng, 400, 400)
    tracks = [(rng.uniform(0, HEIGHT - 320), rng.uniform(0, WIDTH - 320), *rng.uniform(-2, 2, 2)) for _ in range(3)]
    y, x = np.mgrid[-150:150, -150:150]
    disc = y**2 + x**2 < 145**2
    grey = np.full((HEIGHT // 2, WIDTH), 128, dtype=np.uint8)  # both planes of colour, of a quarter of the size each
    part = path.with_suffix(".part.mp4")
    with av.open(str(part), "w") as container:
        stream = container.add_stream("libx264", rate=FPS)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.codec_context.thread_count = 1
        for number in range(seconds * FPS):
            light = _view(back, 100 + 90 * np.sin(number / 240), 100 + 90 * np.sin(number / 180), (HEIGHT, WIDTH))
            for top, left, down, right in tracks:
                row, column = (top + down * number) % (HEIGHT - 320), (left + right * number) % (WIDTH - 320)
                place = light[int(row) : int(row) + 300, int(column) : int(column) + 300]
                place[disc] = _view(front, 50 - row % 1, 50 - column % 1, (300, 300))[disc]
            luma = np.clip(light + grain[rng.integers(8)], 16, 235).astype(np.uint8)
            luma[: HEIGHT // 8] = _bars(number)
            frame = av.VideoFrame.from_ndarray(np.concatenate([luma, grey]), format="yuv420p")
            frame.pts, frame.time_base = number, Fraction(1, FPS)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    part.rename(path)


def _clouds(rng: np.random.Generator, height: int, width: int) -> npt.NDArray[np.float32]:
    """Return noise with nearly the spectrum of photographs, which falls as 1/f; 40 to 215. It comes to about 2 Mbit/s."""
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None])
    frequency[0, 0] = 1
    phase = np.exp(2j * np.pi * rng.random(frequency.shape))
    picture = np.fft.irfft2(phase / frequency**1.2, (height, width))
    picture -= picture.min()
    return (40 + 175 * picture / picture.max()).astype(np.float32)


def _view(picture: npt.NDArray[np.float32], top: float, left: float, size: tuple[int, int]) -> npt.NDArray[np.float32]:
    """Cut a window out of a picture at a place between pixels."""
    row, column = int(top), int(left)
    down, right = np.float32(top - row), np.float32(left - column)
    window = picture[row : row + size[0] + 1, column : column + size[1] + 1]
    window = window[:-1] * (1 - down) + window[1:] * down
    return window[:, :-1] * (1 - right) + window[:, 1:] * right


def _bars(number: int) -> npt.NDArray[np.uint8]:
    bits = np.array([number >> bit & 1 for bit in reversed(range(BITS))], dtype=np.uint8)
    return bits[np.arange(WIDTH) * BITS // WIDTH] * np.uint8(170) + np.uint8(32)


def _read_number(picture: Pixels) -> int:
    row = picture[HEIGHT // 32 : HEIGHT // 16].mean(axis=(0, 2))
    return sum(
        int(row[int((bar + 0.3) * WIDTH / BITS) : int((bar + 0.7) * WIDTH / BITS)].mean() > 128) << (BITS - 1 - bar) for bar in range(BITS)
    )


if __name__ == "__main__":
    main()

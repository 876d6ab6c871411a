"""How each of the bad and odd files is made; `bad_videos` says what must come of it. Each maker gets a folder of its own."""

from __future__ import annotations

import os
import random
import socket
import struct
import tarfile
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import av
import numpy as np

from tests.support import videos
from tests.support.archives import add_entry, write_tar, write_zip
from tests.support.canary import Canary
from tests.support.videos import RECIPES

PLAIN = "plain"  # fifty numbered frames in an mp4 file with its header in front
GOPS = {**videos.X264, "x264-params": "scenecut=0:keyint=12:min-keyint=12"}


@dataclass(frozen=True)
class Place:
    """Where a file is made, and what it may try to touch."""

    folder: Path
    canary: Canary

    def file(self, name: str = "video.mp4") -> Path:
        return self.folder / name


Maker = Callable[[Place], Path]


def holding(data: bytes | Callable[[Place], str], name: str = "video.mp4") -> Maker:
    """Make a file of bytes, or a script beside which the canary's files lie: FFmpeg follows names without a folder before any other."""

    def make(place: Place) -> Path:
        path = place.file(name)
        path.write_bytes(data if isinstance(data, bytes) else data(place).encode())
        for target in place.canary.folder.iterdir() if callable(data) else ():
            place.file(target.name).hardlink_to(target)  # the same file, so that it is watched
        return path

    return make


def plain(path: Path, *, frames: int = 50, **settings: object) -> Path:
    """Write numbered frames, a keyframe every twelve; an mp4 has its header in front."""
    options = {"movflags": "faststart"} if path.suffix == ".mp4" else {}
    return videos.write_video(path, frames=frames, **{"options": GOPS, "container_options": options, **settings})  # type: ignore[arg-type]


@cache
def encoded(name: str) -> bytes:
    """Return the bytes of a recipe's video, or of the plain one."""
    with tempfile.TemporaryDirectory() as folder:
        if name == PLAIN:
            return plain(Path(folder) / "video.mp4").read_bytes()
        return RECIPES[name].write(Path(folder) / f"video{RECIPES[name].suffix}").read_bytes()


def recipe(name: str) -> Maker:
    return changed(bytes, name)


def changed(change: Callable[[bytes], bytes], name: str = PLAIN) -> Maker:
    """Make a recipe's video and change its bytes."""

    def make(place: Place) -> Path:
        path = place.file("video.mp4" if name == PLAIN else f"video{RECIPES[name].suffix}")
        path.write_bytes(change(encoded(name)))
        return path

    return make


def cut(share: float) -> Callable[[bytes], bytes]:
    return lambda data: data[: int(len(data) * share)]


def flipped(count: int, first: float = 0.35, last: float = 0.85) -> Callable[[bytes], bytes]:
    """Turn over random bits between two places of the file, where pictures lie."""

    def change(data: bytes) -> bytes:
        changed, chance = bytearray(data), random.Random(count)
        for _ in range(count):
            changed[chance.randrange(int(len(data) * first), int(len(data) * last))] ^= 1 << chance.randrange(8)
        return bytes(changed)

    return change


def zeroed(start: float, end: float) -> Callable[[bytes], bytes]:
    def change(data: bytes) -> bytes:
        first, last = int(len(data) * start), int(len(data) * end)
        return data[:first] + bytes(last - first) + data[last:]

    return change


def patched(mark: bytes, offset: int, new: bytes) -> Callable[[bytes], bytes]:
    """Overwrite bytes at a distance from every occurrence of a mark."""

    def change(data: bytes) -> bytes:
        found = data.find(mark)
        assert found >= 0
        while found >= 0:
            data = data[: found + offset] + new + data[found + offset + len(new) :]
            found = data.find(mark, found + offset + len(new))
        return data

    return change


def without_header(data: bytes) -> bytes:
    return data[: data.index(b"moov") - 4]


def scrambled_header(data: bytes) -> bytes:
    at = data.index(b"moov") + 8
    return data[:at] + random.Random(0).randbytes(200) + data[at + 200 :]


def twice_as_long(data: bytes) -> bytes:
    """Double the length that a Matroska header claims: element 0x4489, eight bytes of floating point."""
    at = data.index(b"\x44\x89\x88") + 3
    return data[:at] + struct.pack(">d", 2 * struct.unpack(">d", data[at : at + 8])[0]) + data[at + 8 :]


def claiming_more(place: Place) -> Path:
    """431 frames in the header, 300 in the file: dmlc/decord issue 373."""
    path = plain(place.file(), frames=431)
    with av.open(str(path)) as container:
        places = [packet.pos for packet in container.demux(video=0) if packet.size]
    path.write_bytes(path.read_bytes()[: places[300]])
    return path


def sound_only(place: Place) -> Path:
    with av.open(str(place.file()), "w") as container:
        stream = container.add_stream("aac", rate=16_000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), dtype=np.float32), format="fltp", layout="mono")
        frame.sample_rate = 16_000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return place.file()


def retimed(change: Callable[[int, int], int | None]) -> Maker:
    """Make a Matroska file of pictures that need no others, with other times: `change(number, milliseconds)`; None leaves a packet out."""

    def make(place: Place) -> Path:
        source = RECIPES["mjpeg avi"].write(place.file("source.avi"))
        with av.open(str(source)) as read, av.open(str(place.file("video.mkv")), "w") as write:
            stream = read.streams.video[0]
            copy = write.add_stream_from_template(stream)
            copy.time_base = stream.time_base
            for number, packet in enumerate(packet for packet in read.demux(stream) if packet.size):
                time_ms = change(number, number * 40)
                if time_ms is not None:
                    packet.pts = packet.dts = round(time_ms / 1000 / packet.time_base)
                    packet.stream = copy
                    write.mux(packet)
        return place.file("video.mkv")

    return make


def resized_halfway(place: Place) -> Path:
    """Two transport streams, one after the other: the second's pictures are of another size."""
    options = {**GOPS, "bf": "0"}  # else the first file's times are moved to make room for those of decoding
    first = videos.write_video(place.file("first.ts"), frames=25, options=options)
    second = videos.write_video(
        place.file("second.ts"),
        width=128,
        height=96,
        options=options,
        times_s=[1 + number / 25 for number in range(25)],
        picture_of=lambda number, width, height: videos.numbered_frame(25 + number, width, height),
    )
    place.file("video.ts").write_bytes(first.read_bytes() + second.read_bytes())
    return place.file("video.ts")


def link_to(target: str | Path) -> Maker:
    def make(place: Place) -> Path:
        place.file().symlink_to(target)
        return place.file()

    return make


def pipe(place: Place) -> Path:
    os.mkfifo(place.file())
    return place.file()


def bound_socket(place: Place) -> Path:
    with socket.socket(socket.AF_UNIX) as listener:
        before = Path.cwd()
        os.chdir(place.folder)  # the name of a socket is at most 108 bytes long
        try:
            listener.bind("video.mp4")
        finally:
            os.chdir(before)
    return place.file()


def folder(place: Place) -> Path:
    place.file().mkdir()
    return place.file()


def below_a_file(place: Place) -> Path:
    return changed(bytes)(place) / "video.mp4"


def outside(place: Place) -> Path:
    (place.folder / "elsewhere").mkdir()
    (place.folder / "videos").mkdir()
    path = place.folder / "videos" / "video.mp4"
    target = place.folder / "elsewhere" / "video.mp4"
    target.write_bytes(encoded(PLAIN))
    path.symlink_to(target)
    return path


def named(name: str) -> Maker:
    return lambda place: changed(bytes)(place).rename(place.file(name))


def in_tar(place: Place) -> Path:
    return write_tar(place.file("a.tar"), [("x.txt", b"x"), ("v.mp4", encoded(PLAIN))]) / "v.mp4"


def in_zip(method: int, change: Callable[[bytes], bytes] = bytes) -> Maker:
    def make(place: Place) -> Path:
        path = write_zip(place.file("a.zip"), [("v.mp4", encoded(PLAIN))], method)
        path.write_bytes(change(path.read_bytes()))
        return path / "v.mp4"

    return make


def script_in_tar(place: Place) -> Path:
    """Make a script that has no folder of its own: its target is looked for where the process runs."""
    return write_tar(place.file("a.tar"), [("v.mp4", b"ffconcat version 1.0\nfile target.mp4\n")]) / "v.mp4"


def entry_in_tar(name: str, **fields: object) -> Maker:
    """Make a tar file with one entry that is no plain file of its own."""

    def make(place: Place) -> Path:
        with tarfile.open(place.file("a.tar"), "w") as archive:
            add_entry(archive, name, b"", **fields)
        return place.file("a.tar") / name

    return make


def torn_tar(place: Place) -> Path:
    path = in_tar(place).parent
    path.write_bytes(path.read_bytes()[:3000])
    return path / "v.mp4"


def archive_in_archive(place: Place) -> Path:
    inner = write_zip(place.file("inner.zip"), [("v.mp4", encoded(PLAIN))])
    return write_tar(place.file("a.tar"), [("inner.zip", inner.read_bytes())]) / "inner.zip" / "v.mp4"


STORED, DEFLATED = zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED

"""The video files of a folder, found by what rows know of them: compact enough for ten million files, looked up a column at a time.

What names a clip or a video becomes 19 bytes: the YouTube id and two times in milliseconds where the file is named by them, else a hash.
The sorted keys and the names lie in two flat arrays, about 90 bytes a file.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import chain, islice
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from indexer.readers._members import archive_members
from indexer.readers._times import TIMESTAMP, milliseconds
from indexer.readers.base import is_text, list_videos

ID_LENGTH = 11
KEY_BYTES = ID_LENGTH + 8
WHOLE = 0xFFFFFFFF  # in place of both times: the file is the whole video
CUT_CLIP = re.compile(rf"([!-~]{{{ID_LENGTH}}})_{TIMESTAMP.pattern}_{TIMESTAMP.pattern}", re.ASCII)
NUMBERED = re.compile(r"(\d{1,12})(?:_(.+))?", re.ASCII | re.DOTALL)
CAPTION_LENGTH = 50  # characters of the caption in a file's name
NUMBERED_KINDS = frozenset({"row", "clip"})
BY_NUMBER, BY_NAME = b"\xff", b"\xfe"
NAMES_AT_ONCE = 65_536

Keys = npt.NDArray[np.bytes_]


@dataclass(frozen=True, slots=True)
class CutName:
    """A file's name that tells what the file was cut from: id, and times in milliseconds."""

    youtube_id: str
    start_ms: int
    end_ms: int


def stem_of(video: str) -> str:
    """Return a file's name without folders and suffix; as `PurePosixPath.stem`, at a tenth of its cost."""
    name = video.rpartition("/")[2]
    return name.rpartition(".")[0] or name


def cut_name(video: str) -> CutName | None:
    """Return what `{YoutubeID}_{Start}_{End}.mp4` says; None for any other name."""
    match = CUT_CLIP.fullmatch(stem_of(video))
    if match is None:
        return None
    times = match.groups()[1:]
    start_ms, end_ms = milliseconds(*times[:3]), milliseconds(*times[3:])
    return CutName(match[1], start_ms, end_ms) if max(start_ms, end_ms) < WHOLE else None


def time_keys(ids: npt.NDArray[np.uint8], start_ms: npt.NDArray[np.int64], end_ms: npt.NDArray[np.int64]) -> Keys:
    """Return the keys of clips, (n,): ids (n, 11) bytes, times in milliseconds; WHOLE for whole videos."""
    parts = [ids, *(times.astype(">u4").view(np.uint8).reshape(-1, 4) for times in (start_ms, end_ms))]
    return np.ascontiguousarray(np.concatenate(parts, axis=1)).view(f"S{KEY_BYTES}").reshape(-1)


def odd_key(kind: str, *parts: object) -> bytes:
    """Return the key of a file that is named by anything but the id and times: a hash, after a byte that no id begins with."""
    text = "\0".join([kind, *map(str, parts)])
    digest = hashlib.blake2b(text.encode(errors="surrogatepass"), digest_size=KEY_BYTES - 1).digest()
    return (BY_NUMBER if kind in NUMBERED_KINDS else BY_NAME) + digest


def caption_part(caption: str) -> str:
    """Return what is the same in a caption and in a file's name made of it: its letters and digits."""
    return "".join(character for character in caption[:CAPTION_LENGTH].lower() if character.isalnum())


@dataclass(frozen=True)
class _Map:
    """What names which file.

    Attributes:
        keys: (k,) sorted.
        numbers: (k,) of the files they name.
        names: (files,) relative to the folder.
        kinds: the kinds of odd names there are; without them nobody need look for any.
    """

    keys: Keys
    numbers: npt.NDArray[np.int64]
    names: pa.LargeStringArray
    kinds: frozenset[str]

    @property
    def nbytes(self) -> int:
        return int(self.keys.nbytes + self.numbers.nbytes + self.names.nbytes)


class VideoFiles:
    """The videos below a folder, those in archives too; the folder is listed when the first is asked for."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()

    def find(self, keys: Keys) -> npt.NDArray[np.int64]:
        """Return the number of the file that each key names, (n,); -1 for none."""
        known, numbers = self.map.keys, self.map.numbers
        if not len(known):
            return np.full(len(keys), -1)
        places = np.minimum(np.searchsorted(known, keys), len(known) - 1)
        return np.where(known[places] == keys, numbers[places], -1)

    def find_odd(self, kind: str, parts: Iterable[tuple[object, ...]]) -> npt.NDArray[np.int64]:
        """Return the number of the file of one kind of odd name that each of the parts makes, (n,); -1 for none."""
        return self.find(np.array([odd_key(kind, *part) for part in parts], f"S{KEY_BYTES}"))

    @cached_property
    def map(self) -> _Map:
        keys, numbers = [np.zeros(0, f"S{KEY_BYTES}")], [np.zeros(0, np.int64)]
        names = [pa.array([], pa.large_string())]
        kinds: set[str] = set()
        videos, first = filter(is_text, chain(list_videos(self.folder), archive_members(self.folder))), 0
        while block := list(islice(videos, NAMES_AT_ONCE)):
            made = [(number, key) for number, video in enumerate(block, first) for key in _keys_of(video, kinds)]
            numbers.append(np.array([number for number, _ in made], np.int64))
            keys.append(np.array([key for _, key in made], f"S{KEY_BYTES}"))
            names.append(pa.array(block, pa.large_string()))
            first += len(block)
        unique, places, counts = np.unique(np.concatenate(keys), return_index=True, return_counts=True)
        # of files of one name the first, but neither of two that have one number
        clear = (counts == 1) | (unique.view(np.uint8).reshape(-1, KEY_BYTES)[:, 0] != BY_NUMBER[0])
        return _Map(unique[clear], np.concatenate(numbers)[places[clear]], pa.concat_arrays(names), frozenset(kinds))


def _keys_of(video: str, kinds: set[str]) -> Iterator[bytes]:
    """Yield all that rows may call a file by; `kinds` gathers the odd ones."""
    cut = cut_name(video)
    if cut is not None:
        yield _time_key(cut.youtube_id, cut.start_ms, cut.end_ms)
        return
    stem, folder = stem_of(video), video.rpartition("/")[0].rpartition("/")[2]
    odd: list[tuple[object, ...]] = []
    if len(stem.encode()) == ID_LENGTH:
        yield _time_key(stem, WHOLE, WHOLE)
    else:
        odd.append(("id", stem))
    if stem[ID_LENGTH : ID_LENGTH + 1] == "_" and (part := caption_part(stem[ID_LENGTH + 1 :])):
        odd.append(("caption", stem[:ID_LENGTH], part))
    if len(stem) != ID_LENGTH and (numbered := NUMBERED.fullmatch(stem)):  # YouTube ids may look like it
        odd.append(("row" if numbered[2] else "clip", folder, int(numbered[1])))
        if numbered[2] and len(numbered[2]) == ID_LENGTH:
            odd.append(("row and id", numbered[2]))
    kinds.update(str(kind) for kind, *_ in odd)
    for kind, *parts in odd:
        yield odd_key(str(kind), *parts)


def _time_key(youtube_id: str, start_ms: int, end_ms: int) -> bytes:
    return youtube_id.encode() + start_ms.to_bytes(4, "big") + end_ms.to_bytes(4, "big")

"""Where the clip of each row lies: a file and times in it.

In this order: what a path column names; `{YoutubeID}_{Start}_{End}.mp4`, already cut; `{YoutubeID}.mp4`, cut by the times; then
odd names: `{row}_{YoutubeID}.mp4`, whole; `{YoutubeID}_{caption[:50]}.mp4`, cut; files numbered like the rows,
`{row}_….mp4` whole and `{row}.mp4` cut.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from indexer.readers._paths import Paths
from indexer.readers._times import Seconds, fixed_bytes
from indexer.readers._video_files import ID_LENGTH, NUMBERED_KINDS, WHOLE, VideoFiles, caption_part, cut_name, stem_of, time_keys

BARE_ID = re.compile(rf"[\w-]{{{ID_LENGTH}}}", re.ASCII)
CUT_KINDS = frozenset({"caption", "clip"})

Mask = npt.NDArray[np.bool_]
Rows = npt.NDArray[np.int64]


@dataclass
class Wanted:
    """What rows say of their clips.

    Attributes:
        ids, paths, captions: (n,) with nulls.
        start_s, end_s: (n,) seconds, NaN where there is none.
        rows: (n,) numbers from 0.
        numbered: whether a column gives these, rather than the rows' order.
    """

    ids: pa.Array
    paths: pa.Array | None
    captions: pa.Array | None
    start_s: Seconds
    end_s: Seconds
    rows: Rows
    numbered: bool

    @property
    def times(self) -> tuple[Seconds, Seconds]:
        return self.start_s, self.end_s


@dataclass
class Found:
    """Where the clips are.

    Attributes:
        videos: (n,) files relative to the folder; of those that are not there the paths, None where the row has none.
        there: (n,) whether it is.
        cut: (n,) whether the file is the clip, so that the times are not to cut it again.
        escaped: rows whose path leads out of the folder.
    """

    videos: npt.NDArray[np.object_]
    there: Mask
    cut: Mask
    escaped: list[int] = field(default_factory=list)


class Places:
    """Finds the clips of one file of rows.

    Args:
        files: what there is.
        source: the file of rows: a folder of its name, or its own, may hold files numbered like its rows.
        alone: whether there is no other file of rows, so that numbers in a folder of another name can only be its.
    """

    def __init__(self, files: VideoFiles, paths: Paths, source: Path, *, alone: bool) -> None:
        self.files, self.paths = files, paths
        own = source.resolve().parent
        beside = [own.name] if own.is_relative_to(files.folder) and own != files.folder else []
        self.folders = dict.fromkeys([source.name.partition(".")[0], *beside, *([""] if alone else [])])

    def find(self, wanted: Wanted) -> Found:
        """Find every row's clip; rows whose path names its id and times get them."""
        count = len(wanted.ids)
        found = Found(np.full(count, None, object), np.zeros(count, np.bool_), np.zeros(count, np.bool_))
        if wanted.paths is not None:
            self._by_path(wanted, found)
        rest = ~found.there
        rest[found.escaped] = False
        self._by_id(wanted, found, np.flatnonzero(rest))
        return found

    def _by_path(self, wanted: Wanted, found: Found) -> None:
        """Look where paths lead. What a path's name says of the clip counts whether the file is there or not: the clip is the same one."""
        ids = wanted.ids.to_pylist()
        captions = wanted.captions.to_pylist() if wanted.captions is not None else [None] * len(ids)
        for row, path in enumerate(wanted.paths.to_pylist() if wanted.paths is not None else []):
            if not path:
                continue
            place = self.paths.place(path)
            if place is None:
                found.escaped.append(row)
                continue
            found.videos[row], found.there[row] = place
            named = cut_name(path)
            if named is not None and ids[row] in (None, named.youtube_id):
                found.cut[row], ids[row] = True, named.youtube_id
                for times, name_ms in ((wanted.start_s, named.start_ms), (wanted.end_s, named.end_ms)):
                    times[row] = name_ms / 1000 if np.isnan(times[row]) else times[row]
            elif ids[row] is None and BARE_ID.fullmatch(path):
                ids[row] = path
            else:
                found.cut[row] = _is_captioned(stem_of(path), ids[row], captions[row])
        wanted.ids = pa.array(ids, pa.string())

    def _by_id(self, wanted: Wanted, found: Found, at: Rows) -> None:
        """Look for the files that are named by what some rows say."""
        lengths = pc.fill_null(pc.binary_length(wanted.ids), 0).to_numpy(zero_copy_only=False)[at]
        usual = at[lengths == ID_LENGTH]
        self._take(found, usual, *self._usual(wanted, usual))
        for kind, folder in self._odd(wanted, unusual=len(usual) < len(at)):
            at = at[~found.there[at]]
            numbers = self.files.find_odd(kind, self._parts(wanted, kind, folder, at))
            self._take(found, at, numbers, np.full(len(at), kind in CUT_KINDS))

    def _usual(self, wanted: Wanted, at: Rows) -> tuple[Rows, Mask]:
        """Return the number of each row's file, -1 for none, and whether it is the clip; ids of these rows have 11 bytes."""
        ids = fixed_bytes(wanted.ids if len(at) == len(wanted.ids) else wanted.ids.take(pa.array(at)), ID_LENGTH)
        ends = [np.where(np.isnan(times[at]), WHOLE, np.rint(times[at] * 1000)).clip(0, WHOLE).astype(np.int64) for times in wanted.times]
        whole = np.full(len(at), WHOLE)
        clips, videos = self.files.find(time_keys(ids, *ends)), self.files.find(time_keys(ids, whole, whole))
        cut = (clips >= 0) & (ends[0] != WHOLE)
        return np.where(cut, clips, videos), cut

    def _odd(self, wanted: Wanted, *, unusual: bool) -> list[tuple[str, str]]:
        """Return the kinds of odd names to look for, with the folder of those that are numbered in one."""
        kinds = [kind for kind in ("id", "row and id", "caption") if kind in self.files.map.kinds and (unusual or kind != "id")]
        folders = self.folders if wanted.numbered else self._from_zero
        return [(kind, "") for kind in kinds] + [
            (kind, folder) for folder in folders for kind in sorted(NUMBERED_KINDS) if kind in self.files.map.kinds
        ]

    def _parts(self, wanted: Wanted, kind: str, folder: str, at: Rows) -> Iterator[tuple[object, ...]]:
        """Yield what would name each row's file."""
        if kind in NUMBERED_KINDS:
            return ((folder, number) for number in wanted.rows[at].tolist())
        ids = wanted.ids.take(pa.array(at)).to_pylist()
        if kind != "caption":
            return ((name or "",) for name in ids)
        captions = [None] * len(at) if wanted.captions is None else wanted.captions.take(pa.array(at)).to_pylist()
        return ((name, caption_part(caption or "")) for name, caption in zip(ids, captions, strict=True))

    @cached_property
    def _from_zero(self) -> list[str]:
        """The folders whose files are numbered like the rows, from 0. Without a 0 they may be numbered from 1, and nobody could tell."""
        return [folder for folder in self.folders if any(self.files.find_odd(kind, [(folder, 0)])[0] >= 0 for kind in NUMBERED_KINDS)]

    def _take(self, found: Found, at: Rows, numbers: Rows, cut: Mask) -> None:
        """Note the files of some rows where there are any."""
        good = numbers >= 0
        found.videos[at[good]] = self.files.map.names.take(pa.array(numbers[good])).to_pylist()
        found.there[at[good]] = True
        found.cut[at] = cut & good


def _is_captioned(stem: str, youtube_id: str | None, caption: str | None) -> bool:
    """Whether a file is named `{YoutubeID}_{caption[:50]}`."""
    start = f"{youtube_id}_"
    return bool(caption) and stem.startswith(start) and caption_part(stem[len(start) :]) == caption_part(caption or "") != ""

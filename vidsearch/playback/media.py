"""The clips of an index as pictures and videos, found by clip id and never by a path that a client gives."""

from __future__ import annotations

import hashlib
import os
import re
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import IO, Any
from urllib.parse import quote

import numpy as np

from vidsearch.archives.entries import DEFLATED
from vidsearch.archives.inside import open_inside, resolve_inside
from vidsearch.archives.members import exists, find, split, stat_media
from vidsearch.engine import Index
from vidsearch.errors import DecodeError, QueryError, VidsearchError
from vidsearch.playback._kept_files import KeptFiles
from vidsearch.playback._video_processes import VideoProcesses
from vidsearch.playback.cuts import MIME, MOST_SECONDS, Plan, Probe, plan
from vidsearch.settings import read_settings

POSTER_WIDTHS = (160, 320, 640)
POSTER_BYTES = 500 << 20
CUT_BYTES = 2 << 30
POSTER_TIMEOUT_S, CUT_TIMEOUT_S = 10.0, 30.0
PROCESSES = 2
WHOLE_S = 0.1  # a clip that ends no earlier before its video does is all of it
LOOK_AGAIN_S = 60.0  # at whether videos are missing
_PLANS_KEPT = 4096
_WHY = {
    "NOT_FOUND": "its video is not in the media folder",
    "PATH_ESCAPE": "its video lies outside the media folder",
    "TIMEOUT": "its video takes too long to read",
    "CRASH": "its video cannot be read: the process that tried ended",
    "BUSY": "too many videos are being read; try again",
    "DECODER_OOM": "its video takes too much memory to read",
    "SPAN_PAST_END": "its video ends before the clip begins",
    "SPAN_EMPTY": "its video has no picture there",
    "SHORT_DECODE": "its video ends too early",
    "NO_VIDEO_STREAM": "its file holds no video",
}


class NoMediaError(VidsearchError):
    """A clip has no picture or video to show; the message is a sentence without paths."""


@dataclass(frozen=True)
class Clip:
    """Where a clip lies: `video` is a file below the media root, times are seconds from its first instant."""

    clip_id: str
    video: str
    start_s: float
    end_s: float


@dataclass(frozen=True)
class Playback:
    """How a clip is played.

    Attributes:
        url: of the video.
        start_s, end_s: where the clip lies in it.
        fps: frames a second; 0 where unknown.
        why: in a sentence, why it cannot be played; "" when it can.
    """

    url: str
    start_s: float
    end_s: float
    fps: float
    why: str = ""


@dataclass(frozen=True)
class Opened:
    """A file to be sent; whoever has it closes `file`, which ends where the file ends.

    Attributes:
        etag: another one for other bytes.
        name: plain letters, for a file saved by the browser.
    """

    file: IO[bytes]
    size_bytes: int
    mime: str
    etag: str
    name: str


class Media:
    """Posters, videos and cuts of an index's clips. Thread-safe; its methods may wait for a video to be read.

    Args:
        index: whose clips.
        root: folder of the videos; the one that holds the index where none is given.
        cache: folder for posters and cuts; the user's cache folder where none is given.
    """

    def __init__(
        self,
        index: Index,
        root: Path | None = None,
        cache: Path | None = None,
        *,
        poster_bytes: int = POSTER_BYTES,
        cut_bytes: int = CUT_BYTES,
    ) -> None:
        self.index = index
        self.root = (index.root.resolve().parent if root is None else root).resolve()
        folder = default_cache() if cache is None else cache
        self._posters = KeptFiles(folder / "posters", limit_bytes=poster_bytes, failure=NoMediaError)
        self._cuts = KeptFiles(folder / "cuts", limit_bytes=cut_bytes, failure=NoMediaError)
        self._readers = VideoProcesses(PROCESSES, timeout_s=POSTER_TIMEOUT_S)
        self._cutters = VideoProcesses(PROCESSES, timeout_s=CUT_TIMEOUT_S)
        self._plans: OrderedDict[str, tuple[Plan, Probe]] = OrderedDict()
        self._lock = threading.Lock()
        self._missing: tuple[float, tuple[int, int]] | None = None

    def of(self, index: Index) -> Media:
        """Return the media of another version of the index, with the same processes and caches."""
        other = object.__new__(Media)
        other.__dict__.update(self.__dict__, index=index, _missing=None)
        return other

    def warm(self) -> None:
        """Start the processes that read videos, so that the first posters need not wait for them; returns at once."""
        self._readers.warm()

    def close(self) -> None:
        """End all processes that read videos."""
        self._readers.close()
        self._cutters.close()

    def playback(self, clip_id: str) -> Playback:
        """Return how a clip is played; where it cannot be, that is said in `why`.

        Raises:
            QueryError: no such clip.
        """
        clip = self._clip(clip_id)
        try:
            chosen, probe = self._plan(clip)
        except NoMediaError as error:
            return Playback("", clip.start_s, clip.end_s, 0.0, str(error))
        name = quote(clip_id, safe="")
        if chosen.way == "direct":
            return Playback(f"/media/video/{name}", clip.start_s, clip.end_s, probe.fps)
        length_s = min(clip.end_s - clip.start_s, MOST_SECONDS)
        return Playback(f"/media/cut/{name}", chosen.lead_s, chosen.lead_s + length_s, probe.fps)

    def video(self, clip_id: str) -> Opened:
        """Open the file that a clip lies in.

        Raises:
            QueryError: no such clip.
            NoMediaError: there is no file, or it is packed and has to be cut.
        """
        clip = self._clip(clip_id)
        etag = self._key("video", replace(clip, start_s=0.0, end_s=0.0))
        if self._is_packed(clip):
            raise NoMediaError("its video is packed in an archive; it is played by cuts")
        file = open_inside(self.root, clip.video)
        if isinstance(file, str):
            raise NoMediaError(_WHY["NOT_FOUND" if file == "missing" else "PATH_ESCAPE"])
        size_bytes = file.seek(0, os.SEEK_END)
        file.seek(0)
        suffix = _suffix(clip.video)
        return Opened(file, size_bytes, MIME.get(suffix, "application/octet-stream"), etag, _safe_name(clip_id, suffix))

    def cut(self, clip_id: str) -> Opened:
        """Open a file made of the clip alone, and what lies between it and the key frame before it.

        Raises: as `video`; NoMediaError also when it cannot be made.
        """
        clip = self._clip(clip_id)
        chosen, _ = self._plan(clip)
        chosen = replace(chosen, way="copy") if chosen.way == "direct" else chosen
        end_s = min(clip.end_s, clip.start_s + MOST_SECONDS)
        job = {"do": "cut", **self._job(clip), "end_s": end_s, "way": chosen.way, "form": chosen.form, "audio": chosen.audio}
        key = f"{self._key('cut', clip, chosen)}.{chosen.form}"
        return _opened(self._cuts.open(key, partial(self._have_made, self._cutters, job)), key, clip_id)

    def clip(self, clip_id: str) -> Opened:
        """Open the clip as a file of its own: its video where it is all of that, else a cut, which may begin at the key frame before it.

        Raises: as `cut`.
        """
        clip = self._clip(clip_id)
        chosen, probe = self._plan(clip)
        whole = clip.start_s == 0 and 0 < probe.duration_s <= clip.end_s + WHOLE_S
        return self.video(clip_id) if whole and chosen.way == "direct" else self.cut(clip_id)

    def poster(self, clip_id: str, width: int = 320) -> Opened:
        """Open the picture of the clip's middle, a JPEG.

        Args:
            width: one of POSTER_WIDTHS, pixels.

        Raises: as `cut`.
        """
        if width not in POSTER_WIDTHS:
            raise QueryError(f"a poster is {', '.join(map(str, POSTER_WIDTHS))} pixels wide")
        clip = self._clip(clip_id)
        job = {"do": "poster", **self._job(clip), "width": width}
        key = f"{self._key('poster', clip, width)}.jpg"
        return _opened(self._posters.open(key, partial(self._have_made, self._readers, job)), key, clip_id)

    def missing(self, sample: int = 200) -> tuple[int, int]:
        """Return how many clips' videos were looked for, and how many of these are not there; looked at again after a minute."""
        with self._lock:
            if self._missing is not None and time.monotonic() < self._missing[0]:
                return self._missing[1]
        rows = np.unique(np.linspace(0, self.index.slots - 1, min(sample, self.index.slots)).astype(np.int64))
        videos = [str(row["video"] or "") for row in self.index.take(rows[self.index.alive_mask[rows]], ["video"])]
        found = len(videos), sum(not self._is_there(video) for video in videos)
        with self._lock:
            self._missing = time.monotonic() + LOOK_AGAIN_S, found
        return found

    def _is_there(self, video: str) -> bool:
        try:
            path = resolve_inside(self.root, video)
            return path is not None and exists(path)
        except (OSError, ValueError, RuntimeError):
            return False

    def _clip(self, clip_id: str) -> Clip:
        (row,) = self.index.answered(lambda: self.index.take([self.index.row_of(clip_id)], ["video", "start_s", "end_s"]))
        return Clip(clip_id, str(row["video"] or ""), float(row["start_s"] or 0.0), float(row["end_s"] or 0.0))

    def _job(self, clip: Clip) -> dict[str, Any]:
        return {"root": str(self.root), "video": clip.video, "start_s": clip.start_s, "end_s": clip.end_s}

    def _key(self, *parts: object) -> str:
        """Return a name for what is made of a clip; it changes with the file.

        Raises:
            NoMediaError: there is no file.
        """
        clip = next(part for part in parts if isinstance(part, Clip))
        try:
            path = resolve_inside(self.root, clip.video)
            if path is None:
                raise NoMediaError(_WHY["PATH_ESCAPE" if clip.video else "NOT_FOUND"])
            status = stat_media(path)
        except (OSError, ValueError, RuntimeError):
            raise NoMediaError(_WHY["NOT_FOUND"]) from None
        state = (str(path), status.st_ino, status.st_size, status.st_mtime_ns)
        return hashlib.sha256(repr((state, parts)).encode(errors="surrogatepass")).hexdigest()[:32]

    def _is_packed(self, clip: Clip) -> bool:
        """Whether a video is compressed in an archive, so that no stretch of it can be read alone."""
        try:
            path = resolve_inside(self.root, clip.video)
            return path is not None and split(path) is not None and find(path)[1].method == DEFLATED
        except (OSError, ValueError, RuntimeError, DecodeError):
            return False

    def _plan(self, clip: Clip) -> tuple[Plan, Probe]:
        key = self._key("plan", clip)
        with self._lock:
            if key in self._plans:
                self._plans.move_to_end(key)
                return self._plans[key]
        probe = Probe(**self._asked(self._readers, {"do": "probe", **self._job(clip)}))
        found = plan(probe, _suffix(clip.video), clip.start_s, packed=self._is_packed(clip)), probe
        with self._lock:
            self._plans[key] = found
            while len(self._plans) > _PLANS_KEPT:
                self._plans.popitem(last=False)
        return found

    def _have_made(self, processes: VideoProcesses, job: dict[str, Any], path: Path) -> None:
        self._asked(processes, {**job, "to": str(path.absolute())})

    def _asked(self, processes: VideoProcesses, job: dict[str, Any]) -> dict[str, Any]:
        try:
            return processes.ask(job)
        except DecodeError as error:
            raise NoMediaError(_WHY.get(error.reason, "its video cannot be read")) from error


def default_cache() -> Path:
    """Return the folder of this user's posters and cuts."""
    return read_settings().cache / "media"


def _opened(file: IO[bytes], key: str, clip_id: str) -> Opened:
    suffix = _suffix(key)
    mime = "image/jpeg" if suffix == "jpg" else MIME[suffix]
    return Opened(file, os.fstat(file.fileno()).st_size, mime, key.partition(".")[0], _safe_name(clip_id, suffix))


def _suffix(name: str) -> str:
    return name.rpartition("/")[2].rpartition(".")[2].lower()


def _safe_name(clip_id: str, suffix: str) -> str:
    return f"{re.sub('[^A-Za-z0-9_-]', '_', clip_id)[:80] or 'clip'}.{re.sub('[^a-z0-9]', '', suffix)[:8] or 'bin'}"

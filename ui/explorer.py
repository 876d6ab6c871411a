"""An opened index and what the page keeps of it: rankings, posters, the map."""

from __future__ import annotations

import logging
import time
from functools import cached_property
from pathlib import Path
from threading import Lock, Thread

import numpy as np

from ui.asking.examples import examples
from ui.asking.ordering import first_rows
from ui.asking.ranking import Ranker
from ui.filtering.facets import facets
from ui.plots.map import Map
from ui.plots.regions import rows_inside
from ui.state import State
from vidsearch.answers.page import hit_of
from vidsearch.answers.videos import sources_of, within
from vidsearch.corpus import Rows
from vidsearch.engine import Index, open_index
from vidsearch.errors import VidsearchError
from vidsearch.playback.media import Media
from vidsearch.results import Hit
from vidsearch.storage import manifest as manifests
from vidsearch.storage import seal

LOOK_AGAIN_S = 2.0
NEIGHBOURS = 60  # clips of a video shown around one
LOOKED_AT = 2000  # clips of it on either side in the index, among which those are

log = logging.getLogger(__name__)


class Explorer:
    """One version of an index, opened for the page.

    Attributes:
        index: what is asked.
        ranker, media, map: what is kept of it.
    """

    def __init__(self, index: Index, media: Media, *, cache: Path) -> None:
        self.index, self.media = index, media
        self.ranker = Ranker(index, self.inside)
        self.map = Map(index, cache)

    @cached_property
    def uuid(self) -> str:
        """What names the index, whatever is added to it."""
        return str(seal.read_sealed(self.index.root / "FORMAT")["index_uuid"])

    @cached_property
    def examples(self) -> tuple[str, ...]:
        return examples(self.index)

    def inside(self, state: State) -> Rows | None:
        """Return the rows in the region of the map that is chosen; None where none is."""
        return rows_inside(self.map, state.lasso) if state.lasso else None

    def hit(self, clip_id: str) -> Hit:
        (row,) = self.index.take([self.index.row_of(clip_id)])
        return hit_of(1, float("nan"), row)

    def neighbours(self, clip_id: str) -> list[Hit]:
        """Return the clips of one clip's source video in order of time, itself among them; of many, those around it."""
        row = self.index.row_of(clip_id)
        of_video = self.index.select(within(self.index, sources_of(self.index, np.array([row])).videos))
        rows = first_rows(self.index, of_video, self.index.slots)
        place = int(np.searchsorted(rows, row))
        rows = rows[max(0, place - LOOKED_AT) : place + LOOKED_AT]
        rows = rows[np.argsort(sources_of(self.index, rows).starts_s, kind="stable")]
        place = int(np.flatnonzero(rows == row)[0])
        first = max(0, min(place - NEIGHBOURS // 2, len(rows) - NEIGHBOURS))
        return [hit_of(number, float("nan"), values) for number, values in enumerate(self.index.take(rows[first : first + NEIGHBOURS]), 1)]


class Shelf:
    """The explorer of the newest version: what the index grows by is seen at the next page that is opened."""

    def __init__(self, path: Path, *, model: str | None, strict: bool, media_root: Path | None, cache: Path) -> None:
        self._model, self._strict, self._cache = model, strict, cache
        self._lock = Lock()
        index = open_index(path, model=model, strict=strict)
        self.root = index.root
        self.media_root = (media_root or index.root.parent).resolve()
        self._explorer = Explorer(index, Media(index, self.media_root, cache), cache=cache)
        self._looked = time.monotonic()

    @property
    def explorer(self) -> Explorer:
        """The explorer in use."""
        return self._explorer

    def renew(self) -> Explorer:
        """Return the explorer, of a newer version if there is one by now; if that cannot be opened, of the one before."""
        with self._lock:
            if time.monotonic() - self._looked > LOOK_AGAIN_S:
                self._looked = time.monotonic()
                if max(manifests.versions(self.root), default=0) > self._explorer.index.manifest.version:
                    self._take_up()
        return self._explorer

    def _take_up(self) -> None:
        try:
            index = open_index(self.root, model=self._model, strict=self._strict)
            self._explorer = Explorer(index, self._explorer.media.of(index), cache=self._cache)
        except VidsearchError as error:
            log.warning("the newer version cannot be opened, the page stays with the one before: %s", error)

    def warm(self) -> None:
        """Do beforehand, in the background, what the first page and the first question would wait for."""
        self._explorer.media.warm()
        Thread(target=self._warm, name="warm", daemon=True).start()

    def _warm(self) -> None:
        try:
            explorer = self._explorer
            explorer.ranker.page(State())
            _ = explorer.examples
            facets(explorer.index, State(), explorer.ranker)
            explorer.ranker.warm()
        except VidsearchError as error:
            log.warning("%s", error)

    def close(self) -> None:
        """End the processes that read videos."""
        self._explorer.media.close()

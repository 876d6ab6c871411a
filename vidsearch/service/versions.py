"""The newest version of an index, taken up while questions to the one before are still being answered."""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from threading import Lock

import numpy as np

from vidsearch.engine import Index, find_root
from vidsearch.errors import VidsearchError
from vidsearch.query import Vector
from vidsearch.storage import manifest as manifests

LOOK_AGAIN_S = 2.0
KEPT_TEXTS = 4096  # sentences whose vectors are remembered: 3 kB each at 768 dimensions

log = logging.getLogger(__name__)


class TextCache:
    """Vectors of the sentences asked last, of one model."""

    def __init__(self, size: int = KEPT_TEXTS) -> None:
        self._size, self._lock = size, Lock()
        self._kept: OrderedDict[tuple[str, str], Vector] = OrderedDict()
        self.hits = self.misses = 0

    def take(self, space: str, texts: Sequence[str]) -> dict[str, Vector]:
        """Return those of some sentences that are there."""
        with self._lock:
            found = {text: self._kept[space, text] for text in texts if (space, text) in self._kept}
            for text in found:
                self._kept.move_to_end((space, text))
            self.hits += len(found)
            self.misses += len(texts) - len(found)
            return found

    def keep(self, space: str, vectors: dict[str, Vector]) -> None:
        with self._lock:
            self._kept.update({(space, text): vector for text, vector in vectors.items()})
            while len(self._kept) > self._size:
                self._kept.popitem(last=False)


class ServedIndex(Index):
    """An index that encodes a sentence once, whichever version is asked."""

    def __init__(self, root: Path, cache: TextCache, *, model: str | None = None, strict: bool = False) -> None:
        super().__init__(root, model=model, strict=strict)
        self._cache = cache

    def encode_texts(self, texts: Sequence[str]) -> Vector:
        wanted = list(dict.fromkeys(texts))
        known = self._cache.take(self.space.id, wanted)
        new = [text for text in wanted if text not in known]
        if new:
            fresh = dict(zip(new, super().encode_texts(new), strict=True))
            self._cache.keep(self.space.id, fresh)
            known |= fresh
        return np.stack([known[text] for text in texts]) if texts else np.zeros((0, self.space.dim), np.float32)


class Versions:
    """The version of an index that is asked, renewed in the background.

    A question keeps the index that it began with: files of a version stay mapped as long as somebody holds it.

    Attributes:
        root: of the index.
        texts: the sentences whose vectors are remembered.
        regressed: why the newest version cannot be opened, or "".
    """

    def __init__(self, path: Path, *, model: str | None = None, strict: bool = False) -> None:
        self.root, self._model, self._strict = find_root(path), model, strict
        self.texts = TextCache()
        self.regressed = ""
        self._index = self._open()
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def index(self) -> Index:
        """The newest version that could be opened."""
        return self._index

    def watch(self) -> None:
        """Look every two seconds whether there is a newer version."""
        self._thread = threading.Thread(target=self._watch, name="versions", daemon=True)
        self._thread.start()

    def renew(self) -> None:
        """Take up the newest version, if that is another and can be opened."""
        if max(manifests.versions(self.root), default=0) <= self._index.manifest.version:
            return
        try:
            index = self._open()
            if self._index.__dict__.get("encoder") is not None and index.space.id == self._index.space.id:
                index.__dict__["encoder"] = self._index.encoder  # loading a model anew would hold up the first question
            index.check()  # hashes what questions read, before one waits for it
        except (VidsearchError, OSError) as error:
            if str(error) != self.regressed:
                log.warning("the newer version cannot be opened, the one before is served: %s", error)
            self.regressed = str(error)
            return
        self._index, self.regressed = index, ""

    def close(self) -> None:
        self._ended.set()
        if self._thread is not None:
            self._thread.join()

    def _watch(self) -> None:
        while not self._ended.wait(LOOK_AGAIN_S):
            self.renew()

    def _open(self) -> Index:
        return ServedIndex(self.root, self.texts, model=self._model, strict=self._strict)

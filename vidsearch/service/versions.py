"""The newest version of an index, taken up while questions to the one before are still being answered.

An index that finds a segment damaged leaves it out, and rows have other numbers then. So what is served is never asked itself: each use
has a copy of its own (a dict of some forty names; segments, vectors and codes are shared), and the copy that found damage is served next.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol, Self

from vidsearch.answers import cursor as cursors
from vidsearch.engine import Index, find_root
from vidsearch.errors import VidsearchError
from vidsearch.query import Vector
from vidsearch.service.sentences import Sentences
from vidsearch.storage import manifest as manifests

LOOK_AGAIN_S = 2.0

log = logging.getLogger(__name__)


class ServedIndex(Index):
    """A version of an index.

    Attributes:
        lasting: whether another question may be asked of it; not where something is left out that may be back at once.
    """

    lasting = True

    def __init__(self, root: Path, sentences: Sentences, *, strict: bool = False) -> None:
        super().__init__(root, strict=strict)
        self._sentences = sentences

    def own(self) -> Self:
        """Return a copy that can leave segments out without anybody else's rows changing their numbers."""
        copy = object.__new__(type(self))
        copy.__dict__.update(self.__dict__)
        copy.__dict__.pop("_means", None)  # it knows whom it belongs to
        return copy

    def inherit(self, known: ServedIndex) -> None:
        """Take over what another version has opened and hashed of the segments that both have; load the codes of the others.

        So a commit costs whoever asks next only what it has added, and not even that.
        """
        opened = {segment.uuid: number for number, segment in enumerate(known.segments)}
        same = {number: opened[segment.uuid] for number, segment in enumerate(self.segments) if segment.uuid in opened}
        self.segments = [known.segments[same[number]] if number in same else segment for number, segment in enumerate(self.segments)]
        loaded = dict(known._loaded)
        self._loaded |= {number: loaded[other] for number, other in same.items() if other in loaded}
        self._templates |= known._templates
        self.check()
        if loaded:
            self.answered(lambda: [self.index_of(number) for number in range(len(self.segments))])

    @property
    def etag(self) -> str:
        """Another text for another answer to the same question."""
        return f'"{cursors.version_of(self.manifest.version, tuple(segment.uuid for segment in self.segments))}"'

    def encode_texts(self, texts: Sequence[str]) -> Vector:
        return self._sentences.encode(self.space, texts)


class Open(Protocol):
    """Opens the newest version of an index."""

    def __call__(self, root: Path, sentences: Sentences, /, *, strict: bool = False) -> ServedIndex: ...


class Versions:
    """The version of an index that is asked, renewed in the background.

    Files of a version stay mapped as long as somebody holds an index of it, whatever has become of them in the folder.

    Args:
        taken_up: called after each change of what is served.
        opened: opens a version: a folder, what encodes sentences, and whether damage is an error.

    Attributes:
        root: of the index.
        sentences: encodes for all versions.
        regressed: why the newest version cannot be opened, or "".
    """

    def __init__(
        self,
        path: Path,
        *,
        model: str | None = None,
        strict: bool = False,
        taken_up: Callable[[ServedIndex], None] = lambda index: None,
        opened: Open = ServedIndex,
    ) -> None:
        self.root, self._strict, self._taken_up, self._open = find_root(path), strict, taken_up, opened
        self.sentences = Sentences(model)
        self.regressed = ""
        self._lock = threading.Lock()
        self._index = self._open(self.root, self.sentences, strict=strict)
        self._index.check()  # hashes what questions read, before one waits for it
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def index(self) -> ServedIndex:
        """What is served: the newest version that could be opened. Look at it, and ask `own` copies."""
        return self._index

    def learn(self, asked: ServedIndex) -> None:
        """Serve from now on what is left of this version, if a copy of it has found damage."""
        with self._lock:
            same = asked.manifest.version == self._index.manifest.version
            if asked.lasting and same and len(asked.segments) < len(self._index.segments):
                self._take_up(asked.own())
                log.warning("a segment is damaged and left out: %s", asked.skipped[-1])

    def watch(self) -> None:
        """Look every two seconds whether there is a newer version."""
        self._thread = threading.Thread(target=self._watch, name="versions", daemon=True)
        self._thread.start()

    def renew(self) -> None:
        """Take up the newest version, if that is another and can be opened."""
        try:
            if max(manifests.versions(self.root), default=0) <= self._index.manifest.version:
                return
            index = self._open(self.root, self.sentences, strict=self._strict)
            index.inherit(self._index)
        except (VidsearchError, OSError) as error:
            if str(error) != self.regressed:
                log.warning("the newer version cannot be opened, the one before is served: %s", error)
            self.regressed = str(error)
            return
        with self._lock:
            self._take_up(index)
            self.regressed = ""

    def close(self) -> None:
        self._ended.set()
        if self._thread is not None:
            self._thread.join()

    def _watch(self) -> None:
        while not self._ended.wait(LOOK_AGAIN_S):
            self.renew()

    def _take_up(self, index: ServedIndex) -> None:
        self._index = index
        self._taken_up(index)

"""Sentences → vectors: the model is loaded once for all versions of an index, and a sentence that was asked before is not encoded again."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

import numpy as np

from vidsearch.config import Space
from vidsearch.encoders import load_text_encoder
from vidsearch.query import Vector

if TYPE_CHECKING:
    from vidsearch.encoders.base import TextEncoder

KEPT = 4096  # sentences: 3 kB each at 768 dimensions


class Sentences:
    """The text side of the models in use. Thread-safe; texts are encoded by one thread at a time.

    Args:
        model: where to find its weights, if not where the index remembers them.
        kept: so many sentences asked last are remembered with their vectors.

    Attributes:
        hits, misses: sentences that were remembered, and that had to be encoded.
    """

    def __init__(self, model: str | Path | None = None, *, kept: int = KEPT) -> None:
        self._model, self._size = model, kept
        self._lock, self._encoding = Lock(), Lock()
        self._kept: OrderedDict[tuple[str, str], Vector] = OrderedDict()
        self._encoder: tuple[str, TextEncoder] | None = None
        self.hits = self.misses = 0

    def encode(self, space: Space, texts: Sequence[str]) -> Vector:
        """Return texts as unit rows (n, dim) float32 of a space."""
        wanted = list(dict.fromkeys(texts))
        known = self._take(space.id, wanted)
        new = [text for text in wanted if text not in known]
        if new:
            with self._encoding:
                fresh = dict(zip(new, self._encoder_of(space).encode_texts(new), strict=True))
            self._keep(space.id, fresh)
            known |= fresh
        return np.stack([known[text] for text in texts]) if texts else np.zeros((0, space.dim), np.float32)

    def _encoder_of(self, space: Space) -> TextEncoder:
        if self._encoder is None or self._encoder[0] != space.id:
            self._encoder = space.id, load_text_encoder(space, self._model)
        return self._encoder[1]

    def _take(self, space: str, texts: Sequence[str]) -> dict[str, Vector]:
        with self._lock:
            found = {text: self._kept[space, text] for text in texts if (space, text) in self._kept}
            for text in found:
                self._kept.move_to_end((space, text))
            self.hits += len(found)
            self.misses += len(texts) - len(found)
            return found

    def _keep(self, space: str, vectors: dict[str, Vector]) -> None:
        with self._lock:
            self._kept.update({(space, text): vector for text, vector in vectors.items()})
            while len(self._kept) > self._size:
                self._kept.popitem(last=False)

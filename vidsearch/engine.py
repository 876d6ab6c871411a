"""The index as its users see it: open it, ask it, describe it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from vidsearch.answer import answer
from vidsearch.corpus import Corpus
from vidsearch.encoders import load_text_encoder
from vidsearch.query import Query, Vector
from vidsearch.results import Hits
from vidsearch.storage import manifest as manifests

if TYPE_CHECKING:
    from vidsearch.encoders.base import TextEncoder


def open_index(path: str | Path, *, model: str | Path | None = None) -> Index:
    """Open an index folder, or the folder whose `index` folder it is.

    Cheap: vectors are memory-mapped, and the model is loaded with the first text.

    Args:
        path: the index.
        model: where the query side finds its weights, if not where the index remembers them.

    Raises:
        NotAnIndexError: no index there.
        IndexCorruptError: its newest manifest cannot be trusted.
        FormatVersionError: a newer vidsearch wrote it.
    """
    root = Path(path)
    if not manifests.exists(root) and manifests.exists(root / "index"):
        root = root / "index"
    return Index(root, model=model)


class Index(Corpus):
    """A corpus and the text side of the model that made it."""

    def __init__(self, root: Path, *, model: str | Path | None = None) -> None:
        super().__init__(root)
        self.model = model

    def __repr__(self) -> str:
        return f"Index({str(self.root)!r}, {len(self):,} clips, {self.space.model})"

    @cached_property
    def encoder(self) -> TextEncoder:
        """The text side of the model that made this index, without torch where the model allows."""
        return load_text_encoder(self.space, self.model)

    def search(
        self,
        text: str | None = None,
        *,
        k: int = 10,
        where: str | None = None,
        like: str | None = None,
        exclude: Sequence[str] = (),
        vector: Vector | None = None,
    ) -> Hits:
        """Return the k clips nearest to what is described, among those that pass the filter.

            index.search("a dog surfing", k=5, where="language = 'en' and aesthetic > 5")

        Args:
            text: a sentence.
            k: 1 to 1000.
            where: SQL WHERE syntax over the columns of `schema`, applied before the vectors are compared.
            like: the id of a clip to resemble.
            exclude: sentences to move away from.
            vector: (dim,) float32, in place of or beside the text.

        Raises:
            QueryError, FilterError: the question cannot be asked.
            SpaceMismatchError: the model at hand is not the one that made the index.
        """
        query = Query(text, like, vector, tuple(exclude), k, where)
        return answer(self, query, encode=self.encode_texts)

    def encode_texts(self, texts: Sequence[str]) -> Vector:
        """Return texts as unit rows (n, dim) float32; the first call loads the model."""
        return self.encoder.encode_texts(texts)

    def vector_of(self, clip_id: str) -> Vector:
        """Return the unit vector (dim,) float32 of one clip."""
        vector: Vector = self.vectors_of([self.row_of(clip_id)])[0]
        return vector

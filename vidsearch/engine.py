"""The index as its users see it: open it, ask it, describe it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from vidsearch._query_parts import Media, sentences
from vidsearch.answers.answer import Answer, Means, answer, count, rank
from vidsearch.answers.streams import Scores, Words
from vidsearch.asking import Searchable
from vidsearch.corpus import Corpus, Rows
from vidsearch.encoders import load_text_encoder
from vidsearch.errors import IndexCorruptError, QueryError
from vidsearch.query import Mode, Query, Vector
from vidsearch.results import Count, Hits
from vidsearch.settings import read_settings
from vidsearch.storage import manifest as manifests
from vidsearch.storage.address import fetch, is_remote

if TYPE_CHECKING:
    from vidsearch.curate.prevalence import Estimate
    from vidsearch.encoders.base import Encoder, TextEncoder

T = TypeVar("T")


def open_index(path: str | Path, *, model: str | Path | None = None, strict: bool = False) -> Index:
    """Open an index folder, or the folder whose `index` folder it is.

    Cheap: vectors are memory-mapped, and the model is loaded with the first text.

    Args:
        path: the index.
        model: where the query side finds its weights, if not where the index remembers them.
        strict: refuse where a damaged segment would be left out; otherwise every answer says so (`Hits.skipped`).

    Raises:
        PartialIndexError: a segment is damaged, with `strict`; also later, when a query finds it.
        NotAnIndexError: no index there.
        IndexCorruptError: its newest manifest cannot be trusted.
        FormatVersionError: a newer vidsearch wrote it.
    """
    return Index(find_root(path), model=model, strict=strict)


def find_root(path: str | Path) -> Path:
    """Return the index folder that a path means: itself, the folder `index` in it, or what was fetched from an address such as `s3://…`."""
    if is_remote(path):
        return fetch(path, read_settings().cache)
    root = Path(path)
    return root / "index" if not manifests.exists(root) and manifests.exists(root / "index") else root


class Index(Corpus, Searchable):
    """A corpus and the text side of the model that made it."""

    def __init__(self, root: Path, *, model: str | Path | None = None, strict: bool = False) -> None:
        super().__init__(root, strict=strict)
        self.model = model

    def __repr__(self) -> str:
        return f"Index({str(self.root)!r}, {len(self):,} clips, {self.space.model})"

    @cached_property
    def encoder(self) -> TextEncoder:
        """The text side of the model that made this index, without torch where the model allows."""
        return load_text_encoder(self.space, self.model)

    @cached_property
    def full_encoder(self) -> Encoder:
        """Both sides of the model that made this index; loaded to ask with a picture or a video."""
        from vidsearch.answers.media import encoder_of

        return encoder_of(self.space, self.model)

    def ask(self, queries: Sequence[Query]) -> list[Hits]:
        """Return the hits of many questions: their texts are encoded together, and those with one filter compared together."""
        return self._answered(queries, lambda: answer(self, queries, self._means))

    def count(
        self,
        text: str | None = None,
        *,
        where: str | None = None,
        min_score: float | None = None,
        mode: Mode = "vectors",
        exact: bool = True,
    ) -> Count:
        """Return how many clips pass the filter, and score that much for the text; with mode "keywords", hold a word of it.

        index.count("a dog", where="language = 'en'", min_score=0.25).rows
        """
        if text is None:
            if min_score is not None:
                raise QueryError("a score needs a text to be counted for")
            return Count(sum(selection.count for selection in self.select(where)))
        return self.count_of(Query(sentences([text]), where=where, min_score=min_score, mode=mode, exact=exact))

    def count_of(self, query: Query) -> Count:
        """Return how many clips a question could page through."""
        return self._answered([query], lambda: count(self, query, self._means))

    def estimate_count(self, text: str, where: str | None = None) -> Estimate:
        """Return about how many clips show what a sentence says, with a 95 % interval, learnt from the index's own captions.

            index.estimate_count("a dog on a beach").words

        Raises:
            QueryError: the index has too few captions to learn from, or was built before that was done.
        """
        from vidsearch.curate.counting import sum_probabilities

        query = Query(sentences([text]), where=where)
        return self._answered([query], lambda: sum_probabilities(self, text, self.encode_texts, where=where))

    def rank(self, query: Query, wanted: int | None = None) -> tuple[Rows, Scores]:
        """Return the rows that answer a question, all or so many, best first, with their scores; what shapes a page does not count."""
        answer = self.answer(query, wanted)
        return answer.rows, answer.scores

    def answer(self, query: Query, wanted: int | None = None) -> Answer:
        """Return what `rank` does, and how it was found: certificate, timings, and what was left out as damaged."""
        return self._answered([query], lambda: rank(self, query, self._means, wanted))

    def _answered(self, queries: Sequence[Query], ask: Callable[[], T]) -> T:
        """As `answered`, but not anew with row numbers that a question brought: when a segment is left out, other rows have them."""
        known = self.skipped

        def asked() -> T:
            self.check()
            if self.skipped != known and any(query.within is not None for query in queries):
                raise QueryError("a damaged segment was left out, so the rows of `within` have other numbers now; look them up again")
            return ask()

        return self.answered(asked)

    def leave_out(self, number: int, error: IndexCorruptError) -> None:
        super().leave_out(number, error)
        self.__dict__.pop("_means", None)  # it knows the segments by number

    @cached_property
    def _means(self) -> Means:
        words = cache(lambda column: Words(self, column))
        return Means(self.encode_texts, self.encode_media, words)

    def encode_media(self, media: Media) -> Vector:
        """Return a picture or a part of a video as a unit vector (dim,) float32; the first call loads the whole model."""
        from vidsearch.answers.media import encode

        return encode(media, self.full_encoder)

    def encode_texts(self, texts: Sequence[str]) -> Vector:
        """Return texts as unit rows (n, dim) float32; the first call loads the model."""
        return self.encoder.encode_texts(texts)

    def vector_of(self, clip_id: str) -> Vector:
        """Return the unit vector (dim,) float32 of one clip."""
        vector: Vector = self.answered(lambda: self.vectors_of([self.row_of(clip_id)]))[0]
        return vector
